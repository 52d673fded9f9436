// SPDX-License-Identifier: Apache-2.0
//! What load balancers and other nodes ask this node over HTTP: whether a Service has endpoints here (`healthCheckNodePort`), whether the
//! proxy works, and whether an address is out of rotation.

use crate::books::Key;
use crate::rotation::{Table, patience};
use crate::stats::Stats;
use berth_balancer_service::control::Shared;
use berth_proto_serve::pages::{self, PLAIN, Page, Pages, page};
use http::{HeaderValue, StatusCode};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpListener;
use tokio::sync::watch;

const JSON: &str = "application/json";

/// What a port answers: about which Service.
#[derive(Debug, Clone)]
struct Check {
    key: Key,
    ready: Arc<AtomicUsize>,
    plane: Arc<Shared>,
}

impl Pages for Check {
    async fn page(&self, _: &str) -> Page {
        let ready = self.ready.load(Ordering::Relaxed);
        let healthy = self.plane.moment().trouble.is_none();
        answer(&self.key, ready, healthy)
    }
}

/// kube-proxy's answer, letter for letter.
fn answer((namespace, name): &Key, ready: usize, healthy: bool) -> Page {
    let status =
        if ready > 0 && healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let text = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{namespace}\",\n\t\t\"name\": \"{name}\"\n\t}},\n\t\
         \"localEndpoints\": {ready},\n\t\"serviceProxyHealthy\": {healthy}\n}}"
    );
    let mut page = page(status, JSON, text);
    let headers = page.headers_mut();
    headers.insert("X-Content-Type-Options", HeaderValue::from_static("nosniff"));
    headers.insert("X-Load-Balancing-Endpoint-Weight", HeaderValue::from(ready));
    page
}

/// The ports of all Services with a health check.
#[derive(Debug)]
pub(crate) struct Checks {
    open: BTreeMap<SocketAddr, Open>,
    plane: Arc<Shared>,
}

#[derive(Debug)]
struct Open {
    key: Key,
    ready: Arc<AtomicUsize>,
    /// Dropped, the server ends.
    _stop: watch::Sender<bool>,
}

impl Checks {
    pub(crate) fn new(plane: Arc<Shared>) -> Self {
        Self { open: BTreeMap::new(), plane }
    }

    /// Has these ports answer on these addresses; what cannot be, with the reason.
    pub(crate) async fn set(
        &mut self,
        wanted: Vec<(u16, Key, usize)>,
        addresses: &[IpAddr],
    ) -> Vec<(Key, SocketAddr, std::io::Error)> {
        let mut all = BTreeMap::new();
        for (port, key, ready) in wanted {
            for address in addresses {
                all.insert(SocketAddr::new(*address, port), (key.clone(), ready));
            }
        }
        self.open.retain(|at, open| all.get(at).is_some_and(|(key, _)| *key == open.key));
        let mut failed = Vec::new();
        for (at, (key, ready)) in all {
            if let Some(open) = self.open.get(&at) {
                open.ready.store(ready, Ordering::Relaxed);
                continue;
            }
            match TcpListener::bind(at).await {
                Ok(listener) => {
                    let ready = Arc::new(AtomicUsize::new(ready));
                    let (stop, stopping) = watch::channel(false);
                    let plane = Arc::clone(&self.plane);
                    let check = Check { key: key.clone(), ready: Arc::clone(&ready), plane };
                    tokio::spawn(pages::serve(check, listener, stopping));
                    self.open.insert(at, Open { key, ready, _stop: stop });
                }
                Err(error) => failed.push((key, at, error)),
            }
        }
        failed
    }
}

/// Pages about the proxy itself.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub(crate) table: Arc<Table>,
    pub(crate) plane: Arc<Shared>,
    pub(crate) stats: Arc<Stats>,
}

impl Pages for Own {
    async fn page(&self, path: &str) -> Page {
        if let Some(address) = path.strip_prefix("/rotation/") {
            return self.rotation(address).await;
        }
        match path {
            "/healthz" | "/livez" => self.health(),
            "/metrics" => page(StatusCode::OK, PLAIN, self.stats.page()),
            _ => {
                let text = "there are /healthz, /livez, /metrics and /rotation/ADDRESS\n";
                page(StatusCode::NOT_FOUND, PLAIN, text)
            }
        }
    }
}

impl Own {
    /// Holds the question until the address is out.
    async fn rotation(&self, address: &str) -> Page {
        let Ok(address) = address.parse::<IpAddr>() else {
            return page(StatusCode::BAD_REQUEST, PLAIN, "this is no address\n");
        };
        if self.table.out(address, patience()).await {
            page(StatusCode::OK, PLAIN, "out\n")
        } else {
            page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "in\n")
        }
    }

    /// As kube-proxy's.
    fn health(&self) -> Page {
        let moment = self.plane.moment();
        let healthy = moment.ready && moment.trouble.is_none();
        let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let now = now();
        let text = format!(
            "{{\"lastUpdated\": \"{now}\",\"currentTime\": \"{now}\", \"nodeEligible\": true}}"
        );
        page(status, JSON, text)
    }
}

/// The time, as objects have it.
pub(crate) fn now() -> String {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0);
    now.ok().and_then(|now| now.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_health_check_is_answered_as_by_kube_proxy() {
        for (ready, healthy, status) in [(2, true, 200), (0, true, 503), (2, false, 503)] {
            let page = answer(&("shop".into(), "web".into()), ready, healthy);
            assert_eq!(page.status(), status);
            let weight = &page.headers()["X-Load-Balancing-Endpoint-Weight"];
            assert_eq!(*weight, ready.to_string());
            assert_eq!(page.headers()["X-Content-Type-Options"], "nosniff");
            assert_eq!(page.headers()["Content-Type"], "application/json");
        }
    }
}
