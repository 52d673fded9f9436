// SPDX-License-Identifier: Apache-2.0
//! What is written down of each change: the journal's batches, the chunks of a snapshot, and what Watch reads from.
//!
//! Records are effects: what is so now, not what was asked. Applied again they change nothing, and of two about one thing the
//! later wins; so a snapshot may be taken while the state changes, and a newer engine never decides anew what was answered.
//!
//! ```text
//! batch    = base revision, record*
//! record   = kind u8, fields; a change has its revision first, as the distance from the base
//! number   = varint (7 bits a byte, least first)      text, bytes = length, bytes      list = count, entries
//! ```

use berth_proto::wire::put_varint;

/// Why a pod is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Released, or told as gone.
    Released,
    /// Its lease was not confirmed.
    LeaseEnded,
    /// Cancelled.
    Cancelled,
    /// Not placed before its deadline.
    DeadlinePassed,
}

impl Why {
    const ALL: [Self; 4] =
        [Self::Released, Self::LeaseEnded, Self::Cancelled, Self::DeadlinePassed];
}

/// What names a pod, and since when it is as the record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodKey<'a> {
    /// Uid.
    pub uid: &'a str,
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
}

/// A pod on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed<'a> {
    /// Revision.
    pub revision: u64,
    /// The pod.
    pub pod: PodKey<'a>,
    /// The node.
    pub node: &'a str,
    /// Number of its spec.
    pub spec: u64,
    /// Milliseconds since the Unix epoch at which its lease ends; 0: final.
    pub lease_until: u64,
    /// Somebody else bound it.
    pub bound: bool,
    /// It is being deleted.
    pub terminating: bool,
    /// Microseconds since the Unix epoch.
    pub started: Option<i64>,
    /// What was decided about its claims: claim and volume, empty for one to be made.
    pub claims: Claims<'a>,
}

/// Decisions about claims: in memory when written, encoded when read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claims<'a> {
    /// To be written.
    List(&'a [(String, String)]),
    /// As read: how many, and the texts.
    Encoded(u64, &'a [u8]),
}

impl Claims<'_> {
    /// None.
    pub const NONE: Claims<'static> = Claims::List(&[]);

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Encoded(count, _) => count == 0,
        }
    }

    /// As a list.
    pub fn to_list(self) -> Vec<(String, String)> {
        match self {
            Self::List(list) => list.to_vec(),
            Self::Encoded(count, bytes) => {
                let mut reader = Reader { bytes, base: 0 };
                let mut pair =
                    || Some((reader.text().ok()?.to_owned(), reader.text().ok()?.to_owned()));
                (0..count).map_while(|_| pair()).collect()
            }
        }
    }
}

/// A pod that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued<'a> {
    /// Revision.
    pub revision: u64,
    /// The pod.
    pub pod: PodKey<'a>,
    /// Number of its spec.
    pub spec: u64,
    /// Since when it waits, milliseconds since the Unix epoch.
    pub since: u64,
    /// Its place among those that came at the same time.
    pub order: u64,
    /// Until when it waits.
    pub deadline: u64,
    /// How long its lease will be; 0: none.
    pub lease_ms: u64,
    /// How long room is held for it.
    pub hold_ms: u64,
}

