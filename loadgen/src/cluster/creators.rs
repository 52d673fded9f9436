// SPDX-License-Identifier: Apache-2.0
//! Many clients that make objects, one request for each: as fast as answers come, or each when it is due.

use crate::api::wire::{Ask, Door, Protocol};
use crate::error::Error;
use crate::report::count;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How objects are made.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Clients, each with a connection.
    pub clients: usize,
    /// The number of the first object.
    pub first: u64,
    /// So many.
    pub count: u64,
    /// So many a second, of all clients together; none: as fast as answers come.
    pub rate: Option<f64>,
    /// What times are counted from.
    pub epoch: Instant,
}

/// What was made.
#[derive(Debug, Default)]
pub struct Made {
    /// Each that was made, and when it was sent; where there is a rate, when it was due.
    pub times: Vec<(u64, Duration)>,
    /// How many were refused.
    pub refused: u64,
    /// What the first refusal said.
    pub why: Option<String>,
}

impl Made {
    /// When the first was sent.
    pub fn began(&self) -> Duration {
        self.times.iter().map(|(_, at)| *at).min().unwrap_or_default()
    }

    /// An error if one was refused, where none may be.
    pub fn whole(self) -> Result<Self, Error> {
        match &self.why {
            None => Ok(self),
            Some(why) => Err(Error::Api(format!("{} were refused: {why}", self.refused))),
        }
    }
}

/// Makes them. What is refused is counted; a connection that fails is an error. `stop` ends it before its time.
pub async fn create<F>(
    door: &Door,
    pace: Pace,
    stop: Option<Arc<AtomicBool>>,
    ask: F,
) -> Result<Made, Error>
where
    F: Fn(u64) -> Ask + Clone + Send + 'static,
{
    let wires = door.open_all(Protocol::One, pace.clients).await?;
    let (tickets, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut working = JoinSet::new();
    for mut wire in wires {
        let (tickets, ask, stop) = (Arc::clone(&tickets), ask.clone(), stop.clone());
        working.spawn(async move {
            let mut made = Made::default();
            loop {
                let nth = tickets.fetch_add(1, Ordering::Relaxed);
                let stopped = stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed));
                if nth >= pace.count || stopped {
                    return Ok(made);
                }
                let request = ask(pace.first + nth);
                let mut at = Instant::now();
                if let Some(rate) = pace.rate {
                    at = began + Duration::from_secs_f64(count(nth) / rate);
                    tokio::time::sleep_until(at.into()).await;
                }
                match wire.drain(&request).await {
                    Ok(_) => {
                        made.times.push((pace.first + nth, at.duration_since(pace.epoch)));
                    }
                    Err(Error::Api(why)) => {
                        made.refused += 1;
                        made.why.get_or_insert(why);
                    }
                    Err(error) => return Err(error),
                }
            }
        });
    }
    let mut all = Made::default();
    while let Some(ended) = working.join_next().await {
        let ended: Result<Made, Error> =
            ended.map_err(|error| Error::Api(format!("a client ended: {error}")))?;
        let made = ended?;
        all.times.extend(made.times);
        all.refused += made.refused;
        all.why = all.why.or(made.why);
    }
    Ok(all)
}
