// SPDX-License-Identifier: Apache-2.0
//! What the engine has, in the words of a pod's machine. Pure.

use berth_cluster_docker::{Moment, Part, Phase, Seen, View as Found};
use berth_cluster_pod::{ContainerView, Exit, Making, Millis, SandboxView, State, View};
use std::collections::BTreeMap;

const SANDBOX: &str = "sandbox";
const SANDBOX_ATTEMPT: &str = "sandboxAttempt";
const IMAGE: &str = "image";
const IMAGE_ID: &str = "imageId";
const BACKOFF: &str = "backoff";
/// The address that a sandbox was made with: one that has ended has none on the engine.
const ADDRESS: &str = "address";

/// What a container's labels say of its making.
pub(crate) fn facts(making: &Making) -> BTreeMap<String, String> {
    [
        (SANDBOX, making.sandbox.clone()),
        (SANDBOX_ATTEMPT, making.sandbox_attempt.to_string()),
        (IMAGE, making.image.clone()),
        (IMAGE_ID, making.image_id.clone()),
        (BACKOFF, making.backoff.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// What a sandbox's labels say.
pub(crate) fn sandbox_facts(addresses: &[String]) -> BTreeMap<String, String> {
    BTreeMap::from([(ADDRESS.to_owned(), addresses.join(","))])
}

fn making(seen: &Seen) -> Option<Making> {
    let Part::Container(name) = &seen.identity.part else { return None };
    let get = |key: &str| seen.facts.get(key);
    let number = |key: &str| get(key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Some(Making {
        container: name.clone(),
        attempt: seen.identity.attempt,
        sandbox: get(SANDBOX).cloned().unwrap_or_default(),
        sandbox_attempt: u32::try_from(number(SANDBOX_ATTEMPT)).unwrap_or(0),
        image: get(IMAGE).unwrap_or(&seen.image).clone(),
        image_id: get(IMAGE_ID).unwrap_or(&seen.image_id).clone(),
        backoff: number(BACKOFF),
    })
}

/// Addresses of a sandbox.
pub(crate) fn addresses(seen: &Seen) -> Vec<String> {
    let noted = seen.facts.get(ADDRESS).map(String::as_str).unwrap_or_default();
    noted.split(',').filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// Milliseconds of a moment.
pub(crate) fn millis(moment: Option<Moment>) -> Millis {
    moment.and_then(|moment| u64::try_from(moment.0 / 1_000_000).ok()).unwrap_or(0)
}

pub(crate) fn is_up(seen: &Seen) -> bool {
    matches!(seen.state.phase, Phase::Running | Phase::Paused)
}

/// How a container ended, with its last words.
pub(crate) fn exit(seen: &Seen, message: String) -> Exit {
    Exit {
        code: seen.state.exit_code,
        oom: seen.state.oom_killed,
        started_at: millis(seen.state.started),
        finished_at: millis(seen.state.finished),
        message,
    }
}

/// Of one pod. `message`: the last words of a container that has ended.
pub(crate) fn of(
    found: &Found,
    uid: &str,
    taken_at: Millis,
    mut message: impl FnMut(&Seen) -> String,
) -> View {
    let own = |seen: &&Seen| seen.identity.pod.uid == uid;
    let sandboxes = found.sandboxes.iter().filter(own).map(|seen| SandboxView {
        attempt: seen.identity.attempt,
        id: seen.id.clone(),
        running: is_up(seen),
        addresses: addresses(seen),
    });
    let containers = found.containers.iter().filter(own).filter_map(|seen| {
        let state = match seen.state.phase {
            Phase::Created => State::Created,
            Phase::Running | Phase::Paused => {
                State::Running { started_at: millis(seen.state.started) }
            }
            Phase::Exited | Phase::Removing => State::Exited(exit(seen, message(seen))),
        };
        Some(ContainerView { making: making(seen)?, id: seen.id.clone(), state })
    });
    View { taken_at, sandboxes: sandboxes.collect(), containers: containers.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_cluster_docker::{Identity, PodRef, State as EngineState};

    fn seen(part: Part, phase: Phase, facts: BTreeMap<String, String>) -> Seen {
        let pod = PodRef { namespace: "n".into(), name: "p".into(), uid: "u".into() };
        let state = EngineState {
            phase,
            exit_code: 3,
            oom_killed: true,
            started: Some(Moment(1_000_000_000)),
            finished: Some(Moment(2_500_000_000)),
            error: String::new(),
            pid: 7,
        };
        Seen {
            id: "id".into(),
            identity: Identity { pod, part, attempt: 2 },
            spec: String::new(),
            facts,
            state,
            image_id: "sha256:1".into(),
            image: "i".into(),
            created: None,
            addresses: Vec::new(),
            log_path: String::new(),
            tty: false,
            stdin: false,
        }
    }

    #[test]
    fn what_was_noted_down_is_given_back() {
        let making = Making {
            container: "c".into(),
            attempt: 2,
            sandbox: "s".into(),
            sandbox_attempt: 1,
            image: "echo:1".into(),
            image_id: "sha256:2".into(),
            backoff: 20_000,
        };
        let part = Part::Container("c".into());
        let mut found = Found::default();
        found.containers.push(seen(part.clone(), Phase::Exited, facts(&making)));
        found.containers.push(seen(part.clone(), Phase::Running, facts(&making)));
        found.containers.push(seen(part, Phase::Created, facts(&making)));
        let addresses = ["10.0.0.7".to_owned()];
        found.sandboxes.push(seen(Part::Sandbox, Phase::Exited, sandbox_facts(&addresses)));
        let view = of(&found, "u", 9, |_| "bye".into());
        assert_eq!(view.taken_at, 9);
        let exit = Exit {
            code: 3,
            oom: true,
            started_at: 1_000,
            finished_at: 2_500,
            message: "bye".into(),
        };
        let states: Vec<_> = view.containers.iter().map(|one| one.state.clone()).collect();
        let running = State::Running { started_at: 1_000 };
        assert_eq!(states, [State::Exited(exit), running, State::Created]);
        assert!(view.containers.iter().all(|one| one.making == making));
        assert_eq!(
            (view.sandboxes[0].running, &view.sandboxes[0].addresses[..]),
            (false, &addresses[..])
        );
        assert_eq!(of(&found, "v", 9, |_| String::new()), View { taken_at: 9, ..View::default() });
    }
}
