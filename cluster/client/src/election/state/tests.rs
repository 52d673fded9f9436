// SPDX-License-Identifier: Apache-2.0
//! Contenders without an API: what they do with what they are told.

use super::*;
use crate::clock::micro_time;
use serde_json::{Value, json};

const WALL: i64 = 1_800_000_000_000_000;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A contender, and a clock that the test moves.
struct Trial {
    state: State,
    now: Instant,
    wall: i64,
}

impl Trial {
    fn new() -> Self {
        let now = Instant::now();
        Self { state: State::new(Options::new("n", "l", "me"), now), now, wall: WALL }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.wall += i64::try_from(seconds).unwrap() * 1_000_000;
    }

    fn next(&mut self, came: Came) -> Step {
        self.state.next(self.now, self.wall, came)
    }

    /// How long is waited next, in milliseconds.
    fn waits(&self, step: &Step) -> u128 {
        let Step::Wait(until) = step else { panic!("{step:?}") };
        (*until - self.now).as_millis()
    }

    /// It reads this and leads.
    fn leading() -> Self {
        let mut trial = Self::new();
        assert_eq!(trial.next(Came::Due), Step::Read);
        let Step::Create(lease) = trial.next(Came::Missing) else { panic!("it creates") };
        trial.next(Came::Written(answer(&lease, 1)));
        assert_eq!(trial.state.until(), Some(trial.now + seconds(10)));
        trial
    }
}

/// What the API answers to a write.
fn answer(lease: &Bytes, version: u64) -> Lease {
    let mut lease: Value = serde_json::from_slice(lease).unwrap();
    lease["metadata"]["resourceVersion"] = version.to_string().into();
    Lease::read(lease.to_string().as_bytes()).unwrap()
}

fn other(version: u64, duration: u64, renewed: i64) -> Lease {
    let lease = json!({
        "metadata": { "name": "l", "labels": { "a": "b" }, "resourceVersion": version.to_string() },
        "spec": {
            "holderIdentity": "other", "leaseDurationSeconds": duration, "leaseTransitions": 4,
            "renewTime": micro_time(renewed), "acquireTime": micro_time(renewed),
        },
    });
    Lease::read(lease.to_string().as_bytes()).unwrap()
}

fn written(step: &Step) -> Value {
    let (Step::Create(lease) | Step::Update(lease)) = step else { panic!("{step:?}") };
    serde_json::from_slice(lease).unwrap()
}

#[test]
fn who_finds_no_lease_makes_it_and_leads_from_when_it_asked() {
    let mut trial = Trial::new();
    assert_eq!(trial.next(Came::Due), Step::Read);
    let made = trial.next(Came::Missing);
    let spec = &written(&made)["spec"];
    assert_eq!(spec["holderIdentity"], "me");
    assert_eq!(spec["leaseDurationSeconds"], 15);
    assert_eq!(spec["leaseTransitions"], 0);
    assert_eq!(spec["renewTime"], "2027-01-15T08:00:00.000000Z");
    let Step::Create(lease) = made else { panic!("{made:?}") };
    let asked = trial.now;
    trial.pass(3);
    let step = trial.next(Came::Written(answer(&lease, 1)));
    assert_eq!(trial.state.until(), Some(asked + seconds(10)));
    assert_eq!(trial.waits(&step), 2_000);
}

#[test]
fn a_renewal_keeps_what_is_not_its_own() {
    let mut trial = Trial::leading();
    trial.pass(2);
    let step = trial.next(Came::Due);
    let lease = written(&step);
    assert_eq!(lease["metadata"]["resourceVersion"], "1");
    assert_eq!(lease["spec"]["acquireTime"], "2027-01-15T08:00:00.000000Z");
    assert_eq!(lease["spec"]["renewTime"], "2027-01-15T08:00:02.000000Z");
    assert_eq!(lease["spec"]["leaseTransitions"], 0);
}

#[test]
fn a_holder_is_given_up_on_by_the_own_clock_whatever_it_says() {
    for renewed in [0, WALL - 3_600_000_000, WALL + 3_600_000_000] {
        let mut trial = Trial::new();
        trial.next(Came::Due);
        let step = trial.next(Came::Read(other(7, 15, renewed)));
        let waits = trial.waits(&step);
        assert!((2_000..4_400).contains(&waits), "{waits}");
        trial.pass(14);
        // The own clock for people may say what it wants.
        trial.wall -= 86_400_000_000;
        trial.next(Came::Due);
        let step = trial.next(Came::Read(other(7, 15, renewed)));
        assert!(matches!(step, Step::Wait(_)), "14 s: {step:?}");
        trial.pass(1);
        trial.next(Came::Due);
        let step = trial.next(Came::Read(other(7, 15, renewed)));
        let lease = written(&step);
        assert_eq!(lease["spec"]["holderIdentity"], "me", "15 s");
        assert_eq!(lease["spec"]["leaseTransitions"], 5);
        assert_eq!(lease["metadata"]["labels"]["a"], "b");
        assert_eq!(trial.state.until(), None, "not before it is written");
    }
}

