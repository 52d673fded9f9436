// SPDX-License-Identifier: Apache-2.0
//! Whether an address still gets new connections: asked before a container is told to end.
//!
//! An address is *in* while the data plane has been told of an endpoint at it, in any Service, that is ready and does not end. It is *out* once a
//! table without one is confirmed. This node's is known here; every other node's service proxy is asked over HTTP (`GET /rotation/ADDRESS`) and answers when it is
//! out: who does not within the limit is late, and named.

use crate::view::Node;
use berth_balancer_service::wanted::Wish;
use berth_cluster_client::{Api, Informer, Item, Resource};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

/// The longest that is waited for others: a dead node delays nobody longer.
const LIMIT: Duration = Duration::from_secs(2);
/// How long a node is waited for of which the control plane has not heard for a while.
const SILENT: Duration = Duration::from_millis(200);
/// Pause before a node is asked again that did not answer.
const AGAIN: Duration = Duration::from_millis(20);
/// Bytes of an answer that are read: its first line says all.
const HEAD: usize = 64;

/// Addresses that are in, each with the number of ready endpoints there.
#[derive(Debug)]
pub(crate) struct Table {
    ready: Mutex<BTreeMap<IpAddr, u32>>,
    told: watch::Sender<u64>,
    /// All nodes, once they are followed.
    pub(crate) nodes: OnceLock<Informer<Node>>,
}

impl Default for Table {
    fn default() -> Self {
        Self { ready: Mutex::default(), told: watch::Sender::new(0), nodes: OnceLock::new() }
    }
}

impl Table {
    /// A service was told so, and is told so now.
    pub(crate) fn change(&self, before: Option<&Wish>, after: Option<&Wish>) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let all = |wish: Option<&Wish>| -> Vec<IpAddr> {
            let endpoints = wish.into_iter().flat_map(|wish| &wish.endpoints);
            // Who publishes what is not ready gets flows until it is gone: there is nothing to wait for.
            let stays = endpoints.filter(|one| one.ready && !one.terminating);
            stays.map(|one| one.address).collect()
        };
        for address in all(after) {
            *ready.entry(address).or_default() += 1;
        }
        for address in all(before) {
            let Some(count) = ready.get_mut(&address) else { continue };
            *count -= 1;
            if *count == 0 {
                ready.remove(&address);
            }
        }
    }

    /// What was told is confirmed.
    pub(crate) fn confirmed(&self) {
        self.told.send_modify(|times| *times += 1);
    }

    fn is_in(&self, address: IpAddr) -> bool {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&address)
    }

    /// Waits until an address is out; false if it is not in time.
    pub(crate) async fn out(&self, address: IpAddr, until: Instant) -> bool {
        let mut told = self.told.subscribe();
        loop {
            told.borrow_and_update();
            if !self.is_in(address) {
                return true;
            }
            match timeout_at(until, told.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return !self.is_in(address),
            }
        }
    }
}

/// Says when addresses are out of rotation.
#[derive(Debug, Clone)]
pub struct Rotation {
    table: Arc<Table>,
    node: Arc<str>,
    stats: Arc<crate::Stats>,
}

impl Rotation {
    pub(crate) fn new(table: Arc<Table>, node: Arc<str>, stats: Arc<crate::Stats>) -> Self {
        Self { table, node, stats }
    }

    /// That of a node without a data plane of its own: another one serves its pods, and is asked as all are. `api` has to be of somebody who
    /// may list nodes.
    #[must_use]
    pub fn of_others(api: Api, node: &str, seed: u64) -> Self {
        let table = Table::default();
        let nodes = Informer::start(api, Resource::new("", "v1", "nodes"), seed);
        // It is set once.
        drop(table.nodes.set(nodes));
        Self::new(Arc::new(table), node.into(), Arc::default())
    }

    /// Waits until none of these addresses of a pod gets new connections from any node, but no longer than the limit (2 s at most). The names
    /// of the nodes that did not confirm it: those whose service proxy is one of ours and does not answer, or has not heard of it.
    ///
    /// That the pod is being stopped has to be written before: endpoints become terminating by that, and leave the rotation.
    pub async fn left(&self, addresses: &[IpAddr], limit: Duration) -> Vec<String> {
        let until = Instant::now() + limit.min(LIMIT);
        let mut late = Vec::new();
        let mut others = JoinSet::new();
        for node in self.others() {
            let addresses = addresses.to_vec();
            others.spawn(async move {
                let proxy = node.view.proxy?;
                let silent = Instant::now() + SILENT;
                let until = if node.view.ready { until } else { until.min(silent) };
                for address in addresses {
                    if !confirms(proxy, address, until).await {
                        return Some(node.id.name.to_string());
                    }
                }
                None
            });
        }
        for address in addresses {
            if !self.table.out(*address, until).await {
                late.push(self.node.to_string());
                break;
            }
        }
        while let Some(answer) = others.join_next().await {
            late.extend(answer.ok().flatten());
        }
        late.sort_unstable();
        self.stats.late(late.len());
        late
    }

