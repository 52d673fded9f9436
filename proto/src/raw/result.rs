// SPDX-License-Identifier: Apache-2.0
//! Answers: writing them while decisions are made, and reading them.

use super::{ScheduleResponse, StreamResponse};
use crate::v1;
use crate::wire::{
    Fields, Span, Value, WireError, bytes_len, number_len, put_bytes, put_head, put_number,
};
use bytes::{Bytes, BytesMut};
use prost::Message;

/// A placement, as it is written and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement<'a> {
    /// Revision of the decision.
    pub revision: u64,
    /// The pod; empty where its position says it.
    pub uid: &'a str,
    /// Where it is placed.
    pub node: &'a str,
    /// Whether this repeats an earlier decision.
    pub repeated: bool,
    /// When a lease ends; 0: final.
    pub lease_until_unix_ms: i64,
}

/// Writes a `ScheduleResponse` or a `StreamResponse`.
#[derive(Debug)]
pub struct ResponseWriter {
    out: BytesMut,
    revision: u32,
    results: u32,
}

impl ResponseWriter {
    /// Begins a `ScheduleResponse`.
    pub fn schedule() -> Self {
        Self { out: BytesMut::new(), revision: 1, results: 2 }
    }

    /// Begins a `StreamResponse`.
    pub fn stream(id: u64) -> Self {
        let mut out = BytesMut::new();
        put_number(&mut out, 1, id);
        Self { out, revision: 2, results: 3 }
    }

    /// Makes room for so many bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing is written yet.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Adds the result of the next pod: it is placed.
    pub fn placed(&mut self, placement: &Placement<'_>) {
        // int64: a negative number takes ten bytes, as the format says.
        let lease = placement.lease_until_unix_ms.cast_unsigned();
        let repeated = u64::from(placement.repeated);
        let inner =
            bytes_len(1, placement.node.len()) + number_len(2, repeated) + number_len(3, lease);
        let uid = if placement.uid.is_empty() { 0 } else { bytes_len(2, placement.uid.len()) };
        let len = number_len(1, placement.revision) + uid + bytes_len(3, inner);
        self.out.reserve(len + 8);
        put_head(&mut self.out, self.results, len);
        put_number(&mut self.out, 1, placement.revision);
        if uid > 0 {
            put_bytes(&mut self.out, 2, placement.uid.as_bytes());
        }
        put_head(&mut self.out, 3, inner);
        put_bytes(&mut self.out, 1, placement.node.as_bytes());
        put_number(&mut self.out, 2, repeated);
        put_number(&mut self.out, 3, lease);
    }

    /// Adds the result of the next pod.
    pub fn result(&mut self, result: &v1::PodResult) {
        self.message(self.results, result);
    }

    /// Adds a uid that was not known; in a `StreamResponse`.
    pub fn unknown(&mut self, uid: &str) {
        put_bytes(&mut self.out, 4, uid.as_bytes());
    }

    /// Adds a later decision; in a `StreamResponse`.
    pub fn later(&mut self, result: &v1::PodResult) {
        self.message(5, result);
    }

    /// Says that releases, confirmations and cancellations were not taken up; in a `StreamResponse`.
    pub fn not_accepted(&mut self, why: &v1::NotAccepted) {
        self.message(6, why);
    }

    /// The bytes of the message.
    pub fn finish(mut self, revision: u64) -> Bytes {
        put_number(&mut self.out, self.revision, revision);
        self.out.freeze()
    }

    fn message(&mut self, number: u32, message: &impl Message) {
        let len = message.encoded_len();
        self.out.reserve(len + 8);
        put_head(&mut self.out, number, len);
        message.encode_raw(&mut self.out);
    }
}

/// What an answer holds, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<'a> {
    /// The id of the message that is answered.
    Id(u64),
    /// The revision.
    Revision(u64),
    /// The next pod is placed.
    Placed(Placement<'a>),
    /// The next pod has this result.
    Result(Box<v1::PodResult>),
    /// A uid that was not known.
    Unknown(&'a str),
    /// A later decision.
    Later(Box<v1::PodResult>),
    /// Releases, confirmations and cancellations were not taken up.
    NotAccepted(v1::NotAccepted),
}

/// Reads an answer.
#[derive(Debug, Clone)]
pub struct Answers<'a> {
    message: &'a [u8],
    fields: Fields<'a>,
    schedule: bool,
}

impl ScheduleResponse {
    /// Reads the message.
    pub fn read(&self) -> Answers<'_> {
        Answers { message: &self.0, fields: Fields::new(&self.0), schedule: true }
    }
}

impl StreamResponse {
    /// Reads the message.
    pub fn read(&self) -> Answers<'_> {
        Answers { message: &self.0, fields: Fields::new(&self.0), schedule: false }
    }
}

