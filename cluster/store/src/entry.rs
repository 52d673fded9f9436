// SPDX-License-Identifier: Apache-2.0
//! What the store keeps under a key, and what happens to it.

use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// Pairs of name and value.
pub type Pairs = Box<[(Arc<str>, Arc<str>)]>;

/// What the store, and who watches it, has to know of an object without reading its JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.uid`.
    pub uid: String,
    /// Labels, sorted by name.
    pub labels: Pairs,
    /// Fields that selectors may ask for, such as `spec.nodeName`.
    pub fields: Pairs,
    /// `metadata.ownerReferences`.
    pub owners: Box<[Owner]>,
    /// `metadata.deletionTimestamp`, in Unix seconds.
    pub deletion: Option<i64>,
    /// When the object goes away by itself, in Unix seconds.
    pub expires: Option<i64>,
}

/// An object that owns another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// Its uid.
    pub uid: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether it manages the object.
    pub controller: bool,
    /// Whether its deletion waits for the object's.
    pub block: bool,
}

impl Meta {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }
}

/// JSON in which the resource version is still missing: the store writes the revision in.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// JSON with `"resourceVersion":""`.
    pub bytes: Bytes,
    /// Offset of the place between those quotes.
    pub hole: u32,
}

impl Body {
    /// The JSON with the revision written in; `None` where the hole lies outside.
    pub fn finish(&self, revision: u64) -> Option<Bytes> {
        let hole = self.hole as usize;
        let (head, tail) = (self.bytes.get(..hole)?, self.bytes.get(hole..)?);
        Some(join(head, revision, tail))
    }
}

/// An object as it was written at a revision.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// Revision of the transaction that wrote it.
    pub revision: u64,
    /// Revision of the transaction that created it.
    pub created: u64,
    /// JSON, the revision included.
    pub bytes: Bytes,
    /// Offset at which the revision stands in it.
    pub hole: u32,
    /// What is known of it.
    pub meta: Arc<Meta>,
}

impl Entry {
    /// The same object with another revision written in.
    #[must_use]
    pub fn at(&self, revision: u64) -> Self {
        let (head, tail) = self.parts();
        let bytes = join(head, revision, tail);
        Self { revision, bytes, ..self.clone() }
    }

    /// The JSON before and after the revision.
    pub fn parts(&self) -> (&[u8], &[u8]) {
        let hole = (self.hole as usize).min(self.bytes.len());
        let end = (hole + digits(self.revision)).min(self.bytes.len());
        (&self.bytes[..hole], &self.bytes[end..])
    }
}

/// Something that happened to a key.
#[derive(Debug)]
pub struct Event {
    /// Revision of the transaction.
    pub revision: u64,
    /// The new state, or for a delete the last one with the revision of the deletion written in.
    pub entry: Arc<Entry>,
    /// The state before.
    pub before: Option<Arc<Entry>>,
    /// Whether the key is gone.
    pub deleted: bool,
    forms: [OnceLock<Bytes>; FORMS],
}

/// How many encodings of an event are kept beside it.
const FORMS: usize = 4;

impl Event {
    /// An event of which no form was made yet.
    pub fn new(entry: Arc<Entry>, before: Option<Arc<Entry>>, deleted: bool) -> Self {
        Self { revision: entry.revision, entry, before, deleted, forms: Default::default() }
    }

    /// An encoding of the event, made once and shared by all who watch. Slots above 3 are made each time.
    pub fn form(&self, slot: u8, make: impl FnOnce() -> Bytes) -> Bytes {
        match self.forms.get(usize::from(slot)) {
            Some(form) => form.get_or_init(make).clone(),
            None => make(),
        }
    }

    /// About how many bytes of memory it holds.
    pub(crate) fn cost(&self) -> usize {
        self.entry.bytes.len() + 256
    }
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn join(head: &[u8], revision: u64, tail: &[u8]) -> Bytes {
    let mut text = [0; 20];
    let mut at = text.len();
    let mut rest = revision;
    loop {
        at -= 1;
        text[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let mut bytes = Vec::with_capacity(head.len() + 20 + tail.len());
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(&text[at..]);
    bytes.extend_from_slice(tail);
    bytes.into()
}
