// SPDX-License-Identifier: Apache-2.0
//! Headers as the specification has them, cut short, and broken.

use super::*;
use crate::limits::PROXY_V2_BYTES_MAX;
use alloc::vec::Vec;

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "as a header has it")]
fn tcp(source: &str, destination: &str) -> Option<Proxied> {
    let (source, destination) = (socket(source), socket(destination));
    Some(Proxied { protocol: Protocol::Tcp, source, destination })
}

fn v1(text: &str) -> Result<Parsed, ProxyError> {
    parse(ProxyProtocol::V1, text.as_bytes())
}

#[expect(clippy::unnecessary_wraps, reason = "as the parser answers")]
fn header(proxied: Option<Proxied>, length: usize) -> Result<Parsed, ProxyError> {
    Ok(Parsed::Header { header: Header { proxied }, length })
}

#[test]
fn lines_of_the_specification_are_read() {
    let line = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
    let all = tcp("255.255.255.255:65535", "255.255.255.255:65535");
    assert_eq!(v1(line), header(all, line.len()));
    let six = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let line = std::format!("PROXY TCP6 {six} {six} 65535 65535\r\n");
    let end = std::format!("[{six}]:65535");
    assert_eq!(v1(&line), header(tcp(&end, &end), line.len()));
    assert_eq!(v1("PROXY UNKNOWN\r\n"), header(None, 15));
    let long = std::format!("PROXY UNKNOWN {six} {six} 65535 65535\r\n");
    assert_eq!((long.len(), v1(&long)), (107, header(None, 107)));
    let line = "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n";
    assert_eq!(v1(line), header(tcp("192.168.0.1:56324", "192.168.0.11:443"), 47));
}