impl<'a> Answers<'a> {
    /// The next part; `None` at the end.
    pub fn part(&mut self) -> Result<Option<Answer<'a>>, WireError> {
        while let Some((number, value)) = self.fields.field()? {
            // The fields of a ScheduleResponse are the second and third of a StreamResponse.
            let place = if self.schedule { number + 1 } else { number };
            let answer = match (place, value) {
                (1, Value::Number(id)) => Answer::Id(id),
                (2, Value::Number(revision)) => Answer::Revision(revision),
                (3, Value::Bytes(span)) => result(self.message, span)?,
                (4, Value::Bytes(span)) => Answer::Unknown(text(self.message, number, span)?),
                (5, Value::Bytes(span)) => Answer::Later(Box::new(nested(self.message, 5, span)?)),
                (6, Value::Bytes(span)) => Answer::NotAccepted(nested(self.message, 6, span)?),
                (1..=6, _) => return Err(WireError::WrongType(number)),
                _ => continue,
            };
            return Ok(Some(answer));
        }
        Ok(None)
    }
}

fn text(message: &[u8], number: u32, span: Span) -> Result<&str, WireError> {
    std::str::from_utf8(span.of(message)).map_err(|_| WireError::NotUtf8(number))
}

fn nested<M: Message + Default>(message: &[u8], number: u32, span: Span) -> Result<M, WireError> {
    M::decode(span.of(message)).map_err(|_| WireError::Nested(number))
}

/// A result: a placement without choices of volumes is read in place, anything else is decoded.
fn result(message: &[u8], span: Span) -> Result<Answer<'_>, WireError> {
    let mut read =
        Placement { revision: 0, uid: "", node: "", repeated: false, lease_until_unix_ms: 0 };
    let mut placed = false;
    let mut fields = Fields::within(message, span);
    while let Some((number, value)) = fields.field()? {
        match (number, value) {
            (1, Value::Number(revision)) => read.revision = revision,
            (2, Value::Bytes(uid)) => read.uid = text(message, number, uid)?,
            (3, Value::Bytes(inner)) => {
                let mut fields = Fields::within(message, inner);
                placed = true;
                while let Some((number, value)) = fields.field()? {
                    match (number, value) {
                        (1, Value::Bytes(node)) => read.node = text(message, number, node)?,
                        (2, Value::Number(repeated)) => read.repeated = repeated != 0,
                        (3, Value::Number(lease)) => {
                            read.lease_until_unix_ms = lease.cast_signed();
                        }
                        _ => return whole(message, span),
                    }
                }
            }
            _ => return whole(message, span),
        }
    }
    if placed { Ok(Answer::Placed(read)) } else { whole(message, span) }
}

fn whole(message: &[u8], span: Span) -> Result<Answer<'_>, WireError> {
    Ok(Answer::Result(Box::new(nested(message, 3, span)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::pod_result::Outcome;

    fn results() -> Vec<v1::PodResult> {
        let placed = |lease_until_unix_ms, repeated| {
            Some(Outcome::Placed(v1::Placed {
                node: "node-17".into(),
                repeated,
                lease_until_unix_ms,
                volumes: vec![],
            }))
        };
        let refused = v1::Refused { message: "0/1 nodes".into(), nodes: 1, ..Default::default() };
        vec![
            v1::PodResult { revision: 1 << 40, uid: String::new(), outcome: placed(0, false) },
            v1::PodResult { revision: 2, uid: "u".into(), outcome: placed(-1, true) },
            v1::PodResult {
                revision: 3,
                uid: "u".into(),
                outcome: Some(Outcome::Refused(refused)),
            },
        ]
    }

    #[test]
    fn what_the_writer_writes_is_read_by_prost() {
        let mut writer = ResponseWriter::stream(5);
        for result in results() {
            match &result.outcome {
                Some(Outcome::Placed(placed)) => writer.placed(&Placement {
                    revision: result.revision,
                    uid: &result.uid,
                    node: &placed.node,
                    repeated: placed.repeated,
                    lease_until_unix_ms: placed.lease_until_unix_ms,
                }),
                _ => writer.result(&result),
            }
        }
        writer.unknown("gone");
        writer.later(&results()[2]);
        let whole = v1::StreamResponse::decode(writer.finish(9)).unwrap();
        let want = v1::StreamResponse {
            id: 5,
            revision: 9,
            results: results(),
            unknown: vec!["gone".into()],
            later: vec![results()[2].clone()],
            not_accepted: None,
        };
        assert_eq!(whole, want);
    }

    #[test]
    fn what_prost_writes_is_read() {
        let whole = v1::ScheduleResponse { revision: 9, results: results() };
        let raw = ScheduleResponse(whole.encode_to_vec().into());
        let mut answers = raw.read();
        assert_eq!(answers.part().unwrap(), Some(Answer::Revision(9)));
        let first = Placement {
            revision: 1 << 40,
            uid: "",
            node: "node-17",
            repeated: false,
            lease_until_unix_ms: 0,
        };
        assert_eq!(answers.part().unwrap(), Some(Answer::Placed(first)));
        let second =
            Placement { revision: 2, uid: "u", repeated: true, lease_until_unix_ms: -1, ..first };
        assert_eq!(answers.part().unwrap(), Some(Answer::Placed(second)));
        let third = Answer::Result(Box::new(results()[2].clone()));
        assert_eq!(answers.part().unwrap(), Some(third));
        assert_eq!(answers.part().unwrap(), None);
    }
}
