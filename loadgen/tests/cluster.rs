// SPDX-License-Identifier: Apache-2.0
//! Rows of `cluster`, tiny, on the real program as a process of its own: all hold.

mod kit;

use berth_loadgen::cluster::rows;
use kit::{Figures, server, told};
use std::process::Output;

fn cluster(flags: &[&str]) -> Output {
    kit::run("cluster", flags)
}

#[test]
fn every_quick_row_holds() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = (folder.path().join("figures.json"), folder.path().join("page.html"));
    let data = folder.path().join("data");
    let [server, json_path, html_path, data_path] =
        [&server, &json, &html, &data].map(|path| path.to_str().unwrap());
    let flags = ["--quick", "--kills", "1", "--server", server, "--data", data_path];
    let files = ["--json", json_path, "--html", html_path];
    let output = cluster(&[&flags[..], &files[..]].concat());
    let text = told(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let figures = Figures::read(&json);
    let value = |row: &str, metric: &str| figures.value(row, metric);
    for row in rows::ALL.iter().filter(|row| !row.long) {
        assert_eq!(value(row.name, "failures"), 0.0);
    }
    for row in ["bind", "bind-paced", "affinity", "anti-affinity", "spread", "run", "failover"] {
        for metric in ["bound_twice", "overcommits", "misplaced", "pending", "refused"] {
            assert_eq!(value(row, metric), 0.0, "{row} {metric}");
        }
    }
    assert_eq!(value("bind", "events"), 100.0);
    for (row, metric) in [
        ("bind", "pods_per_second"),
        ("bind", "resident_mib"),
        ("bind-paced", "bound_p99_us"),
        ("run", "running_p50_us"),
        ("deploy", "endpoints_us"),
        ("deploy", "updated_us"),
        ("namespace", "gone_us"),
        ("idle", "resident_mib"),
        ("failover", "bound_p99_us"),
        ("failover", "kills"),
    ] {
        assert!(value(row, metric) > 0.0, "{row} {metric}");
    }
    assert!(std::fs::read_to_string(html).unwrap().ends_with("</html>\n"));
    assert_eq!(std::fs::read_dir(data).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn wrong_input_says_what_to_do() {
    for (flags, want) in [
        (&["--row", "binds"][..], "there is no row \"binds\"; --list-rows lists them"),
        (&["--server", "nowhere/berth"], "nowhere/berth is not there"),
        (&["--nodes", "0"], "must be between 1 and"),
    ] {
        let output = cluster(flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", told(&output));
        assert!(told(&output).contains(want), "{flags:?}: {}", told(&output));
    }
}

#[test]
fn a_program_that_starts_no_cluster_is_told_from_one() {
    let output = cluster(&["--row", "bind", "--quick", "--server", "/bin/false"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("berth up failed (exit status: 1)"), "{}", told(&output));
}
