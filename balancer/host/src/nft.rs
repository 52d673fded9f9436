// SPDX-License-Identifier: Apache-2.0
//! nf_tables by netlink: batches of tables, chains, sets and rules, each batch one transaction of the kernel.
//!
//! Not by the `nft` command: a rule that queues packets is written with the `NFQUEUE` target of xtables where the kernel has no
//! queue expression of its own, which no text of nft can say; and a hundred thousand elements take a tenth of the time.
//! `expression` has the parts of rules; which rules there are stands in `rules`.

pub mod expression;

use crate::address::{Version, from_octets, octets};
use crate::netlink::{self, Family, Message, Socket, Writer, attribute, be16, be32, flag};
use std::io;
use std::net::SocketAddr;

const SUBSYSTEM: u16 = 10 << 8;
const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const GET_RULE: u16 = SUBSYSTEM | 7;
const DELETE_RULE: u16 = SUBSYSTEM | 8;
const NEW_SET: u16 = SUBSYSTEM | 9;
const NEW_ELEMENT: u16 = SUBSYSTEM | 0xc;
const GET_ELEMENT: u16 = SUBSYSTEM | 0xd;
const DELETE_ELEMENT: u16 = SUBSYSTEM | 0xe;
const GET_GENERATION: u16 = SUBSYSTEM | 0x10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

/// Elements of one message: an attribute is at most 64 KiB, an element of IPv6 some 60 bytes.
const ELEMENTS: usize = 800;

/// Room for a batch: 200,000 elements.
const SEND: usize = 32 << 20;

/// The kernel's error for a batch that came too late (`ERESTART`).
pub const RESTART: i32 = 85;

/// The type of a key, as `nft list` shows it: an address.
pub const TYPE_IPV4: u32 = 7;
/// As above.
pub const TYPE_IPV6: u32 = 8;
/// As above: a port.
const TYPE_PORT: u32 = 13;

/// A base chain's place.
#[derive(Debug, Clone, Copy)]
pub struct Hook {
    /// `nat` or `filter`.
    pub kind: &'static str,
    /// 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub number: u32,
    /// Lower ones come first.
    pub priority: i32,
}

/// A set, or a map if its values have a length.
#[derive(Debug, Clone, Copy)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// Types as `nft list` shows them, six bits each.
    pub key_type: u32,
    /// Bytes of a key.
    pub key_length: u32,
    /// Type of the values.
    pub value_type: u32,
    /// Bytes of a value; 0 of a set.
    pub value_length: u32,
}

impl Set {
    /// A set of addresses of a version of IP.
    #[must_use]
    pub const fn of_addresses(name: &'static str, version: Version) -> Self {
        let key_type = match version {
            Version::V4 => TYPE_IPV4,
            Version::V6 => TYPE_IPV6,
        };
        Self { name, key_type, key_length: version.bytes(), value_type: 0, value_length: 0 }
    }

    /// A set of addresses with ports; [`place`] makes its elements.
    #[must_use]
    pub const fn of_places(name: &'static str, version: Version) -> Self {
        let addresses = Self::of_addresses(name, version);
        let key_type = addresses.key_type << 6 | TYPE_PORT;
        Self { key_type, key_length: addresses.key_length + 4, ..addresses }
    }
}

/// An element of a set of addresses with ports.
#[must_use]
pub fn place(at: SocketAddr) -> Element {
    let mut key = octets(at.ip());
    key.extend(at.port().to_be_bytes());
    // Each part of a key takes whole registers.
    key.extend([0, 0]);
    (key, Vec::new())
}

/// The address and port of such an element's key.
#[must_use]
pub fn from_place(key: &[u8]) -> Option<SocketAddr> {
    let (address, port) = key.split_at_checked(key.len().checked_sub(4)?)?;
    Some(SocketAddr::new(from_octets(address)?, be16(port)?))
}

/// A key, and for maps a value.
pub type Element = (Vec<u8>, Vec<u8>);

