// SPDX-License-Identifier: Apache-2.0
//! `schedule` against a service that is right, and against ones that are wrong: each fault is found, and only that.

mod fake;

use berth_loadgen::report::row::RowReport;
use berth_loadgen::schedule::phase::{Shape, Until};
use berth_loadgen::schedule::rows::{Mode, Scenario, SpecForm, by_name};
use berth_loadgen::schedule::run::{Plan, row};
use berth_loadgen::{Error, cli, progress};
use clap::Parser;
use fake::Fault;
use std::time::Duration;

const STREAM: Shape = Shape::Stream { batch: 8, window: 32 };
const UNARY: Shape = Shape::Unary { in_flight: 16, release_batch: 4 };

/// Runs a row of 40 nodes on a fake service.
async fn run(fault: Fault, name: &str, mode: Mode) -> Result<RowReport, Error> {
    let address = fake::start(fault).await;
    let line = ["berth-loadgen", "schedule", "--connect", &format!("http://{address}")];
    let cli::Command::Schedule(args) = berth_loadgen::Cli::parse_from(line).command else {
        unreachable!("the line says schedule");
    };
    let scenario: Scenario = by_name(name).expect("the row is there");
    let plan = Plan {
        scenario: &scenario,
        mode,
        nodes: 40,
        fill: 70,
        seed: 3,
        warm_up: Duration::from_millis(5),
        until: Until::Pods(600),
        target: &args.target,
        data: None,
    };
    Box::pin(row(&plan, &progress::bar(1_000, name))).await
}

fn mode(shape: Shape) -> Mode {
    Mode { shape, rate: None, spec: SpecForm::Full, durable: false }
}

/// What went wrong, in one text.
async fn notes(fault: Fault, shape: Shape) -> String {
    let report = run(fault, "basic", mode(shape)).await.expect("the run comes to its end");
    assert!(!report.passed(), "{fault:?}");
    report.notes.join("\n")
}

#[tokio::test]
async fn a_service_that_is_right_passes() {
    for shape in [STREAM, UNARY, Shape::Stream { batch: 1, window: 64 }] {
        for (name, spec) in [
            ("basic", SpecForm::Full),
            ("classes-100", SpecForm::Template),
            ("never-seen-labels", SpecForm::Full),
        ] {
            let mode = Mode { spec, ..mode(shape) };
            let report = run(Fault::None, name, mode).await.unwrap();
            assert!(report.passed(), "{name}: {:#?}", report.notes);
            assert_eq!((report.answers, report.placed, report.refused), (600, 600, 0));
            assert!(report.filled > 1_000, "{}", report.filled);
            assert!(report.latency.p50 > 0.0 && report.latency.p50 <= report.latency.max);
            assert!(report.spec_bytes.0 >= 300);
        }
    }
}

#[tokio::test]
async fn an_open_loop_keeps_its_rate() {
    for shape in [STREAM, UNARY] {
        let mode = Mode { rate: Some(4_000.0), ..mode(shape) };
        let report = run(Fault::None, "basic", mode).await.unwrap();
        assert!(report.passed(), "{:#?}", report.notes);
        // 600 pods at 4,000 a second; a machine under load may be late, never early.
        assert!(report.seconds >= 0.14, "{}", report.seconds);
    }
}

#[tokio::test]
async fn what_is_not_taken_up_is_sent_again() {
    for (fault, shape) in
        [(Fault::Overload, STREAM), (Fault::Overload, UNARY), (Fault::OverloadStatus, UNARY)]
    {
        let report = run(fault, "basic", mode(shape)).await.unwrap();
        assert!(report.passed(), "{fault:?}: {:#?}", report.notes);
        assert!(report.not_accepted > 0);
    }
}

#[tokio::test]
async fn refusals_are_wanted_in_one_row_only() {
    let report = run(Fault::None, "unschedulable", mode(STREAM)).await.unwrap();
    assert!(report.passed(), "{:#?}", report.notes);
    assert_eq!((report.placed, report.answers), (0, 600));
    assert!(report.refused >= 600);
    for shape in [STREAM, UNARY] {
        let text = notes(Fault::Refuse, shape).await;
        assert!(text.contains("a refusal though a node would take the pod"), "{text}");
        assert!(text.contains("0/40 nodes are available: 40 Insufficient cpu."), "{text}");
    }
}

#[tokio::test]
async fn every_fault_is_found() {
    for shape in [STREAM, UNARY] {
        for (fault, want) in [
            (Fault::Overcommit, "more CPU than the node has"),
            (Fault::UnknownNode, "a node that was never registered: \"elsewhere\""),
            (Fault::Conflict, "was answered by Some(Conflict"),
            (Fault::Repeated, "repeated: true"),
            (Fault::ForgetPods, "is not known at its release"),
            (Fault::Lists, "1 pods that are placed are not listed"),
        ] {
            let text = notes(fault, shape).await;
            assert!(text.contains(want), "{fault:?}: {text}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_ends_breaks_the_row_off() {
    let error = run(Fault::EndStream, "basic", mode(STREAM)).await.unwrap_err();
    assert!(matches!(error, Error::StreamEnded), "{error:?}");
    assert!(!error.is_about_the_run());
}
