// SPDX-License-Identifier: Apache-2.0
//! A mixture of requests for Secrets at a fixed rate: each is due at its time, whatever became of those before.

use super::measured;
use super::read::fill;
use crate::api::Bench;
use crate::api::found::{Found, OURS};
use crate::api::objects;
use crate::api::rows::{MIXED_RATE, SMALL};
use crate::api::storm::{Clients, Course, Until};
use crate::api::wire::{Ask, Protocol};
use crate::error::Error;
use crate::report::count;
use bytes::Bytes;
use serde_json::json;

/// A turn of requests; then the kinds come in the same order again.
const TURN: u64 = 50;
/// How many requests later a Secret is removed that one of them made: its maker was answered long before, or the row fails.
const LIVES: u64 = TURN * 4;

/// Row `mixed`.
pub async fn run(bench: &Bench<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let subject = bench.begin(&mut found).await?;
    let sizes = bench.sizes;
    let path = subject.path("secrets");
    let all = path.clone();
    let make = move |number: u64| {
        let name = format!("kept-{number:06}");
        Ask::create(all.clone(), objects::secret(&name, SMALL))
    };
    fill(&subject, sizes.clients, sizes.secrets, make).await?;
    let mut clients = Clients::new(subject.door.open_all(Protocol::One, sizes.clients).await?);
    let secrets = sizes.secrets;
    let ask = move |number: u64| one(&path, number, secrets);
    for round in 0..bench.rounds {
        let course = Course { until: Until::Time(sizes.mixed), rate: Some(MIXED_RATE) };
        let cpu = || subject.cpu_seconds();
        let (tally, cpu) = measured(&mut clients, course, ask.clone(), cpu).await?;
        found.add(
            round,
            OURS,
            &[
                ("per_second", tally.per_second(), "1/s"),
                ("one_p50_us", tally.one.us(0.5), "us"),
                ("one_p99_us", tally.one.us(0.99), "us"),
                ("list_p50_us", tally.many.us(0.5), "us"),
                ("list_p99_us", tally.many.us(0.99), "us"),
                ("cpu_us", cpu * 1e6 / count(tally.requests()), "us"),
            ],
        );
    }
    drop(clients);
    subject.end().await?;
    Ok(found)
}

/// Request number so and so.
fn one(path: &str, number: u64, secrets: u64) -> Ask {
    // Odd, so that all are met; not in the order of their names.
    let kept = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % secrets;
    let kept = format!("{path}/kept-{kept:06}");
    match number % TURN {
        0 => Ask::list(path.to_owned()),
        at if at % 10 == 5 => {
            Ask::create(path.to_owned(), objects::secret(&passing(number), SMALL))
        }
        // What was made four places before this one, and turns ago; at first there is none yet.
        at if at % 10 == 9 && number >= LIVES => {
            Ask::delete(format!("{path}/{}", passing(number - 4 - LIVES)))
        }
        at if at % 3 == 1 => {
            let data = json!({"data": {"n": format!("{:04}", number % 10_000)}});
            Ask::patch(kept, Bytes::from(data.to_string()))
        }
        _ => Ask::get(kept),
    }
}

fn passing(number: u64) -> String {
    format!("passing-{number:09}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn what_is_removed_was_made_and_shares_are_as_told() {
        let asks: Vec<Ask> = (0..10_000).map(|number| one("/s", number, 5_000)).collect();
        let share = |of: &dyn Fn(&Ask) -> bool| asks.iter().filter(|ask| of(ask)).count();
        assert_eq!(share(&|ask| ask.many), 200);
        assert_eq!(share(&|ask| ask.method == Method::POST), 1_000);
        assert_eq!(share(&|ask| ask.method == Method::PATCH), 2_808);
        let mut there = std::collections::BTreeSet::new();
        for ask in &asks {
            if ask.method == Method::POST {
                let (_, body) = ask.body.as_ref().unwrap();
                let object: serde_json::Value = serde_json::from_slice(body).unwrap();
                assert!(there.insert(object["metadata"]["name"].as_str().unwrap().to_owned()));
            }
            if ask.method == Method::DELETE {
                let name = ask.path.strip_prefix("/s/").unwrap();
                assert!(there.remove(name), "{name}");
            }
        }
        assert!(there.len() < 30, "{}", there.len());
    }
}
