// SPDX-License-Identifier: Apache-2.0
//! What must hold of any bytes: for the fuzzer, and for tests with random bytes where there is no fuzzer.

use berth_balancer_core::limits::PROXY_V2_BYTES_MAX;
use berth_balancer_core::model::ProxyProtocol;
use berth_balancer_core::proxy::{Parsed, V1_BYTES_MAX, parse};

/// Any bytes give an answer that holds: nothing past the end, no endless asking, the same answer when more follows, and every
/// beginning of a header asks for more.
pub(crate) fn proxy(bytes: &[u8]) {
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        match parse(version, bytes) {
            Ok(Parsed::Header { length, .. }) => {
                assert!(length <= bytes.len());
                assert_eq!(parse(version, &bytes[..length]), parse(version, bytes));
                beginnings(version, &bytes[..length]);
            }
            Ok(Parsed::NeedMore { bytes: wanted }) => {
                let v1 = version == ProxyProtocol::V1;
                let most = if v1 { V1_BYTES_MAX } else { PROXY_V2_BYTES_MAX };
                assert!(bytes.len() < wanted && wanted <= most);
            }
            Err(error) => {
                let more = [bytes, &[0x0d, 0x0a, 0]].concat();
                assert_eq!(parse(version, &more), Err(error), "more bytes make no header");
            }
        }
    }
}

/// Every beginning of a header asks for more, and never for more than the header has.
fn beginnings(version: ProxyProtocol, header: &[u8]) {
    for cut in 0..header.len() {
        match parse(version, &header[..cut]) {
            Ok(Parsed::NeedMore { bytes }) => {
                assert!(cut < bytes && bytes <= header.len(), "at {cut}");
            }
            other => unreachable!("{cut} of {} bytes: {other:?}", header.len()),
        }
    }
}