#[test]
fn broken_lines_are_refused() {
    for rest in [
        "TCP4 1.2.3.4 5.6.7.8 1 65536",
        "TCP4 1.2.3.4 5.6.7.8 1 -1",
        "TCP4 1.2.3.4 5.6.7.8 +1 1",
        "TCP4 1.2.3.4 5.6.7.8 01 1",
        "TCP4 1.2.3.4 5.6.7.8 1",
        "TCP4 1.2.3.4 5.6.7.8 1 1 ",
        "TCP4 1.2.3.4 5.6.7.8 1 1 1",
        "TCP4  1.2.3.4 5.6.7.8 1 1",
        "TCP4 ::1 5.6.7.8 1 1",
        "TCP6 1.2.3.4 ::1 1 1",
        "TCP4 1.2.3 5.6.7.8 1 1",
        "TCP4 01.2.3.4 5.6.7.8 1 1",
        "TCP5 1.2.3.4 5.6.7.8 1 1",
        "UDP4 1.2.3.4 5.6.7.8 1 1",
        "UNKNOWN1",
        "unknown",
        "TCP4 1.2.3.4 5.6.7.8 1 1\n",
        "TCP4 1.2.3.4 5.6.7.8\0 1 1",
        "",
    ] {
        assert_eq!(v1(&std::format!("PROXY {rest}\r\n")), Err(ProxyError::Line), "{rest:?}");
    }
    assert_eq!(v1("GET / HTTP/1.1\r\n"), Err(ProxyError::NoHeader));
    assert_eq!(v1("PROXY\tTCP4"), Err(ProxyError::NoHeader));
    assert_eq!(v1("proxy "), Err(ProxyError::NoHeader));
    let endless = std::format!("PROXY UNKNOWN {}", "x".repeat(93));
    assert_eq!((endless.len(), v1(&endless)), (107, Err(ProxyError::TooLong)));
    let late = std::format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!((late.len(), v1(&late)), (108, Err(ProxyError::TooLong)));
    assert_eq!(parse(ProxyProtocol::Off, b"PROXY UNKNOWN\r\n"), Err(ProxyError::Off));
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

fn read_v2(command: u8, family: u8, body: &[u8]) -> Result<Parsed, ProxyError> {
    parse(ProxyProtocol::V2, &v2(command, family, body))
}

const FOUR: [u8; 12] = [10, 0, 0, 1, 10, 0, 0, 2, 0x1f, 0x90, 1, 0xbb];

#[test]
fn binary_headers_are_read_and_tlvs_passed_over() {
    assert_eq!(read_v2(0x21, 0x11, &FOUR), header(tcp("10.0.0.1:8080", "10.0.0.2:443"), 28));
    let with_tlvs = [&FOUR[..], &[4, 0, 1, 9], &[0x20, 0, 0]].concat();
    assert_eq!(read_v2(0x21, 0x11, &with_tlvs), header(tcp("10.0.0.1:8080", "10.0.0.2:443"), 35));
    let six = [[0x20; 16], [0x30; 16]].concat();
    let proxied = read_v2(0x21, 0x22, &[&six[..], &[0, 1, 0, 2]].concat()).unwrap();
    let Parsed::Header { header: Header { proxied: Some(proxied) }, length: 52 } = proxied else {
        unreachable!("{proxied:?}")
    };
    assert_eq!((proxied.protocol, proxied.source.port()), (Protocol::Udp, 1));
    assert_eq!(proxied.destination, socket("[3030:3030:3030:3030:3030:3030:3030:3030]:2"));
}

#[test]
fn headers_that_say_nothing_about_the_client_are_taken_as_such() {
    assert_eq!(read_v2(0x20, 0x00, &[]), header(None, 16));
    assert_eq!(read_v2(0x20, 0x11, &FOUR), header(None, 28), "LOCAL: the addresses do not count");
    assert_eq!(read_v2(0x20, 0xff, &[1, 2, 3]), header(None, 19), "nor does anything else");
    assert_eq!(read_v2(0x21, 0x00, &[1, 2, 3]), header(None, 19));
    assert_eq!(read_v2(0x21, 0x31, &[0; 216]), header(None, 232), "a UNIX socket");
}

#[test]
fn broken_binary_headers_are_refused() {
    assert_eq!(read_v2(0x11, 0x11, &FOUR), Err(ProxyError::Version(1)));
    assert_eq!(read_v2(0x22, 0x11, &FOUR), Err(ProxyError::Command(2)));
    assert_eq!(read_v2(0x21, 0x13, &FOUR), Err(ProxyError::Family(0x13)));
    assert_eq!(read_v2(0x21, 0x41, &FOUR), Err(ProxyError::Family(0x41)));
    assert_eq!(read_v2(0x21, 0x10, &FOUR), Err(ProxyError::Family(0x10)));
    assert_eq!(read_v2(0x21, 0x11, &FOUR[..11]), Err(ProxyError::TooShort));
    assert_eq!(read_v2(0x21, 0x21, &FOUR), Err(ProxyError::TooShort));
    assert_eq!(read_v2(0x21, 0x31, &[0; 215]), Err(ProxyError::TooShort));
    for tlvs in [&[1][..], &[1, 0], &[1, 0, 1], &[1, 0xff, 0xff, 0], &[1, 0, 1, 0, 2]] {
        assert_eq!(read_v2(0x21, 0x11, &[&FOUR[..], tlvs].concat()), Err(ProxyError::Tlv));
    }
    let huge = std::vec![0; PROXY_V2_BYTES_MAX - 15];
    assert_eq!(read_v2(0x21, 0x11, &huge), Err(ProxyError::TooLong));
    assert_eq!(parse(ProxyProtocol::V2, b"PROXY TCP4 "), Err(ProxyError::NoHeader));
    assert_eq!(parse(ProxyProtocol::V1, &v2(0x21, 0x11, &FOUR)), Err(ProxyError::NoHeader));
}

/// Every beginning of a header asks for more, and never for more than the header has.
fn check_beginnings(version: ProxyProtocol, bytes: &[u8]) {
    let Ok(Parsed::Header { length, .. }) = parse(version, bytes) else {
        unreachable!("{bytes:?}")
    };
    for cut in 0..length {
        match parse(version, &bytes[..cut]) {
            Ok(Parsed::NeedMore { bytes }) => assert!(cut < bytes && bytes <= length, "at {cut}"),
            other => unreachable!("{cut} of {length} bytes: {other:?}"),
        }
    }
}

#[test]
fn what_is_written_is_read_again_at_any_cut() {
    let sockets = ["10.0.0.1:80", "[2001:db8::7]:65535", "255.255.255.255:0", "[::ffff:1.2.3.4]:9"];
    for source in sockets.map(socket) {
        for destination in sockets.map(socket) {
            let (mut one, mut two) = ([0; V1_BYTES_MAX], [0; V2_BYTES]);
            let one_length = write_v1(Some((source, destination)), &mut one);
            let two_length = write_v2(Protocol::Udp, Some((source, destination)), &mut two);
            let read = |version, bytes: &[u8]| match parse(version, bytes) {
                Ok(Parsed::Header { header: Header { proxied: Some(proxied) }, length }) => {
                    assert_eq!(length, bytes.len());
                    let canonical = |s: SocketAddr| (s.ip().to_canonical(), s.port());
                    assert_eq!(canonical(proxied.source), canonical(source));
                    assert_eq!(canonical(proxied.destination), canonical(destination));
                    proxied.protocol
                }
                other => unreachable!("{other:?}"),
            };
            assert_eq!(read(ProxyProtocol::V1, &one[..one_length]), Protocol::Tcp);
            assert_eq!(read(ProxyProtocol::V2, &two[..two_length]), Protocol::Udp);
            check_beginnings(ProxyProtocol::V1, &one[..one_length]);
            check_beginnings(ProxyProtocol::V2, &two[..two_length]);
        }
    }
    let (mut one, mut two) = ([0; V1_BYTES_MAX], [0; V2_BYTES]);
    let length = write_v1(None, &mut one);
    assert_eq!(parse(ProxyProtocol::V1, &one[..length]), header(None, length));
    let length = write_v2(Protocol::Tcp, None, &mut two);
    assert_eq!(parse(ProxyProtocol::V2, &two[..length]), header(None, 16));
}
