// SPDX-License-Identifier: Apache-2.0
//! Values as bytes: what both ends of the control socket agree on.
//!
//! ```text
//! integers    little endian, as wide as their type      bool, tags    one byte
//! list, text  count or bytes (u32), then the items      option        0, or 1 and the value
//! address     4 or 6, then its bytes                    structs       their fields in order
//! ```
//!
//! Both ends are of one version ([`super::VERSION`]); nothing is skipped and nothing optional. Bytes of a peer never panic and
//! never make more memory than they themselves take.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Why bytes are no message. The peer is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// They end before the message does.
    Short,
    /// They go on behind the message.
    Long,
    /// A tag that stands for nothing.
    Tag(u8),
    /// A text that is not UTF-8.
    Text,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("a message ends too soon"),
            Self::Long => f.write_str("a message has bytes behind its end"),
            Self::Tag(tag) => write!(f, "a message has the unknown tag {tag}"),
            Self::Text => f.write_str("a text in a message is not UTF-8"),
        }
    }
}

impl std::error::Error for Malformed {}

/// What can be written and read.
pub(crate) trait Wire: Sized {
    /// Appends the value.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads a value.
    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// Bytes that are read.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.first_chunk().copied().ok_or(Malformed::Short)
    }
}

/// A whole message as bytes.
pub(crate) fn encode<T: Wire>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    value.put(&mut out);
    out
}

/// A whole message of bytes.
pub(crate) fn decode<T: Wire>(bytes: &[u8]) -> Result<T, Malformed> {
    let mut reader = Reader(bytes);
    let value = T::get(&mut reader)?;
    if reader.0.is_empty() { Ok(value) } else { Err(Malformed::Long) }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                Ok(Self::from_le_bytes(from.array()?))
            }
        }
    )*};
}
integers!(u8, u16, u32, u64);

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(Malformed::Tag(tag)),
        }
    }
}

/// Items for which a list makes room before they have come.
const ROOM: usize = 1_024;

/// A count: nothing has 2^32 of anything, since a frame is far smaller.
fn put_count(count: usize, out: &mut Vec<u8>) {
    u32::try_from(count).unwrap_or(u32::MAX).put(out);
}

impl Wire for Arc<str> {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = u32::get(from)? as usize;
        match from.take(count)? {
            // Ports mostly have no name: all of them share it.
            [] => Ok(Self::default()),
            bytes => std::str::from_utf8(bytes).map(Into::into).map_err(|_| Malformed::Text),
        }
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = u32::get(from)? as usize;
        std::str::from_utf8(from.take(count)?).map(Into::into).map_err(|_| Malformed::Text)
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(self.len(), out);
        for item in self {
            item.put(out);
        }
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        // Each item takes a byte at least: a count above what is there is a lie, and makes no room.
        let count = u32::get(from)? as usize;
        if count > from.0.len() {
            return Err(Malformed::Short);
        }
        // Room as it is needed: a list of one item has room for one. Above, the list grows with what has come.
        let mut items = Self::with_capacity(count.min(ROOM));
        for _ in 0..count {
            items.push(T::get(from)?);
        }
        items.shrink_to_fit();
        Ok(items)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        bool::get(from)?.then(|| T::get(from)).transpose()
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        T::put(self, out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        T::get(from).map(Self::new)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok((A::get(from)?, B::get(from)?))
    }
}

impl Wire for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::V4(v4) => {
                out.push(4);
                out.extend_from_slice(&v4.octets());
            }
            Self::V6(v6) => {
                out.push(6);
                out.extend_from_slice(&v6.octets());
            }
        }
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            4 => Ok(Ipv4Addr::from(from.array::<4>()?).into()),
            6 => Ok(Ipv6Addr::from(from.array::<16>()?).into()),
            tag => Err(Malformed::Tag(tag)),
        }
    }
}

impl Wire for SocketAddr {
    fn put(&self, out: &mut Vec<u8>) {
        self.ip().put(out);
        self.port().put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self::new(IpAddr::get(from)?, u16::get(from)?))
    }
}

/// A struct: its fields in order.
macro_rules! record {
    ($type:ty { $($field:ident),* $(,)? }) => {
        impl $crate::control::wire::Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::control::wire::Wire::put($field, out);)*
            }
            fn get(
                from: &mut $crate::control::wire::Reader<'_>,
            ) -> Result<Self, $crate::control::wire::Malformed> {
                $(let $field = $crate::control::wire::Wire::get(from)?;)*
                Ok(Self { $($field),* })
            }
        }
    };
}

/// An enum: a tag, then what the variant has.
macro_rules! choice {
    ($type:ty {
        $($tag:literal => $variant:ident $(($($item:ident),*))? $({$($field:ident),*})?),* $(,)?
    }) => {
        impl $crate::control::wire::Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($($item),*))? $({$($field),*})? => {
                        out.push($tag);
                        $($($crate::control::wire::Wire::put($item, out);)*)?
                        $($($crate::control::wire::Wire::put($field, out);)*)?
                    })*
                }
            }
            fn get(
                from: &mut $crate::control::wire::Reader<'_>,
            ) -> Result<Self, $crate::control::wire::Malformed> {
                match <u8 as $crate::control::wire::Wire>::get(from)? {
                    $($tag => {
                        $($(let $item = $crate::control::wire::Wire::get(from)?;)*)?
                        $($(let $field = $crate::control::wire::Wire::get(from)?;)*)?
                        Ok(Self::$variant $(($($item),*))? $({$($field),*})?)
                    })*
                    tag => Err($crate::control::wire::Malformed::Tag(tag)),
                }
            }
        }
    };
}

pub(crate) use {choice, record};
