// SPDX-License-Identifier: Apache-2.0
//! Lives of pods, step by step.

use super::*;
use berth_cluster_client::View;
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000;

fn plan() -> Plan {
    let second = Duration::from_secs(1);
    let options = Options {
        start_delay: second,
        start_jitter: Duration::ZERO,
        stop_delay: second,
        ..Options::default()
    };
    Plan::from(&options)
}

fn pod(policy: &str, annotations: &Value, status: &Value) -> Pod {
    let pod = json!({
        "metadata": { "annotations": annotations },
        "spec": { "restartPolicy": policy, "containers": [{ "name": "c", "image": "i" }] },
        "status": status,
    });
    Pod::read(pod.to_string().as_bytes()).unwrap()
}

/// The steps up to a time, each with its time in tenths of a second.
fn steps(pod: &Pod, plan: &Plan, life: &mut Life, until: i64) -> Vec<String> {
    let mut steps = Vec::new();
    while let Some((at, step)) = life.next(pod, plan).filter(|(at, _)| *at <= until) {
        steps.push(format!("{} {step:?}", at / (SECOND / 10)));
        *life = life.after(step, pod, at);
    }
    steps
}

fn told_to_end(mut pod: Pod, within: u32) -> Pod {
    pod.ends_within = Some(within);
    pod
}

#[test]
fn a_pod_is_accepted_runs_and_goes_when_it_is_told_to() {
    let (plan, none) = (plan(), Value::Null);
    let serves = pod("Always", &none, &json!({}));
    let mut life = Life::new(&serves, "u", &plan, 0);
    assert_eq!(steps(&serves, &plan, &mut life, 100 * SECOND), ["0 Accept", "10 Start"]);
    assert!(life.runs() && life.restarts == 0);
    let ends = told_to_end(pod("Always", &none, &json!({})), 30);
    life.see(&ends, 100 * SECOND);
    let last = steps(&ends, &plan, &mut life, i64::MAX);
    assert_eq!(last, ["1010 Stop", "1010 Remove"]);
    assert!(!life.failed());
    assert_eq!(life.next(&ends, &plan), None);
    // With one write it is not told before it runs.
    let plan = Plan { writes: Writes::One, ..plan };
    let mut life = Life::new(&serves, "u", &plan, 0);
    assert_eq!(steps(&serves, &plan, &mut life, 100 * SECOND), ["10 Start"]);
    // Less grace is less time.
    let ends = told_to_end(serves, 0);
    life.see(&ends, 20 * SECOND);
    assert_eq!(life.next(&ends, &plan), Some((20 * SECOND, Step::Stop)));
}

#[test]
fn a_pod_that_never_ran_is_removed_at_once() {
    let plan = plan();
    let one = told_to_end(pod("Always", &Value::Null, &json!({})), 30);
    let life = Life::new(&one, "u", &plan, 7);
    assert_eq!(life.next(&one, &plan), Some((7, Step::Remove)));
}

#[test]
fn work_ends_by_itself_well_or_not() {
    let plan = plan();
    for (code, failed) in [("0", false), ("3", true)] {
        let notes = json!({ crate::pod::DURATION: "5s", crate::pod::EXIT_CODE: code });
        let work = pod("Never", &notes, &json!({}));
        let mut life = Life::new(&work, "u", &plan, 0);
        let wanted =
            ["0 Accept".to_owned(), "10 Start".to_owned(), format!("60 End {{ code: {code} }}")];
        assert_eq!(steps(&work, &plan, &mut life, i64::MAX), wanted);
        assert_eq!((life.stage, life.failed()), (Stage::Ended, failed));
        let run = Run { from: SECOND, to: 6 * SECOND, code: code.parse().unwrap() };
        assert_eq!(life.last, Some(run));
    }
    // Work that is told to end before has failed.
    let notes = json!({ crate::pod::DURATION: "1h" });
    let work = told_to_end(pod("Never", &notes, &json!({})), 30);
    let mut life = Life { stage: Stage::Running { since: 0 }, ..Life::new(&work, "u", &plan, 0) };
    steps(&work, &plan, &mut life, i64::MAX);
    assert!(life.failed());
}

