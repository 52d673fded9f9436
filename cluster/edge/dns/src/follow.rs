// SPDX-License-Identifier: Apache-2.0
//! From the API to the zone: informers, and a task that carries their changes over.

use crate::books::Books;
use crate::settings::Pods;
use crate::view::{Namespace, Pod, Service, Slice};
use crate::zone::Live;
use berth_cluster_client::{Api, Change, Informer, Resource, Subscription, View};
use std::collections::BTreeSet;
use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::select;
use tokio::task::JoinHandle;

/// Changes that are taken at a time: a service whose slices all change is put together once.
const MANY: usize = 256;

/// Keeps a zone up to date while it is there. When it is gone, or the API is, the zone stays as it was.
#[derive(Debug)]
pub struct Follower(JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins to follow the API. The zone is ready once everything that is there is in it. `seed` decides how long is waited after failures.
pub fn follow(api: &Api, live: Arc<Live>, seed: u64) -> Follower {
    let verified = live.read(|zone| zone.settings.pods == Pods::Verified);
    let kinds = Kinds {
        namespaces: start(api, "", "v1", "namespaces", seed),
        services: start(api, "", "v1", "services", seed.wrapping_add(1)),
        slices: start(api, "discovery.k8s.io", "v1", "endpointslices", seed.wrapping_add(2)),
        pods: verified.then(|| start(api, "", "v1", "pods", seed.wrapping_add(3))),
    };
    Follower(tokio::spawn(carry(kinds, live)))
}

fn start<V: View>(api: &Api, group: &str, version: &str, plural: &str, seed: u64) -> Informer<V> {
    Informer::start(api.clone(), Resource::new(group, version, plural), seed)
}

struct Kinds {
    namespaces: Informer<Namespace>,
    services: Informer<Service>,
    slices: Informer<Slice>,
    pods: Option<Informer<Pod>>,
}

/// Changes of a kind; of one that is not followed there never are any.
async fn next<V>(from: Option<&mut Subscription<V>>, to: &mut Vec<Change<V>>) -> usize {
    match from {
        Some(from) => from.next_many(to, MANY).await,
        None => pending().await,
    }
}

async fn carry(kinds: Kinds, live: Arc<Live>) {
    kinds.namespaces.synced().await;
    kinds.services.synced().await;
    kinds.slices.synced().await;
    if let Some(pods) = &kinds.pods {
        pods.synced().await;
    }
    let mut namespaces = kinds.namespaces.subscribe();
    let mut services = kinds.services.subscribe();
    let mut slices = kinds.slices.subscribe();
    let mut pods = kinds.pods.as_ref().map(Informer::subscribe);
    let mut carried = Carried { books: Books::default(), live };
    // All that is there, before anybody is told "there is none".
    let mut some = Changes::default();
    some.namespaces.extend(std::iter::from_fn(|| namespaces.try_next()));
    some.services.extend(std::iter::from_fn(|| services.try_next()));
    some.slices.extend(std::iter::from_fn(|| slices.try_next()));
    if let Some(pods) = &mut pods {
        some.pods.extend(std::iter::from_fn(|| pods.try_next()));
    }
    carried.take(&mut some);
    carried.live.write(|zone| zone.ready = true);
    loop {
        let count = select! { biased;
            count = next(Some(&mut namespaces), &mut some.namespaces) => count,
            count = next(Some(&mut services), &mut some.services) => count,
            count = next(Some(&mut slices), &mut some.slices) => count,
            count = next(pods.as_mut(), &mut some.pods) => count,
        };
        if count == 0 {
            return;
        }
        carried.take(&mut some);
    }
}

/// Changes that are to be carried over.
#[derive(Default)]
struct Changes {
    namespaces: Vec<Change<Namespace>>,
    services: Vec<Change<Service>>,
    slices: Vec<Change<Slice>>,
    pods: Vec<Change<Pod>>,
}

struct Carried {
    books: Books,
    live: Arc<Live>,
}

impl Carried {
    fn take(&mut self, some: &mut Changes) {
        let Self { books, live } = self;
        for change in some.namespaces.drain(..) {
            let Some(one) = change.after.as_ref().or(change.before.as_ref()) else { continue };
            live.write(|zone| zone.set_namespace(&one.id.name, change.after.is_some()));
        }
        for change in some.pods.drain(..) {
            let Some(one) = change.after.as_ref().or(change.before.as_ref()) else { continue };
            let addresses =
                |item: &'_ Option<Arc<berth_cluster_client::Item<Pod>>>| -> Vec<IpAddr> {
                    item.as_ref().map(|item| item.view.addresses.clone()).unwrap_or_default()
                };
            let (before, after) = (addresses(&change.before), addresses(&change.after));
            if before != after {
                live.write(|zone| zone.set_pod(&one.id.namespace, &before, &after));
            }
        }
        let mut touched = BTreeSet::new();
        some.services.drain(..).for_each(|change| books.service(change, &mut touched));
        some.slices.drain(..).for_each(|change| books.slice(change, &mut touched));
        for key in touched {
            // Made before the zone is held, and freed after.
            let entry = books.entry(&key).map(Arc::new);
            drop(live.write(|zone| zone.set_service(&key.0, &key.1, entry)));
        }
    }
}
