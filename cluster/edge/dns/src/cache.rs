// SPDX-License-Identifier: Apache-2.0
//! Answers of upstreams, kept a while. No clock: time is an argument, counted from any beginning.

use crate::limits::{CACHED_BYTES_MAX, CACHED_MAX, CACHED_SECONDS_MAX};
use crate::wire::Asked;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::BTreeMap;
use std::time::Duration;

/// What an upstream said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    pub(crate) code: ResponseCode,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
}

impl Said {
    /// Of a message, without what nobody asked for.
    pub(crate) fn of(message: Message) -> Self {
        let mut said = Self {
            code: message.metadata.response_code,
            answers: message.answers,
            authorities: message.authorities,
        };
        said.authorities.retain(|record| {
            matches!(record.record_type(), RecordType::SOA) || record.record_type().is_dnssec()
        });
        for record in said.answers.iter_mut().chain(&mut said.authorities) {
            record.ttl = record.ttl.min(CACHED_SECONDS_MAX);
        }
        said
    }

    /// Seconds that it holds; none if it must not be kept. What is not there holds as long as the zone's SOA record says (RFC 2308).
    fn holds(&self, kind: RecordType) -> u32 {
        if !matches!(self.code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return 0;
        }
        let least = self.answers.iter().map(|record| record.ttl).min();
        let is = |record: &Record| kind == RecordType::ANY || record.record_type() == kind;
        if self.code == ResponseCode::NoError && self.answers.iter().any(is) {
            return least.unwrap_or(0);
        }
        let minimum = |record: &Record| match &record.data {
            RData::SOA(soa) => Some(soa.minimum.min(record.ttl)),
            _ => None,
        };
        let negative = self.authorities.iter().find_map(minimum);
        negative.map_or(0, |seconds| seconds.min(least.unwrap_or(u32::MAX)))
    }
}

/// What is the same for whoever asks it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    name: Name,
    kind: u16,
    checking_disabled: bool,
    dnssec_ok: bool,
}

impl Key {
    pub(crate) fn of(asked: &Asked) -> Self {
        Self {
            name: asked.name.to_lowercase(),
            kind: asked.kind.into(),
            checking_disabled: asked.checking_disabled,
            dnssec_ok: asked.dnssec_ok,
        }
    }
}

#[derive(Debug)]
struct Kept {
    said: Said,
    since: Duration,
    seconds: u32,
    bytes: usize,
    /// Its place in the order of use.
    used: u64,
}

/// Answers by question, and in the order in which they were used: those that were not for longest make room.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    kept: BTreeMap<Key, Kept>,
    order: BTreeMap<u64, Key>,
    bytes: usize,
    uses: u64,
}

impl Cache {
    /// What was said, with what is left of its time.
    pub(crate) fn get(&mut self, key: &Key, now: Duration) -> Option<Said> {
        let kept = self.kept.get_mut(key)?;
        let age = u32::try_from(now.saturating_sub(kept.since).as_secs()).unwrap_or(u32::MAX);
        if age >= kept.seconds {
            self.remove(key);
            return None;
        }
        self.uses += 1;
        let place = self.order.remove(&kept.used);
        kept.used = self.uses;
        self.order.extend(place.map(|key| (self.uses, key)));
        let mut said = kept.said.clone();
        for record in said.answers.iter_mut().chain(&mut said.authorities) {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some(said)
    }

    /// Keeps what was said, if it holds a while. `bytes` is how long the message was.
    pub(crate) fn put(&mut self, key: Key, said: &Said, bytes: usize, now: Duration) {
        let seconds = said.holds(RecordType::from(key.kind)).min(CACHED_SECONDS_MAX);
        self.remove(&key);
        if seconds == 0 || bytes > CACHED_BYTES_MAX {
            return;
        }
        while self.kept.len() >= CACHED_MAX || self.bytes + bytes > CACHED_BYTES_MAX {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.remove(&oldest);
        }
        self.uses += 1;
        self.bytes += bytes;
        self.order.insert(self.uses, key.clone());
        let kept = Kept { said: said.clone(), since: now, seconds, bytes, used: self.uses };
        self.kept.insert(key, kept);
    }

    fn remove(&mut self, key: &Key) {
        if let Some(kept) = self.kept.remove(key) {
            self.bytes -= kept.bytes;
            self.order.remove(&kept.used);
        }
    }
}

#[cfg(test)]
mod tests;
