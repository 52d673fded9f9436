// SPDX-License-Identifier: Apache-2.0
//! Messages: queries are read, and answers written, never longer than is allowed.
//!
//! ```text
//!  0  id              2  QR OPCODE(4) AA TC RD | RA Z AD CD RCODE(4)
//!  4  questions       6  answers       8  authorities      10  additional records
//! ```

use crate::answer::Reply;
use crate::limits::{EXTRAS_MAX, QUERY_BYTES_MAX, UDP_BYTES_MIN};
use hickory_proto::op::{
    Message, MessageType, Metadata, OpCode, Query, ResponseCode, emit_message_parts,
};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::BinEncoder;
use std::iter::once;

const HEADER_BYTES: usize = 12;
/// A record OPT without options.
const OPT_BYTES: usize = 11;
const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TC: u8 = 0x02;
const RD: u8 = 0x01;

/// A query that can be answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) id: u16,
    pub(crate) recursion_desired: bool,
    pub(crate) checking_disabled: bool,
    pub(crate) query: Query,
    pub(crate) edns: Option<Edns>,
}

/// What a client says of itself (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edns {
    pub(crate) payload: u16,
    pub(crate) dnssec_ok: bool,
}

/// What is no query that can be answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Unread {
    /// It gets nothing: an answer to an answer could go on for ever.
    Silent,
    /// It gets this code, and its header back.
    Header(ResponseCode),
    /// It gets this code, and its question.
    Question(ResponseCode, Box<Request>),
}

fn number(packet: &[u8], at: usize) -> u16 {
    let byte = |at: usize| u16::from(packet.get(at).copied().unwrap_or(0));
    byte(at) << 8 | byte(at + 1)
}

/// Reads a query.
pub(crate) fn read(packet: &[u8]) -> Result<Request, Unread> {
    if packet.len() < HEADER_BYTES || packet[2] & QR != 0 {
        return Err(Unread::Silent);
    }
    if packet[2] & OPCODE != 0 {
        return Err(Unread::Header(ResponseCode::NotImp));
    }
    let [questions, answers, extras] = [4, 6, 10].map(|at| number(packet, at));
    if packet.len() > QUERY_BYTES_MAX || questions != 1 || answers != 0 || extras > EXTRAS_MAX {
        return Err(Unread::Header(ResponseCode::FormErr));
    }
    let message = Message::from_vec(packet).map_err(|_| Unread::Header(ResponseCode::FormErr))?;
    let Some(query) = message.queries.first() else {
        return Err(Unread::Header(ResponseCode::FormErr));
    };
    let edns = message
        .edns
        .as_ref()
        .map(|edns| Edns { payload: edns.max_payload(), dnssec_ok: edns.flags().dnssec_ok });
    let request = Request {
        id: message.metadata.id,
        recursion_desired: message.metadata.recursion_desired,
        checking_disabled: message.metadata.checking_disabled,
        query: query.clone(),
        edns,
    };
    let code = if message.version() != 0 { ResponseCode::BADVERS } else { refusal(query) };
    match code {
        ResponseCode::NoError => Ok(request),
        code => Err(Unread::Question(code, Box::new(request))),
    }
}

fn refusal(query: &Query) -> ResponseCode {
    match (query.query_class, query.query_type) {
        // These are asked for by who speaks of the message itself.
        (_, RecordType::OPT | RecordType::TSIG | RecordType::ZERO) => ResponseCode::FormErr,
        // Whole zones are for secondary servers.
        (_, RecordType::AXFR | RecordType::IXFR) => ResponseCode::Refused,
        (DNSClass::IN, _) => ResponseCode::NoError,
        _ => ResponseCode::Refused,
    }
}

/// The header of a packet that is at least that long, as an answer that says only this code.
pub(crate) fn header(packet: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    if let Some(begin) = packet.get(..4) {
        bytes[..2].copy_from_slice(&begin[..2]);
        // The operation, and whether recursion is desired, are said again.
        bytes[2] = QR | begin[2] & (OPCODE | RD);
        bytes[3] = code.low();
    }
    bytes
}

/// How long an answer over UDP may be.
pub(crate) fn datagram_bytes(request: &Request, allowed: usize) -> usize {
    let wished = request.edns.map_or(UDP_BYTES_MIN, |edns| usize::from(edns.payload));
    wished.min(allowed).max(UDP_BYTES_MIN)
}

/// A message that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    /// It does not have all, and says so.
    pub(crate) truncated: bool,
}

