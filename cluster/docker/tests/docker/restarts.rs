// SPDX-License-Identifier: Apache-2.0
//! An engine that goes away and comes back.

use crate::lab::{HANG, Lab, command};
use berth_cluster_docker::{Address, Agent, CallError, Change, Engine, Event};
use std::path::PathBuf;

/// The last test, for it has the engine for itself.
pub(crate) async fn an_engine_that_restarts_is_followed(mut lab: Lab) {
    let absent = Address::Socket(PathBuf::from("/no/such/socket"));
    let agent = Agent::new("restart").unwrap();
    let error = Engine::connect(&absent, agent).await.unwrap_err();
    assert!(matches!(error, CallError::Gone { .. }) && error.may_retry(), "{error:?}");
    let node = lab.node("restart").await;
    let mut events = node.engine.events(None);
    assert_eq!(events.next().await, Some(Event::List));
    let id = node.shell("restart", 2, "sleep 1000").await;
    let before = node.engine.inspect(&id).await.unwrap();
    for _ in 0..4 {
        let event = tokio::time::timeout(HANG, events.next()).await.expect("two begin");
        assert!(matches!(event, Some(Event::Container { .. })), "{event:?}");
    }
    lab = tokio::task::spawn_blocking(move || {
        lab.docker.restart();
        lab
    })
    .await
    .unwrap();
    let mut gone = false;
    loop {
        match tokio::time::timeout(HANG, events.next()).await.expect("it comes back") {
            Some(Event::Gone(error)) => {
                assert!(error.may_retry(), "{error:?}");
                gone = true;
            }
            Some(Event::List) if gone => break,
            _ => {}
        }
    }
    // The same connection, and the same container: it lived on.
    let view = node.engine.list().await.unwrap();
    let after = &view.containers[0];
    assert_eq!(
        (&after.id, after.state.pid, after.state.started),
        (&before.id, before.state.pid, before.state.started)
    );
    assert_eq!(view.sandboxes[0].addresses, [node.ip(2)]);
    let exec = node.engine.exec(&id, &command("sleep 1000")).await.unwrap();
    node.engine.kill_exec(&exec.id).await.unwrap();
    node.engine.kill(&id, "KILL").await.unwrap();
    loop {
        let event = tokio::time::timeout(HANG, events.next()).await.expect("events come again");
        if matches!(event, Some(Event::Container { change: Change::Died { exit_code: 137 }, .. })) {
            break;
        }
    }
    drop(lab);
}
