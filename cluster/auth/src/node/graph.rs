// SPDX-License-Identifier: Apache-2.0
//! Which objects the pods of which node use, kept so that a question is one look-up.
//!
//! Edges lead from what gives access to what it gives access to: node → pod → claim → volume → secret, and so on. Each object counts,
//! for each node, the edges by which that node comes to it. An edge that comes or goes moves counts along the paths behind it, which are
//! four edges long at most and have no circles, since each class leads to later ones only.
//!
//! It is as large as what bound pods and volumes say they use, which their size bounds: nothing is kept that no edge touches.

use super::uses;
use berth_cluster_json::Value;
use hashbrown::{Equivalent, HashMap};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A kind of object that access is worked out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A node.
    Node,
    /// A pod.
    Pod,
    /// A `VolumeAttachment`.
    Attachment,
    /// A `ServiceAccount`.
    Account,
    /// A `ConfigMap`.
    ConfigMap,
    /// A `PersistentVolumeClaim`.
    Claim,
    /// A `PersistentVolume`.
    Volume,
    /// A `Secret`.
    Secret,
}

impl Class {
    /// Whether one edge leads to an object of this class, which the object itself says: its node, or its claim.
    fn has_one_source(self) -> bool {
        matches!(self, Self::Pod | Self::Attachment | Self::Volume)
    }
}

/// An object by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object<'a> {
    /// Its class.
    pub class: Class,
    /// Its namespace; empty for one that lives in none.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// An object's name, owned.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    class: Class,
    namespace: Box<str>,
    name: Box<str>,
}

impl Equivalent<Arc<Key>> for Object<'_> {
    fn equivalent(&self, key: &Arc<Key>) -> bool {
        self.class == key.class && *self.namespace == *key.namespace && *self.name == *key.name
    }
}

/// The place of an object in the table.
type Id = usize;

#[derive(Debug)]
struct Vertex {
    key: Arc<Key>,
    /// What this gives access to.
    gives: Vec<Id>,
    /// How many edges come here.
    taken: usize,
    /// Who leads here, where the object itself says it.
    from: Option<Id>,
    /// By which nodes this can be come to, and over how many edges each.
    nodes: BTreeMap<Id, usize>,
}

/// Which objects the pods of which node use.
#[derive(Debug, Default)]
pub struct Graph {
    ids: HashMap<Arc<Key>, Id>,
    vertices: Vec<Option<Vertex>>,
    /// Places that are not taken.
    free: Vec<Id>,
}

impl Graph {
    /// Whether something on the node uses the object.
    pub fn reaches(&self, node: &str, object: Object<'_>) -> bool {
        let node = Object { class: Class::Node, namespace: "", name: node };
        let (Some(node), Some(object)) = (self.ids.get(&node), self.ids.get(&object)) else {
            return false;
        };
        self.vertex(*object).is_some_and(|vertex| vertex.nodes.contains_key(node))
    }

    /// How many objects are known.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Takes in a pod as it is now.
    pub fn put_pod(&mut self, pod: &Value) {
        let meta = &pod["metadata"];
        let text = |name: &str| meta[name].as_str().unwrap_or_default();
        let own = Object { class: Class::Pod, namespace: text("namespace"), name: text("name") };
        self.forget(own);
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        if node.is_empty() {
            return;
        }
        self.link(Object { class: Class::Node, namespace: "", name: node }, own);
        // A node makes mirror pods by itself: they must not give it anything.
        if !meta["annotations"]["kubernetes.io/config.mirror"].is_null() {
            return;
        }
        for (class, name) in uses::of_pod(own.name, &pod["spec"]) {
            self.link(own, Object { class, namespace: own.namespace, name: &name });
        }
    }

    /// Takes in a volume as it is now.
    pub fn put_volume(&mut self, volume: &Value) {
        let name = volume["metadata"]["name"].as_str().unwrap_or_default();
        let own = Object { class: Class::Volume, namespace: "", name };
        self.forget(own);
        let claim = &volume["spec"]["claimRef"];
        let text = |field: &str| claim[field].as_str().unwrap_or_default();
        if claim.is_null() {
            return;
        }
        self.link(
            Object { class: Class::Claim, namespace: text("namespace"), name: text("name") },
            own,
        );
        for (namespace, name) in uses::of_volume(volume) {
            self.link(own, Object { class: Class::Secret, namespace: &namespace, name: &name });
        }
    }

