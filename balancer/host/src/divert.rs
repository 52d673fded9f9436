// SPDX-License-Identifier: Apache-2.0
//! Packets with a mark come to this host, whatever their destination: what a transparent proxy needs beside its rule of nf_tables.
//!
//! ```text
//! 5: from all fwmark MARK iif lo goto 7      lookups for what this host sends, and the search for a source's way back (rp_filter)
//! 6: from all fwmark MARK lookup MARK        local default dev lo
//! 7: from all fwmark MARK nop
//! ```
//!
//! Without the first rule a host that gives connections the mark of their first packet (`tcp_fwmark_accept`) or looks for the way back
//! by the mark (`src_valid_mark`, which WireGuard's `wg-quick` switches on) would send answers to itself, or drop what comes. It comes
//! before all rules of others: no bit of the mark is asked for before the whole of it.

use crate::address::Version;
use crate::netlink::{Writer, flag};
use crate::route::{Routes, VETH_ROUTE_PROTOCOL};
use std::io;

const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const NEW_RULE: u16 = 32;
const DELETE_RULE: u16 = 33;

/// Number of the loopback interface, in every network namespace.
const LOOPBACK: u32 = 1;

/// Rules may be there twice unless it is said that they must not.
const EXCLUSIVE: u16 = 0x200;

/// Place of the first rule. The table `local` is at 0, and the first rule of others that is known (Cilium's) at 9.
const FIRST: u32 = 5;

impl Routes {
    /// Has packets with this mark come here. The mark is the number of a table, too, which nobody else has.
    ///
    /// # Errors
    /// The kernel has no policy routing, or does not let this process.
    pub fn divert(&mut self, version: Version, mark: u32) -> io::Result<()> {
        self.batch(
            (NEW_ROUTE, flag::CREATE | flag::REPLACE),
            &[mark],
            io::ErrorKind::AlreadyExists,
            |writer, mark| write_route(writer, version, *mark),
        )?;
        for rule in [Rule::Exception, Rule::Behind, Rule::Table] {
            self.batch(
                (NEW_RULE, flag::CREATE | EXCLUSIVE),
                &[mark],
                io::ErrorKind::AlreadyExists,
                |writer, mark| write_rule(writer, version, *mark, rule),
            )?;
        }
        Ok(())
    }

    /// No longer; what is not there is no error.
    ///
    /// # Errors
    /// The kernel's.
    pub fn undivert(&mut self, version: Version, mark: u32) -> io::Result<()> {
        // The rule that asks the table goes before the one that is its exception.
        for rule in [Rule::Table, Rule::Exception, Rule::Behind] {
            self.batch((DELETE_RULE, 0), &[mark], io::ErrorKind::NotFound, |writer, mark| {
                write_rule(writer, version, *mark, rule);
            })?;
        }
        self.batch((DELETE_ROUTE, 0), &[mark], io::ErrorKind::NotFound, |writer, mark| {
            write_route(writer, version, *mark);
        })
    }
}

/// The three, each with its place.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Exception = 0,
    Table = 1,
    Behind = 2,
}

fn write_rule(writer: &mut Writer, version: Version, mark: u32, rule: Rule) {
    let action = match rule {
        Rule::Exception => 2,
        Rule::Table => 1,
        Rule::Behind => 3,
    };
    writer.put(&[version.netfilter(), 0, 0, 0, 0, 0, 0, action, 0, 0, 0, 0]);
    writer.attribute(6, &(FIRST + rule as u32).to_ne_bytes());
    writer.attribute(10, &mark.to_ne_bytes());
    writer.attribute(16, &u32::MAX.to_ne_bytes());
    writer.attribute(21, &[VETH_ROUTE_PROTOCOL]);
    match rule {
        Rule::Exception => {
            writer.text(3, "lo");
            writer.attribute(4, &(FIRST + Rule::Behind as u32).to_ne_bytes());
        }
        Rule::Table => writer.attribute(15, &mark.to_ne_bytes()),
        Rule::Behind => (),
    }
}

fn write_route(writer: &mut Writer, version: Version, mark: u32) {
    const LOCAL: u8 = 2;
    let scope = if version == Version::V4 { 254 } else { 0 };
    writer.put(&[version.netfilter(), 0, 0, 0, 0, VETH_ROUTE_PROTOCOL, scope, LOCAL]);
    writer.put(&[0; 4]);
    writer.attribute(4, &LOOPBACK.to_ne_bytes());
    writer.attribute(15, &mark.to_ne_bytes());
}
