// SPDX-License-Identifier: Apache-2.0
//! What is another's stays as it is.

use crate::lab::{Lab, SHELL, identity, shell};
use berth_cluster_docker::{CallError, CreateError, LogOptions, NetworkError, Streams};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) async fn what_is_not_ours_is_never_touched(lab: &Lab) {
    let (mine, yours) = (lab.node("mine").await, lab.node("mine2").await);
    let sandbox = mine.sandbox("u", 2).await;
    let theirs = yours.shell("u", 2, "sleep 1000").await;
    // Names like ours, labels like ours (an image could give them), and both, as far as they can be had.
    let name = identity("v", Some("c")).engine_name(mine.engine.agent()).unwrap();
    let docker = |line: String| lab.docker.docker(&line);
    let by_name = docker(format!("run -d --net none --name {name} {SHELL} sleep 1000"));
    let labels = "--label io.berth/agent=mine --label io.berth/kind=container --label io.berth/pod-uid=u --label io.berth/container=c \
                  --label io.berth/pod-name=p --label io.berth/pod-namespace=n --label io.berth/attempt=0 --label io.berth/spec=s"
        .split_whitespace().collect::<Vec<_>>().join(" ");
    let by_labels =
        docker(format!("run -d --net none {labels} --name innocent {SHELL} sleep 1000"));
    let network = docker("network create berth_mine-not --subnet 10.98.1.0/24".to_owned());
    docker(format!("tag {SHELL} berth.local/pause:1"));
    for id in [&theirs, &by_name, &by_labels] {
        let engine = &mine.engine;
        let second = Duration::from_secs(1);
        let results = [
            engine.stop(id, second).await.err(),
            engine.kill(id, "KILL").await.err(),
            engine.remove(id, true).await.err(),
            engine.inspect(id).await.err(),
            engine.usage(id).await.err(),
            engine.logs(id, &LogOptions::default()).await.err(),
            engine.exec(id, &crate::lab::command("true")).await.err(),
            engine.attach(id, Streams::default()).await.err(),
            engine.resize(id, 1, 1).await.err(),
        ];
        for result in results {
            assert!(matches!(result, Some(CallError::Foreign { .. })), "{result:?}");
        }
        assert!(engine.start(id).await.unwrap_err().to_string().contains("not of this agent"));
    }
    // Names and beginnings of ids are none.
    for id in ["innocent", &by_labels[..12], "", "../networks"] {
        assert!(
            matches!(mine.engine.remove(id, true).await, Err(CallError::Refused { .. })),
            "{id}"
        );
    }
    let exec = yours.engine.exec(&theirs, &crate::lab::command("sleep 1000")).await.unwrap();
    let error = mine.engine.kill_exec(&exec.id).await.unwrap_err();
    assert!(matches!(error, CallError::Foreign { .. }), "{error:?}");
    assert!(yours.engine.exec_state(&exec.id).await.unwrap().running);
    let spec = shell("true");
    let taken = mine
        .engine
        .create_container(&identity("v", Some("c")), &sandbox, &spec, &BTreeMap::new())
        .await;
    assert!(
        matches!(taken, Err(CreateError::NameTaken { ref by, .. }) if *by == by_name),
        "{taken:?}"
    );
    let view = mine.engine.list().await.unwrap();
    assert_eq!((view.sandboxes.len(), view.containers.len(), view.left_over.len()), (1, 0, 0));
    let shell_id = mine.engine.image(SHELL).await.unwrap().unwrap().id;
    let error = mine.engine.remove_image(&shell_id).await.unwrap_err();
    assert!(matches!(error, CallError::Foreign { .. }), "{error:?}");
    mine.engine.remove(&sandbox, true).await.unwrap();
    mine.engine.remove_network().await.unwrap();
    mine.engine.remove_network().await.expect("gone is no error");
    for id in [&by_name, &by_labels, &theirs] {
        assert_eq!(docker(format!("inspect -f {{{{.State.Running}}}} {id}")), "true");
    }
    assert!(lab.docker.try_docker(&format!("network inspect {network}")).is_some());
    assert!(lab.docker.try_docker("network inspect berth_mine2").is_some());
    assert!(lab.docker.try_docker("image inspect berth.local/pause:1").is_some());
    docker(format!("rm -f {by_name} {by_labels}"));
}

pub(crate) async fn networks_are_held_against_what_was_asked(lab: &Lab) {
    let node = lab.node("net").await;
    let spec = node.network_spec();
    let id = node.engine.ensure_network(&spec).await.unwrap();
    assert_eq!(node.engine.ensure_network(&spec).await.unwrap(), id, "it is there already");
    let said = lab.docker.docker("network inspect -f {{.Options}} berth_net");
    assert!(said.contains("enable_ip_masquerade:false"), "{said}");
    let mut other = spec.clone();
    "another".clone_into(&mut other.bridge);
    let error = node.engine.ensure_network(&other).await.unwrap_err();
    assert!(matches!(error, NetworkError::Differs { .. }), "{error:?}");
    // The addresses, or the bridge, of another.
    let second = lab.connect("net2").await;
    let error = second.ensure_network(&other).await.unwrap_err();
    assert!(matches!(error, NetworkError::AddressConflict { .. }), "{error:?}");
    other = berth_cluster_docker::NetworkSpec {
        subnet: [10, 97, 0, 0].into(),
        gateway: [10, 97, 0, 1].into(),
        ..spec.clone()
    };
    let error = second.ensure_network(&other).await.unwrap_err();
    assert!(matches!(error, NetworkError::AddressConflict { .. }), "{error:?}");
    "longer-than-15-signs".clone_into(&mut other.bridge);
    assert!(matches!(
        second.ensure_network(&other).await,
        Err(NetworkError::Call(CallError::Refused { .. }))
    ));
    lab.docker.docker("network create berth_net3 --subnet 10.98.2.0/24");
    let third = lab.connect("net3").await;
    let error = third.ensure_network(&spec).await.unwrap_err();
    assert!(matches!(error, NetworkError::NameTaken { .. }), "{error:?}");
    assert!(matches!(third.remove_network().await, Err(NetworkError::NameTaken { .. })));
    let sandbox = node.sandbox("net", 2).await;
    let error = node.engine.remove_network().await.unwrap_err();
    assert!(matches!(error, NetworkError::InUse { .. }), "{error:?}");
    node.engine.remove(&sandbox, true).await.unwrap();
    node.engine.remove_network().await.unwrap();
}
