// SPDX-License-Identifier: Apache-2.0
//! The two forms in which requests and answers travel over TCP. Both have fixed lengths, so that neither end has to search.

use super::message::{self, MESSAGE, Request, Wrong};

/// Bytes that hold any request or answer.
pub const LONGEST: usize = 192;

/// How a connection's requests look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// 64 bytes each way.
    Message,
    /// HTTP/1.1, whose path names service and nonce.
    Http {
        /// With `Connection: close`.
        close: bool,
    },
}

const GET: &[u8] = b"GET /00000000/0000000000000000 HTTP/1.1\r\nHost: berth\r\nUser-Agent: berth-loadgen\r\nConnection: ";
const KEEP: &[u8] = b"keep-alive\r\n\r\n";
const CLOSE: &[u8] = b"close     \r\n\r\n";
/// Where the path's numbers are.
const SERVICE: usize = 5;
const NONCE: usize = 14;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nEndpoint: 00000000\r\nContent-Length: 26\r\n\r\n00000000/0000000000000000\n";
const ENDPOINT: usize = 53;
const BODY: usize = 85;

impl Wire {
    /// Bytes of a request.
    pub fn request_bytes(self) -> usize {
        match self {
            Self::Message => MESSAGE,
            Self::Http { .. } => GET.len() + KEEP.len(),
        }
    }

    /// Bytes of an answer.
    pub fn answer_bytes(self) -> usize {
        match self {
            Self::Message => MESSAGE,
            Self::Http { .. } => OK.len(),
        }
    }

    /// Writes a request; `bytes` are as long as one.
    pub fn write_request(self, bytes: &mut [u8], request: &Request) {
        match self {
            Self::Message => message::write_request(bytes, request),
            Self::Http { close } => {
                bytes[..GET.len()].copy_from_slice(GET);
                bytes[GET.len()..].copy_from_slice(if close { CLOSE } else { KEEP });
                write_hex(&mut bytes[SERVICE..SERVICE + 8], u64::from(request.service));
                write_hex(&mut bytes[NONCE..NONCE + 16], request.nonce);
            }
        }
    }

    /// Reads a request that reached `service`, and checks all of it. The second value says whether the connection ends after
    /// the answer.
    pub fn read_request(self, bytes: &[u8], service: u32) -> Result<(Request, bool), Wrong> {
        match self {
            Self::Message => Ok((message::read_request(bytes, service)?, false)),
            Self::Http { .. } => {
                let close = bytes.get(GET.len()..) == Some(CLOSE);
                let named = read_hex(bytes, SERVICE, 8).ok_or(Wrong::Bytes)?;
                let nonce = read_hex(bytes, NONCE, 16).ok_or(Wrong::Bytes)?;
                let named = u32::try_from(named).map_err(|_| Wrong::Bytes)?;
                let request = Request { service: named, nonce, amount: 0 };
                let mut want = [0; LONGEST];
                let want = &mut want[..self.request_bytes()];
                Self::Http { close }.write_request(want, &request);
                if bytes != want {
                    return Err(Wrong::Bytes);
                }
                if named != service {
                    return Err(Wrong::Service { named, wanted: service });
                }
                Ok((request, close))
            }
        }
    }

    /// Writes the answer to a request that lies in `bytes`; gives how long it is.
    pub fn answer(self, bytes: &mut [u8; LONGEST], request: &Request, endpoint: u32) -> usize {
        match self {
            Self::Message => message::turn_into_answer(bytes, endpoint),
            Self::Http { .. } => {
                bytes[..OK.len()].copy_from_slice(OK);
                write_hex(&mut bytes[ENDPOINT..ENDPOINT + 8], u64::from(endpoint));
                write_hex(&mut bytes[BODY..BODY + 8], u64::from(request.service));
                write_hex(&mut bytes[BODY + 9..BODY + 25], request.nonce);
            }
        }
        self.answer_bytes()
    }

    /// Checks an answer; gives the endpoint that sent it.
    pub fn read_answer(self, bytes: &[u8], service: u32, nonce: u64) -> Result<u32, Wrong> {
        match self {
            Self::Message => message::read_answer(bytes, service, nonce),
            Self::Http { .. } => {
                let same = |from: usize, to: usize| bytes.get(from..to) == OK.get(from..to);
                let frame = same(0, ENDPOINT)
                    && same(ENDPOINT + 8, BODY)
                    && same(BODY + 8, BODY + 9)
                    && same(BODY + 25, OK.len());
                let endpoint = read_hex(bytes, ENDPOINT, 8).filter(|_| frame);
                let endpoint = u32::try_from(endpoint.ok_or(Wrong::Bytes)?).unwrap_or(u32::MAX);
                let named = read_hex(bytes, BODY, 8).ok_or(Wrong::Bytes)?;
                if named != u64::from(service) {
                    let named = u32::try_from(named).unwrap_or(u32::MAX);
                    return Err(Wrong::Service { named, wanted: service });
                }
                match read_hex(bytes, BODY + 9, 16) {
                    Some(number) if number == nonce => Ok(endpoint),
                    _ => Err(Wrong::Nonce),
                }
            }
        }
    }
}

fn write_hex(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::try_from(value & 15).unwrap_or(0)];
        value >>= 4;
    }
}

fn read_hex(bytes: &[u8], at: usize, digits: usize) -> Option<u64> {
    let digits = bytes.get(at..at + digits)?;
    digits.iter().try_fold(0, |value: u64, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Request = Request { service: 0xa7, nonce: 0xfedc_ba98_7654_3210, amount: 0 };

    #[test]
    fn http_has_the_numbers_in_their_places() {
        let wire = Wire::Http { close: true };
        let mut bytes = [0; LONGEST];
        let length = wire.request_bytes();
        wire.write_request(&mut bytes[..length], &REQUEST);
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        assert!(text.starts_with("GET /000000a7/fedcba9876543210 HTTP/1.1\r\n"), "{text}");
        assert_eq!(wire.read_request(&bytes[..length], 0xa7), Ok((REQUEST, true)));
        let length = wire.answer(&mut bytes, &REQUEST, 3);
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        assert!(text.contains("\r\nEndpoint: 00000003\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n000000a7/fedcba9876543210\n"), "{text}");
        assert_eq!(wire.read_answer(&bytes[..length], 0xa7, REQUEST.nonce), Ok(3));
    }

    #[test]
    fn every_wrong_byte_is_found_in_both_forms() {
        for wire in [Wire::Message, Wire::Http { close: false }] {
            let mut request = [0; LONGEST];
            let length = wire.request_bytes();
            wire.write_request(&mut request[..length], &REQUEST);
            for at in 0..length {
                let mut wrong = request;
                wrong[at] ^= 0x80;
                let read = wire.read_request(&wrong[..length], 0xa7);
                let free = wire == Wire::Message && (16..32).contains(&at);
                assert_eq!(read.is_ok(), free, "{wire:?} {at}");
            }
            let mut answer = request;
            let length = wire.answer(&mut answer, &REQUEST, 3);
            for at in 0..length {
                let mut wrong = answer;
                wrong[at] ^= 0x80;
                let read = wire.read_answer(&wrong[..length], 0xa7, REQUEST.nonce);
                let free = wire == Wire::Message && (16..32).contains(&at);
                assert_eq!(read.is_ok(), free, "{wire:?} {at}");
            }
        }
    }
}
