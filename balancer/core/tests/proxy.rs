// SPDX-License-Identifier: Apache-2.0
//! The fuzzer's target on random bytes and on broken headers, for machines without a fuzzer.

mod any;

use berth_balancer_core::Random;

fn byte(random: &mut Random) -> u8 {
    u8::try_from(random.below(256)).expect("a byte")
}

fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(body.len()).expect("short").to_be_bytes());
    bytes.extend(body);
    bytes
}

#[test]
fn broken_headers_give_an_answer() {
    let four = [10, 0, 0, 1, 10, 0, 0, 2, 0x1f, 0x90, 1, 0xbb];
    let valid: [Vec<u8>; 6] = [
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nHello".to_vec(),
        b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n".to_vec(),
        b"PROXY UNKNOWN whatever\r\n".to_vec(),
        binary(0x21, 0x11, &[&four[..], &[4, 0, 2, 9, 9], &[5, 0, 0]].concat()),
        binary(0x21, 0x22, &[7; 60]),
        binary(0x20, 0x00, &[1; 9]),
    ];
    let mut random = Random::new(5);
    for _ in 0..300_000 {
        let mut bytes = valid[random.below(6) as usize].clone();
        for _ in 0..random.below(4) {
            let length = u32::try_from(bytes.len()).expect("short");
            let at = random.below(length) as usize;
            match random.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, byte(&mut random)),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ => {
                    if let Some(place) = bytes.get_mut(at) {
                        *place = byte(&mut random);
                    }
                }
            }
        }
        any::proxy(&bytes);
    }
}

#[test]
fn any_bytes_give_an_answer() {
    let mut random = Random::new(6);
    for _ in 0..100_000 {
        let bytes: Vec<u8> = (0..random.below(300)).map(|_| byte(&mut random)).collect();
        any::proxy(&bytes);
        // The same behind a head that is right.
        let version = binary(0x20 | u8::from(bytes.len().is_multiple_of(2)), 0x11, &bytes);
        any::proxy(&version);
        any::proxy(&[b"PROXY TCP4 ", &bytes[..]].concat());
    }
}
