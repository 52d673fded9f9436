// SPDX-License-Identifier: Apache-2.0
//! Stored bytes made into answers: lists and events of watches, without reading an object.

use crate::object;
use berth_cluster_api::registry::Kind;
use berth_cluster_json::{Value, json};
use berth_cluster_store::{Entry, Event};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// Bytes of a list that are put together at a time: what TLS and the socket take well, and little to hold for a slow reader.
const CHUNK: usize = 128 << 10;

/// Where a list stops short, and how to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct More {
    /// The token.
    pub token: String,
    /// Objects that follow; unknown where a selector is used.
    pub remaining: Option<usize>,
}

/// A list on its way out, put together as it is read. Its objects are pointers until then.
pub struct List {
    head: usize,
    entries: std::vec::IntoIter<Arc<Entry>>,
    next: Option<Vec<u8>>,
    first: bool,
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

impl List {
    /// A list of objects of a kind at a revision.
    pub fn new(kind: &Kind, entries: Vec<Arc<Entry>>, revision: u64, more: Option<&More>) -> Self {
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        if let Some(more) = more {
            metadata["continue"] = more.token.as_str().into();
            if let Some(remaining) = more.remaining {
                metadata["remainingItemCount"] = remaining.into();
            }
        }
        let name = Value::from(format!("{}List", kind.kind));
        let version = Value::from(kind.api_version());
        let start = format!(
            "{{\"kind\":{name},\"apiVersion\":{version},\"metadata\":{metadata},\"items\":["
        );
        let head = object::head(kind).len();
        Self { head, entries: entries.into_iter(), next: Some(start.into_bytes()), first: true }
    }
}

impl Iterator for List {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut chunk = self.next.take()?;
        for entry in self.entries.by_ref() {
            chunk.extend_from_slice(if self.first { b"{" } else { b",{" });
            self.first = false;
            chunk.extend_from_slice(entry.bytes.get(self.head..).unwrap_or(b"}"));
            if chunk.len() >= CHUNK {
                self.next = Some(Vec::with_capacity(CHUNK + CHUNK / 8));
                return Some(chunk.into());
            }
        }
        chunk.extend_from_slice(b"]}\n");
        Some(chunk.into())
    }
}

/// What an event is to somebody who sees only what a selector lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The object came into sight.
    Added,
    /// It changed in sight.
    Modified,
    /// It went out of sight.
    Deleted,
}

impl Seen {
    /// What an event is, by whether the object was in sight before and is after.
    pub fn new(event: &Event, in_sight: impl Fn(&Entry) -> bool) -> Option<Self> {
        let after = !event.deleted && in_sight(&event.entry);
        let before = event.before.as_ref().is_some_and(|before| in_sight(before));
        match (before, after) {
            (false, true) => Some(Self::Added),
            (true, true) => Some(Self::Modified),
            (true, false) => Some(Self::Deleted),
            (false, false) => None,
        }
    }

    fn slot(self) -> u8 {
        match self {
            Self::Added => 0,
            Self::Modified => 1,
            Self::Deleted => 2,
        }
    }

