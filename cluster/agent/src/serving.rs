// SPDX-License-Identifier: Apache-2.0
//! What the agent's server is told of its pods: out of their statuses, which are what users see.

use crate::shared::{Shared, Shown};
use berth_cluster_agent_serve::{Container, Count, Place, Pod, Pods, Run, State};
use bytes::Bytes;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod as Object};
use std::sync::Arc;

/// What ids in statuses begin with.
const ENGINE: &str = "docker://";

/// The agent's pods.
#[derive(Debug)]
pub(crate) struct Board(pub(crate) Arc<Shared>);

impl Pods for Board {
    fn find(&self, namespace: &str, name: &str, uid: Option<&str>) -> Option<Pod> {
        let all = self.0.shown();
        let is = |shown: &&Shown| {
            let meta = &shown.pod.metadata;
            meta.namespace.as_deref() == Some(namespace)
                && meta.name.as_deref() == Some(name)
                && uid.is_none_or(|uid| meta.uid.as_deref() == Some(uid))
        };
        // One that has been made anew under a name is the younger one.
        let youngest = all
            .values()
            .filter(is)
            .max_by_key(|shown| shown.pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
        youngest.map(pod)
    }

    fn objects(&self) -> Vec<Bytes> {
        let with_status = |shown: &Shown| {
            let mut object = Object::clone(&shown.pod);
            object.status = Some(shown.status.clone());
            serde_json::to_vec(&object).unwrap_or_default().into()
        };
        self.0.shown().values().map(with_status).collect()
    }

    fn count(&self) -> Count {
        let mut count = Count::default();
        for shown in self.0.shown().values() {
            count.pods += u64::from(shown.sandbox.is_some());
            let running = statuses(shown)
                .filter(|one| one.state.as_ref().is_some_and(|state| state.running.is_some()));
            count.containers += running.count() as u64;
        }
        count
    }

    fn health(&self) -> Result<(), String> {
        if *self.0.engine_up.borrow() {
            return Ok(());
        }
        Err("the Docker engine does not answer".to_owned())
    }
}

fn statuses(shown: &Shown) -> impl Iterator<Item = &ContainerStatus> {
    let status = &shown.status;
    let lists = [
        &status.init_container_statuses,
        &status.container_statuses,
        &status.ephemeral_container_statuses,
    ];
    lists.into_iter().flatten().flatten()
}

fn pod(shown: &Shown) -> Pod {
    let meta = shown.pod.metadata.clone();
    let spec = shown.pod.spec.as_ref();
    let host = spec.is_some_and(|spec| spec.host_network == Some(true));
    let address = shown.status.pod_ip.as_deref().and_then(|text| text.parse().ok());
    let place = match (host, address) {
        _ if shown.sandbox.is_none() => Place::Nowhere,
        (true, _) => Place::Host,
        (false, Some(address)) => Place::Own(address),
        (false, None) => Place::Nowhere,
    };
    let mut containers = Vec::new();
    for one in spec
        .into_iter()
        .flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
    {
        let (tty, stdin) = (one.tty == Some(true), one.stdin == Some(true));
        containers.push(container(shown, &one.name, tty, stdin));
    }
    for one in spec.into_iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten()) {
        let (tty, stdin) = (one.tty == Some(true), one.stdin == Some(true));
        containers.push(container(shown, &one.name, tty, stdin));
    }
    Pod {
        namespace: meta.namespace.unwrap_or_default(),
        name: meta.name.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        sandbox: shown.sandbox.clone(),
        place,
        containers,
    }
}

fn container(shown: &Shown, name: &str, tty: bool, stdin: bool) -> Container {
    let waiting = || State::Waiting { reason: String::new() };
    let own = |id: &Option<String>| {
        let id = id.as_deref()?.strip_prefix(ENGINE)?;
        (!id.is_empty()).then(|| id.to_owned())
    };
    let status = statuses(shown).find(|one| one.name == name);
    let Some(status) = status else {
        return Container { name: name.to_owned(), state: waiting(), previous: None };
    };
    let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let previous = last.and_then(|ended| own(&ended.container_id));
    let state = status.state.clone().unwrap_or_default();
    let state = if state.running.is_some() {
        own(&status.container_id).map_or_else(waiting, |id| State::Running(Run { id, tty, stdin }))
    } else if let Some(ended) = state.terminated {
        State::Terminated { id: own(&ended.container_id) }
    } else {
        State::Waiting { reason: state.waiting.and_then(|one| one.reason).unwrap_or_default() }
    };
    Container { name: name.to_owned(), state, previous }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_users_see_is_what_the_server_is_told() {
        let object = json!({
            "metadata": {"namespace": "n", "name": "p", "uid": "u"},
            "spec": {"containers": [{"name": "runs", "tty": true}, {"name": "waits"}, {"name": "new"}], "initContainers": [{"name": "init"}]},
        });
        let status = json!({
            "podIP": "10.0.0.7",
            "containerStatuses": [
                {"name": "runs", "image": "", "imageID": "", "ready": true, "restartCount": 1, "containerID": "docker://2",
                 "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1, "containerID": "docker://1"}}},
                {"name": "waits", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                 "state": {"waiting": {"reason": "ErrImagePull"}}}],
            "initContainerStatuses": [{"name": "init", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                 "state": {"terminated": {"exitCode": 0, "containerID": "docker://0"}}}],
        });
        let shown = Shown {
            pod: Arc::new(serde_json::from_value(object).unwrap()),
            status: serde_json::from_value(status).unwrap(),
            sandbox: Some("s".into()),
        };
        let pod = pod(&shown);
        assert_eq!(pod.place, Place::Own([10, 0, 0, 7].into()));
        let of = |name: &str| {
            let one = pod.container(name).unwrap();
            (one.state.clone(), one.previous.clone())
        };
        let run = Run { id: "2".into(), tty: true, stdin: false };
        assert_eq!(of("runs"), (State::Running(run), Some("1".into())));
        assert_eq!(of("waits"), (State::Waiting { reason: "ErrImagePull".into() }, None));
        assert_eq!(of("new"), (State::Waiting { reason: String::new() }, None));
        assert_eq!(of("init"), (State::Terminated { id: Some("0".into()) }, None));
    }
}