/// A transaction that is being written.
#[derive(Debug)]
pub struct Batch {
    writer: Writer,
    table: String,
    first: u32,
    sequence: u32,
}

impl Batch {
    fn put(&mut self, version: Version, kind: u16, flags: u16, fill: impl FnOnce(&mut Writer)) {
        self.sequence += 1;
        self.writer.begin(kind, flags, self.sequence);
        self.writer.put(&[version.netfilter(), 0, 0, 0]);
        fill(&mut self.writer);
        self.writer.end();
    }

    /// The table of a version.
    pub fn add_table(&mut self, version: Version) {
        let name = self.table.clone();
        self.put(version, NEW_TABLE, flag::CREATE, |writer| {
            writer.text(1, &name);
            writer.u32(2, 0);
        });
    }

    /// The table must be there.
    pub fn delete_table(&mut self, version: Version) {
        let name = self.table.clone();
        self.put(version, DELETE_TABLE, 0, |writer| writer.text(1, &name));
    }

    /// A chain.
    pub fn add_chain(&mut self, version: Version, name: &str, hook: Option<Hook>) {
        let table = self.table.clone();
        self.put(version, NEW_CHAIN, flag::CREATE, |writer| {
            writer.text(1, &table);
            writer.text(3, name);
            let Some(hook) = hook else { return };
            let nest = writer.open(4);
            writer.u32(1, hook.number);
            writer.attribute(2, &hook.priority.to_be_bytes());
            writer.close(nest);
            writer.u32(5, 1); // accept
            writer.text(7, hook.kind);
        });
    }

    /// An empty set or map.
    pub fn add_set(&mut self, version: Version, set: &Set) {
        let (table, id) = (self.table.clone(), self.sequence);
        self.put(version, NEW_SET, flag::CREATE, |writer| {
            const MAP: u32 = 8;
            writer.text(1, &table);
            writer.text(2, set.name);
            writer.u32(3, if set.value_length > 0 { MAP } else { 0 });
            writer.u32(4, set.key_type);
            writer.u32(5, set.key_length);
            if set.value_length > 0 {
                writer.u32(6, set.value_type);
                writer.u32(7, set.value_length);
            }
            writer.u32(10, id);
        });
    }

    /// A rule at the end of a chain; `fill` writes its expressions.
    pub fn add_rule(&mut self, version: Version, chain: &str, fill: impl FnOnce(&mut Writer)) {
        let table = self.table.clone();
        self.put(version, NEW_RULE, flag::CREATE | flag::APPEND, |writer| {
            writer.text(1, &table);
            writer.text(2, chain);
            let nest = writer.open(4);
            fill(writer);
            writer.close(nest);
        });
    }

    /// A rule with a comment, as `nft list` shows it.
    pub fn add_noted_rule(
        &mut self,
        version: Version,
        chain: &str,
        comment: &str,
        fill: impl FnOnce(&mut Writer),
    ) {
        let table = self.table.clone();
        self.put(version, NEW_RULE, flag::CREATE | flag::APPEND, |writer| {
            writer.text(1, &table);
            writer.text(2, chain);
            let nest = writer.open(4);
            fill(writer);
            writer.close(nest);
            // libnftnl's form: kind 0 is a comment; its length, and a final zero.
            let length = u8::try_from(comment.len() + 1).unwrap_or(0);
            writer.attribute(7, &[&[0, length], comment.as_bytes(), &[0]].concat());
        });
    }

    /// All rules of the table; chains and sets stay.
    pub fn delete_rules(&mut self, version: Version) {
        let table = self.table.clone();
        self.put(version, DELETE_RULE, 0, |writer| writer.text(1, &table));
    }

    /// All elements of a set.
    pub fn empty_set(&mut self, version: Version, set: &str) {
        let table = self.table.clone();
        self.put(version, DELETE_ELEMENT, 0, |writer| {
            writer.text(1, &table);
            writer.text(2, set);
        });
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.sequence == self.first
    }

