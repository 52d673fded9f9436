// SPDX-License-Identifier: Apache-2.0
//! The books against a naive model, and their file against what can happen to it.

use super::*;
use std::collections::BTreeSet;
use std::fs;

const SECOND: i64 = 1_000_000;

fn range(text: &str) -> Range {
    text.parse().unwrap()
}

#[test]
fn addresses_follow_each_other_and_rest_before_they_come_again() {
    let mut book = Book::new(range("10.1.0.0/29")).unwrap();
    let take =
        |book: &mut Book, uid: &str, now: i64| book.take(uid, now).map(|one| one.octets()[3]);
    let all: Vec<u8> = ["a", "b", "c", "d", "e"].map(|uid| take(&mut book, uid, 0).unwrap()).into();
    assert_eq!(all, [2, 3, 4, 5, 6], "not the range's name, the bridge, the broadcast");
    assert_eq!(take(&mut book, "b", 1), Ok(3), "asked again");
    let full = TakeError::Exhausted { range: book.range(), taken: 5, resting: 0 };
    assert_eq!(book.take("f", 1), Err(full));
    assert_eq!(book.give_back("c", SECOND), Some([10, 1, 0, 4].into()));
    assert_eq!(book.give_back("c", SECOND), None);
    let resting = TakeError::Exhausted { range: book.range(), taken: 4, resting: 1 };
    assert_eq!(book.take("f", SECOND + REST_MICROS - 1), Err(resting));
    assert_eq!(take(&mut book, "f", SECOND + REST_MICROS), Ok(4));
}

#[test]
fn a_clock_that_is_set_back_delays_by_a_minute_at_most() {
    let mut book = Book::new(range("10.1.0.0/30")).unwrap();
    book.take("a", 0).unwrap();
    book.give_back("a", 9_000 * SECOND);
    assert!(book.take("b", 10 * SECOND).is_err());
    assert!(book.take("b", 69 * SECOND).is_err());
    assert_eq!(book.take("b", 70 * SECOND), Ok([10, 1, 0, 2].into()));
}

#[test]
fn what_the_engine_has_is_put_down() {
    let mut book = Book::new(range("10.1.0.0/24")).unwrap();
    let at = |last: u8| Ipv4Addr::new(10, 1, 0, last);
    assert_eq!(book.take("a", 0), Ok(at(2)));
    book.adopt("a", at(9), 0).unwrap();
    assert_eq!((book.get("a"), book.take("b", 0)), (Some(at(9)), Ok(at(3))));
    book.adopt("a", at(9), 0).unwrap();
    book.give_back("a", 0);
    book.adopt("c", at(9), 1).expect("it rests, but the engine has it");
    assert_eq!(
        book.adopt("d", at(9), 1),
        Err(AdoptError::Taken { address: at(9), by: "c".to_owned() })
    );
    for outside in [at(0), at(1), at(255), [10, 1, 1, 2].into()] {
        assert!(
            matches!(book.adopt("d", outside, 1), Err(AdoptError::Outside { .. })),
            "{outside}"
        );
    }
    for uid in ["", "a b", "a\nb", "ä", &"a".repeat(129)] {
        assert!(matches!(book.take(uid, 0), Err(TakeError::Uid { .. })), "{uid:?}");
        assert!(matches!(book.adopt(uid, at(7), 0), Err(AdoptError::Uid { .. })), "{uid:?}");
    }
    for wrong in ["10.0.0.0/15", "10.0.0.0/31", "0.0.0.0/0"] {
        assert_eq!(Book::new(range(wrong)), Err(SizeError(range(wrong))));
    }
}

