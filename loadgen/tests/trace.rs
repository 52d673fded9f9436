// SPDX-License-Identifier: Apache-2.0
//! `schedule --trace` on a trace of eight pods, as a process, against a service of first fit.

mod fake;

use fake::Fault;
use std::path::Path;
use std::process::{Command, Output};

async fn replay(fault: Fault, list: &str, flags: &[&str]) -> Output {
    let address = fake::start(fault).await.to_string();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trace");
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth-loadgen"));
    command.args(["schedule", "--connect", &address, "--pods-file", list, "--trace"]);
    command.arg(folder).args(flags);
    let run = tokio::task::spawn_blocking(move || command.output().expect("the binary runs"));
    run.await.expect("it was not cancelled")
}

fn text(output: Output, status: i32) -> String {
    let told = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(status), "{told}{errors}");
    told + &errors
}

/// Without what the clock says.
fn steady(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("latency"));
    let told = lines.map(|line| line.split(" in 0.").next().unwrap_or_default().trim_end());
    told.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_wait_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("figures.json");
    let html = folder.path().join("page.html");
    let flags = ["--json", json.to_str().unwrap(), "--html", html.to_str().unwrap()];
    let output = replay(Fault::None, "small_pod_list_cpu.csv", &flags).await;
    let want = "\
small_pod_list_cpu: 8 pods on 3 nodes, replayed as fast as answers came

        utilisation over time                                                 mean    peak
cpu     ▄▄▇▇████████████████████▇▇▇▇▇▇▇▇▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▁    58.01% 100.00%
memory  ▂▂▄▄▅▅▅▅▅▅▅▅▅▅▅▅████████▇▇▇▇▇▇▇▇▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▁     4.38%   7.81%
gpu     ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁     0.00%   0.00%

      time   running  waiting    cpu % memory %    gpu % gpu asked %
       0 s         1        0    40.00     1.56     0.00        0.00
      26 s         3        1   100.00     4.69     0.00        0.00
      53 s         3        3   100.00     4.69     0.00        0.00
      80 s         3        4   100.00     4.69     0.00        0.00
     106 s         4        1   100.00     7.81     0.00        0.00
     133 s         4        1   100.00     7.81     0.00        0.00
     160 s         3        1    80.00     6.25     0.00        0.00
     186 s         3        1    80.00     6.25     0.00        0.00
     213 s         2        1    40.00     4.69     0.00        0.00
     240 s         2        1    40.00     4.69     0.00        0.00
     266 s         2        1    40.00     4.69     0.00        0.00
     293 s         2        1    40.00     4.69     0.00        0.00
     320 s         1        1    10.00     1.56     0.00        0.00
     346 s         1        1    10.00     1.56     0.00        0.00
     373 s         1        0    10.00     1.56     0.00        0.00
     400 s         0        0     0.00     0.00     0.00        0.00

placed at once          4
placed later            2  after 70 s of the trace on average, 80 s at most
never placed            2  ended by the trace while they waited
refused                 4  when they came
  4 x 0/3 nodes are available: 3 Insufficient cpu.
books                   0  hold: no node overcommitted, no rule broken";
    assert_eq!(steady(&text(output, 0)), want);
    let figures = std::fs::read_to_string(&json).unwrap();
    for metric in ["placements_per_second", "refused", "violations", "latency_p99_us"] {
        let wanted = format!("\"small_pod_list_cpu\", \"metric\": \"{metric}\"");
        assert!(figures.contains(&wanted), "{figures}");
    }
    let page = std::fs::read_to_string(&html).unwrap();
    assert_eq!(page.matches("<svg").count(), 3, "{page}");
    assert!(!page.contains("NaN"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_without_room_are_dropped_when_asked_for() {
    let output = replay(Fault::None, "small_pod_list_cpu.csv", &["--drop"]).await;
    let told = text(output, 0);
    assert!(
        told.contains("placed at once          4\ndropped                 4  (--drop)"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_overcommits_gpus_is_found_out() {
    let told = text(replay(Fault::None, "small_pod_list_gpu.csv", &[]).await, 1);
    assert!(told.contains("more of an extended resource than the node has"), "{told}");
    assert!(told.contains("-400 berth.dev/gpu-milli") || told.contains("0 berth.dev"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_not_there_is_named() {
    let told = text(replay(Fault::None, "other.csv", &[]).await, 2);
    assert!(told.contains("has no other.csv; --pods-file NAME takes another one:"), "{told}");
    assert!(told.contains("small_pod_list_cpu.csv, small_pod_list_gpu.csv"), "{told}");
}
