// SPDX-License-Identifier: Apache-2.0
//! Contenders for a Lease before this server: one leads at a time, whatever fails; who was cut off is told in time, and what it writes
//! after another has taken over is refused.

use crate::kit::{Cluster, NOW, Random, config};
use berth_cluster_apiserver::{Answer, Caller, Faults, Server};
use berth_cluster_auth::user::{MASTERS, User};
use berth_cluster_client::election::{Election, Leading, Options};
use berth_cluster_client::{Api, Clock};
use bytes::Bytes;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tower_service::Service;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/t1/leases/lead";
const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";

fn api(server: &Server) -> Api {
    let user = User::authenticated("component", "", vec![MASTERS.to_owned()]);
    Api::within(server.clone(), Caller(user))
}

fn options(identity: &str) -> Options {
    let clock = Clock::counted(NOW * 1_000_000);
    Options { clock, ..Options::new("t1", "lead", identity) }
}

async fn within(seconds: u64, election: &mut Election) -> Option<Leading> {
    timeout(Duration::from_secs(seconds), election.elected()).await.ok()
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_the_other_follows_when_it_is_released_or_ends() {
    let cluster = Cluster::new().await;
    let mut first = Election::start(api(&cluster.server), options("first"));
    let leading = within(1, &mut first).await.unwrap();
    assert!(leading.leads());
    let mut second = Election::start(api(&cluster.server), options("second"));
    assert!(within(120, &mut second).await.is_none(), "the first renews");
    assert!(leading.leads());
    let lease = cluster.get(LEASE).await;
    assert_eq!(lease["spec"]["holderIdentity"], "first");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 15);
    // What is written as the leader holds, as long as it leads.
    let writes = leading.fenced(api(&cluster.server));
    writes.post(CONFIGS, Bytes::from(config("a", "1").to_string())).await.unwrap();
    first.release().await;
    assert!(!leading.leads());
    leading.lost().await;
    let began = Instant::now();
    let next = second.elected().await;
    assert!(began.elapsed() < Duration::from_secs(5), "it need not wait the Lease out");
    assert_ne!(next.fence, leading.fence);
    let refused = writes.post(CONFIGS, Bytes::from(config("b", "1").to_string())).await;
    assert_eq!(refused.unwrap_err().code(), Some(409), "the epoch is over");
    let lease = cluster.get(LEASE).await;
    assert_eq!(lease["spec"]["leaseTransitions"], 2 - 1);
    // Dropping it gives the Lease back too.
    drop(second);
    next.lost().await;
    sleep(Duration::from_secs(1)).await;
    let mut third = Election::start(api(&cluster.server), options("third"));
    assert!(within(5, &mut third).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_is_told_before_another_leads() {
    let cluster = Cluster::new().await;
    // A server over the same store, of which every answer comes too late from now on.
    let cut = Arc::new(AtomicBool::new(false));
    let gate = Gate { server: cluster.server.clone(), cut: Arc::clone(&cut) };
    let user = User::authenticated("component", "", vec![MASTERS.to_owned()]);
    let mut first = Election::start(Api::within(gate, Caller(user)), options("first"));
    let leading = within(1, &mut first).await.unwrap();
    let mut second = Election::start(api(&cluster.server), options("second"));
    sleep(Duration::from_secs(30)).await;
    assert!(leading.leads());
    cut.store(true, Ordering::SeqCst);
    let began = Instant::now();
    leading.lost().await;
    let told = began.elapsed();
    assert!(!leading.leads());
    assert!(told >= Duration::from_secs(8) && told <= Duration::from_secs(10), "{told:?}");
    let next = second.elected().await;
    let taken = began.elapsed();
    assert!(taken > Duration::from_secs(13) && taken < Duration::from_secs(22), "{taken:?}");
    // It comes back, and follows.
    cut.store(false, Ordering::SeqCst);
    assert!(within(60, &mut first).await.is_none());
    assert!(next.leads());
}

#[tokio::test(start_paused = true)]
async fn never_do_two_lead_whatever_fails() {
    for seed in 0..5 {
        let cluster = Cluster::new().await;
        let faults = Faults {
            unavailable: 150,
            too_many: 50,
            slow: 300,
            lost: 150,
            delay: Duration::from_secs(6),
        };
        let bad = Server::builder(cluster.store.clone()).faults(faults).build();
        let mut contenders: Vec<Election> = (0..3)
            .map(|number| Election::start(api(&bad), options(&format!("c{seed}{number}"))))
            .collect();
        let mut random = Random(seed);
        let mut terms = 0;
        let mut present: Vec<Leading> = Vec::new();
        for _ in 0..2_000 {
            sleep(Duration::from_millis(random.below(1_000))).await;
            let leads = present.iter().filter(|leading| leading.leads()).count();
            assert!(leads <= 1, "seed {seed}: {leads} lead");
            present.retain(Leading::leads);
            for contender in &mut contenders {
                if let Ok(leading) = timeout(Duration::ZERO, contender.elected()).await {
                    let known = present.iter().any(|one| one.fence == leading.fence);
                    if !known {
                        terms += 1;
                        present.push(leading);
                    }
                }
            }
        }
        assert!(terms > 1, "seed {seed}: they changed {terms} times");
    }
}

/// A server that stops answering.
#[derive(Debug, Clone)]
struct Gate {
    server: Server,
    cut: Arc<AtomicBool>,
}

impl<B> Service<http::Request<B>> for Gate
where
    Server: Service<http::Request<B>, Response = Answer, Error = Infallible>,
    <Server as Service<http::Request<B>>>::Future: Send + 'static,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if self.cut.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        Box::pin(self.server.call(request))
    }
}
