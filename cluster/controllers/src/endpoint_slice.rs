// SPDX-License-Identifier: Apache-2.0
//! EndpointSlices: who serves a Service. What is to be done is decided in [`plan`]; here it is done.

pub mod plan;

use crate::context::{Context, body, said, unless_gone};
use crate::controller::{self, CHANGES};
use crate::events::{Type, about};
use crate::index::{self, Index};
use crate::informers::begin;
use crate::place::{SERVICES, SLICES};
use crate::queue::{Key, Outcome};
use crate::serving::Book;
use crate::template;
use crate::view::{Endpoint, Service, Slice, SlicePort};
use crate::written::{BEHIND, Written};
use berth_cluster_client::{CallError, Change, Id, Item};
use plan::{MANAGED, Observed, SERVICE, US, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Services that are worked on at a time (upstream's number).
const AT_ONCE: usize = 5;

#[derive(Debug)]
struct State {
    book: Book,
    /// By Service.
    slices: Index<Slice>,
    written: Written,
}

type Controller = controller::Controller<State>;

/// The Service of a slice that is ours to keep.
fn service_of(slice: &Item<Slice>) -> Option<Key> {
    let labels = &slice.view.metadata.labels;
    let ours = labels.get(MANAGED).is_some_and(|by| by == US);
    labels.get(SERVICE).filter(|_| ours).map(|name| Key::new(&slice.id.namespace, name))
}

/// Runs the controller for ever.
pub(crate) async fn run(context: Context) {
    let mut services = begin(context.informers.services()).await;
    let mut slices = begin(context.informers.slices()).await;
    let mut nodes = begin(context.informers.nodes()).await;
    let mut pods = begin(context.informers.pods()).await;
    let of_service =
        |slice: &Item<Slice>| service_of(slice).map(|key| key.to_string()).into_iter().collect();
    let state =
        State { book: Book::new(), slices: Index::new(of_service), written: Written::default() };
    let controller = Controller::new(context, state);
    while let Some(change) = services.try_next() {
        controller.service_changed(&change);
    }
    while let Some(change) = slices.try_next() {
        controller.slice_changed(&change);
    }
    while let Some(change) = nodes.try_next() {
        controller.state().book.node_changed(&change);
    }
    while let Some(change) = pods.try_next() {
        controller.state().book.pod_changed(&change);
    }
    let intake = async {
        let (mut some, mut some_slices) = (Vec::new(), Vec::new());
        let (mut some_nodes, mut some_pods) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                biased;
                count = services.next_many(&mut some, CHANGES) => if count == 0 { return },
                count = slices.next_many(&mut some_slices, CHANGES) => if count == 0 { return },
                count = nodes.next_many(&mut some_nodes, CHANGES) => if count == 0 { return },
                count = pods.next_many(&mut some_pods, CHANGES) => if count == 0 { return },
            }
            some.drain(..).for_each(|change| controller.service_changed(&change));
            some_slices.drain(..).for_each(|change| controller.slice_changed(&change));
            for change in some_nodes.drain(..) {
                let keys = controller.state().book.node_changed(&change);
                controller.soon(keys);
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

    fn service_changed(&self, change: &Change<Service>) {
        let mut state = self.state();
        let Some(key) = state.book.service_changed(change) else { return };
        if change.after.is_none() {
            state.written.forget(&key);
        }
        drop(state);
        self.work.add(key);
    }

    fn slice_changed(&self, change: &Change<Slice>) {
        let mut state = self.state();
        state.slices.apply(change);
        let mut services = Vec::new();
        for slice in change.before.iter().chain(&change.after) {
            let Some(service) = service_of(slice) else { continue };
            match &change.after {
                None => state.written.gone(&service, &index::key(slice)),
                Some(after) => {
                    state.written.seen(&service, &index::key(after), &after.id.resource_version);
                }
            }
            services.push(service);
        }
        drop(state);
        // Most are our own: a look at once for each would be a look for each few pods.
        self.soon(services);
    }

    async fn sync(self: Arc<Self>, key: Key) -> Outcome {
        let observed = {
            let mut state = self.state();
            if state.written.behind(&key, self.work.now()) {
                return Outcome::After(BEHIND);
            }
            let now = self.work.now();
            // More has come since it was said when to look.
            let pause = state.book.pause(&key, self.work.waiting(), now);
            if pause > Duration::ZERO {
                return Outcome::Later(pause);
            }
            state.book.looked(&key, now);
            // The collector takes the slices of a Service that is gone.
            let Some(service) = state.book.service(&key) else { return Outcome::Done };
            if service.view.spec.selector.is_none()
                || service.view.spec.kind == "ExternalName"
                || service.view.metadata.deleted()
            {
                return Outcome::Done;
            }
            let pods = state.book.pods(&service).into_iter().map(|pod| {
                let place = state.book.place(&pod.view.spec.node_name);
                (pod, place)
            });
            let slices = state.slices.group(&key.to_string());
            Observed { pods: pods.collect(), slices, service }
        };
        let plan = plan::plan(&observed);
        match self.apply(&key, &observed.service, &plan).await {
            // No namespace that is on its way out gets anything new; its end will end this.
            Err(error) if said(&error).contains("because it is being terminated") => Outcome::Done,
            Err(error) => {
                let text =
                    format!("Error updating Endpoint Slices for Service {key}: {}", said(&error));
                let (about, kind) = (about(SERVICES, &observed.service), Type::Warning);
                if error.code() != Some(409) {
                    let reason = "FailedToUpdateEndpointSlices";
                    self.context.recorder.record(&about, kind, reason, "Update", text);
                }
                Outcome::failed(&key, &error)
            }
            Ok(()) if plan.again => Outcome::Again(None),
            Ok(()) => Outcome::Done,
        }
    }

    async fn apply(
        &self,
        key: &Key,
        service: &Item<Service>,
        plan: &plan::Plan,
    ) -> Result<(), CallError> {
        let api = &self.context.api;
        for wanted in &plan.create {
            let metadata = json!({
                "generateName": format!("{}-", service.id.name),
                "namespace": key.namespace,
                "labels": wanted.labels,
                "ownerReferences": [template::controller(SERVICES, &service.id)],
            });
            let answer =
                api.post(&SLICES.all(&key.namespace), body(&object(metadata, wanted))).await?;
            self.wrote(key, &answer);
        }
        for (slice, wanted) in &plan.update {
            let meta = &slice.view.metadata;
            let metadata = json!({
                "name": slice.id.name,
                "namespace": key.namespace,
                "uid": slice.id.uid,
                "resourceVersion": slice.id.resource_version,
                "labels": wanted.labels,
                "annotations": meta.annotations,
                "finalizers": meta.finalizers,
                "ownerReferences": [template::controller(SERVICES, &service.id)],
            });
            let path = SLICES.one(&key.namespace, &slice.id.name);
            let answer = api.put(&path, body(&object(metadata, wanted))).await?;
            self.wrote(key, &answer);
        }
        for slice in &plan.delete {
            let path = SLICES.one(&key.namespace, &slice.id.name);
            let options = json!({ "preconditions": { "uid": slice.id.uid } });
            unless_gone(api.delete(&path, Some(body(&options))).await)?;
        }
        Ok(())
    }

    fn wrote(&self, key: &Key, answer: &[u8]) {
        let Answer { metadata } = serde_json::from_slice(answer).unwrap_or_default();
        let slice = Key::new(&key.namespace, &metadata.name);
        let mut state = self.state();
        state.written.wrote(key, slice.clone(), &metadata.resource_version, self.work.now());
        // The informer may have been faster than the answer.
        if let Some(known) = state.slices.get(&slice) {
            state.written.seen(key, &slice, &known.id.resource_version);
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Value,
    address_type: &'a str,
    endpoints: &'a [Endpoint],
    ports: &'a [SlicePort],
}

fn object(metadata: Value, wanted: &Wanted) -> Object<'_> {
    Object {
        api_version: SLICES.version,
        kind: SLICES.kind,
        metadata,
        address_type: &wanted.family,
        endpoints: &wanted.endpoints,
        ports: &wanted.ports,
    }
}

/// What of an answer is read.
#[derive(Default, Deserialize)]
struct Answer {
    metadata: Id,
}