    /// As in events.
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// The line of an event, made once for all who watch.
pub fn line(event: &Event, seen: Seen) -> Bytes {
    event.form(seen.slot(), || written(seen, &shown(event, seen)))
}

/// The object that an event shows.
pub fn shown(event: &Event, seen: Seen) -> Bytes {
    match (&event.before, seen, event.deleted) {
        // Out of sight, though not gone: its last state in sight, with the revision at which it left.
        (Some(before), Seen::Deleted, false) => before.at(event.revision).bytes,
        _ => event.entry.bytes.clone(),
    }
}

/// The line of an object that was there when a watch began.
pub fn initial(entry: &Entry) -> Bytes {
    written(Seen::Added, &entry.bytes)
}

fn written(seen: Seen, object: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + 40);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(seen.word().as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line.into()
}

/// A bookmark: everything up to this revision was told. `initial_end`: and with it all that was there when the watch began (KEP-3157).
pub fn bookmark(kind: &Kind, revision: u64, initial_end: bool) -> Bytes {
    event_line("BOOKMARK", &bookmark_object(kind, revision, initial_end))
}

/// The object of a bookmark.
pub fn bookmark_object(kind: &Kind, revision: u64, initial_end: bool) -> Value {
    let mut metadata =
        json!({ "resourceVersion": revision.to_string(), "creationTimestamp": null });
    if initial_end {
        metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
    }
    json!({ "kind": &*kind.kind, "apiVersion": kind.api_version(), "metadata": metadata })
}

/// The line of an event with any object.
pub fn event_line(word: &str, object: &Value) -> Bytes {
    let word = Value::from(word);
    format!("{{\"type\":{word},\"object\":{object}}}\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{kind, object};
    use berth_cluster_store::{Compare, Interest, Op, Options, Store, Txn};

    async fn put(store: &Store, name: &str, label: &str, at: u64) -> u64 {
        let pod = object(json!({ "metadata": { "name": name, "labels": { "l": label } } }));
        let key = object::key(&kind(), "n", name);
        let body = object::encode(&kind(), &pod);
        let op = Op::Put { key: key.clone(), body, meta: object::meta(&kind(), &pod) };
        let compares = vec![Compare { key, revision: at }];
        store.commit(Txn { compares, ops: vec![op] }).await.unwrap().revision
    }

    fn read(chunks: impl Iterator<Item = Bytes>) -> Value {
        let whole: Vec<u8> = chunks.flat_map(Vec::from).collect();
        serde_json::from_slice(&whole).unwrap()
    }

    #[tokio::test]
    async fn a_list_has_its_objects_without_kind_and_says_how_to_go_on() {
        let store = Store::memory(Options::default());
        for number in 0..3_000 {
            put(&store, &format!("p{number:04}"), "x", 0).await;
        }
        let all = store.list("pods/", None, None, 0, &|_| true).unwrap();
        let list = List::new(&kind(), all.entries, all.revision, None);
        let list = read(list);
        let items = list["items"].as_array().unwrap();
        assert_eq!((items.len(), &list["kind"]), (3_000, &json!("PodList")));
        assert_eq!(list["metadata"]["resourceVersion"], "3000");
        for (number, item) in items.iter().enumerate() {
            assert_eq!(item["metadata"]["name"], format!("p{number:04}"));
            assert!(item.get("kind").is_none() && item.get("apiVersion").is_none());
        }
        let more = More { token: "t".to_owned(), remaining: Some(4) };
        let page = read(List::new(&kind(), Vec::new(), 7, Some(&more)));
        assert_eq!(
            page["metadata"],
            json!({ "resourceVersion": "7", "continue": "t", "remainingItemCount": 4 })
        );
        assert_eq!(page["items"], json!([]));
    }

    #[tokio::test]
    async fn what_leaves_sight_is_deleted_as_it_was_and_at_the_revision_of_its_leaving() {
        let store = Store::memory(Options::default());
        let interest = Interest { prefix: "pods/".to_owned(), ..Interest::default() };
        let mut watch = store.watch(interest, 0, 1 << 20).unwrap();
        let first = put(&store, "a", "in", 0).await;
        let second = put(&store, "a", "out", first).await;
        let third = put(&store, "a", "in", second).await;
        let key = object::key(&kind(), "n", "a");
        let txn = Txn { compares: Vec::new(), ops: vec![Op::Delete { key }] };
        let fourth = store.commit(txn).await.unwrap().revision;
        let mut told = Vec::new();
        while let Some(event) = watch.try_next() {
            let seen = Seen::new(&event, |entry| entry.meta.label("l") == Some("in")).unwrap();
            let line: Value = serde_json::from_slice(&line(&event, seen)).unwrap();
            let metadata = &line["object"]["metadata"];
            told.push((line["type"].clone(), metadata["resourceVersion"].clone()));
            assert_eq!(metadata["labels"]["l"], "in");
        }
        let wanted = [("ADDED", first), ("DELETED", second), ("ADDED", third), ("DELETED", fourth)];
        let wanted: Vec<_> =
            wanted.iter().map(|(word, at)| (json!(word), json!(at.to_string()))).collect();
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_bookmark_has_a_revision_and_nothing_else() {
        let mark: Value = serde_json::from_slice(&bookmark(&kind(), 9, true)).unwrap();
        assert_eq!(mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
        assert_eq!((&mark["type"], &mark["object"]["kind"]), (&json!("BOOKMARK"), &json!("Pod")));
    }
}
