// SPDX-License-Identifier: Apache-2.0
//! The garbage collector: what has owners goes when the last of them does. Who owns whom is kept in a [`graph`], over all kinds that the API
//! has; what follows for an object is decided in [`plan`]; here it is done.

mod follow;
pub mod graph;
mod kinds;
pub mod plan;
mod write;

use crate::context::Context;
use crate::controller;
use crate::queue::{Key, Outcome};
use graph::{Graph, Task};
use kinds::Kinds;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// Objects that are worked on at a time (upstream's number).
const AT_ONCE: usize = 20;
/// How often it is asked which kinds there are (upstream's number).
const PERIOD: Duration = Duration::from_secs(30);
/// The first pause before that is asked again, where nobody answered yet; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long the first lists may take; what is not there then comes later.
const FIRST: Duration = Duration::from_secs(30);
/// An owner that is not known may only be on its way to us.
const UNKNOWN_OWNER: Duration = Duration::from_millis(500);

const DELETE: &str = "delete";
const ORPHAN: &str = "orphan";

#[derive(Debug)]
struct State {
    graph: Graph,
    kinds: Kinds,
    /// The tasks that follow kinds, by path.
    followed: BTreeMap<String, AbortHandle>,
}

type Controller = controller::Controller<State>;

/// Runs the controller for ever.
pub(crate) async fn run(context: Context) {
    let state =
        State { graph: Graph::default(), kinds: Kinds::default(), followed: BTreeMap::new() };
    let controller = Controller::new(context, state);
    let _stop = Stop(Arc::clone(&controller));
    // Nothing is decided before what is there is known.
    let mut pause = FIRST_PAUSE;
    while !controller.discover(true).await {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PERIOD);
    }
    let discovery = async {
        loop {
            tokio::time::sleep(PERIOD).await;
            controller.discover(false).await;
        }
    };
    Arc::clone(&controller).run(AT_ONCE, discovery, Controller::sync).await;
}

/// Ends what follows kinds.
struct Stop(Arc<Controller>);

impl Drop for Stop {
    fn drop(&mut self) {
        for (_, task) in std::mem::take(&mut self.0.state().followed) {
            task.abort();
        }
    }
}

impl Controller {
    fn add(&self, tasks: Vec<Task>) {
        for task in tasks {
            match task {
                Task::Delete(uid) => self.work.add(Key::new(DELETE, &uid)),
                Task::Orphan(uid) => self.work.add(Key::new(ORPHAN, &uid)),
                Task::Look(uid) => self.work.add_after(Key::new(DELETE, &uid), UNKNOWN_OWNER),
            }
        }
    }

    async fn sync(self: Arc<Self>, key: Key) -> Outcome {
        let result = match key.namespace.as_str() {
            ORPHAN => self.orphan(&key.name).await,
            _ => self.attempt(&key.name).await,
        };
        match result {
            Ok(outcome) => outcome,
            Err(error) => Outcome::failed(&key, &error),
        }
    }
}