#[test]
fn what_fails_again_and_again_is_started_later_and_later() {
    let plan = plan();
    let notes = json!({ crate::pod::DURATION: "1s", crate::pod::EXIT_CODE: "1" });
    let fails = pod("OnFailure", &notes, &json!({}));
    let mut life = Life::new(&fails, "u", &plan, 0);
    let all = steps(&fails, &plan, &mut life, 2_000 * SECOND);
    let starts: Vec<i64> = all
        .iter()
        .filter(|step| step.ends_with("Start"))
        .map(|step| step.split(' ').next().unwrap().parse().unwrap())
        .collect();
    // 1 s; it fails at 2 s, is started at once, and fails at 3 s.
    assert_eq!(starts[..6], [10, 130, 340, 750, 1_560, 3_170]);
    let last: Vec<i64> = starts.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(last.last(), Some(&3_010), "five minutes at most");
    assert_eq!(life.restarts as usize, all.iter().filter(|step| step.contains("End")).count());
    // One that ends well is not started again.
    let well = pod("OnFailure", &json!({ crate::pod::DURATION: "1s" }), &json!({}));
    let mut life = Life::new(&well, "u", &plan, 0);
    assert_eq!(steps(&well, &plan, &mut life, i64::MAX).len(), 3);
}

#[test]
fn some_fail_without_having_been_told_to() {
    let failures = Failures { per_mille: 100, after: Duration::from_secs(3), code: 1 };
    let plan = Plan { failures: Some(failures), ..plan() };
    let one = pod("Never", &Value::Null, &json!({}));
    let fails = |uid: &str| {
        let mut life = Life::new(&one, uid, &plan, 0);
        steps(&one, &plan, &mut life, i64::MAX);
        life.failed()
    };
    let count = (0..1_000).filter(|number| fails(&format!("uid-{number}"))).count();
    assert!((60..140).contains(&count), "{count}");
}

#[test]
fn a_life_goes_on_where_the_status_says_it_was() {
    let plan = plan();
    let now = 1_800_000_100 * SECOND;
    let life = |status: Value, notes: Value| {
        let one = pod("Always", &notes, &status);
        let life = Life::new(&one, "u", &plan, now);
        (life.stage, life.next(&one, &plan))
    };
    let start = "2027-01-15T08:00:00Z";
    let none = || Value::Null;
    assert_eq!(life(json!({}), none()), (Stage::New, Some((now, Step::Accept))));
    let (stage, next) = life(json!({ "phase": "Pending", "startTime": start }), none());
    assert_eq!((stage, next), (Stage::Accepted, Some((now + SECOND, Step::Start))));
    let running = json!({
        "phase": "Running", "startTime": start, "podIP": "10.0.0.1",
        "containerStatuses": [{ "restartCount": 0, "state": { "running": { "startedAt": start } } }],
    });
    let since = 1_800_000_000 * SECOND;
    let (stage, next) = life(running.clone(), json!({ crate::pod::DURATION: "130s" }));
    assert_eq!(stage, Stage::Running { since });
    assert_eq!(next, Some((since + 130 * SECOND, Step::End { code: 0 })));
    assert_eq!(life(running, none()).1, None);
    let waits = json!({
        "phase": "Running", "startTime": start,
        "containerStatuses": [{ "restartCount": 4, "state": { "waiting": { "reason": "x" } } }],
    });
    assert_eq!(life(waits, none()).1, Some((now + 10 * SECOND, Step::Start)));
    assert_eq!(life(json!({ "phase": "Failed", "startTime": start }), none()).1, None);
}

#[test]
fn what_others_ended_is_not_brought_back() {
    let plan = plan();
    let one = pod("Always", &Value::Null, &json!({}));
    let mut life = Life::new(&one, "u", &plan, 0);
    steps(&one, &plan, &mut life, 10 * SECOND);
    life.see(&pod("Always", &Value::Null, &json!({ "phase": "Failed" })), 11 * SECOND);
    assert_eq!(life.next(&one, &plan), None);
    let ends = told_to_end(one, 30);
    life.see(&ends, 12 * SECOND);
    assert_eq!(life.next(&ends, &plan), Some((12 * SECOND, Step::Remove)));
}
