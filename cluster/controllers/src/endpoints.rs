// SPDX-License-Identifier: Apache-2.0
//! Endpoints: who serves a Service, in one object. What is to be done is decided in [`plan`]; here it is done.

pub mod plan;

use crate::context::{Context, body, said, unless_gone};
use crate::controller::{self, CHANGES};
use crate::events::{Type, about};
use crate::index::{self, Index};
use crate::informers::begin;
use crate::place::{ENDPOINTS, SERVICES};
use crate::queue::{Key, Outcome};
use crate::serving::Book;
use crate::view::{Endpoints, Subset};
use berth_cluster_client::{CallError, Item};
use plan::Wanted;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Services that are worked on at a time (upstream's number).
const AT_ONCE: usize = 5;

#[derive(Debug)]
struct State {
    book: Book,
    endpoints: Index<Endpoints>,
}

type Controller = controller::Controller<State>;

/// Runs the controller for ever.
pub(crate) async fn run(context: Context) {
    let mut services = begin(context.informers.services()).await;
    let mut endpoints = begin(context.informers.endpoints()).await;
    let mut pods = begin(context.informers.pods()).await;
    let state = State { book: Book::new(), endpoints: Index::new(|_| Vec::new()) };
    let controller = Controller::new(context, state);
    while let Some(change) = endpoints.try_next() {
        controller.state().endpoints.apply(&change);
    }
    while let Some(change) = services.try_next() {
        let key = controller.state().book.service_changed(&change);
        if let Some(key) = key {
            controller.work.add(key);
        }
    }
    while let Some(change) = pods.try_next() {
        controller.state().book.pod_changed(&change);
    }
    let intake = async {
        let (mut some, mut some_endpoints, mut some_pods) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            tokio::select! {
                biased;
                count = services.next_many(&mut some, CHANGES) => if count == 0 { return },
                count = endpoints.next_many(&mut some_endpoints, CHANGES) => if count == 0 { return },
                count = pods.next_many(&mut some_pods, CHANGES) => if count == 0 { return },
            }
            for change in some.drain(..) {
                let key = controller.state().book.service_changed(&change);
                if let Some(key) = key {
                    controller.work.add(key);
                }
            }
            for change in some_endpoints.drain(..) {
                controller.state().endpoints.apply(&change);
                // Most are our own: a look at once for each would be a look for each few pods.
                controller.soon(
                    change.after.iter().chain(&change.before).map(|item| index::key(item)).next(),
                );
            }
            for change in some_pods.drain(..) {
                let keys = controller.state().book.pod_changed(&change);
                controller.soon(keys);
            }
        }
    };
    Arc::clone(&controller).run(AT_ONCE, intake, Controller::sync).await;
}

impl Controller {
    /// Changes come in bursts: they are waited for a little, and written once.
    fn soon(&self, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            let (waiting, now) = (self.work.waiting(), self.work.now());
            let pause = {
                let mut state = self.state();
                state.book.changed(&key, now);
                state.book.pause(&key, waiting, now)
            };
            self.work.add_after(key, self.context.settings.endpoints_batch + pause);
        }
    }

    async fn sync(self: Arc<Self>, key: Key) -> Outcome {
        let (service, pods, known) = {
            let (mut state, now) = (self.state(), self.work.now());
            // More has come since it was said when to look.
            let pause = state.book.pause(&key, self.work.waiting(), now);
            if pause > Duration::ZERO {
                return Outcome::Later(pause);
            }
            state.book.looked(&key, now);
            let service = state.book.service(&key);
            let pods = service.as_ref().map(|service| state.book.pods(service)).unwrap_or_default();
            (service, pods, state.endpoints.get(&key))
        };
        let Some(service) = service else {
            return self.service_is_gone(&key, known).await;
        };
        if service.view.spec.selector.is_none() || service.view.metadata.deleted() {
            return Outcome::Done;
        }
        let wanted = plan::plan(&service, &pods, known.as_ref().map(|known| &known.view));
        let Some(wanted) = wanted else { return Outcome::Done };
        match self.write(&key, known.as_deref(), &wanted).await {
            // No namespace that is on its way out gets anything new; its end will end this.
            Err(error) if said(&error).contains("because it is being terminated") => Outcome::Done,
            Err(error) => {
                if error.code() != Some(409) {
                    let text = format!("Failed to update endpoint {key}: {}", said(&error));
                    let about = about(SERVICES, &service);
                    let reason = "FailedToUpdateEndpoint";
                    self.context.recorder.record(&about, Type::Warning, reason, "Update", text);
                }
                Outcome::failed(&key, &error)
            }
            Ok(()) => Outcome::Done,
        }
    }

    async fn write(
        &self,
        key: &Key,
        known: Option<&Item<Endpoints>>,
        wanted: &Wanted,
    ) -> Result<(), CallError> {
        let mut metadata =
            json!({ "name": key.name, "namespace": key.namespace, "labels": wanted.labels });
        if !wanted.annotations.is_empty() {
            metadata["annotations"] = json!(wanted.annotations);
        }
        if let Some(known) = known {
            metadata["resourceVersion"] = known.id.resource_version.as_str().into();
            if !known.view.metadata.finalizers.is_empty() {
                metadata["finalizers"] = json!(known.view.metadata.finalizers);
            }
        }
        let object = Object {
            api_version: ENDPOINTS.version,
            kind: ENDPOINTS.kind,
            metadata,
            subsets: &wanted.subsets,
        };
        let api = &self.context.api;
        match known {
            None => drop(api.post(&ENDPOINTS.all(&key.namespace), body(&object)).await?),
            Some(_) => {
                drop(api.put(&ENDPOINTS.one(&key.namespace, &key.name), body(&object)).await?);
            }
        }
        Ok(())
    }

    /// Endpoints of a Service that is gone go with it; unless nobody knows of such a Service ever: they may be of another kind (leases of
    /// old leader elections are).
    async fn service_is_gone(&self, key: &Key, known: Option<Arc<Item<Endpoints>>>) -> Outcome {
        let Some(known) = known else { return Outcome::Done };
        let ours = known.view.metadata.labels.contains_key("endpoints.kubernetes.io/managed-by");
        if !ours {
            return Outcome::Done;
        }
        let options = json!({ "preconditions": { "uid": known.id.uid } });
        let path = ENDPOINTS.one(&key.namespace, &key.name);
        match unless_gone(self.context.api.delete(&path, Some(body(&options))).await) {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::failed(key, &error),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Value,
    subsets: &'a [Subset],
}
