// SPDX-License-Identifier: Apache-2.0
//! The engine agrees with upstream's recorded verdicts, all of them, in every detail.

use berth_scheduler_oracle::EngineOracle;
use berth_scheduler_testkit::{Report, open};
use std::path::Path;

fn compare(file: &str, total: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/oracle").join(file);
    let mut scheduler = EngineOracle::new(7);
    let mut report = Report::default();
    for record in open(path).expect("the test data can be opened") {
        report.compare(&record.expect("the test data can be read"), &mut scheduler);
    }
    report.disagreements.truncate(4);
    assert!(report.is_agreed(), "{report}");
    assert_eq!(report.total, total);
}

#[test]
fn cases() {
    compare("cases.jsonl.gz", 2_000);
}

#[test]
fn sequences() {
    compare("sequences.jsonl.gz", 9_917);
}

#[test]
fn preemption() {
    compare("preemption.jsonl.gz", 300);
}
