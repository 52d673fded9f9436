// SPDX-License-Identifier: Apache-2.0
//! Rows in which something happens to our balancer while connections are held and new ones come. Three threads: the traffic is a client's,
//! the changes over gRPC are made on the node, configurations and processes are replaced from here.
//!
//! - [`hold`]: everything at once that must not break a connection
//! - [`drain`]: endpoints that leave and come back
//! - [`crowd`]: thousands of services, and how soon a change of one endpoint is in effect

pub mod crowd;
pub mod drain;
pub mod hold;

use super::client::course::Tally;
use super::client::steady::{self, Plan, Signals};
use super::client::{PATIENCE, Target};
use super::place::{Place, Role};
use super::steering::Steering;
use super::subject::{Running, Service};
use crate::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// How long the traffic may take to be there.
const GROWING: Duration = Duration::from_mins(1);

/// What such a row is given.
#[derive(Debug)]
pub struct Stage<'a> {
    /// Where.
    pub place: &'a Place,
    /// The service that is asked, as the configuration has it.
    pub service: &'a Service,
    /// All services of the configuration.
    pub services: &'a [Service],
    /// A front for a second service with the same endpoints, that comes over gRPC.
    pub extra: SocketAddr,
    /// The path of the column.
    pub path: &'static str,
    /// Decides the nonces.
    pub seed: u64,
}

/// A figure beside those that all rows have.
#[derive(Debug, Clone, PartialEq)]
pub struct Extra {
    /// Its name.
    pub name: &'static str,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
}

/// What a row found out.
#[derive(Debug, Default)]
pub struct Found {
    /// Operations, failures, latencies.
    pub tally: Tally,
    /// And more.
    pub extra: Vec<Extra>,
}

impl Found {
    /// Adds a figure.
    fn tell(&mut self, name: &'static str, value: f64, unit: &'static str) {
        self.extra.push(Extra { name, value, unit });
    }
}

impl Stage<'_> {
    /// A client of these fronts.
    fn target(&self, addresses: Vec<SocketAddr>) -> Target {
        let sources = self.place.sources();
        Target { addresses, service: self.service.id, sources, seed: self.seed }
    }

    /// Runs `work` while traffic flows, which has begun when `work` does; it is ended however `work` ends.
    fn under_traffic<T>(
        &self,
        (target, plan): (&Target, Plan),
        signals: &Signals,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<(T, Tally, u64), Error> {
        thread::scope(|scope| {
            let traffic = scope.spawn(|| {
                self.place
                    .run(Role::Client, || steady::run(target, plan, signals).map_err(Error::Load))
            });
            let done = wait_for_traffic(signals).and_then(|()| work());
            signals.stop.store(true, Ordering::SeqCst);
            let traffic = traffic.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // Without the traffic there is nothing that `work` could have shown.
            let (tally, answers) = traffic?;
            Ok((done?, tally, answers))
        })
    }

    /// Runs `work` on the node, connected to the balancer.
    fn steer<T: Send>(
        &self,
        running: &dyn Running,
        work: impl FnOnce(&mut Steering) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        let none = || Error::Balancer("it takes no changes over gRPC".to_owned());
        let address = running.steering().ok_or_else(none)?;
        self.place.run(Role::Node, || work(&mut Steering::connect(address)?))
    }
}

/// Waits until all that is to be held is.
fn wait_for_traffic(signals: &Signals) -> Result<(), Error> {
    let began = Instant::now();
    let wanted = signals.held.load(Ordering::SeqCst);
    while signals.settled.load(Ordering::SeqCst) < wanted {
        if signals.over.load(Ordering::SeqCst) {
            // Its failures are told by its tally.
            return Ok(());
        }
        if began.elapsed() > GROWING {
            return Err(Error::Balancer(format!("{wanted} connections were not made in time")));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Waits until what a client connects to answers.
fn wait_until_served(place: &Place, front: SocketAddr) -> Result<(), Error> {
    place.run(Role::Client, || {
        let began = Instant::now();
        while std::net::TcpStream::connect_timeout(&front, PATIENCE).is_err() {
            if began.elapsed() > PATIENCE {
                return Err(Error::Balancer(format!("nobody listens on {front}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    })
}
