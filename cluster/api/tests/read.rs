// SPDX-License-Identifier: Apache-2.0
//! Tests of the readers.

use berth_cluster_api::read::{DEPTH_MAX, ReadError, json, yaml};
use berth_cluster_json::{Value, json};

#[test]
fn repeated_fields_are_told_and_the_last_one_counts() {
    let read =
        json(br#"{"data":{"a":1,"a":2},"l":[{"x":1},{"y":1,"y":2,"y":3}],"data":{}}"#).unwrap();
    assert_eq!(read.duplicates, ["data.a", "l[1].y", "data"]);
    assert_eq!(read.value, json!({ "data": {}, "l": [{ "x": 1 }, { "y": 3 }] }));
    let read = yaml(b"data:\n  a: 1\n  a: 2\n").unwrap();
    assert_eq!(
        (read.value, read.duplicates),
        (json!({ "data": { "a": 2 } }), vec!["data.a".to_owned()])
    );
}

#[test]
fn what_is_no_json_is_refused_and_what_is_odd_is_kept() {
    for bad in [
        "",
        "{",
        "nul",
        "{\"a\":NaN}",
        "1e400",
        "\"\\ud800\"",
        "{} x",
        "[1,]",
        "{\"a\" 1}",
        "\u{feff}{}",
        "<x>",
    ] {
        assert!(matches!(json(bad.as_bytes()), Err(ReadError::Syntax(_))), "{bad}");
    }
    assert!(json(b"\"\xff\"").is_err());
    for (odd, value) in [
        ("null", Value::Null),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("\"\\u0000\"", json!("\0")),
        ("1.50", json!(1.5)),
    ] {
        assert_eq!(json(odd.as_bytes()).unwrap().value, value);
    }
}

#[test]
fn deep_nesting_ends_on_a_small_stack() {
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let run = small.spawn(|| {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let of = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(json(of(DEPTH_MAX).as_bytes()).is_ok());
            assert_eq!(json(of(DEPTH_MAX + 1).as_bytes()), Err(ReadError::TooDeep));
            assert!(json(open.repeat(1_500_000).as_bytes()).is_err());
        }
        assert!(yaml("[".repeat(200_000).as_bytes()).is_err());
    });
    run.unwrap().join().unwrap();
}

#[test]
fn yaml_says_what_json_can_say_and_no_bomb_unfolds() {
    let read = yaml(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: \"b\"\n  n: |\n    x\n    y\n").unwrap();
    assert_eq!(
        read.value,
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "a": "b", "n": "x\ny\n" } })
    );
    assert_eq!(yaml(b"a: &x [1, 2]\nb: *x\n").unwrap().value, json!({ "a": [1, 2], "b": [1, 2] }));
    let level = |level: u32| {
        let one = if level == 0 { "x".to_owned() } else { format!("*a{}", level - 1) };
        format!("a{level}: &a{level} [{}]\n", vec![one; 9].join(", "))
    };
    let bomb: String = (0..9).map(level).collect();
    assert!(yaml(bomb.as_bytes()).is_err());
    assert!(yaml(b"\xff\xfe").is_err());
}

#[test]
fn no_bytes_break_a_reader() {
    let mut seed = 1_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap()
    };
    let words = [
        "{",
        "}",
        "[",
        "]",
        "\"a\"",
        ":",
        ",",
        "1",
        "-",
        "\\u",
        "&x",
        "*x",
        "\n",
        "  ",
        "null",
        "|",
        "\u{1F600}",
        "#",
    ];
    for _ in 0..20_000 {
        let length = next() % 24;
        let text: String = (0..length).map(|_| words[next() % words.len()]).collect();
        for read in [json(text.as_bytes()), yaml(text.as_bytes())].into_iter().flatten() {
            let again = json(read.value.to_string().as_bytes()).unwrap();
            assert_eq!(again.value, read.value, "{text:?}");
        }
    }
}
