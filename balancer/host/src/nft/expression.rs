// SPDX-License-Identifier: Apache-2.0
//! Parts of rules. Registers are those of four bytes: number 0 is the kernel's `NFT_REG32_00`.

use crate::address::Version;
use crate::netlink::Writer;
use crate::nft::data;

/// The kernel's number of a register.
const fn register(number: u32) -> u32 {
    8 + number
}

const VERDICT: u32 = 0;

/// One expression of a rule.
#[derive(Debug, Clone)]
pub enum Expression<'a> {
    /// Loads a property of the packet: 3 its mark, 6 the name of the interface through which it came, 16 its transport protocol, 26 the
    /// kind of that interface; hardware and loopback have none, and the rule ends there.
    Meta {
        /// Which.
        key: u32,
        /// Into this register.
        to: u32,
    },
    /// Sets the packet's mark.
    SetMark {
        /// From this register.
        from: u32,
    },
    /// Loads a property of the flow: 0 its state, 2 its status, 3 its mark.
    Flow {
        /// Which.
        key: u32,
        /// Into this register.
        to: u32,
    },
    /// Sets the flow's mark.
    SetFlowMark {
        /// From this register.
        from: u32,
    },
    /// Sets which events of the flow are told: 1 << 0 new, 1 related, 2 gone, 3 answered, 5 TCP's state.
    SetFlowEvents {
        /// From this register.
        from: u32,
    },
    /// Loads bytes of the packet: base 1 is the network header, 2 the transport header.
    Load {
        /// Which header.
        base: u32,
        /// Bytes from its start.
        offset: u32,
        /// Bytes.
        length: u32,
        /// Into this register.
        to: u32,
    },
    /// `register = register & mask ^ xor`, numbers of 32 bits of the machine's order.
    Bits {
        /// The register.
        register: u32,
        /// Bits that stay.
        mask: u32,
        /// Bits that are turned over.
        xor: u32,
    },
    /// The rule goes on if it is not equal.
    Differs {
        /// The register.
        register: u32,
        /// The value.
        value: &'a [u8],
    },
    /// The rule goes on if it is equal.
    Equal {
        /// The register.
        register: u32,
        /// The value.
        value: &'a [u8],
    },
    /// The rule goes on if the set has it; a map's value is put into `to`.
    Lookup {
        /// Its name.
        set: &'a str,
        /// The register.
        register: u32,
        /// Into this register.
        to: Option<u32>,
    },
    /// The kind of the destination address: 2 is one of this host.
    DestinationKind {
        /// Into this register.
        to: u32,
    },
    /// Whether the packet belongs to a socket of this host that may have foreign addresses: a byte, 1 if so. Of an ICMP error the
    /// connection that it is about counts. Without a socket the rule ends here.
    SocketIsTransparent {
        /// Into this register.
        to: u32,
    },
    /// The packet is given to the socket that has the connection or else listens at an address, if that one may have foreign
    /// addresses; if there is none the rule ends here.
    ToSocket {
        /// Of IP.
        version: Version,
        /// Register of the address.
        address: u32,
        /// Register of the port.
        port: u32,
    },
    /// Bytes, of the network's order.
    Bytes {
        /// Into this register and those behind it.
        to: u32,
        /// They.
        value: &'a [u8],
    },
    /// A number of the machine's order.
    Immediate {
        /// Into this register.
        to: u32,
        /// The value.
        value: u32,
    },
    /// Address and port of a map's value become the destination.
    Destination {
        /// Of IP.
        version: Version,
        /// Register of the address.
        address: u32,
        /// Register of the port.
        port: u32,
    },
    /// An address becomes the source.
    Source {
        /// Of IP.
        version: Version,
        /// Register of the address.
        address: u32,
    },
    /// An address of the interface through which the packet leaves becomes the source.
    Masquerade,
    /// TCP's RST to the sender.
    Reset,
    /// ICMP's "port unreachable" to the sender.
    Unreachable {
        /// Of IP.
        version: Version,
    },
    /// To userspace, by the kernel's own expression.
    Queue {
        /// The queue's.
        number: u16,
    },
    /// To userspace, by the target of xtables.
    QueueTarget {
        /// The queue's.
        number: u16,
    },
    /// The flow is not tracked.
    NoTrack,
    /// The packet goes on.
    Accept,
    /// The packet ends here.
    Drop,
    /// Back to the chain from which the packet came.
    Return,
    /// To a chain, and back at its end.
    Jump {
        /// Its name.
        chain: &'a str,
    },
}

