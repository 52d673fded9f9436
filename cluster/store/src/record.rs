// SPDX-License-Identifier: Apache-2.0
//! Objects and changes as bytes: in the log, in snapshots, in backups, in etcd. All numbers are little endian.
//!
//! ```text
//! 'R' revision:u64                                   the counter is at least this
//! 'P' key created:u64 revision:u64 object            the key has this state
//! 'D' key revision:u64                               the key is gone
//! 'B' / 'E'                                          a restore begins / has ended
//! object = version:u32 meta:bytes hole:u32 body:bytes
//! bytes, key = length:u32 content
//! ```
//! A record can be applied again: the last word about a key wins.

use crate::ReadMeta;
use crate::entry::{Body, Entry, Event, Meta, Owner, Pairs};
use bytes::Bytes;
use std::sync::Arc;

/// A record that was read.
#[derive(Debug)]
pub(crate) enum Record {
    Revision(u64),
    Put(Entry),
    Delete(Arc<str>, u64),
    Begin,
    End,
}

pub(crate) fn begin(out: &mut Vec<u8>) {
    out.push(b'B');
}

pub(crate) fn end(out: &mut Vec<u8>) {
    out.push(b'E');
}

pub(crate) fn revision(out: &mut Vec<u8>, revision: u64) {
    out.push(b'R');
    out.extend(revision.to_le_bytes());
}

pub(crate) fn put(out: &mut Vec<u8>, entry: &Entry, version: u32) {
    out.push(b'P');
    text(out, entry.key.as_bytes());
    out.extend(entry.created.to_le_bytes());
    out.extend(entry.revision.to_le_bytes());
    object(out, &entry.meta, entry.hole, entry.parts(), version);
}

/// The change that an event tells of.
pub(crate) fn event(out: &mut Vec<u8>, event: &Event, version: u32) {
    if event.deleted {
        out.push(b'D');
        text(out, event.entry.key.as_bytes());
        out.extend(event.revision.to_le_bytes());
    } else {
        put(out, &event.entry, version);
    }
}

/// An object whose revision is known from elsewhere.
pub(crate) fn object(
    out: &mut Vec<u8>,
    meta: &Meta,
    hole: u32,
    (head, tail): (&[u8], &[u8]),
    version: u32,
) {
    out.extend(version.to_le_bytes());
    let at = out.len();
    out.extend([0; 4]);
    write_meta(out, meta);
    let bytes = length(out.len() - at - 4);
    out[at..at + 4].copy_from_slice(&bytes);
    out.extend(hole.to_le_bytes());
    out.extend(length(head.len() + tail.len()));
    out.extend_from_slice(head);
    out.extend_from_slice(tail);
}

fn length(length: usize) -> [u8; 4] {
    // Nothing here is near 4 GiB: a transaction is smaller than a segment of the log.
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(length(bytes.len()));
    out.extend_from_slice(bytes);
}

fn write_pairs(out: &mut Vec<u8>, pairs: &Pairs) {
    out.extend(length(pairs.len()));
    for (name, value) in pairs {
        text(out, name.as_bytes());
        text(out, value.as_bytes());
    }
}

fn write_time(out: &mut Vec<u8>, time: Option<i64>) {
    out.push(u8::from(time.is_some()));
    out.extend(time.unwrap_or(0).to_le_bytes());
}

fn write_meta(out: &mut Vec<u8>, meta: &Meta) {
    text(out, meta.uid.as_bytes());
    write_pairs(out, &meta.labels);
    write_pairs(out, &meta.fields);
    out.extend(length(meta.owners.len()));
    for owner in &meta.owners {
        text(out, owner.uid.as_bytes());
        text(out, owner.kind.as_bytes());
        text(out, owner.name.as_bytes());
        out.push(u8::from(owner.controller) | u8::from(owner.block) << 1);
    }
    write_time(out, meta.deletion);
    write_time(out, meta.expires);
}

/// Reads records one after the other.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    read: &'a ReadMeta,
    version: u32,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8], read: &'a ReadMeta, version: u32) -> Self {
        Self { rest, read, version }
    }

    /// The next record; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, String> {
        let Some((tag, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let record = match tag {
            b'R' => self.number().map(Record::Revision),
            b'P' => self.put().map(Record::Put),
            b'D' => self.delete(),
            b'B' => Some(Record::Begin),
            b'E' => Some(Record::End),
            tag => return Err(format!("a record of an unknown kind, {tag}")),
        };
        record.map(Some).ok_or_else(|| "a record that is cut".into())
    }

    fn delete(&mut self) -> Option<Record> {
        Some(Record::Delete(self.text()?.into(), self.number()?))
    }

    fn put(&mut self) -> Option<Entry> {
        let key = self.text()?.into();
        let (created, revision) = (self.number()?, self.number()?);
        self.object(key, created, revision)
    }

    /// An object, with what is known of it from elsewhere.
    pub(crate) fn object(&mut self, key: Arc<str>, created: u64, revision: u64) -> Option<Entry> {
        let version = self.short()?;
        let meta = self.bytes()?;
        let hole = self.short()?;
        let body = self.bytes()?;
        let bytes = Body { bytes: Bytes::copy_from_slice(body), hole }.finish(revision)?;
        // Another version may have known other fields: what it noted is not enough then.
        let meta = if version == self.version {
            Reader::new(meta, self.read, version).meta()?
        } else {
            (self.read)(&key, &bytes)
        };
        Some(Entry { key, revision, created, bytes, hole, meta: Arc::new(meta) })
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn short(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.short()?;
        self.take(length as usize)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn pairs(&mut self) -> Option<Pairs> {
        let count = self.short()?;
        (0..count).map(|_| Some((self.text()?.into(), self.text()?.into()))).collect()
    }

    /// Reads a time that may be missing; whether there was enough to read.
    fn time(&mut self, time: &mut Option<i64>) -> Option<()> {
        let [there] = self.array()?;
        let read = self.array().map(i64::from_le_bytes)?;
        *time = (there != 0).then_some(read);
        Some(())
    }

    fn owner(&mut self) -> Option<Owner> {
        let (uid, kind) = (self.text()?.into(), self.text()?.into());
        let name = self.text()?.into();
        let [flags] = self.array()?;
        Some(Owner { uid, kind, name, controller: flags & 1 != 0, block: flags & 2 != 0 })
    }

    fn meta(&mut self) -> Option<Meta> {
        let uid = self.text()?.into();
        let (labels, fields) = (self.pairs()?, self.pairs()?);
        let count = self.short()?;
        let owners = (0..count).map(|_| self.owner()).collect::<Option<_>>()?;
        let (mut deletion, mut expires) = (None, None);
        self.time(&mut deletion)?;
        self.time(&mut expires)?;
        Some(Meta { uid, labels, fields, owners, deletion, expires })
    }
}
