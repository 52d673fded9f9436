// SPDX-License-Identifier: Apache-2.0
//! A pod's priority is the one of its class, whatever it says itself (upstream's Priority).

use super::{Admission, Operation, Request};
use crate::server::Inner;
use crate::write::meta_text;
use berth_cluster_api::field::{Errors, Path};
use berth_cluster_api::{Map, Refusal};
use berth_cluster_json::Value;
use std::sync::{Mutex, PoisonError};

const CLASSES: &str = "scheduling.k8s.io/priorityclasses/";

#[derive(Debug, Default)]
pub(crate) struct Priority {
    /// The default class, and the revisions of the classes of which it was taken: they are read again when these change.
    default: Mutex<(Vec<u64>, Option<Class>)>,
}

/// What a class gives.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Class {
    name: String,
    value: i64,
    preemption: String,
}

fn class(object: &Map) -> Class {
    let text = |field: &str| object.get(field).and_then(Value::as_str);
    Class {
        name: meta_text(object, "name").to_owned(),
        value: object.get("value").and_then(Value::as_i64).unwrap_or(0),
        preemption: text("preemptionPolicy").unwrap_or("PreemptLowerPriority").to_owned(),
    }
}

impl Admission for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn admit(
        &self,
        server: &Inner,
        request: &Request<'_>,
        object: &mut Map,
    ) -> Result<(), Refusal> {
        let main = request.ask.sub.is_none();
        if request.operation == Operation::Delete || !main {
            return Ok(());
        }
        match (&*request.ask.kind.stored_as, request.operation) {
            ("pods", Operation::Create) => self.of_pod(server, object),
            ("pods", _) => {
                keep(object, request.old);
                Ok(())
            }
            ("scheduling.k8s.io/priorityclasses", _) => self.only_default(server, object),
            _ => Ok(()),
        }
    }
}

/// An update that does not name what was set on creation leaves it as it is; whether it may change is judged later.
fn keep(pod: &mut Map, old: Option<&Map>) {
    let Some(old) = old.and_then(|old| old.get("spec")) else { return };
    let Some(Value::Object(spec)) = pod.get_mut("spec") else { return };
    for field in ["priority", "preemptionPolicy"] {
        if spec.get(field).is_none_or(Value::is_null) && !old[field].is_null() {
            spec.insert(field.to_owned(), old[field].clone());
        }
    }
}

impl Priority {
    fn of_pod(&self, server: &Inner, pod: &mut Map) -> Result<(), Refusal> {
        let name = meta_text(pod, "name").to_owned();
        let Some(Value::Object(spec)) = pod.get_mut("spec") else { return Ok(()) };
        let wanted = spec.get("priorityClassName").and_then(Value::as_str).unwrap_or_default();
        let class = if wanted.is_empty() {
            self.default_class(server)
        } else {
            let entry = server.store.latest(&format!("{CLASSES}{wanted}"));
            let Some(entry) = entry else {
                let why = format!("no PriorityClass with name {wanted} was found");
                return Err(Refusal::forbidden("", "pods", &name, &why));
            };
            Some(class(&crate::shape::parse(&entry.bytes)?))
        };
        let value = class.as_ref().map_or(0, |class| class.value);
        let preemption = class.as_ref().map_or("PreemptLowerPriority", |class| &class.preemption);
        let said = spec.get("priority").and_then(Value::as_i64);
        if let Some(said) = said.filter(|said| *said != value) {
            let why = format!(
                "the integer value of priority ({said}) must not be provided in pod spec; priority admission controller computed \
                 {value} from the given PriorityClass name"
            );
            return Err(Refusal::forbidden("", "pods", &name, &why));
        }
        let policy = spec.get("preemptionPolicy").and_then(Value::as_str);
        if let Some(said) = policy.filter(|said| *said != preemption) {
            let why = format!(
                "the string value of PreemptionPolicy ({said}) must not be provided in pod spec; priority admission controller \
                 computed {preemption} from the given PriorityClass name"
            );
            return Err(Refusal::forbidden("", "pods", &name, &why));
        }
        if let Some(class) = &class {
            spec.insert("priorityClassName".to_owned(), class.name.as_str().into());
        }
        spec.insert("priority".to_owned(), value.into());
        spec.insert("preemptionPolicy".to_owned(), preemption.into());
        Ok(())
    }

    /// The class of those who name none: of several the one of the lowest value.
    fn default_class(&self, server: &Inner) -> Option<Class> {
        let listing = server.store.list(CLASSES, None, None, 0, &|_| true).ok()?;
        let revisions: Vec<u64> = listing.entries.iter().map(|entry| entry.revision).collect();
        let mut known = self.default.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 == revisions {
            return known.1.clone();
        }
        let classes = listing.entries.iter().filter_map(|entry| {
            let object = crate::shape::parse(&entry.bytes).ok()?;
            let default = object.get("globalDefault").and_then(Value::as_bool) == Some(true);
            default.then(|| class(&object))
        });
        let class = classes.min_by_key(|class| class.value);
        *known = (revisions, class.clone());
        class
    }

    /// There is one default class at most.
    fn only_default(&self, server: &Inner, new: &Map) -> Result<(), Refusal> {
        if new.get("globalDefault").and_then(Value::as_bool) != Some(true) {
            return Ok(());
        }
        let name = meta_text(new, "name");
        let Some(other) = self.default_class(server).filter(|other| other.name != name) else {
            return Ok(());
        };
        let mut errors = Errors::new();
        let why = format!(
            "PriorityClass {} is already marked as default. Only one default can exist",
            other.name
        );
        errors.invalid(&Path::new("globalDefault"), true, &why);
        Err(Refusal::forbidden("scheduling.k8s.io", "priorityclasses", name, &why))
    }
}