    /// Takes in a volume's attachment as it is now.
    pub fn put_attachment(&mut self, attachment: &Value) {
        let name = attachment["metadata"]["name"].as_str().unwrap_or_default();
        let own = Object { class: Class::Attachment, namespace: "", name };
        self.forget(own);
        let node = attachment["spec"]["nodeName"].as_str().unwrap_or_default();
        if !node.is_empty() {
            self.link(Object { class: Class::Node, namespace: "", name: node }, own);
        }
    }

    /// Forgets a pod, a volume or an attachment, with all that it gave access to.
    pub fn remove(&mut self, class: Class, namespace: &str, name: &str) {
        self.forget(Object { class, namespace, name });
    }

    /// Takes out what an object gives, and who leads to it: for one that is read anew, or is gone.
    fn forget(&mut self, object: Object<'_>) {
        let Some(&id) = self.ids.get(&object) else { return };
        if let Some(from) = self.vertex(id).and_then(|vertex| vertex.from) {
            self.unlink(from, id);
        }
        while let Some(to) = self.vertex(id).and_then(|vertex| vertex.gives.last().copied()) {
            self.unlink(id, to);
        }
    }

    /// From now on the one gives access to the other.
    fn link(&mut self, from: Object<'_>, to: Object<'_>) {
        let (from, single) = (self.id(from), to.class.has_one_source());
        let to = self.id(to);
        let Some(source) = self.vertex_mut(from) else { return };
        source.gives.push(to);
        let nodes: Vec<Id> = source.nodes.keys().copied().collect();
        if let Some(target) = self.vertex_mut(to) {
            target.taken += 1;
            target.from = single.then_some(from);
        }
        for node in nodes {
            self.gain(to, node);
        }
    }

    /// Takes an edge out; an object that no edge touches any more goes.
    fn unlink(&mut self, from: Id, to: Id) {
        let Some(source) = self.vertex_mut(from) else { return };
        let Some(at) = source.gives.iter().rposition(|one| *one == to) else { return };
        source.gives.swap_remove(at);
        let nodes: Vec<Id> = source.nodes.keys().copied().collect();
        for node in nodes {
            self.lose(to, node);
        }
        if let Some(target) = self.vertex_mut(to) {
            target.taken -= 1;
            target.from = None;
        }
        self.drop_unused(to);
        self.drop_unused(from);
    }

    /// A node comes to an object over one more edge.
    fn gain(&mut self, id: Id, node: Id) {
        let mut work = vec![id];
        while let Some(id) = work.pop() {
            let Some(vertex) = self.vertex_mut(id) else { continue };
            let count = vertex.nodes.entry(node).or_insert(0);
            *count += 1;
            if *count == 1 {
                work.extend(&vertex.gives);
            }
        }
    }

    /// A node comes to an object over one edge less.
    fn lose(&mut self, id: Id, node: Id) {
        let mut work = vec![id];
        while let Some(id) = work.pop() {
            let Some(vertex) = self.vertex_mut(id) else { continue };
            let Some(count) = vertex.nodes.get_mut(&node) else { continue };
            *count -= 1;
            if *count == 0 {
                vertex.nodes.remove(&node);
                work.extend(&vertex.gives);
            }
        }
    }

    /// The place of an object, which is made if there is none.
    fn id(&mut self, object: Object<'_>) -> Id {
        if let Some(id) = self.ids.get(&object) {
            return *id;
        }
        let key = Arc::new(Key {
            class: object.class,
            namespace: object.namespace.into(),
            name: object.name.into(),
        });
        let id = self.free.pop().unwrap_or(self.vertices.len());
        // A node comes to itself: by that it comes to what it gives.
        let nodes =
            if object.class == Class::Node { BTreeMap::from([(id, 1)]) } else { BTreeMap::new() };
        let vertex =
            Vertex { key: Arc::clone(&key), gives: Vec::new(), taken: 0, from: None, nodes };
        if id == self.vertices.len() {
            self.vertices.push(Some(vertex));
        } else {
            self.vertices[id] = Some(vertex);
        }
        self.ids.insert(key, id);
        id
    }

    fn drop_unused(&mut self, id: Id) {
        if self.vertex(id).is_some_and(|vertex| vertex.taken == 0 && vertex.gives.is_empty())
            && let Some(vertex) = self.vertices.get_mut(id).and_then(Option::take)
        {
            self.ids.remove(&vertex.key);
            self.free.push(id);
        }
    }

    fn vertex(&self, id: Id) -> Option<&Vertex> {
        self.vertices.get(id).and_then(Option::as_ref)
    }

    fn vertex_mut(&mut self, id: Id) -> Option<&mut Vertex> {
        self.vertices.get_mut(id).and_then(Option::as_mut)
    }
}