/// A waiting pod for which room is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nominated<'a> {
    /// Revision.
    pub revision: u64,
    /// The pod.
    pub pod: PodKey<'a>,
    /// Where.
    pub node: &'a str,
    /// Until when the room is held.
    pub hold_until: u64,
    /// Victims that violate a budget.
    pub violations: u64,
    /// Who has to go.
    pub victims: Vec<PodKey<'a>>,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'a> {
    /// The highest numbers in use, of a snapshot.
    Numbers {
        /// Revision.
        revision: u64,
        /// Spec.
        spec: u64,
        /// Template.
        template: u64,
    },
    /// A spec that later records name by its number.
    Spec {
        /// Its number.
        number: u64,
        /// The namespace it was read in.
        namespace: &'a str,
        /// The pod it was read for, where that matters; empty otherwise.
        name: &'a str,
        /// The encoded `PodSpec`.
        bytes: &'a [u8],
    },
    /// A pod is on a node.
    Placed(Placed<'a>),
    /// A pod is gone.
    Gone {
        /// Revision.
        revision: u64,
        /// The pod.
        pod: PodKey<'a>,
        /// Why.
        why: Why,
    },
    /// A pod waits.
    Queued(Queued<'a>),
    /// Room is made for a waiting pod.
    Nominated(Nominated<'a>),
    /// A waiting pod lost its nomination, and waits on.
    NominationEnded {
        /// Revision.
        revision: u64,
        /// The pod.
        pod: PodKey<'a>,
    },
    /// A lease became final.
    Confirmed {
        /// Revision.
        revision: u64,
        /// The pod.
        pod: PodKey<'a>,
    },
    /// An object other than a pod is there: an encoded `Update`.
    Object {
        /// Revision.
        revision: u64,
        /// The update.
        update: &'a [u8],
    },
    /// An object is gone: its encoded `ObjectKey`.
    ObjectGone {
        /// Revision.
        revision: u64,
        /// The key.
        key: &'a [u8],
    },
    /// A template is registered.
    Template {
        /// Revision.
        revision: u64,
        /// Its number.
        number: u64,
        /// The encoded `PodSpec`.
        bytes: &'a [u8],
    },
    /// A template is dropped.
    TemplateGone {
        /// Revision.
        revision: u64,
        /// Its number.
        number: u64,
    },
}

impl Record<'_> {
    /// The revision of the change; 0 of what is none.
    pub fn revision(&self) -> u64 {
        match self {
            Self::Spec { .. } => 0,
            Self::Placed(placed) => placed.revision,
            Self::Queued(queued) => queued.revision,
            Self::Nominated(nominated) => nominated.revision,
            Self::Numbers { revision, .. }
            | Self::Gone { revision, .. }
            | Self::NominationEnded { revision, .. }
            | Self::Confirmed { revision, .. }
            | Self::Object { revision, .. }
            | Self::ObjectGone { revision, .. }
            | Self::Template { revision, .. }
            | Self::TemplateGone { revision, .. } => *revision,
        }
    }
}

const NUMBERS: u8 = 1;
const SPEC: u8 = 2;
const PLACED: u8 = 3;
const GONE: u8 = 4;
const QUEUED: u8 = 5;
const NOMINATED: u8 = 6;
const NOMINATION_ENDED: u8 = 7;
const CONFIRMED: u8 = 8;
const OBJECT: u8 = 9;
const OBJECT_GONE: u8 = 10;
const TEMPLATE: u8 = 11;
const TEMPLATE_GONE: u8 = 12;

const BOUND: u64 = 1;
const TERMINATING: u64 = 2;
const STARTED: u64 = 4;

/// Writes a batch.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    base: u64,
}

impl<'a> Writer<'a> {
    /// Begins a batch; its records have revisions from `base` on.
    pub fn begin(out: &'a mut Vec<u8>, base: u64) -> Self {
        put_varint(out, base);
        Self { out, base }
    }

    /// Goes on with a batch begun with this base.
    pub fn resume(out: &'a mut Vec<u8>, base: u64) -> Self {
        Self { out, base }
    }

    /// Appends a record.
    pub fn push(&mut self, record: &Record<'_>) {
        match record {
            Record::Numbers { revision, spec, template } => {
                self.out.push(NUMBERS);
                for number in [revision, spec, template] {
                    self.number(*number);
                }
            }
            Record::Spec { number, namespace, name, bytes } => {
                self.out.push(SPEC);
                self.number(*number);
                self.bytes(namespace.as_bytes());
                self.bytes(name.as_bytes());
                self.bytes(bytes);
            }
            Record::Placed(placed) => self.placed(placed),
            Record::Gone { revision, pod, why } => {
                self.head(GONE, *revision, pod);
                self.out.push(*why as u8);
            }
            Record::Queued(queued) => {
                self.head(QUEUED, queued.revision, &queued.pod);
                for number in [
                    queued.spec,
                    queued.since,
                    queued.order,
                    queued.deadline,
                    queued.lease_ms,
                    queued.hold_ms,
                ] {
                    self.number(number);
                }
            }
            Record::Nominated(nominated) => {
                self.head(NOMINATED, nominated.revision, &nominated.pod);
                self.bytes(nominated.node.as_bytes());
                self.number(nominated.hold_until);
                self.number(nominated.violations);
                self.number(nominated.victims.len() as u64);
                for victim in &nominated.victims {
                    self.pod(victim);
                }
            }
            Record::NominationEnded { revision, pod } => {
                self.head(NOMINATION_ENDED, *revision, pod);
            }
            Record::Confirmed { revision, pod } => self.head(CONFIRMED, *revision, pod),
            Record::Object { revision, update } => self.blob(OBJECT, *revision, update),
            Record::ObjectGone { revision, key } => self.blob(OBJECT_GONE, *revision, key),
            Record::Template { revision, number, bytes } => {
                self.change(TEMPLATE, *revision);
                self.number(*number);
                self.bytes(bytes);
            }
            Record::TemplateGone { revision, number } => {
                self.change(TEMPLATE_GONE, *revision);
                self.number(*number);
            }
        }
    }

    /// Appends that a pod is on a node.
    #[inline]
    pub fn placed(&mut self, placed: &Placed<'_>) {
        self.head(PLACED, placed.revision, &placed.pod);
        self.bytes(placed.node.as_bytes());
        self.number(placed.spec);
        self.number(placed.lease_until);
        let flags = if placed.bound { BOUND } else { 0 }
            | if placed.terminating { TERMINATING } else { 0 }
            | if placed.started.is_some() { STARTED } else { 0 };
        self.number(flags);
        if let Some(started) = placed.started {
            self.number(started.cast_unsigned());
        }
        match placed.claims {
            Claims::List(list) => {
                self.number(list.len() as u64);
                for (claim, volume) in list {
                    self.bytes(claim.as_bytes());
                    self.bytes(volume.as_bytes());
                }
            }
            Claims::Encoded(count, bytes) => {
                self.number(count);
                self.out.extend_from_slice(bytes);
            }
        }
    }

    fn change(&mut self, kind: u8, revision: u64) {
        self.out.push(kind);
        self.number(revision.saturating_sub(self.base));
    }

    fn head(&mut self, kind: u8, revision: u64, pod: &PodKey<'_>) {
        self.change(kind, revision);
        self.pod(pod);
    }

    fn pod(&mut self, pod: &PodKey<'_>) {
        self.bytes(pod.uid.as_bytes());
        self.bytes(pod.namespace.as_bytes());
        self.bytes(pod.name.as_bytes());
    }

    fn blob(&mut self, kind: u8, revision: u64, bytes: &[u8]) {
        self.change(kind, revision);
        self.bytes(bytes);
    }

    #[inline]
    fn number(&mut self, number: u64) {
        put_varint(self.out, number);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        put_varint(self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }
}

/// Bytes that are no batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record of a kind or form that is not known")
    }
}

