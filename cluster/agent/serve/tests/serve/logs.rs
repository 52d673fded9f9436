// SPDX-License-Identifier: Apache-2.0
//! Logs.

use crate::client::As;
use crate::lab::World;
use berth_cluster_agent_serve::{Container, State};
use http::Method;
use http_body_util::BodyExt;

fn waiting(reason: &str) -> State {
    State::Waiting { reason: reason.to_owned() }
}

pub(crate) async fn each_option_of_a_log_does_what_it_says(world: &World) {
    let line = "echo one; sleep 0.3; echo two >&2; sleep 0.3; printf three";
    let id = world.shell("p", 2, line).await;
    world.ended(&id).await;
    world.set("p", State::Terminated { id: Some(id.clone()) }, Some(&id));
    let get = async |query: &str| {
        let (status, body) = world.get(&format!("/containerLogs/n/p/c?{query}")).await;
        assert_eq!(status, 200, "{query}: {body}");
        body
    };
    for (query, expected) in [
        ("", "one\ntwo\nthree"),
        ("previous=true", "one\ntwo\nthree"),
        ("tailLines=1", "three"),
        ("tailLines=0", ""),
        ("tailLines=2", "two\nthree"),
        ("limitBytes=5", "one\nt"),
        ("limitBytes=5&follow=true", "one\nt"),
        ("stream=Stdout", "one\nthree"),
        ("stream=Stderr", "two\n"),
        ("sinceTime=2100-01-01T00:00:00Z", ""),
        ("sinceTime=2001-01-01T00:00:00Z", "one\ntwo\nthree"),
        ("sinceSeconds=3600", "one\ntwo\nthree"),
        ("follow=true", "one\ntwo\nthree"),
        ("follow=true&tailLines=1", "three"),
    ] {
        assert_eq!(get(query).await, expected, "{query}");
    }
    let timed = get("timestamps=true").await;
    let lines: Vec<(&str, &str)> =
        timed.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(lines.iter().map(|(_, text)| *text).collect::<Vec<_>>(), ["one", "two", "three"]);
    assert!(lines.iter().all(|(time, _)| time.len() == 30 && time.ends_with('Z')), "{timed}");
    let since = get(&format!("sinceTime={}", lines[1].0)).await;
    assert_eq!(since, "two\nthree");
}

pub(crate) async fn a_followed_log_goes_on_until_the_end(world: &World) {
    let id = world
        .shell("p", 2, "echo begun; while ! [ -e /tmp/go ]; do sleep 0.05; done; echo last")
        .await;
    let mut answer = world.open(As::Admin, Method::GET, "/containerLogs/n/p/c?follow=true").await;
    let frame = answer.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "begun\n");
    assert!(world.succeeds(&id, ": > /tmp/go").await);
    let rest = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(rest, "last\n");
}

pub(crate) async fn what_has_no_log_says_why(world: &World) {
    world.shell("p", 2, "sleep 1000").await;
    let start = "container \"c\" in pod \"p\" is waiting to start";
    let get = async |path: &str| world.get(&format!("/containerLogs/{path}")).await;
    assert_eq!(get("n/q/c").await, (404, "pod \"q\" does not exist".to_owned()));
    assert_eq!(get("m/p/c").await, (404, "pod \"p\" does not exist".to_owned()));
    assert_eq!(get("n/p/d").await, (404, "container \"d\" not found in pod \"p\"".to_owned()));
    let previous = "previous terminated container \"c\" in pod \"p\" not found";
    assert_eq!(get("n/p/c?previous=true").await, (400, previous.to_owned()));
    assert_eq!(get("n/p/c?tailLines=-1").await.0, 422);
    for (reason, words) in [
        ("ErrImagePull", ": image can't be pulled"),
        ("ImagePullBackOff", ": trying and failing to pull image"),
        ("ContainerCreating", ": ContainerCreating"),
    ] {
        world.set("p", waiting(reason), None);
        assert_eq!(get("n/p/c").await, (400, format!("{start}{words}")));
    }
    let gone = "ab".repeat(32);
    world.set("p", State::Terminated { id: Some(gone.clone()) }, None);
    let words = format!("unable to retrieve container logs for docker://{gone}");
    assert_eq!(get("n/p/c").await, (400, words));
    let never =
        Container { name: "never".to_owned(), state: waiting("PodInitializing"), previous: None };
    world.pods.0.lock().unwrap()[0].containers.push(never);
    assert_eq!(get("n/p/never").await.0, 400);
}
