// SPDX-License-Identifier: Apache-2.0
//! Changes while connections are held: how long until a new connection lands on an endpoint that was not there before, and whether
//! any of the held connections notices.

use super::course::Tally;
use super::{PATIENCE, Target, idle};
use crate::balance::message::{self, MESSAGE, Nonces, Request};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

/// Holds `held` connections, makes `turns` changes and asks all connections again. `change` makes the change of a turn and gives
/// the endpoint that is new.
pub fn run(
    target: &Target,
    (held, turns): (usize, usize),
    mut change: impl FnMut(usize) -> io::Result<u32>,
) -> io::Result<Tally> {
    let mut idle = idle::Idle::new(target)?;
    idle.grow(held)?;
    let mut nonces = Nonces::new(target.seed ^ 0xc4a6);
    let mut found = Tally::default();
    let all = Instant::now();
    // The first change only takes an endpoint away, so that the next can bring one; it is not timed.
    change(0)?;
    for turn in 1..=turns {
        let began = Instant::now();
        let wanted = change(turn)?;
        match land_on(target, wanted, began, &mut nonces) {
            Ok(()) => {
                found.operations += 1;
                let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                found.latencies.saturating_record(took);
            }
            Err(why) => {
                found.failures += 1;
                found.notes.push(why);
                break;
            }
        }
    }
    found.seconds = all.elapsed().as_secs_f64();
    idle.ask_all()?;
    found.failures += idle.tally.failures;
    found.notes.extend(idle.tally.notes);
    Ok(found)
}

/// Connects again and again until the endpoint answers.
fn land_on(
    target: &Target,
    wanted: u32,
    began: Instant,
    nonces: &mut Nonces,
) -> Result<(), String> {
    loop {
        let endpoint = ask(target, nonces.draw());
        let endpoint = endpoint.map_err(|error| format!("a new connection failed: {error}"))?;
        if endpoint == wanted {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("a change had no effect within {} s", PATIENCE.as_secs()));
        }
    }
}

/// One request on a connection of its own; gives the endpoint that answered.
fn ask(target: &Target, nonce: u64) -> io::Result<u32> {
    let mut stream = TcpStream::connect_timeout(&target.address(0), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = [0; MESSAGE];
    let service = target.service;
    message::write_request(&mut bytes, &Request { service, nonce, amount: 0 });
    stream.write_all(&bytes)?;
    stream.read_exact(&mut bytes)?;
    message::read_answer(&bytes, service, nonce)
        .map_err(|wrong| io::Error::other(wrong.to_string()))
}
