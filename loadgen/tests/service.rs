// SPDX-License-Identifier: Apache-2.0
//! Every row, small, on the real service as a process of its own: all hold.

mod kit;

use berth_loadgen::schedule::rows;
use kit::{Figures, told};
use std::process::Output;

fn schedule(flags: &[&str]) -> Output {
    kit::run("schedule", flags)
}

#[test]
fn every_row_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = (folder.path().join("figures.json"), folder.path().join("page.html"));
    let [json_path, html_path] = [&json, &html].map(|path| path.to_str().unwrap());
    let flags = ["--nodes", "60", "--pods", "1500", "--warm-up", "0.01", "--in-process"];
    let files = ["--json", json_path, "--html", html_path];
    let output = schedule(&[&flags[..], &files[..]].concat());
    let text = told(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let figures = Figures::read(&json);
    let value = |row: &str, metric: &str| figures.value(row, metric);
    for row in rows::all() {
        assert!(text.contains(&format!("\n{} ", row.name)), "{}: {text}", row.name);
        assert_eq!(value(&row.name, "violations"), 0.0);
        assert!(value(&row.name, "decisions_per_second") > 0.0);
        assert!(value(&row.name, "latency_p50_us") <= value(&row.name, "latency_p99_us"));
        assert!(value(&row.name, "spec_bytes_min") >= 300.0);
        let unschedulable = row.name == "unschedulable";
        assert_eq!(value(&row.name, "refused") > 0.0, unschedulable, "{}", row.name);
        assert_eq!(value(&row.name, "placements_per_second") > 0.0, !unschedulable);
        if cfg!(target_os = "linux") {
            assert!(value(&row.name, "resident_mib") > 1.0);
        }
    }
    assert!(std::fs::read_to_string(html).unwrap().ends_with("</html>\n"));
}

#[test]
fn flags_shape_the_load() {
    let common = ["--row", "classes-10", "--nodes", "30", "--pods", "300", "--warm-up", "0"];
    for flags in [
        &["--batch", "1", "--window", "16", "--spec", "template", "--threads", "2"][..],
        &["--unary", "--in-flight", "8", "--release-batch", "1"],
        &["--unary", "--rate", "3000", "--durable", "--fill", "40%", "--seed", "9"],
        &["--batch", "10", "--rate", "5000"],
    ] {
        let output = schedule(&[&common[..], flags].concat());
        assert_eq!(output.status.code(), Some(0), "{flags:?}: {}", told(&output));
    }
}

#[test]
fn a_journal_in_a_folder_stays_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let row = ["--row", "basic", "--nodes", "20", "--pods", "100", "--warm-up", "0"];
    let output = schedule(&[&row[..], &["--data", data]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(folder.path().join("basic").read_dir().unwrap().next().is_some());
    // What is left there belongs to an earlier run: the next one does not mix with it.
    let output = schedule(&[&row[..], &["--data", data]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("already has 20 nodes"), "{}", told(&output));
}

#[test]
fn wrong_input_says_what_to_do() {
    for (flags, want) in [
        (&["--row", "basics"][..], "there is no row \"basics\"; --list-rows lists them"),
        (
            &["--row", "grpc-classes-100-batch-1", "--batch", "2"],
            "so --batch cannot be given; use --row classes-100 --batch ...",
        ),
        (&["--row", "preemption", "--unary"], "leave --unary out"),
        (&["--connect", "http://127.0.0.1:9", "--row", "basic"], "is it running there?"),
        (&["--fill", "200"], "must be between 5 and 95"),
        (&["--nodes", "many"], "not a number"),
        (&["--batch", "9999"], "must be between 1 and 4096"),
        (&["--trace", "nowhere"], "cannot list the folder nowhere"),
        (&["--connect", "127.0.0.1:1", "--tls-ca", "x.pem"], "begins with https://"),
    ] {
        let output = schedule(flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", told(&output));
        assert!(told(&output).contains(want), "{flags:?}: {}", told(&output));
    }
}
