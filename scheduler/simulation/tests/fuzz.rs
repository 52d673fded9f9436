// SPDX-License-Identifier: Apache-2.0
//! The fuzzers' targets on random bytes, for machines without a fuzzer.

use berth_scheduler_simulation::{Rng, fuzz};

fn bytes(rng: &mut Rng, most: usize) -> Vec<u8> {
    let count = rng.below(most);
    (0..count).map(|_| u8::try_from(rng.below(256)).expect("a byte")).collect()
}

#[test]
fn events() {
    for seed in 0..300 {
        fuzz::events(&bytes(&mut Rng::new(seed), 4_096));
    }
}

#[test]
fn quantities() {
    const PARTS: [&str; 30] = [
        "0",
        "1",
        "9",
        "10",
        "007",
        "999999",
        "4503599627370496",
        ".",
        ".5",
        "-",
        "+",
        "e",
        "E",
        "e3",
        "E-2",
        "m",
        "u",
        "n",
        "k",
        "M",
        "G",
        "Ki",
        "Mi",
        "Gi",
        "Ti",
        "Pi",
        "Ei",
        "P",
        "T",
        " ",
    ];
    let mut rng = Rng::new(1);
    for _ in 0..200_000 {
        let mut text = String::new();
        for _ in 0..rng.between(1, 5) {
            text.push_str(PARTS[rng.below(PARTS.len())]);
        }
        fuzz::quantities(text.as_bytes());
        fuzz::quantities(&bytes(&mut rng, 12));
    }
}

#[test]
fn selectors() {
    for seed in 0..100 {
        fuzz::selectors(&bytes(&mut Rng::new(seed), 4_096));
    }
}