/// Reads a batch.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    base: u64,
}

impl<'a> Reader<'a> {
    /// Of records of a batch that began with this base.
    pub fn resume(bytes: &'a [u8], base: u64) -> Self {
        Self { bytes, base }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Of a whole batch.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Self { bytes, base: 0 };
        reader.base = reader.number()?;
        Ok(reader)
    }

    /// The revision before its first change.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The next record; `None` at the end.
    pub fn record(&mut self) -> Result<Option<Record<'a>>, Malformed> {
        let Some((kind, rest)) = self.bytes.split_first() else { return Ok(None) };
        self.bytes = rest;
        Ok(Some(match *kind {
            NUMBERS => Record::Numbers {
                revision: self.number()?,
                spec: self.number()?,
                template: self.number()?,
            },
            SPEC => Record::Spec {
                number: self.number()?,
                namespace: self.text()?,
                name: self.text()?,
                bytes: self.blob()?,
            },
            PLACED => Record::Placed(self.placed()?),
            GONE => {
                let (revision, pod) = self.head()?;
                let (why, rest) = self.bytes.split_first().ok_or(Malformed)?;
                self.bytes = rest;
                let why = Why::ALL.into_iter().find(|w| *w as u8 == *why).ok_or(Malformed)?;
                Record::Gone { revision, pod, why }
            }
            QUEUED => {
                let (revision, pod) = self.head()?;
                Record::Queued(Queued {
                    revision,
                    pod,
                    spec: self.number()?,
                    since: self.number()?,
                    order: self.number()?,
                    deadline: self.number()?,
                    lease_ms: self.number()?,
                    hold_ms: self.number()?,
                })
            }
            NOMINATED => {
                let (revision, pod) = self.head()?;
                let node = self.text()?;
                let (hold_until, violations) = (self.number()?, self.number()?);
                let count = self.number()?;
                let victims = (0..count).map(|_| self.pod()).collect::<Result<_, _>>()?;
                Record::Nominated(Nominated {
                    revision,
                    pod,
                    node,
                    hold_until,
                    violations,
                    victims,
                })
            }
            NOMINATION_ENDED => {
                let (revision, pod) = self.head()?;
                Record::NominationEnded { revision, pod }
            }
            CONFIRMED => {
                let (revision, pod) = self.head()?;
                Record::Confirmed { revision, pod }
            }
            OBJECT => Record::Object { revision: self.revision()?, update: self.blob()? },
            OBJECT_GONE => Record::ObjectGone { revision: self.revision()?, key: self.blob()? },
            TEMPLATE => Record::Template {
                revision: self.revision()?,
                number: self.number()?,
                bytes: self.blob()?,
            },
            TEMPLATE_GONE => {
                Record::TemplateGone { revision: self.revision()?, number: self.number()? }
            }
            _ => return Err(Malformed),
        }))
    }

    fn placed(&mut self) -> Result<Placed<'a>, Malformed> {
        let (revision, pod) = self.head()?;
        let node = self.text()?;
        let (spec, lease_until, flags) = (self.number()?, self.number()?, self.number()?);
        let started = if flags & STARTED != 0 { Some(self.number()?.cast_signed()) } else { None };
        let count = self.number()?;
        let before = self.bytes;
        for _ in 0..count {
            self.text()?;
            self.text()?;
        }
        let encoded = &before[..before.len() - self.bytes.len()];
        Ok(Placed {
            revision,
            pod,
            node,
            spec,
            lease_until,
            bound: flags & BOUND != 0,
            terminating: flags & TERMINATING != 0,
            started,
            claims: if count == 0 { Claims::NONE } else { Claims::Encoded(count, encoded) },
        })
    }

    fn head(&mut self) -> Result<(u64, PodKey<'a>), Malformed> {
        Ok((self.revision()?, self.pod()?))
    }

    fn pod(&mut self) -> Result<PodKey<'a>, Malformed> {
        Ok(PodKey { uid: self.text()?, namespace: self.text()?, name: self.text()? })
    }

    fn revision(&mut self) -> Result<u64, Malformed> {
        self.number()?.checked_add(self.base).ok_or(Malformed)
    }

    #[inline]
    fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (place, byte) in self.bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                self.bytes = &self.bytes[place + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    #[inline]
    fn blob(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let (blob, rest) = self.bytes.split_at_checked(len).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(blob)
    }

    #[inline]
    fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.blob()?).map_err(|_| Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: PodKey<'static> = PodKey { uid: "u", namespace: "ns", name: "web-0" };

    fn records() -> Vec<Record<'static>> {
        let placed = Placed {
            revision: 1_001,
            pod: POD,
            node: "node-1",
            spec: 5,
            lease_until: 1 << 41,
            bound: true,
            terminating: true,
            started: Some(-5),
            claims: Claims::NONE,
        };
        vec![
            Record::Numbers { revision: 1_000, spec: 5, template: 7 },
            Record::Spec { number: 5, namespace: "ns", name: "", bytes: b"spec" },
            Record::Placed(placed),
            Record::Gone { revision: 1_002, pod: POD, why: Why::DeadlinePassed },
            Record::Queued(Queued {
                revision: 1_003,
                pod: POD,
                spec: 5,
                since: 1 << 41,
                order: 3,
                deadline: 0,
                lease_ms: 10,
                hold_ms: 60_000,
            }),
            Record::Nominated(Nominated {
                revision: 1_004,
                pod: POD,
                node: "node-1",
                hold_until: 9,
                violations: 1,
                victims: vec![POD, POD],
            }),
            Record::NominationEnded { revision: 1_005, pod: POD },
            Record::Confirmed { revision: 1_006, pod: POD },
            Record::Object { revision: 1_007, update: b"node" },
            Record::ObjectGone { revision: 1_008, key: b"key" },
            Record::Template { revision: 1_009, number: 7, bytes: b"spec" },
            Record::TemplateGone { revision: 1_010, number: 7 },
        ]
    }

    fn batch() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::begin(&mut bytes, 1_000);
        for record in records() {
            writer.push(&record);
        }
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = batch();
        let mut reader = Reader::new(&bytes).unwrap();
        for record in records() {
            assert_eq!(reader.record(), Ok(Some(record)));
        }
        assert_eq!(reader.record(), Ok(None));
    }

    #[test]
    fn claims_are_read_as_written_and_written_as_read() {
        let list = [("data".to_owned(), "pv-1".to_owned()), ("logs".to_owned(), String::new())];
        let Record::Placed(mut placed) = records().swap_remove(2) else { panic!("placed") };
        placed.claims = Claims::List(&list);
        let mut first = Vec::new();
        Writer::begin(&mut first, 0).placed(&placed);
        let Some(Record::Placed(read)) = Reader::new(&first).unwrap().record().unwrap() else {
            panic!("placed")
        };
        assert_eq!(read.claims.to_list(), list);
        let mut second = Vec::new();
        Writer::begin(&mut second, 0).placed(&read);
        assert_eq!(first, second);
    }

    #[test]
    fn cut_and_damaged_batches_are_read_or_refused() {
        let whole = batch();
        let read = |bytes: &[u8]| {
            let Ok(mut reader) = Reader::new(bytes) else { return };
            while let Ok(Some(_)) = reader.record() {}
        };
        for cut in 0..whole.len() {
            read(&whole[..cut]);
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                read(&bytes);
            }
        }
    }
}
