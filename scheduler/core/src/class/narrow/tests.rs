// SPDX-License-Identifier: Apache-2.0
//! Places of nodes that come and go.

use super::*;
use crate::hash::Hasher;
use crate::intern::Interner;
use alloc::boxed::Box;
use alloc::format;
use berth_scheduler_model::node::Node;

#[test]
fn a_node_in_the_slot_of_a_deleted_one_stands_behind_the_others() {
    let hasher = Hasher::new(1);
    let mut nodes = Nodes::new(hasher.clone(), 1);
    let mut resources = Interner::new(hasher);
    for i in 0..70 {
        nodes.insert(Box::new(Node::new(&format!("node-{i}"))), &mut resources);
    }
    let mut narrow = Narrow::default();
    narrow.rebuild(&nodes);
    assert_eq!((narrow.sorted, narrow.slots.len()), (2, 70));

    // Both before the next look: only the hash tells that it is another one.
    nodes.remove(3);
    assert_eq!(nodes.insert(Box::new(Node::new("other")), &mut resources), 3);
    let before = narrow.places[3].0;
    narrow.take(3, &nodes);
    assert_eq!(narrow.slots[before as usize], NONE, "nobody stands there any more");
    assert_eq!(narrow.places[3].0, 128, "the first place behind the sorted blocks");
    assert_eq!(narrow.slots[128], 3);

    nodes.remove(3);
    narrow.take(3, &nodes);
    assert_eq!((narrow.places[3].0, narrow.slots[128]), (NONE, NONE));
}