    /// Elements of a set.
    pub fn add_elements(&mut self, version: Version, set: &str, elements: &[Element]) {
        self.elements(version, (NEW_ELEMENT, flag::CREATE), set, elements);
    }

    /// They must be there.
    pub fn delete_elements(&mut self, version: Version, set: &str, keys: &[Element]) {
        self.elements(version, (DELETE_ELEMENT, 0), set, keys);
    }

    fn elements(&mut self, version: Version, what: (u16, u16), set: &str, elements: &[Element]) {
        for chunk in elements.chunks(ELEMENTS) {
            let table = self.table.clone();
            self.put(version, what.0, what.1, |writer| {
                writer.text(1, &table);
                writer.text(2, set);
                let all = writer.open(3);
                for (key, value) in chunk {
                    let one = writer.open(1);
                    data(writer, 1, key);
                    if !value.is_empty() {
                        data(writer, 2, value);
                    }
                    writer.close(one);
                }
                writer.close(all);
            });
        }
    }
}

/// A value inside an attribute.
pub fn data(writer: &mut Writer, kind: u16, value: &[u8]) {
    let nest = writer.open(kind);
    writer.attribute(1, value);
    writer.close(nest);
}

/// What was found of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found {
    /// Rules.
    pub rules: usize,
    /// Of their handles, which tell old rules from new ones.
    pub digest: u64,
}

/// A chain through which packets come by themselves, of anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// 1 IPv4 and IPv6, 2 IPv4, 10 IPv6.
    pub family: u8,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// `nat` or `filter` or `route`.
    pub kind: String,
    /// As in [`Hook`].
    pub hook: u32,
    /// Rules.
    pub rules: u32,
    /// What no rule accepts is dropped.
    pub drops: bool,
}

impl Base {
    fn read(body: &[u8]) -> Option<Self> {
        let (family, all) = (*body.first()?, body.get(4..)?);
        let text = |kind| {
            let bytes = attribute(all, kind).unwrap_or_default();
            String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
        };
        let number = |kind| attribute(all, kind).and_then(be32);
        let hook = attribute(all, 4).and_then(|hook| attribute(hook, 1)).and_then(be32)?;
        let (rules, drops) = (number(6).unwrap_or(0), number(5) == Some(0));
        Some(Self { family, table: text(1), name: text(3), kind: text(7), hook, rules, drops })
    }
}

/// One table name, in both families.
#[derive(Debug)]
pub struct Nft {
    socket: Socket,
    table: String,
}

impl Nft {
    /// A table, by its name.
    ///
    /// # Errors
    /// The kernel gives no socket.
    pub fn open(table: &str) -> io::Result<Self> {
        let socket = Socket::open(Family::Netfilter, 0)?;
        socket.set_buffers(1 << 20, SEND)?;
        Ok(Self { socket, table: table.to_owned() })
    }

    /// A batch that the kernel refuses with [`RESTART`] if any rule of the host's has changed since `generation`.
    pub fn batch_at(&mut self, generation: u32) -> Batch {
        let mut batch = self.batch();
        batch.writer.clear();
        batch.writer.begin(BATCH_BEGIN, 0, batch.first);
        batch.writer.put(&[0, 0, 0, 10]);
        batch.writer.u32(1, generation);
        batch.writer.end();
        batch
    }

    /// Begins a transaction.
    pub fn batch(&mut self) -> Batch {
        // A batch uses sequences of its own range, so that late answers to one that failed are told from those to the next.
        let first = self.socket.next_sequence();
        let mut writer = Writer::default();
        writer.begin(BATCH_BEGIN, 0, first);
        writer.put(&[0, 0, 0, 10]);
        writer.end();
        Batch { writer, table: self.table.clone(), first, sequence: first }
    }