/// Writes an answer of at most so many bytes, of which there are at least 512. `payload` is what this server takes over UDP.
pub(crate) fn write(request: &Request, reply: &Reply, limit: usize, payload: usize) -> Written {
    let opt = if request.edns.is_some() { OPT_BYTES } else { 0 };
    let mut metadata = Metadata::new(request.id, MessageType::Response, OpCode::Query);
    metadata.authoritative = reply.authoritative;
    metadata.recursion_desired = request.recursion_desired;
    // Some resolvers go on to the next server where this is not said.
    metadata.recursion_available = true;
    metadata.checking_disabled = request.checking_disabled;
    // The upper bits are in OPT, which is written below.
    metadata.response_code = ResponseCode::from(0, reply.code.low());
    let mut bytes = Vec::with_capacity(UDP_BYTES_MIN);
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(u16::try_from(limit.saturating_sub(opt)).unwrap_or(u16::MAX));
    let written = emit_message_parts(
        &metadata,
        &mut once(&request.query),
        &mut reply.answers.iter(),
        &mut reply.authorities.iter(),
        &mut reply.additionals.iter(),
        None,
        None,
        &mut encoder,
    );
    // What did not fit is still there behind the end.
    encoder.trim();
    let Ok(written) = written else {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..2].copy_from_slice(&request.id.to_be_bytes());
        bytes[2] = QR;
        bytes[3] = ResponseCode::ServFail.low();
        return Written { bytes, truncated: false };
    };
    let counts = &written.counts;
    // What is added without being asked for may be missing: nobody has to ask again for that (RFC 2181, 9).
    let truncated = usize::from(counts.answers) < reply.answers.len()
        || usize::from(counts.authorities) < reply.authorities.len();
    bytes[2] = if truncated { bytes[2] | TC } else { bytes[2] & !TC };
    if let Some(edns) = request.edns {
        let extras = counts.additionals.saturating_add(1);
        bytes[10..HEADER_BYTES].copy_from_slice(&extras.to_be_bytes());
        let [high, low] = u16::try_from(payload).unwrap_or(u16::MAX).to_be_bytes();
        let flags = if edns.dnssec_ok { 0x80 } else { 0 };
        bytes.extend([0, 0, 41, high, low, reply.code.high(), 0, flags, 0, 0, 0]);
    }
    Written { bytes, truncated }
}

/// What is asked of an upstream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) id: u16,
    pub(crate) name: Name,
    pub(crate) kind: RecordType,
    pub(crate) checking_disabled: bool,
    pub(crate) dnssec_ok: bool,
    /// It is asked with EDNS.
    pub(crate) edns: bool,
}

/// What came from where an answer was waited for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// The answer.
    Answer(Box<Message>),
    /// It did not fit, and is to be asked for over TCP.
    Truncated,
    /// It is not the answer to what was asked.
    Lie,
}

/// Writes a question.
pub(crate) fn ask(asked: &Asked, payload: usize) -> Vec<u8> {
    let query = Query::query(asked.name.clone(), asked.kind);
    let request = Request {
        id: asked.id,
        recursion_desired: true,
        checking_disabled: asked.checking_disabled,
        query,
        edns: asked.edns.then_some(Edns { payload: 0, dnssec_ok: asked.dnssec_ok }),
    };
    let mut written =
        write(&request, &Reply::of(ResponseCode::NoError), UDP_BYTES_MIN, payload).bytes;
    // The same as an answer without records, but for two bits.
    written[2] &= !QR;
    written[3] &= 0x7f;
    written
}

/// Reads what came. A packet is believed only if its id and its question are those that were sent.
pub(crate) fn heard(packet: &[u8], asked: &Asked) -> Heard {
    let header = packet.len() >= HEADER_BYTES
        && number(packet, 0) == asked.id
        && packet[2] & QR != 0
        && packet[2] & OPCODE == 0
        && number(packet, 4) == 1;
    if !header {
        return Heard::Lie;
    }
    if packet[2] & TC != 0 {
        // What is behind the question may be cut off anywhere.
        return if question_is(packet, asked) { Heard::Truncated } else { Heard::Lie };
    }
    match Message::from_vec(packet) {
        Ok(message) if message.queries.first().is_some_and(|query| is_asked(query, asked)) => {
            Heard::Answer(Box::new(message))
        }
        _ => Heard::Lie,
    }
}

fn is_asked(query: &Query, asked: &Asked) -> bool {
    // Names are equal whatever their case.
    query.name == asked.name && query.query_type == asked.kind && query.query_class == DNSClass::IN
}

fn question_is(packet: &[u8], asked: &Asked) -> bool {
    use hickory_proto::serialize::binary::BinDecoder;
    let mut decoder = BinDecoder::new(packet);
    let skipped = decoder.read_slice(HEADER_BYTES).is_ok();
    let queries = Message::read_queries(&mut decoder, 1);
    skipped && queries.is_ok_and(|queries| queries.iter().all(|query| is_asked(query, asked)))
}

#[cfg(test)]
mod tests;
