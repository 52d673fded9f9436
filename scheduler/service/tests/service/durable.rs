// SPDX-License-Identifier: Apache-2.0
//! The service on a journal: restarts, kills, a full disk.

mod disk;
mod kills;

use crate::fixture::{Client, apply_nodes, client, cpu, pod, start};
use berth_proto::v1;
use berth_proto::v1::pod_result::Outcome;
use berth_scheduler_journal::disk::sim::{Fault, SimDisk};
use berth_scheduler_service::Server;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

fn node_of(result: &v1::PodResult) -> (String, bool) {
    match &result.outcome {
        Some(Outcome::Placed(placed)) => (placed.node.clone(), placed.repeated),
        other => panic!("not placed: {other:?}"),
    }
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_a_watch_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || Server::builder().data(folder.path());
    let server = start(builder()).await;
    assert_eq!(server.recovered().unwrap().revision, 0);
    let mut before = client(&server).await;
    apply_nodes(&mut before, 5, "100").await;
    let spec = Some(cpu("2"));
    let template = before.register_template(v1::RegisterTemplateRequest { spec }).await.unwrap();
    let template = template.into_inner().template;
    let pods: Vec<_> = (0..100).map(|n| pod(&format!("u{n}"), cpu("1"))).collect();
    let request = v1::ScheduleRequest { options: None, pods };
    let first = before.schedule(request.clone()).await.unwrap().into_inner();
    server.stop().await;

    let server = start(builder()).await;
    let recovered = server.recovered().unwrap();
    assert_eq!((recovered.nodes, recovered.pods), (5, 100));
    assert_eq!(recovered.revision, first.revision);
    assert!(recovered.remarks.is_empty(), "{:?}", recovered.remarks);
    let mut after = client(&server).await;
    let again = after.schedule(request).await.unwrap().into_inner();
    for (first, again) in first.results.iter().zip(&again.results) {
        assert_eq!(node_of(again), (node_of(first).0, true));
        assert_eq!(again.revision, first.revision);
    }
    let what = Some(v1::pod_request::What::Template(template));
    let pods = vec![v1::PodRequest { what, ..pod("u100", cpu("0")) }];
    let answer = after.schedule(v1::ScheduleRequest { options: None, pods }).await.unwrap();
    assert_eq!(answer.into_inner().revision, first.revision + 1);
    let request =
        v1::WatchRequest { after_revision: Some(first.revision - 9), ..Default::default() };
    let mut watch = after.watch(request).await.unwrap().into_inner();
    let response = watch.message().await.unwrap().unwrap();
    assert_eq!(response.changes.len(), 10);
    server.stop().await;
}