/// Numbers that look random, from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[test]
fn no_address_has_two_pods_or_comes_too_early_whatever_happens() {
    for seed in 0..200 {
        let mut chance = Chance(seed);
        let mut book = Book::new(range("10.1.0.0/28")).unwrap();
        let (mut naive, mut freed, mut now) = (BTreeMap::new(), BTreeMap::new(), 0);
        for step in 0..300 {
            let uid = format!("u-{}", chance.below(20));
            now += i64::try_from(chance.below(20)).unwrap() * SECOND;
            match chance.below(3) {
                0 => {
                    let rests = |since: &i64| now - since < REST_MICROS;
                    let resting: BTreeSet<Ipv4Addr> = freed
                        .iter()
                        .filter(|(_, since)| rests(since))
                        .map(|(one, _)| *one)
                        .collect();
                    let taken: BTreeSet<Ipv4Addr> = naive.values().copied().collect();
                    match book.take(&uid, now) {
                        Ok(address) if naive.contains_key(&uid) => assert_eq!(naive[&uid], address),
                        Ok(address) => {
                            assert!(!taken.contains(&address), "seed {seed}, step {step}: twice");
                            assert!(!resting.contains(&address), "seed {seed}, step {step}: early");
                            naive.insert(uid, address);
                        }
                        Err(_) => assert_eq!(
                            taken.union(&resting).count(),
                            13,
                            "seed {seed}, step {step}"
                        ),
                    }
                }
                1 => {
                    let address = naive.remove(&uid);
                    assert_eq!(book.give_back(&uid, now), address);
                    freed.extend(address.map(|address| (address, now)));
                }
                _ => {
                    let text = text::write(&book);
                    assert_eq!(text::read(&text).as_ref(), Ok(&book), "seed {seed}, step {step}");
                }
            }
            assert!(book.iter().eq(naive.iter().map(|(uid, address)| (uid.as_str(), *address))));
        }
    }
}

#[test]
fn a_file_keeps_the_books_and_anything_else_in_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("addresses");
    let wide = range("10.1.0.0/24");
    let open = |range| AddressBook::open(&path, range);
    let (book, opened) = open(wide).unwrap();
    assert_eq!(opened, Opened::New);
    let [a, b] = ["a", "b"].map(|uid| book.take(uid, 0).unwrap());
    book.give_back("a", 0).unwrap();
    let (book, opened) = open(wide).unwrap();
    assert_eq!((opened, book.get("a"), book.get("b")), (Opened::Kept, None, Some(b)));
    assert_ne!(book.take("c", SECOND).unwrap(), a, "it rests over a restart, too");
    assert_eq!(book.uids(), ["b", "c"]);
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(matches!(open(wide).unwrap().1, Opened::Unreadable(_)), "cut at {cut}");
    }
    for at in 0..whole.len() {
        let mut other = whole.clone();
        other[at] ^= 1;
        fs::write(&path, other).unwrap();
        assert!(matches!(open(wide).unwrap().1, Opened::Unreadable(_)), "byte {at}");
    }
    assert!(folder.path().join("addresses.bad").exists());
    fs::write(&path, &whole).unwrap();
    let (book, opened) = open(range("10.2.0.0/24")).unwrap();
    assert_eq!((opened, book.uids().len()), (Opened::OtherRange(wide), 0));
}

#[test]
fn lines_that_were_made_by_others_are_refused() {
    let end = |body: &str| {
        format!("{body}end {} {:016x}\n", body.lines().count(), digest(body.as_bytes()))
    };
    let head = "berth-addresses 1 10.1.0.0/24 10.1.0.1\n";
    assert!(text::read(&end(head)).is_ok());
    for lines in [
        "taken 10.1.0.2 a\ntaken 10.1.0.2 b\n",
        "taken 10.1.0.2 a\ntaken 10.1.0.3 a\n",
        "taken 10.1.0.2 a\nresting 10.1.0.2 1\n",
        "taken 10.1.0.1 a\n",
        "taken 10.9.0.2 a\n",
        "taken 10.1.0.2 a b\n",
        "taken 10.1.0.2 ../a\n",
        "resting 10.1.0.2 soon\n",
        "other 10.1.0.2 a\n",
        "\n",
    ] {
        assert!(text::read(&end(&format!("{head}{lines}"))).is_err(), "{lines:?}");
    }
    assert!(text::read(&end("berth-addresses 2 10.1.0.0/24 10.1.0.1\n")).is_err());
    assert!(text::read(&end("berth-addresses 1 0.0.0.0/0 10.1.0.1\n")).is_err());
}

#[test]
fn a_change_that_cannot_be_written_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("addresses");
    let (book, _) = AddressBook::open(&path, range("10.1.0.0/24")).unwrap();
    fs::create_dir(folder.path().join("addresses.new")).unwrap();
    assert!(matches!(book.take("a", 0), Err(BookError::File { .. })));
    assert_eq!(book.get("a"), None);
    fs::remove_dir(folder.path().join("addresses.new")).unwrap();
    assert_eq!(book.take("a", 0).unwrap(), Ipv4Addr::new(10, 1, 0, 2));
}
