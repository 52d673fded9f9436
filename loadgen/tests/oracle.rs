// SPDX-License-Identifier: Apache-2.0
//! `oracle`, as a process: what it prints, and its exit status.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn oracle(args: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth-loadgen"));
    command.arg("oracle").args(args).output().expect("the binary runs")
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scheduler/testdata/oracle").join(name)
}

/// The first lines of a file of the test data, plain.
fn excerpt(folder: &Path, name: &str, lines: usize, change: impl Fn(String) -> String) -> PathBuf {
    let packed = File::open(testdata(name)).expect("the test data is there");
    let mut text = String::new();
    let plain: Box<dyn Read> = Box::new(flate2::read::MultiGzDecoder::new(packed));
    for line in BufReader::new(plain).lines().take(lines) {
        text.push_str(&change(line.expect("text")));
        text.push('\n');
    }
    let path = folder.join("excerpt.jsonl");
    std::fs::write(&path, text).expect("a folder for tests can be written");
    path
}

#[test]
fn agreeing_files_pass() {
    let folder = tempfile::tempdir().unwrap();
    let plain = excerpt(folder.path(), "cases.jsonl.gz", 25, |line| line);
    let output = oracle(&[&plain, &testdata("preemption.jsonl.gz")]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("excerpt.jsonl: 25 / 25 agree\n"), "{text}");
    assert!(text.contains("preemption.jsonl.gz: 300 / 300 agree\n"), "{text}");
    assert!(text.ends_with("all files: 325 / 325 agree\n"), "{text}");
}

#[test]
fn a_disagreement_is_printed_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let spoilt = |line: String| {
        let mut case: serde_json::Value = serde_json::from_str(&line).unwrap();
        for total in case["expect"]["total"].as_object_mut().unwrap().values_mut() {
            *total = 1.into();
        }
        case.to_string()
    };
    let file = excerpt(folder.path(), "cases.jsonl.gz", 25, spoilt);
    let output = oracle(&[Path::new("--show"), Path::new("2"), &file]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("upstream says Some(1)"), "{text}");
    assert_eq!(text.lines().count(), 4, "two differences, the rest, and the sum: {text}");
    assert!(text.contains("more differences"), "{text}");
}

#[test]
fn input_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.jsonl");
    std::fs::write(&file, "\n{\"name\": \n").unwrap();
    let output = oracle(&[&file]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("broken.jsonl:2: "), "{text}");

    let output = oracle(&[Path::new("nowhere.jsonl")]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("nowhere.jsonl"), "{text}");
}
