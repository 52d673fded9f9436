// SPDX-License-Identifier: Apache-2.0
//! Servers that stop while others ask, and requests that end in a panic: nobody else is hurt.

use crate::kit::{Cluster, config};
use crate::place::{Client, Failure, NEW, OLD, Place, bounded};
use crate::tier::Row;
use berth_cluster_apiserver::{Environment, Fixed, Listener, Listening, Moment, Server};
use http_body_util::BodyExt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";

/// One of two servers of a store, which is stopped and begun anew.
async fn begin(place: &Place) -> (Listening, Cluster) {
    let Cluster { store, clock, .. } = place.cluster.clone();
    let environment = Arc::<Fixed>::clone(&clock);
    let server = Server::builder(store.clone()).environment(environment).build();
    let cluster = Cluster { server, store, clock };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let listening = listener.serve(cluster.server.clone(), place.pki.server_config().unwrap());
    (listening, cluster)
}

/// What the clients know.
struct Shared {
    config: Arc<ClientConfig>,
    /// Where the servers are, as a balancer would say.
    addresses: Mutex<Vec<SocketAddr>>,
    done: AtomicU64,
    /// Requests that were sent once more, over another connection.
    again: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    async fn connect(&self, turn: u64) -> Option<Client> {
        let address = {
            let all = self.addresses.lock().unwrap();
            all[usize::try_from(turn).unwrap() % all.len()]
        };
        let stream = TcpStream::connect(address).await.ok()?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect("localhost".try_into().unwrap(), stream).await.ok()?;
        Client::new(stream).await.ok()
    }
}

async fn create(client: &mut Client, name: &str) -> Result<u16, Failure> {
    let answer = client.send("POST", CONFIGS, &config(name, "").to_string()).await?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await?;
    Ok(status)
}

/// Creates one object after the other. A connection that ends without an answer has done nothing of what was asked over it: the same is
/// asked once more over another one, and would be told that it is there already.
async fn ask(shared: Arc<Shared>, number: u64) {
    let (mut client, mut turn) = (None, number);
    for request in 0.. {
        let name = format!("c{number}-{request}");
        loop {
            if shared.stop.load(SeqCst) {
                return;
            }
            turn += 1;
            if client.is_none() {
                client = shared.connect(turn).await;
            }
            let Some(open) = &mut client else { continue };
            match create(open, &name).await {
                Ok(status) => {
                    assert_eq!(status, 201, "{name}");
                    break;
                }
                Err(_) => {
                    shared.again.fetch_add(1, SeqCst);
                    client = None;
                }
            }
        }
        shared.done.fetch_add(1, SeqCst);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_one_may_stop_at_any_time_and_no_request_fails() {
    let mut row = Row::new("stops under load", 10, 1_000);
    let place = Place::new().await;
    for protocols in [OLD, NEW] {
        let mut two = [begin(&place).await, begin(&place).await];
        let addresses = two.iter().map(|(listening, _)| listening.address()).collect();
        let shared = Arc::new(Shared {
            config: Arc::new(place.client(Some(&place.admin()), protocols)),
            addresses: Mutex::new(addresses),
            done: AtomicU64::new(0),
            again: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let clients: Vec<_> =
            (0..8).map(|number| tokio::spawn(ask(Arc::clone(&shared), number))).collect();
        let goal = row.goal() / 2;
        for round in 0..goal {
            if row.next().is_none() {
                break;
            }
            let before = shared.done.load(SeqCst);
            while shared.done.load(SeqCst) < before + 20 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                assert!(clients.iter().all(|client| !client.is_finished()), "a request failed");
            }
            let at = usize::try_from(round % 2).unwrap();
            let next = begin(&place).await;
            shared.addresses.lock().unwrap()[at] = next.0.address();
            let (listening, cluster) = std::mem::replace(&mut two[at], next);
            // Readiness goes first, while the server still answers.
            cluster.server.stop();
            assert_eq!(cluster.admin("GET", "/readyz").status().await, 500);
            listening.stop().await;
        }
        shared.stop.store(true, SeqCst);
        for client in clients {
            client.await.unwrap();
        }
        let (done, again) = (shared.done.load(SeqCst), shared.again.load(SeqCst));
        eprintln!("{done} requests, {again} of them over a second connection");
        for (listening, _) in two {
            listening.stop().await;
        }
        place.cluster.admin("DELETE", CONFIGS).done(200).await;
    }
}

/// A chance at which a request breaks: in the midst of a creation, which has taken its place among those that run.
#[derive(Debug, Default)]
struct Broken(AtomicBool);

impl Environment for Broken {
    fn now(&self) -> Moment {
        Moment { seconds: crate::place::now(), nanos: 0 }
    }

    fn random(&self) -> u64 {
        assert!(!self.0.swap(false, SeqCst), "a panic on purpose");
        7
    }
}

#[tokio::test]
async fn a_panic_ends_its_connection_and_nothing_else() {
    bounded(async {
        let broken = Arc::<Broken>::default();
        let environment = Arc::clone(&broken);
        let place = Place::with(berth_cluster_apiserver::Times::default(), |builder| {
            builder.environment(environment)
        })
        .await;
        let mut row = Row::new("requests that panic", 20, 1_000);
        let connect = async |protocols| {
            let config = place.client(Some(&place.admin()), protocols);
            Client::new(place.connect(config).await.unwrap()).await.unwrap()
        };
        let mut good = connect(NEW).await;
        while let Some(number) = row.next() {
            let mut bad = connect(if number % 2 == 0 { OLD } else { NEW }).await;
            broken.0.store(true, SeqCst);
            assert!(create(&mut bad, "bad").await.is_err(), "it has no answer");
            assert!(!broken.0.load(SeqCst), "there was no panic");
            assert_eq!(good.get(&format!("{CONFIGS}/bad")).await.unwrap().0, 404);
            assert_eq!(create(&mut good, &format!("c{number}")).await.unwrap(), 201);
        }
    })
    .await;
}
