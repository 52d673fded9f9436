// SPDX-License-Identifier: Apache-2.0
//! The service over real connections: what the contract says of calls, streams and watches.

use crate::fixture::{apply_nodes, client, cpu, node, pod, start};
use berth_proto::v1;
use berth_proto::v1::pod_result::Outcome;
use berth_scheduler_service::{Limits, Server};
use std::time::Duration;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;

#[tokio::test]
async fn a_pod_is_placed_released_and_placed_again() {
    let server = start(Server::builder()).await;
    let mut client = client(&server).await;
    let revision = apply_nodes(&mut client, 3, "4").await;
    assert_eq!(revision, 3);
    let request = v1::ScheduleRequest { options: None, pods: vec![pod("u1", cpu("1"))] };
    let answer = client.schedule(request.clone()).await.unwrap().into_inner();
    let Some(Outcome::Placed(placed)) = &answer.results[0].outcome else { panic!("{answer:?}") };
    assert!(placed.node.starts_with('n') && !placed.repeated);
    assert_eq!((answer.results[0].uid.as_str(), answer.revision), ("u1", 4));
    let again = client.schedule(request).await.unwrap().into_inner();
    assert!(matches!(&again.results[0].outcome, Some(Outcome::Placed(p)) if p.repeated));

    let uids = vec!["u1".to_owned(), "u2".to_owned()];
    let answer = client.release(v1::ReleaseRequest { uids }).await.unwrap().into_inner();
    assert_eq!((answer.unknown, answer.revision), (vec!["u2".to_owned()], 5));
    let missing = client.get_pod(v1::GetPodRequest { uid: "u1".into() }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let node = client.get_node(v1::GetNodeRequest { name: "n0".into() }).await.unwrap();
    assert_eq!(node.into_inner().node.unwrap().pods, 0);
    let stats = client.stats(v1::StatsRequest {}).await.unwrap().into_inner();
    assert_eq!((stats.nodes, stats.pods, stats.placed_total), (3, 0, 1));
    server.stop().await;
}

#[tokio::test]
async fn threads_change_no_answer() {
    let mut first = None;
    for threads in [1, 2, 3] {
        let server = start(Server::builder().seed(3).threads(threads)).await;
        let mut client = client(&server).await;
        apply_nodes(&mut client, 50, "40").await;
        let mut nodes = Vec::new();
        for round in 0..6 {
            // Many classes in one message, and something wrong in the middle of those that are prepared together.
            let one = |n: usize| match n {
                20 => pod("", cpu("1")),
                21 => pod(&format!("wrong-{round}"), cpu("-1")),
                n => pod(&format!("u{round}-{n}"), cpu(&format!("{}m", 50 + n % 23))),
            };
            let request = v1::ScheduleRequest { options: None, pods: (0..100).map(one).collect() };
            for result in client.schedule(request).await.unwrap().into_inner().results {
                nodes.push(match result.outcome {
                    Some(Outcome::Placed(placed)) => placed.node,
                    Some(Outcome::Invalid(invalid)) => invalid.violations[0].field.clone(),
                    other => panic!("{other:?}"),
                });
            }
        }
        assert_eq!(nodes.iter().filter(|node| node.starts_with('n')).count(), 6 * 98);
        assert_eq!(first.get_or_insert_with(|| nodes.clone()), &nodes, "on {threads} threads");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_stream_is_pipelined_and_answers_in_order() {
    let server = start(Server::builder()).await;
    let mut client = client(&server).await;
    apply_nodes(&mut client, 10, "100").await;
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let answers = client.schedule_stream(UnboundedReceiverStream::new(receive)).await.unwrap();
    let mut answers = answers.into_inner();
    for id in 1..=200_u64 {
        let pods = (0..4).map(|n| pod(&format!("u{id}-{n}"), cpu("100m"))).collect();
        let release = (id > 1).then(|| format!("u{}-0", id - 1)).into_iter().collect();
        send.send(v1::StreamRequest { id, pods, release, ..Default::default() }).unwrap();
    }
    for id in 1..=200_u64 {
        let answer = answers.next().await.unwrap().unwrap();
        assert_eq!((answer.id, answer.results.len()), (id, 4));
        assert!(answer.unknown.is_empty());
        for result in &answer.results {
            assert!(matches!(result.outcome, Some(Outcome::Placed(_))), "{result:?}");
        }
    }
    // A queued pod is decided later, on the same stream, even when nothing more is sent.
    let mode = Some(v1::schedule_options::Mode::QueueForMs(60_000));
    let options = Some(v1::ScheduleOptions { mode, ..Default::default() });
    let pods = vec![pod("big", cpu("200"))];
    send.send(v1::StreamRequest { id: 7, options, pods, ..Default::default() }).unwrap();
    drop(send);
    let answer = answers.next().await.unwrap().unwrap();
    assert!(matches!(answer.results[0].outcome, Some(Outcome::Queued(_))));
    let updates = vec![crate::fixture::update_node(node("huge", "400"))];
    client.apply(v1::ApplyRequest { updates, all_or_nothing: true }).await.unwrap();
    let answer = answers.next().await.unwrap().unwrap();
    assert_eq!((answer.id, answer.later[0].uid.as_str()), (0, "big"));
    let Some(Outcome::Placed(placed)) = &answer.later[0].outcome else { panic!("{answer:?}") };
    assert_eq!(placed.node, "huge");
    // Nothing is left to be said.
    assert!(answers.next().await.is_none());
    server.stop().await;
}

#[tokio::test]
async fn a_watch_tells_every_change_once_and_resumes() {
    let server = start(Server::builder()).await;
    let mut client = client(&server).await;
    apply_nodes(&mut client, 2, "100").await;
    let request = v1::WatchRequest { after_revision: Some(0), ..Default::default() };
    let mut watch = client.watch(request).await.unwrap().into_inner();
    let mut revisions = Vec::new();
    let first = watch.next().await.unwrap().unwrap();
    revisions.extend(first.changes.iter().map(|change| change.revision));
    for n in 0..50 {
        let pods = vec![pod(&format!("u{n}"), cpu("1"))];
        client.schedule(v1::ScheduleRequest { options: None, pods }).await.unwrap();
    }
    while revisions.len() < 52 {
        let response = watch.next().await.unwrap().unwrap();
        revisions.extend(response.changes.iter().map(|change| change.revision));
    }
    assert_eq!(revisions, (1..=52).collect::<Vec<_>>());
    // From the middle on, pods of one namespace only.
    let request = v1::WatchRequest {
        after_revision: Some(40),
        pods_only: true,
        namespaces: vec!["ns".into()],
    };
    let mut watch = client.watch(request).await.unwrap().into_inner();
    let response = watch.next().await.unwrap().unwrap();
    assert_eq!(
        (response.changes.len(), response.changes[0].revision, response.revision),
        (12, 41, 52)
    );
    let Some(v1::change::What::Pod(change)) = &response.changes[0].what else { panic!("a pod") };
    assert_eq!((change.uid.as_str(), change.state()), ("u38", v1::PodState::Placed));
    // From the future.
    let request = v1::WatchRequest { after_revision: Some(99), ..Default::default() };
    let mut watch = client.watch(request).await.unwrap().into_inner();
    let response = watch.next().await.unwrap().unwrap();
    let again = response.list_again.unwrap();
    assert_eq!(again.reason(), v1::list_again::Reason::UnknownRevision);
    assert_eq!(watch.next().await.unwrap().unwrap_err().code(), Code::OutOfRange);
    server.stop().await;
}

#[tokio::test]
async fn bad_input_is_refused_with_its_field_and_the_service_lives() {
    let server = start(Server::builder()).await;
    let mut client = client(&server).await;
    apply_nodes(&mut client, 1, "4").await;
    let mut many = cpu("1");
    many.tolerations = vec![v1::Toleration::default(); 100_000];
    let pods = vec![pod("u1", many)];
    let answer = client.schedule(v1::ScheduleRequest { options: None, pods }).await.unwrap();
    let result = answer.into_inner().results.remove(0);
    let Some(Outcome::Invalid(invalid)) = result.outcome else { panic!("{result:?}") };
    assert_eq!(invalid.violations[0].field, "pods[0].spec.tolerations");

    // A million tolerations are above the limit of a message.
    let mut million = cpu("1");
    million.tolerations =
        vec![v1::Toleration { key: "abcd".into(), ..Default::default() }; 1_000_000];
    let pods = vec![pod("u1", million)];
    let status = client.schedule(v1::ScheduleRequest { options: None, pods }).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");

    let uids = vec![String::new(); 5_000];
    let status = client.release(v1::ReleaseRequest { uids }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let pods = vec![v1::PodRequest::default(); 5_000];
    let status = client.schedule(v1::ScheduleRequest { options: None, pods }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = client
        .register_template(v1::RegisterTemplateRequest { spec: Some(cpu("1x")) })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("spec.containers[0].resources.requests[cpu]"), "{status:?}");

    let pods = vec![pod("u1", cpu("1"))];
    let answer = client.schedule(v1::ScheduleRequest { options: None, pods }).await.unwrap();
    assert!(matches!(answer.into_inner().results[0].outcome, Some(Outcome::Placed(_))));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_bounded_and_cut_off() {
    let limits =
        Limits { stream_messages: 64, unread: Duration::from_millis(300), ..Limits::default() };
    let server = start(Server::builder().limits(limits)).await;
    let mut other = client(&server).await;
    apply_nodes(&mut other, 10, "100000").await;
    let mut silent = client(&server).await;
    let (send, receive) = tokio::sync::mpsc::channel(16);
    let answers =
        silent.schedule_stream(tokio_stream::wrappers::ReceiverStream::new(receive)).await.unwrap();
    // It sends on and on, and reads nothing.
    let sending = tokio::spawn(async move {
        for id in 0.. {
            let pods = (0..256).map(|n| pod(&format!("u{id}-{n}"), cpu("1m"))).collect();
            let message = v1::StreamRequest { id, pods, ..Default::default() };
            if send.send(message).await.is_err() {
                return id;
            }
        }
        0
    });
    let sent = tokio::time::timeout(Duration::from_secs(20), sending).await.unwrap().unwrap();
    assert!(sent > 10, "{sent}");
    drop(answers);
    // The others are served.
    let pods = vec![pod("alive", cpu("1"))];
    let answer = other.schedule(v1::ScheduleRequest { options: None, pods }).await.unwrap();
    assert!(matches!(answer.into_inner().results[0].outcome, Some(Outcome::Placed(_))));
    server.stop().await;
}

#[tokio::test]
async fn overload_is_answered_as_such() {
    let limits = Limits { inbox_messages: 1, ..Limits::default() };
    let server = start(Server::builder().limits(limits)).await;
    let mut client = client(&server).await;
    apply_nodes(&mut client, 100, "100000").await;
    let mut calls = tokio::task::JoinSet::new();
    for call in 0..200 {
        let mut client = client.clone();
        calls.spawn(async move {
            let pods = (0..500).map(|n| pod(&format!("u{call}-{n}"), cpu("1m"))).collect();
            client.schedule(v1::ScheduleRequest { options: None, pods }).await
        });
    }
    let (mut placed, mut overloaded) = (0, 0);
    while let Some(answer) = calls.join_next().await {
        match answer.unwrap() {
            Ok(_) => placed += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                assert!(!status.details().is_empty());
                overloaded += 1;
            }
        }
    }
    assert!(placed > 0 && overloaded > 0, "{placed} {overloaded}");
    server.stop().await;
}

#[tokio::test]
async fn deadlines_that_passed_are_not_worked_on() {
    let server = start(Server::builder()).await;
    let mut client = client(&server).await;
    apply_nodes(&mut client, 1, "4").await;
    let pods = vec![pod("u1", cpu("1"))];
    let mut request = tonic::Request::new(v1::ScheduleRequest { options: None, pods });
    request.set_timeout(Duration::from_nanos(1));
    let status = client.schedule(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    let missing = client.get_pod(v1::GetPodRequest { uid: "u1".into() }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn syncing_over_several_messages_is_one_step() {
    let server = start(Server::builder()).await;
    let mut client = client(&server).await;
    apply_nodes(&mut client, 3, "4").await;
    let messages: Vec<_> = (0..10)
        .map(|n| v1::SyncNodesRequest { nodes: vec![node(&format!("n{n}"), "8")] })
        .collect();
    let answer = client.sync_nodes(tokio_stream::iter(messages)).await.unwrap().into_inner();
    assert_eq!((answer.changed_count, answer.added_count), (3, 7));
    let messages = vec![
        v1::SyncNodesRequest { nodes: vec![node("n0", "8")] },
        v1::SyncNodesRequest { nodes: vec![node("n1", "-8")] },
    ];
    let status = client.sync_nodes(tokio_stream::iter(messages)).await.unwrap_err();
    assert!(status.message().starts_with("nodes[1].allocatable[cpu]"), "{status:?}");
    let stats = client.stats(v1::StatsRequest {}).await.unwrap().into_inner();
    assert_eq!(stats.nodes, 10);
    server.stop().await;
}