#[test]
fn a_holder_is_looked_at_when_its_time_is_over_and_not_later() {
    let mut trial = Trial::new();
    trial.next(Came::Due);
    trial.next(Came::Read(other(7, 15, 0)));
    trial.pass(12);
    trial.next(Came::Due);
    let step = trial.next(Came::Read(other(7, 15, 0)));
    let waits = trial.waits(&step);
    assert!((2_000..2_400).contains(&waits), "{waits}");
    trial.pass(2);
    trial.next(Came::Due);
    let step = trial.next(Came::Read(other(7, 15, 0)));
    assert_eq!(trial.waits(&step), 1_000);
    trial.pass(1);
    trial.next(Came::Due);
    assert!(matches!(trial.next(Came::Read(other(7, 15, 0))), Step::Update(_)));
}

#[test]
fn a_holder_that_renews_is_not_given_up_on() {
    let mut trial = Trial::new();
    for version in 1..20 {
        trial.next(Came::Due);
        let step = trial.next(Came::Read(other(version, 15, 0)));
        assert!(matches!(step, Step::Wait(_)), "{step:?}");
        trial.pass(14);
    }
    // One that is free is taken at once.
    let free = answer(&other(20, 15, 0).free(WALL), 21);
    trial.next(Came::Due);
    assert!(matches!(trial.next(Came::Read(free)), Step::Update(_)));
}

#[test]
fn a_leader_that_cannot_renew_stops_in_time_and_late_answers_do_not_bring_it_back() {
    let mut trial = Trial::leading();
    trial.pass(2);
    let Step::Update(lease) = trial.next(Came::Due) else { panic!("it renews") };
    trial.pass(5);
    let step = trial.next(Came::Failed);
    assert_eq!(trial.waits(&step), 2_000);
    assert!(trial.state.until().is_some());
    trial.pass(2);
    trial.next(Came::Due);
    trial.pass(1);
    trial.next(Came::Written(answer(&lease, 2)));
    assert_eq!(trial.state.until(), None, "10 s after the last one");
    // It finds the Lease as its own, gives it back, so that what is on its way still is refused, and takes it anew.
    trial.next(Came::Due);
    let step = trial.next(Came::Read(answer(&lease, 2)));
    assert!(written(&step)["spec"]["holderIdentity"].is_null(), "{step:?}");
    let Step::Update(free) = step else { panic!("it gives it back") };
    let step = trial.next(Came::Written(answer(&free, 3)));
    assert_eq!(trial.state.until(), None, "nobody has it");
    assert_eq!(written(&step)["metadata"]["resourceVersion"], "3");
    let Step::Update(lease) = step else { panic!("it takes it") };
    trial.next(Came::Written(answer(&lease, 4)));
    assert!(trial.state.until().is_some());
}

#[test]
fn an_answer_that_takes_longer_than_the_deadline_makes_no_leader() {
    let mut trial = Trial::new();
    trial.next(Came::Due);
    let Step::Create(lease) = trial.next(Came::Missing) else { panic!("it creates") };
    trial.pass(10);
    trial.next(Came::Written(answer(&lease, 1)));
    assert_eq!(trial.state.until(), None);
}

#[test]
fn who_finds_another_holder_or_no_lease_has_lost() {
    for missing in [false, true] {
        let mut trial = Trial::leading();
        trial.pass(2);
        trial.next(Came::Due);
        assert_eq!(trial.next(Came::Conflict), Step::Read, "it looks at once");
        assert!(trial.state.until().is_some(), "it may have been its own write");
        let came = if missing { Came::Missing } else { Came::Read(other(9, 15, 0)) };
        let step = trial.next(came);
        assert_eq!(trial.state.until(), None);
        assert_eq!(matches!(step, Step::Create(_)), missing, "{step:?}");
        assert!(trial.state.free(0).is_none());
    }
}

#[test]
fn who_meets_others_conflicts_waits_before_it_looks_again() {
    let mut trial = Trial::new();
    trial.next(Came::Due);
    assert!(matches!(trial.next(Came::Missing), Step::Create(_)));
    let step = trial.next(Came::Conflict);
    assert!(trial.waits(&step) >= 2_000);
}

#[test]
fn what_is_given_back_is_free_at_once() {
    let trial = Trial::leading();
    let free: Value = serde_json::from_slice(&trial.state.free(WALL).unwrap()).unwrap();
    assert!(free["spec"].get("holderIdentity").is_none());
    assert_eq!(free["spec"]["leaseDurationSeconds"], 1);
}

#[test]
fn times_have_to_fit() {
    let fits = |change: fn(&mut Options)| {
        let mut options = Options::new("n", "l", "me");
        change(&mut options);
        options.check().is_ok()
    };
    assert!(fits(|_| {}));
    assert!(!fits(|options| options.identity.clear()));
    assert!(!fits(|options| options.renew_deadline = seconds(15)));
    assert!(!fits(|options| options.retry_period = seconds(9)));
    assert!(!fits(|options| options.retry_period = Duration::ZERO));
}
