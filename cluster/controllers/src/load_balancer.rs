// SPDX-License-Identifier: Apache-2.0
//! Services of the type LoadBalancer get addresses of a pool. Which is decided by a [`Pool`]; here it is written.

pub mod pool;
pub mod ranges;

use crate::context::{Context, body, unless_gone};
use crate::controller::{self, CHANGES};
use crate::events::{Type, about};
use crate::index::{self, Index};
use crate::informers::begin;
use crate::place::SERVICES;
use crate::queue::{Key, Outcome};
use crate::view::service::Ingress;
use crate::view::{Service, value};
use berth_cluster_client::{Change, Item};
use pool::Pool;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Services that are written at a time.
const AT_ONCE: usize = 4;
/// When a Service for which there was nothing is looked at again.
const FULL: Duration = Duration::from_mins(1);

#[derive(Debug)]
struct State {
    services: Index<Service>,
    pool: Pool,
}

type Controller = controller::Controller<State>;

/// Runs the controller for ever.
pub(crate) async fn run(context: Context) {
    let mut services = begin(context.informers.services()).await;
    let pool = Pool::new(context.settings.load_balancer_pool.clone());
    let state = State { services: Index::new(|_| Vec::new()), pool };
    let controller = Controller::new(context, state);
    // What is given out already is known before anything is given out; of two that have one address the older keeps it.
    let mut first = Vec::new();
    while let Some(change) = services.try_next() {
        first.push(change);
    }
    first.sort_by_key(|change| {
        change.after.as_ref().map(|service| (service.view.metadata.created(), index::key(service)))
    });
    for change in &first {
        controller.service_changed(change);
    }
    let intake = async {
        let mut some = Vec::new();
        while services.next_many(&mut some, CHANGES).await > 0 {
            some.drain(..).for_each(|change| controller.service_changed(&change));
        }
    };
    Arc::clone(&controller).run(AT_ONCE, intake, Controller::sync).await;
}

/// The addresses that a Service has now.
fn has(service: &Service) -> Vec<IpAddr> {
    let ingress = service.status.load_balancer.ingress.iter();
    ingress.filter_map(|one| one.ip.parse().ok()).collect()
}

/// Whether a Service is ours to give an address to.
fn ours(service: &Service, class: Option<&str>) -> bool {
    let given = service.spec.load_balancer_class.as_deref();
    service.spec.kind == "LoadBalancer"
        && !service.metadata.deleted()
        && (given.is_none() || given == class)
}

impl Controller {
    fn ours(&self, service: &Service) -> bool {
        ours(service, self.context.settings.load_balancer_class.as_deref())
    }

    fn service_changed(&self, change: &Change<Service>) {
        let mut state = self.state();
        state.services.apply(change);
        match (&change.before, &change.after) {
            (_, Some(service)) => {
                let key = index::key(service);
                if self.ours(&service.view) {
                    state.pool.claim(&key, &has(&service.view));
                } else if state.pool.release(&key) {
                    self.wake(&state);
                }
                self.work.add(key);
            }
            (Some(service), None) => {
                if state.pool.release(&index::key(service)) {
                    self.wake(&state);
                }
            }
            (None, None) => {}
        }
    }

    /// An address is free: who has none may get it.
    fn wake(&self, state: &State) {
        let waits = |service: &&Arc<Item<Service>>| {
            self.ours(&service.view) && has(&service.view).is_empty()
        };
        state.services.all().filter(waits).for_each(|service| self.work.add(index::key(service)));
    }

    async fn sync(self: Arc<Self>, key: Key) -> Outcome {
        let (service, wanted) = {
            let mut state = self.state();
            let Some(service) = state.services.get(&key) else { return Outcome::Done };
            let wanted = self.ours(&service.view).then(|| {
                let spec = &service.view.spec;
                let six =
                    spec.ip_families.iter().map(|family| family == "IPv6").collect::<Vec<_>>();
                let six = if six.is_empty() { vec![false] } else { six };
                state.pool.assign(&key, &six, spec.load_balancer_ip.parse().ok())
            });
            (service, wanted)
        };
        let about = about(SERVICES, &service);
        let recorder = &self.context.recorder;
        let Some(wanted) = wanted else {
            // An address that another class of load balancers gave is theirs.
            let had = has(&service.view);
            let mine = service.view.spec.kind != "LoadBalancer"
                && !had.is_empty()
                && had.iter().all(|one| self.state().pool.contains(one));
            return if mine { self.write(&key, &service, &[]).await } else { Outcome::Done };
        };
        let Ok(addresses) = wanted else {
            let why = if self.context.settings.load_balancer_pool.is_empty() {
                "the controller has no pool of addresses (--load-balancer-pool)"
            } else {
                "no address of the pool is free"
            };
            let text = format!("Error syncing load balancer: {why}");
            recorder.record(&about, Type::Warning, "SyncLoadBalancerFailed", "Sync", text);
            return Outcome::After(FULL);
        };
        let is = &service.view.status.load_balancer.ingress;
        let same = is.len() == addresses.len()
            && is.iter().zip(&addresses).all(|(is, wanted): (&Ingress, &IpAddr)| {
                is.ip == wanted.to_string()
                    && is.ip_mode.as_deref().is_none_or(|mode| mode == "VIP")
            });
        if same {
            return Outcome::Done;
        }
        let outcome = self.write(&key, &service, &addresses).await;
        if matches!(outcome, Outcome::Done) {
            let text = "Ensured load balancer".to_owned();
            recorder.record(&about, Type::Normal, "EnsuredLoadBalancer", "Sync", text);
        }
        outcome
    }

    async fn write(&self, key: &Key, service: &Item<Service>, addresses: &[IpAddr]) -> Outcome {
        let mut object = value(&service.view.json);
        object["apiVersion"] = SERVICES.version.into();
        object["kind"] = SERVICES.kind.into();
        let ingress = addresses.iter().map(|ip| json!({ "ip": ip.to_string(), "ipMode": "VIP" }));
        object["status"]["loadBalancer"] = match addresses {
            [] => json!({}),
            _ => json!({ "ingress": ingress.collect::<Value>() }),
        };
        let path = SERVICES.status(&key.namespace, &key.name);
        match unless_gone(self.context.api.put(&path, body(&object)).await) {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::failed(key, &error),
        }
    }
}
