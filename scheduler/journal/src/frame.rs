// SPDX-License-Identifier: Apache-2.0
//! Frames of the log: one per group of batches that was made durable together.
//!
//! ```text
//! segment = magic "BERTHLOG", format u32, ordinal u32, frame*, zeros
//! frame   = len u32 | crc32c u32 | first u64 | count u32 | len bytes of payload
//! payload = (length of the batch, varint | batch)*      `count` of them, numbered from `first` on
//! ```
//!
//! Numbers are little-endian. The checksum covers the length, `first`, `count` and the payload. No frame is empty, so zeros are
//! none.

/// Bytes of a segment before its first frame.
pub const SEGMENT_HEAD: usize = 16;
/// Bytes of a frame before its payload.
pub const FRAME_HEAD: usize = 20;
/// The format of log and manifest that this version reads and writes.
pub const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"BERTHLOG";

/// The head of a segment.
pub fn segment_head(ordinal: u32) -> [u8; SEGMENT_HEAD] {
    let mut head = [0; SEGMENT_HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    head[12..].copy_from_slice(&ordinal.to_le_bytes());
    head
}

/// What is wrong with a segment's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// All zero or too short: the segment was being made.
    Unwritten,
    /// Not a segment, or another one.
    Damaged,
    /// Of another format.
    Format(u32),
}

/// Checks the head of a segment.
pub fn check_segment_head(bytes: &[u8], ordinal: u32) -> Result<(), HeadError> {
    let Some(head) = bytes.first_chunk::<SEGMENT_HEAD>() else { return Err(HeadError::Unwritten) };
    if *head == [0; SEGMENT_HEAD] {
        return Err(HeadError::Unwritten);
    }
    if head[..8] != *MAGIC || u32_at(head, 12) != ordinal {
        return Err(HeadError::Damaged);
    }
    match u32_at(head, 8) {
        FORMAT => Ok(()),
        format => Err(HeadError::Format(format)),
    }
}

/// Builds a frame in a buffer that is kept.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    bytes: Vec<u8>,
    first: u64,
    count: u32,
}

impl FrameBuilder {
    /// Begins a frame whose first batch has this number.
    pub fn begin(&mut self, first: u64) {
        self.bytes.clear();
        self.bytes.resize(FRAME_HEAD, 0);
        self.first = first;
        self.count = 0;
    }

    /// Adds the next batch.
    pub fn push(&mut self, batch: &[u8]) {
        put_varint(&mut self.bytes, batch.len() as u64);
        self.bytes.extend_from_slice(batch);
        self.count += 1;
    }

    /// How long the frame is with one more batch of this length.
    pub fn len_with(&self, batch: usize) -> usize {
        self.bytes.len() + 10 + batch
    }

    /// Number of its last batch; that before `first` while it is empty.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }

    /// Whether no batch was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The frame's bytes. Frames are at most half a segment, far below 4 GiB.
    pub fn finish(&mut self) -> &[u8] {
        let len = u32::try_from(self.bytes.len() - FRAME_HEAD).unwrap_or(u32::MAX);
        self.bytes[0..4].copy_from_slice(&len.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        self.bytes[16..20].copy_from_slice(&self.count.to_le_bytes());
        let crc = checksum(&self.bytes);
        self.bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        &self.bytes
    }
}

/// A frame as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Number of its first batch.
    pub first: u64,
    /// Number of batches.
    pub count: u32,
    /// The batches.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Number of its last batch.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }

    /// Bytes that it takes.
    pub fn len(&self) -> usize {
        FRAME_HEAD + self.payload.len()
    }

    /// A frame is never empty.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The batches with their numbers; `None` in place of one that is cut, which the checksum rules out.
    pub fn batches(&self) -> impl Iterator<Item = Option<(u64, &'a [u8])>> {
        let mut rest = self.payload;
        (self.first..=self.last()).map(move |number| {
            let (len, after) = take_varint(rest)?;
            let (batch, after) = after.split_at_checked(usize::try_from(len).ok()?)?;
            rest = after;
            Some((number, batch))
        })
    }
}