    /// All other nodes that have a service proxy of ours.
    fn others(&self) -> Vec<Arc<Item<Node>>> {
        let all = self.table.nodes.get().map(Informer::all).unwrap_or_default();
        let other = |one: &Arc<Item<Node>>| *one.id.name != *self.node && one.view.proxy.is_some();
        all.into_iter().filter(other).collect()
    }
}

/// Asks a node until it says that an address is out there.
async fn confirms(proxy: SocketAddr, address: IpAddr, until: Instant) -> bool {
    loop {
        match timeout_at(until, ask(proxy, address)).await {
            Ok(Ok(200)) => return true,
            // Out of its connections, restarting, or it has waited as long as it does.
            Ok(Ok(_) | Err(_)) => {}
            Err(_) => return false,
        }
        if Instant::now() + AGAIN >= until {
            return false;
        }
        sleep(AGAIN).await;
    }
}

/// The status of an answer.
async fn ask(proxy: SocketAddr, address: IpAddr) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(proxy).await?;
    let head =
        format!("GET /rotation/{address} HTTP/1.1\r\nHost: {proxy}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::with_capacity(HEAD);
    stream.take(HEAD as u64).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::Error::other("no HTTP status"))
}

/// How long a question of another node is held: as long as it waits.
pub(crate) fn patience() -> Instant {
    Instant::now() + LIMIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_balancer_core::model::{Endpoint, Service};

    /// A service with endpoints at 10.1.0.N: `+1` is ready, `-1` is not, `~1` is ready and ends.
    fn wish(endpoints: &str) -> Wish {
        let endpoint = |word: &str| Endpoint {
            name: word.into(),
            address: format!("10.1.0.{}", &word[1..]).parse().unwrap(),
            ports: Vec::new(),
            ready: !word.starts_with('-'),
            serving: true,
            terminating: !word.starts_with('+'),
            node: None,
            zone: None,
            weight: 1,
        };
        let service = Service {
            name: "s".into(),
            cluster_ips: Vec::new(),
            external_ips: Vec::new(),
            load_balancer_ips: Vec::new(),
            ports: Vec::new(),
            settings: Arc::default(),
        };
        let endpoints =
            endpoints.split(' ').filter(|word| !word.is_empty()).map(endpoint).collect();
        Wish { service, from_pool: false, endpoints }
    }

    #[test]
    fn an_address_is_in_while_any_service_has_it_ready() {
        let table = Table::default();
        let check = |want: &str| {
            let all = (1..=3).filter(|n| table.is_in(format!("10.1.0.{n}").parse().unwrap()));
            let all: Vec<String> = all.map(|n: u8| n.to_string()).collect();
            assert_eq!(all.join(" "), want);
        };
        let (both, one, ends) = (wish("+1 +2"), wish("+1 -3"), wish("~1"));
        table.change(None, Some(&both));
        table.change(None, Some(&one));
        check("1 2");
        table.change(Some(&both), Some(&ends));
        check("1");
        table.change(Some(&one), Some(&wish("-1 +3")));
        check("3");
        table.change(Some(&wish("-1 +3")), None);
        table.change(Some(&ends), None);
        check("");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_hears_it_when_it_is_confirmed_and_not_before() {
        let table = Arc::new(Table::default());
        let address = "10.1.0.1".parse().unwrap();
        table.change(None, Some(&wish("+1")));
        assert!(!table.out(address, Instant::now() + LIMIT).await);
        let waiting = Arc::clone(&table);
        let waits = tokio::spawn(async move { waiting.out(address, Instant::now() + LIMIT).await });
        sleep(SILENT).await;
        table.change(Some(&wish("+1")), Some(&wish("-1")));
        table.confirmed();
        assert!(waits.await.unwrap());
        assert!(table.out(address, Instant::now()).await, "and from then on at once");
    }
}