/// Places pods until one is not accepted; says why.
async fn fill(
    client: &mut Client,
    first: u32,
    placed: &mut Vec<(String, String)>,
) -> v1::NotAccepted {
    for serial in first..first + 2_000 {
        let name = format!("u{serial}-{}", "x".repeat(400));
        let pods = (0..64).map(|n| pod(&format!("{name}-{n}"), cpu("1m"))).collect();
        let request = v1::ScheduleRequest { options: None, pods };
        let answer = client.schedule(request).await.unwrap().into_inner();
        for result in answer.results {
            match result.outcome {
                Some(Outcome::Placed(node)) => placed.push((result.uid, node.node)),
                Some(Outcome::NotAccepted(why)) => return why,
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("the disk did not fill");
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_and_goes_on_by_itself() {
    let disk = SimDisk::default();
    let builder = || Server::builder().data_on(Arc::new(disk.clone()), Arc::new(disk.store()));
    let server = start(builder()).await;
    let mut client = client(&server).await;
    apply_nodes(&mut client, 10, "100000").await;
    disk.set_capacity(Some(48 << 20));
    let mut placed = Vec::new();
    let refused = fill(&mut client, 0, &mut placed).await;
    assert_eq!(refused.reason(), v1::not_accepted::Reason::DiskFull);
    assert!(refused.retry_after_ms > 0, "{refused:?}");
    // A snapshot gives space back when it is done, and it goes on by itself. From here on none comes back: what was got ready until
    // now, or is just being got ready, is filled too.
    disk.set_capacity(Some(0));
    let (mut first, mut quiet) = (2_000, 0);
    while quiet < 5 {
        let before = placed.len();
        fill(&mut client, first, &mut placed).await;
        (first, quiet) = (first + 2_000, if placed.len() == before { quiet + 1 } else { 0 });
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Reads, and what was decided before, are answered.
    let (uid, node) = placed.last().unwrap().clone();
    let found = client.get_pod(v1::GetPodRequest { uid: uid.clone() }).await.unwrap();
    assert_eq!(found.into_inner().pod.unwrap().node, node);
    let request = v1::ScheduleRequest { options: None, pods: vec![pod(&uid, cpu("1m"))] };
    let answer = client.schedule(request).await.unwrap().into_inner();
    assert_eq!(node_of(&answer.results[0]), (node, true));
    let uids = vec![uid];
    let status = client.release(v1::ReleaseRequest { uids }).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    // Space comes back: it goes on without a restart.
    disk.set_capacity(None);
    let mut tries = 0;
    loop {
        let request = v1::ScheduleRequest { options: None, pods: vec![pod("new", cpu("1m"))] };
        let answer = client.schedule(request).await.unwrap().into_inner();
        if let Some(Outcome::Placed(node)) = &answer.results[0].outcome {
            placed.push(("new".into(), node.node.clone()));
            break;
        }
        tries += 1;
        assert!(tries < 200, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop().await;
    let server = start(builder()).await;
    let mut client = crate::fixture::client(&server).await;
    for (uid, node) in placed {
        let found = client.get_pod(v1::GetPodRequest { uid }).await.unwrap().into_inner();
        assert_eq!(found.pod.unwrap().node, node);
    }
    server.stop().await;
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged() {
    let mut died = 0;
    for operation in 10..50 {
        let disk = SimDisk::default();
        let builder = || Server::builder().data_on(Arc::new(disk.clone()), Arc::new(disk.store()));
        let server = start(builder()).await;
        let mut client = client(&server).await;
        apply_nodes(&mut client, 2, "100000").await;
        disk.fault_at(operation, Fault::Error(ErrorKind::Other));
        let mut placed = Vec::new();
        let mut failed = 0;
        for serial in 0..60 {
            let uid = format!("u{serial}");
            let request = v1::ScheduleRequest { options: None, pods: vec![pod(&uid, cpu("1m"))] };
            match client.schedule(request).await.map(tonic::Response::into_inner) {
                Ok(answer) => match &answer.results[0].outcome {
                    Some(Outcome::Placed(node)) => {
                        assert_eq!(failed, 0, "an acknowledgement after the failure");
                        placed.push((uid, node.node.clone()));
                    }
                    Some(Outcome::NotAccepted(why)) => {
                        // A segment that could not be made is made again: that is no end.
                        let full = why.reason() == v1::not_accepted::Reason::DiskFull;
                        failed += u32::from(!full);
                    }
                    other => panic!("{other:?}"),
                },
                Err(status) => {
                    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
                    failed += 1;
                }
            }
        }
        died += u32::from(failed > 0);
        // It still says how it is.
        client.stats(v1::StatsRequest {}).await.unwrap();
        server.stop().await;
        let after = disk.after_kill();
        let builder = Server::builder().data_on(Arc::new(after.clone()), Arc::new(after.store()));
        let server = start(builder).await;
        let mut client = crate::fixture::client(&server).await;
        for (uid, node) in placed {
            let found = client.get_pod(v1::GetPodRequest { uid }).await.unwrap().into_inner();
            assert_eq!(found.pod.unwrap().node, node);
        }
        server.stop().await;
    }
    assert!(died > 10, "{died}");
}
