// SPDX-License-Identifier: Apache-2.0
//! Heads, compressed as clients do and read back.

use super::*;
use flate2::{Compress, Compression, FlushCompress};

/// Writes heads as clients do.
#[derive(Debug)]
pub(crate) struct Deflater(Compress, bool);

impl Deflater {
    pub(crate) fn new() -> Self {
        let mut raw = Compress::new(Compression::best(), false);
        // The backend knows no dictionaries here, either: what was written before is one.
        let mut lost = Vec::with_capacity(4_096);
        raw.compress_vec(&dictionary::bytes(), &mut lost, FlushCompress::Sync).unwrap();
        Self(raw, true)
    }

    pub(crate) fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let count = u32::try_from(fields.len()).unwrap();
        let mut plain = count.to_be_bytes().to_vec();
        for text in fields.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            plain.extend_from_slice(text.as_bytes());
        }
        self.deflate(&plain)
    }

    pub(crate) fn deflate(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        if std::mem::take(&mut self.1) {
            out.extend([0x78, 0xbb]);
            out.extend(dictionary::ID.to_be_bytes());
        }
        let mut block = Vec::with_capacity(plain.len() + 1_024);
        self.0.compress_vec(plain, &mut block, FlushCompress::Sync).unwrap();
        out.extend(block);
        out
    }
}

fn owned(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn heads_are_read_one_after_the_other() {
    let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
    for round in 0..100 {
        let id = round.to_string();
        let fields = [("streamtype", "data"), ("port", "8080"), ("requestid", id.as_str())];
        let block = deflater.block(&fields);
        assert_eq!(inflater.fields(&block), Ok(owned(&fields)), "{round}");
    }
    assert_eq!(inflater.fields(&deflater.block(&[])), Ok(Vec::new()));
}

#[test]
fn a_head_that_zlib_made_with_the_dictionary_is_read() {
    // zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary), flushed twice.
    let blocks = ZLIB.map(|hex| -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2);
        digits
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    });
    let mut inflater = Inflater::new();
    let first = owned(&[("content-type", "text/plain"), ("streamtype", "error")]);
    assert_eq!(inflater.fields(&blocks[0]), Ok(first));
    let second = owned(&[("content-type", "text/plain"), ("streamtype", "stdin")]);
    assert_eq!(inflater.fields(&blocks[1]), Ok(second));
}

#[test]
fn names_are_taken_in_any_case_and_only_once() {
    let read = |fields: &[(&str, &str)]| Inflater::new().fields(&Deflater::new().block(fields));
    assert_eq!(read(&[("StreamType", "Data")]), Ok(owned(&[("streamtype", "Data")])));
    assert!(read(&[("a", "1"), ("A", "2")]).is_err());
    assert!(read(&[("", "1")]).is_err());
}

#[test]
fn a_bomb_is_not_inflated() {
    let block = Deflater::new().deflate(&vec![0; 10 << 20]);
    assert_eq!(Inflater::new().fields(&block), Err(WireError::Spdy("a head is too large")));
    let names: Vec<String> = (0..65).map(|at| format!("n{at}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let error = Err(WireError::Spdy("a head has too many fields"));
    assert_eq!(Inflater::new().fields(&Deflater::new().block(&many)), error);
}

#[test]
fn heads_that_lie_are_refused() {
    for plain in
        [&[0, 0, 0, 1][..], &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 1], &[0, 0, 0, 0, 7], &[0]]
    {
        assert!(Inflater::new().fields(&Deflater::new().deflate(plain)).is_err(), "{plain:?}");
    }
    for block in
        [&[][..], &[0x78], &[0x78, 0xba], &[0x78, 0xbb, 1, 2, 3, 4], &[0x78, 0xbb, 1], b"GET / "]
    {
        assert!(Inflater::new().fields(block).is_err(), "{block:?}");
    }
}

#[test]
fn what_is_written_can_be_read() {
    let mut inflater = Inflater::new();
    for first in [true, false, false] {
        let mut out = BytesMut::new();
        put_empty(&mut out, first);
        assert_eq!(inflater.fields(&out), Ok(Vec::new()));
    }
}

const ZLIB: [&str; 2] = [
    "78f9e3c6a7c202e50e2c850917c215e0545852949a980b95634d054503000000ffff",
    "224763710930ab01000000ffff",
];