/// Writes a rule's expressions.
pub fn write(writer: &mut Writer, all: &[Expression<'_>]) {
    for one in all {
        let element = writer.open(1);
        one.write(writer);
        writer.close(element);
    }
}

fn named(writer: &mut Writer, name: &str, fill: impl FnOnce(&mut Writer)) {
    writer.text(1, name);
    let nest = writer.open(2);
    fill(writer);
    writer.close(nest);
}

impl Expression<'_> {
    fn write(&self, writer: &mut Writer) {
        match *self {
            Self::Meta { key, to } => named(writer, "meta", |writer| {
                writer.u32(1, register(to));
                writer.u32(2, key);
            }),
            Self::SetMark { from } => named(writer, "meta", |writer| {
                writer.u32(2, 3);
                writer.u32(3, register(from));
            }),
            Self::Flow { key, to } => named(writer, "ct", |writer| {
                writer.u32(1, register(to));
                writer.u32(2, key);
            }),
            Self::SetFlowMark { from } => set_flow(writer, 3, from),
            Self::SetFlowEvents { from } => set_flow(writer, 18, from),
            Self::Load { base, offset, length, to } => named(writer, "payload", |writer| {
                writer.u32(1, register(to));
                writer.u32(2, base);
                writer.u32(3, offset);
                writer.u32(4, length);
            }),
            Self::Bits { register, mask, xor } => bits(writer, register, mask, xor),
            Self::Equal { register, value } => compare(writer, register, 0, value),
            Self::Differs { register, value } => compare(writer, register, 1, value),
            Self::Lookup { set, register: from, to } => named(writer, "lookup", |writer| {
                writer.text(1, set);
                writer.u32(2, register(from));
                if let Some(to) = to {
                    writer.u32(3, register(to));
                }
            }),
            Self::DestinationKind { to } => named(writer, "fib", |writer| {
                writer.u32(1, register(to));
                writer.u32(2, 3); // kind of address
                writer.u32(3, 2); // of the destination
            }),
            Self::SocketIsTransparent { to } => named(writer, "socket", |writer| {
                writer.u32(1, 0);
                writer.u32(2, register(to));
            }),
            Self::Bytes { to, value } => immediate(writer, to, value),
            Self::Immediate { to, value } => immediate(writer, to, &value.to_ne_bytes()),
            _ => self.write_action(writer),
        }
    }

    fn write_action(&self, writer: &mut Writer) {
        match *self {
            Self::Destination { version, address, port } => named(writer, "nat", |writer| {
                nat(writer, 1, version, address);
                writer.u32(5, register(port));
                writer.u32(6, register(port));
            }),
            Self::Source { version, address } => {
                named(writer, "nat", |writer| nat(writer, 0, version, address));
            }
            Self::ToSocket { version, address, port } => named(writer, "tproxy", |writer| {
                writer.u32(1, version.netfilter().into());
                writer.u32(2, register(address));
                writer.u32(3, register(port));
            }),
            Self::Masquerade => named(writer, "masq", |_| ()),
            Self::Reset => named(writer, "reject", |writer| {
                writer.u32(1, 1);
                writer.attribute(2, &[0]);
            }),
            Self::Unreachable { version } => named(writer, "reject", |writer| {
                writer.u32(1, 0);
                writer.attribute(2, &[version.port_unreachable()]);
            }),
            Self::Queue { number } => named(writer, "queue", |writer| {
                writer.attribute(1, &number.to_be_bytes());
                writer.attribute(2, &1_u16.to_be_bytes());
                writer.attribute(3, &0_u16.to_be_bytes());
            }),
            Self::QueueTarget { number } => named(writer, "target", |writer| {
                // xt_NFQ_info_v3: number, how many, flags (none: no bypass); padded to eight bytes
                let mut information = [0; 8];
                information[..2].copy_from_slice(&number.to_ne_bytes());
                information[2..4].copy_from_slice(&1_u16.to_ne_bytes());
                writer.text(1, "NFQUEUE");
                writer.u32(2, 3);
                writer.attribute(3, &information);
            }),
            Self::NoTrack => named(writer, "notrack", |_| ()),
            Self::Accept => verdict(writer, 1, None),
            Self::Drop => verdict(writer, 0, None),
            Self::Return => verdict(writer, -5, None),
            Self::Jump { chain } => verdict(writer, -3, Some(chain)),
            _ => (),
        }
    }
}

fn immediate(writer: &mut Writer, to: u32, value: &[u8]) {
    named(writer, "immediate", |writer| {
        writer.u32(1, register(to));
        data(writer, 2, value);
    });
}

fn set_flow(writer: &mut Writer, key: u32, from: u32) {
    named(writer, "ct", |writer| {
        writer.u32(2, key);
        writer.u32(4, register(from));
    });
}

fn bits(writer: &mut Writer, number: u32, mask: u32, xor: u32) {
    named(writer, "bitwise", |writer| {
        writer.u32(1, register(number));
        writer.u32(2, register(number));
        writer.u32(3, 4);
        data(writer, 4, &mask.to_ne_bytes());
        data(writer, 5, &xor.to_ne_bytes());
    });
}

fn compare(writer: &mut Writer, number: u32, how: u32, value: &[u8]) {
    named(writer, "cmp", |writer| {
        writer.u32(1, register(number));
        writer.u32(2, how);
        data(writer, 3, value);
    });
}

fn nat(writer: &mut Writer, kind: u32, version: Version, address: u32) {
    writer.u32(1, kind);
    writer.u32(2, version.netfilter().into());
    writer.u32(3, register(address));
    writer.u32(4, register(address));
}

fn verdict(writer: &mut Writer, code: i32, chain: Option<&str>) {
    named(writer, "immediate", |writer| {
        writer.u32(1, VERDICT);
        let data = writer.open(2);
        let verdict = writer.open(2);
        writer.attribute(1, &code.to_be_bytes());
        if let Some(chain) = chain {
            writer.text(2, chain);
        }
        writer.close(verdict);
        writer.close(data);
    });
}
