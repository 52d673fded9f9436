// SPDX-License-Identifier: Apache-2.0
//! Each node gets a part of the cluster's addresses for its pods. Which is decided by a [`Book`]; here it is written.

pub mod book;

use crate::context::{Context, body, unless_gone};
use crate::controller::{self, CHANGES};
use crate::events::{Type, about};
use crate::index::{self, Index};
use crate::informers::begin;
use crate::place::NODES;
use crate::queue::{Key, Outcome};
use crate::view::Node;
use berth_cluster_client::{Change, Media};
use book::Book;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Nodes that are written at a time.
const AT_ONCE: usize = 16;
/// When a node for which there was nothing is looked at again.
const FULL: Duration = Duration::from_mins(1);

#[derive(Debug)]
struct State {
    nodes: Index<Node>,
    book: Book,
}

type Controller = controller::Controller<State>;

/// Runs the controller for ever.
pub(crate) async fn run(context: Context) {
    let mut nodes = begin(context.informers.nodes()).await;
    let book = Book::new(context.settings.cluster_cidr, context.settings.node_cidr_bits);
    let state = State { nodes: Index::new(|_| Vec::new()), book };
    let controller = Controller::new(context, state);
    // What is given out already is known before anything is given out.
    while let Some(change) = nodes.try_next() {
        controller.node_changed(&change);
    }
    let intake = async {
        let mut some = Vec::new();
        while nodes.next_many(&mut some, CHANGES).await > 0 {
            some.drain(..).for_each(|change| controller.node_changed(&change));
        }
    };
    Arc::clone(&controller).run(AT_ONCE, intake, Controller::sync).await;
}

impl Controller {
    fn node_changed(&self, change: &Change<Node>) {
        let mut state = self.state();
        state.nodes.apply(change);
        match (&change.before, &change.after) {
            (_, Some(node)) if !node.view.spec.pod_cidr.is_empty() => {
                state.book.occupy(&node.id.name, &node.view.spec.pod_cidr);
            }
            (_, Some(node)) => self.work.add(index::key(node)),
            (Some(node), None) => state.book.release(&node.id.name),
            (None, None) => {}
        }
    }

    async fn sync(self: Arc<Self>, key: Key) -> Outcome {
        let (node, range) = {
            let mut state = self.state();
            let Some(node) = state.nodes.get(&key) else { return Outcome::Done };
            if !node.view.spec.pod_cidr.is_empty() {
                return Outcome::Done;
            }
            let range = state.book.assign(&key.name);
            (node, range)
        };
        let Some(range) = range else {
            let text = format!("Node {} status is now: CIDRNotAvailable", key.name);
            let about = about(NODES, &node);
            self.context.recorder.record(&about, Type::Normal, "CIDRNotAvailable", "Assign", text);
            return Outcome::After(FULL);
        };
        let patch = json!({
            "metadata": { "uid": node.id.uid },
            "spec": { "podCIDR": range, "podCIDRs": [range] },
        });
        let path = NODES.one("", &key.name);
        match unless_gone(self.context.api.patch(&path, Media::Strategic, body(&patch)).await) {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::failed(&key, &error),
        }
    }
}
