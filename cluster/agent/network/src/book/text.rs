// SPDX-License-Identifier: Apache-2.0
//! Books as a file holds them: lines of words.
//!
//! ```text
//! berth-addresses 1 10.244.1.0/24 10.244.1.7      the version, the range, what was given away last
//! taken 10.244.1.2 0b8c…                          a pod by its uid
//! resting 10.244.1.3 1795891712000000             since when
//! end 3 8f0e…                                     how many lines stand before it, and their digest
//! ```

use super::{Book, is_uid};
use crate::range::Range;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

const HEAD: &str = "berth-addresses 1";

/// Writes books.
pub(super) fn write(book: &Book) -> String {
    let mut text = format!("{HEAD} {} {}\n", book.range, book.last);
    // Writing into a string does not fail.
    for (address, uid) in &book.taken {
        let _ = writeln!(text, "taken {address} {uid}");
    }
    for (address, since) in &book.resting {
        let _ = writeln!(text, "resting {address} {since}");
    }
    let lines = 1 + book.taken.len() + book.resting.len();
    let digest = digest(text.as_bytes());
    let _ = writeln!(text, "end {lines} {digest:016x}");
    text
}

/// Reads books; else says what is wrong with the text.
pub(super) fn read(text: &str) -> Result<Book, &'static str> {
    let body = text.strip_suffix('\n').ok_or("its last line is cut off")?;
    let at = body.rfind('\n').ok_or("it has no end")? + 1;
    let (body, end) = text.split_at(at);
    let lines = body.lines().count();
    if end.trim_end_matches('\n') != format!("end {lines} {:016x}", digest(body.as_bytes())) {
        return Err("its last line does not fit the others");
    }
    let mut all = body.lines();
    let head = all.next().and_then(|line| line.strip_prefix(HEAD)?.strip_prefix(' '));
    let (range, last) =
        head.and_then(|words| words.split_once(' ')).ok_or("its head is another")?;
    let range: Range = range.parse().map_err(|_| "its range is none")?;
    let mut book = Book::new(range).map_err(|_| "its range does not do")?;
    book.last = last.parse().map_err(|_| "its last address is none")?;
    for line in all {
        put(&mut book, line).ok_or("a line of it has no meaning")?;
    }
    Ok(book)
}

fn put(book: &mut Book, line: &str) -> Option<()> {
    let mut words = line.split(' ');
    let (kind, address, what) = (words.next()?, words.next()?, words.next()?);
    let address: Ipv4Addr = address.parse().ok()?;
    let known = book.taken.contains_key(&address) || book.resting.contains_key(&address);
    if words.next().is_some() || known || !book.is_for_pods(address) {
        return None;
    }
    match kind {
        "taken" if is_uid(what) && book.get(what).is_none() => book.put(what, address),
        "resting" => drop(book.resting.insert(address, what.parse().ok()?)),
        _ => return None,
    }
    Some(())
}

/// FNV-1a: against writes that were cut off and disks that lie, not against people.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
