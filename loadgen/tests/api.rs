// SPDX-License-Identifier: Apache-2.0
//! Every row of `api`, small, on the real server as a process of its own: all hold.

mod kit;

use berth_loadgen::api::rows;
use kit::{Figures, server, told};
use std::process::Output;

fn api(flags: &[&str]) -> Output {
    kit::run("api", flags)
}

#[test]
fn every_row_holds() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = (folder.path().join("figures.json"), folder.path().join("page.html"));
    let data = folder.path().join("data");
    let [server, json_path, html_path, data_path] =
        [&server, &json, &html, &data].map(|path| path.to_str().unwrap());
    let flags = ["--quick", "--server", server, "--data", data_path];
    let files = ["--json", json_path, "--html", html_path];
    let output = api(&[&flags[..], &files[..]].concat());
    let text = told(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let figures = Figures::read(&json);
    let value = |row: &str, metric: &str| figures.value(row, metric);
    for row in rows::ALL {
        assert_eq!(value(row.name, "failures"), 0.0);
    }
    for (row, metric) in [
        ("create-64", "per_second"),
        ("create-1", "p50_us"),
        ("create-1/append", "p50_us"),
        ("create-1/prepared/ratio", "p50_us"),
        ("get-64/bytes/ratio", "per_second"),
        ("patch-64", "p99_us"),
        ("list/bytes", "p50_us"),
        ("list", "selected_p50_us"),
        ("mixed", "one_p99_us"),
        ("fan-out", "deliveries_per_second"),
        ("fan-out", "half_p99_us"),
        ("routing/10 watchers", "writes_per_second"),
        ("start", "killed_us"),
        ("idle", "resident_mib"),
    ] {
        assert!(value(row, metric) > 0.0, "{row} {metric}");
    }
    assert!(std::fs::read_to_string(html).unwrap().ends_with("</html>\n"));
    assert_eq!(std::fs::read_dir(data).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn wrong_input_says_what_to_do() {
    for (flags, want) in [
        (&["--row", "creates"][..], "there is no row \"creates\"; --list-rows lists them"),
        (&["--server", "nowhere/berth"], "nowhere/berth is not there"),
        (&["--connect", "http://x:1", "--kubeconfig", "k"], "must begin with https://"),
        (&["--connect", "https://127.0.0.1:9", "--kubeconfig", "nowhere"], "cannot read nowhere"),
    ] {
        let output = api(flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", told(&output));
        assert!(told(&output).contains(want), "{flags:?}: {}", told(&output));
    }
}

#[test]
fn a_program_that_is_no_server_is_told_from_one() {
    let output = api(&["--row", "idle", "--quick", "--server", "/bin/false"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("berth apiserver failed (exit status: 1)"), "{}", told(&output));
}