    /// Makes all of a batch so, or nothing.
    pub fn commit(&mut self, mut batch: Batch) -> io::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        // The last operation is answered; others are only where they fail.
        let last = batch.sequence;
        batch.writer.demand_answer();
        batch.writer.begin(BATCH_END, 0, last + 1);
        batch.writer.put(&[0, 0, 0, 10]);
        batch.writer.end();
        while self.socket.next_sequence() <= last {}
        self.socket.transact(batch.writer.bytes(), (batch.first, last), |_| ())
    }

    /// Whether the table is there, with how many rules.
    pub fn find(&mut self, version: Version) -> io::Result<Option<Found>> {
        let table = self.table.clone();
        let there = self.ask(version, (GET_TABLE, 0), |writer| writer.text(1, &table), |_| ());
        match there {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        }
        let mut found = Found::default();
        self.ask(
            version,
            (GET_RULE, flag::DUMP),
            |writer| writer.text(1, &table),
            |message| {
                let body = message.body.get(4..).unwrap_or_default();
                let handle = attribute(body, 3).map_or(0, |handle| {
                    handle.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
                });
                found.rules += 1;
                found.digest =
                    found.digest.rotate_left(7) ^ handle.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            },
        )?;
        Ok(Some(found))
    }

    /// The first comment on a rule of the table.
    pub fn note(&mut self, version: Version) -> io::Result<Option<String>> {
        let (table, mut note) = (self.table.clone(), None);
        let fill = |writer: &mut Writer| writer.text(1, &table);
        self.ask(version, (GET_RULE, flag::DUMP), fill, |message| {
            let body = message.body.get(4..).unwrap_or_default();
            if let Some([0, length, rest @ ..]) = attribute(body, 7) {
                let text = rest.get(..usize::from(*length).saturating_sub(1)).unwrap_or_default();
                note.get_or_insert_with(|| String::from_utf8_lossy(text).into_owned());
            }
        })?;
        Ok(note)
    }

    /// Keys of a set's elements.
    pub fn keys(&mut self, version: Version, set: &str) -> io::Result<Vec<Vec<u8>>> {
        let (table, mut keys) = (self.table.clone(), Vec::new());
        let fill = |writer: &mut Writer| {
            writer.text(1, &table);
            writer.text(2, set);
        };
        self.ask(version, (GET_ELEMENT, flag::DUMP), fill, |message| {
            let body = message.body.get(4..).unwrap_or_default();
            for (_, element) in attribute(body, 3).into_iter().flat_map(netlink::attributes) {
                let key = attribute(element, 1).and_then(|key| attribute(key, 1));
                keys.extend(key.map(<[u8]>::to_vec));
            }
        })?;
        Ok(keys)
    }

    /// The base chains of all tables.
    pub fn bases(&mut self) -> io::Result<Vec<Base>> {
        let mut all = Vec::new();
        let each = |message: Message<'_>| all.extend(Base::read(message.body));
        self.ask_of(0, (GET_CHAIN, flag::DUMP), |_| (), each)?;
        Ok(all)
    }

    /// Counts up with every change of any rule of the host's.
    pub fn generation(&mut self) -> io::Result<u32> {
        let mut generation = 0;
        self.ask(
            Version::V4,
            (GET_GENERATION, 0),
            |_| (),
            |message| {
                let id = message.body.get(4..).and_then(|body| attribute(body, 1)).and_then(be32);
                generation = id.unwrap_or(0);
            },
        )?;
        Ok(generation)
    }

    fn ask(
        &mut self,
        version: Version,
        what: (u16, u16),
        fill: impl FnOnce(&mut Writer),
        each: impl FnMut(Message<'_>),
    ) -> io::Result<()> {
        self.ask_of(version.netfilter(), what, fill, each)
    }

    /// `family` 0 is all of them.
    fn ask_of(
        &mut self,
        family: u8,
        what: (u16, u16),
        fill: impl FnOnce(&mut Writer),
        each: impl FnMut(Message<'_>),
    ) -> io::Result<()> {
        let mut writer = Writer::default();
        let sequence = self.socket.next_sequence();
        writer.begin(what.0, what.1 | flag::ACK, sequence);
        writer.put(&[family, 0, 0, 0]);
        fill(&mut writer);
        writer.end();
        self.socket.transact(writer.bytes(), (sequence, sequence), each)
    }
}