/// What stands at a place of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// Nothing was written here.
    End,
    /// Something that is no frame.
    Bad,
}

/// Reads what stands at the beginning of `bytes`.
pub fn read(bytes: &[u8]) -> Read<'_> {
    let Some(head) = bytes.first_chunk::<FRAME_HEAD>() else {
        return if bytes.iter().all(|byte| *byte == 0) { Read::End } else { Read::Bad };
    };
    if *head == [0; FRAME_HEAD] {
        return Read::End;
    }
    let len = u32_at(head, 0) as usize;
    let count = u32_at(head, 16);
    let Some(frame) = bytes.get(..FRAME_HEAD + len) else { return Read::Bad };
    if len == 0 || count == 0 || u32_at(head, 4) != checksum(frame) {
        return Read::Bad;
    }
    Read::Frame(Frame { first: u64_at(head, 8), count, payload: &frame[FRAME_HEAD..] })
}

/// Looks for a good frame with a number of at least `first` anywhere in `bytes`: where, and its number.
pub fn find_later(bytes: &[u8], first: u64) -> Option<(usize, u64)> {
    let mut at = 0;
    while at + FRAME_HEAD <= bytes.len() {
        if bytes[at] == 0 {
            // Long runs of zeros are what a segment ends with. (A length whose low byte is zero is tried from its own place.)
            let zeros = bytes[at..].iter().take_while(|byte| **byte == 0).count();
            if zeros > 64 {
                at += zeros - 3;
                continue;
            }
        }
        let number = u64_at(&bytes[at..], 8);
        let plausible = number >= first && number - first < 1 << 40;
        if plausible && let Read::Frame(frame) = read(&bytes[at..]) {
            return Some((at, frame.first));
        }
        at += 1;
    }
    None
}

/// Of a whole frame, its own place left out.
fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..])
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn take_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            return Some((value, &bytes[place + 1..]));
        }
    }
    None
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |four| u32::from_le_bytes(*four))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u64, batches: &[&[u8]]) -> Vec<u8> {
        let mut builder = FrameBuilder::default();
        builder.begin(first);
        for batch in batches {
            builder.push(batch);
        }
        builder.finish().to_vec()
    }

    #[test]
    fn what_is_written_is_read() {
        let long = [7; 300];
        let bytes = frame(41, &[b"a", b"", &long]);
        let Read::Frame(read) = read(&bytes) else { panic!("a frame") };
        let batches: Vec<_> = read.batches().map(Option::unwrap).collect();
        assert_eq!(batches, [(41, &b"a"[..]), (42, b""), (43, &long)]);
        assert_eq!((read.last(), read.len()), (43, bytes.len()));
    }

    #[test]
    fn zeros_are_the_end_and_every_flipped_bit_is_bad() {
        assert_eq!(read(&[0; 100]), Read::End);
        assert_eq!(read(&[]), Read::End);
        let good = frame(1, &[b"abc"]);
        for at in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            assert_eq!(read(&bytes), Read::Bad, "bit {at}");
        }
        for cut in 1..good.len() {
            assert_eq!(read(&good[..cut]), Read::Bad, "cut at {cut}");
        }
    }

    #[test]
    fn a_later_frame_is_found_behind_anything() {
        let later = frame(256, &[&[1; 256]]);
        for zeros in [0, 1, 3, 63, 64, 65, 66, 67, 68, 1000] {
            let mut bytes = vec![9; 5];
            bytes.extend(vec![0; zeros]);
            bytes.extend(&later);
            bytes.extend([0; 40]);
            assert_eq!(find_later(&bytes, 200), Some((5 + zeros, 256)), "{zeros} zeros");
            assert_eq!(find_later(&bytes, 257), None);
        }
    }
}
