// SPDX-License-Identifier: Apache-2.0
//! A history of a cluster with many decisions.

use crate::cluster::{self, Lists};
use crate::error::Problem;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::Labels;
use berth_scheduler_model::objects::{Event, GroupKind};
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::rules::Plugin;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A history of a cluster, with upstream's decisions.
#[derive(Debug, Clone)]
pub struct OracleSequence {
    /// Unique name.
    pub name: String,
    /// What is somewhere in the history.
    pub features: Vec<String>,
    /// The profile.
    pub profile: Profile,
    /// The cluster before the first step.
    pub events: Vec<Event>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// One step of a history.
#[derive(Debug, Clone)]
pub enum Step {
    /// The cluster changes.
    Apply(Event),
    /// A pod is decided, and bound to the first of the best nodes.
    Schedule {
        /// The pending pod.
        pod: Box<Pod>,
        /// Upstream's decision.
        expect: ScheduleExpectation,
    },
}

/// Upstream's decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleExpectation {
    /// How many nodes pass all filters.
    pub feasible: usize,
    /// The highest total.
    pub max: i64,
    /// How many different totals there are.
    pub distinct: usize,
    /// All nodes with the highest total, sorted.
    pub best: Vec<Str>,
    /// FNV-1a over all totals.
    pub hash: String,
    /// The first of `best`, where the pod is bound; `None` if no node passes, and then `rejected_by` counts.
    pub bound: Option<Str>,
    /// How many nodes each plugin was the first to reject.
    pub rejected_by: BTreeMap<Plugin, usize>,
}

#[derive(Deserialize)]
struct SequenceView {
    name: String,
    #[serde(default)]
    features: Vec<String>,
    #[serde(flatten)]
    lists: Lists,
    profile: Value,
    templates: Vec<Value>,
    events: Vec<EventView>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum EventView {
    Add {
        kind: String,
        object: Value,
    },
    Update {
        kind: String,
        object: Value,
    },
    Delete {
        kind: String,
        #[serde(default)]
        namespace: String,
        name: String,
    },
    Label {
        #[serde(rename = "kind")]
        _kind: String,
        namespace: String,
        name: String,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    },
    Schedule {
        name: String,
        template: usize,
        expect: ExpectView,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExpectView {
    feasible: usize,
    #[serde(default)]
    max: i64,
    #[serde(default)]
    distinct: usize,
    #[serde(default)]
    best: Vec<String>,
    #[serde(default)]
    hash: String,
    #[serde(default)]
    bound: Option<String>,
    #[serde(default)]
    rejected_by: BTreeMap<String, usize>,
    /// The pod is rejected as a whole; the counts say by what.
    #[serde(default, rename = "preFilter")]
    _pre_filter: bool,
}

impl OracleSequence {
    pub(crate) fn read(value: Value) -> Result<Self, Problem> {
        let view: SequenceView = serde_json::from_value(value).map_err(Problem::Json)?;
        let events = view.lists.events()?;
        let mut history = History { templates: view.templates, ..History::default() };
        for pod in view.lists.pods()? {
            history.pods.insert((pod.namespace.clone(), pod.name.clone()), pod);
        }
        for (index, event) in view.events.into_iter().enumerate() {
            history.step(event, &format!("events[{index}]"))?;
        }
        Ok(Self {
            name: view.name,
            features: view.features,
            profile: cluster::profile(&view.profile)?,
            events,
            steps: history.steps,
        })
    }
}

/// The steps so far, and the pods as they are: later events name them only, or change a part of them.
#[derive(Default)]
struct History {
    templates: Vec<Value>,
    pods: BTreeMap<(Str, Str), Pod>,
    steps: Vec<Step>,
}

impl History {
    fn step(&mut self, event: EventView, place: &str) -> Result<(), Problem> {
        match event {
            EventView::Add { kind, object } | EventView::Update { kind, object } => {
                if kind == "Pod" {
                    self.upsert(&object, place)
                } else {
                    let event = cluster::event(&kind, &object, &format!("{place}.object"))?;
                    self.steps.push(Step::Apply(event));
                    Ok(())
                }
            }
            EventView::Delete { kind, namespace, name } => {
                self.delete(&kind, Str::from(namespace), Str::from(name), place)
            }
            EventView::Label { namespace, name, labels, .. } => {
                let key = (Str::from(namespace), Str::from(name));
                let Some(pod) = self.pods.get_mut(&key) else {
                    return Err(cluster::unknown(place, &key.1));
                };
                let pairs = labels.into_iter().map(|(k, v)| (Str::from(k), Str::from(v)));
                Arc::make_mut(&mut pod.spec).labels = pairs.collect::<Labels>();
                self.steps.push(Step::Apply(Event::Pod(Box::new(pod.clone()))));
                Ok(())
            }
            EventView::Schedule { name, template, expect } => {
                self.schedule(&name, template, expect, place)
            }
        }
    }

    fn upsert(&mut self, object: &Value, place: &str) -> Result<(), Problem> {
        let read = cluster::pod(object, &format!("{place}.object"))?;
        let key = (read.pod.namespace.clone(), read.pod.name.clone());
        if let Some(old) = self.pods.remove(&key)
            && (read.finished || old.uid != read.pod.uid)
        {
            self.steps.push(Step::Apply(Event::PodGone { uid: old.uid }));
        }
        if !read.finished {
            self.steps.push(Step::Apply(Event::Pod(Box::new(read.pod.clone()))));
            self.pods.insert(key, read.pod);
        }
        Ok(())
    }

    fn delete(
        &mut self,
        kind: &str,
        namespace: Str,
        name: Str,
        place: &str,
    ) -> Result<(), Problem> {
        let group = match kind {
            "Service" => Some(GroupKind::Service),
            "ReplicaSet" => Some(GroupKind::ReplicaSet),
            "StatefulSet" => Some(GroupKind::StatefulSet),
            "ReplicationController" => Some(GroupKind::ReplicationController),
            _ => None,
        };
        let event = match (kind, group) {
            (_, Some(kind)) => Event::GroupGone { kind, namespace, name },
            ("Node", _) => Event::NodeGone(name),
            ("Namespace", _) => Event::NamespaceGone(name),
            ("Pod", _) => match self.pods.remove(&(namespace, name)) {
                Some(pod) => Event::PodGone { uid: pod.uid },
                // It had succeeded or failed: for the scheduler it is gone already.
                None => return Ok(()),
            },
            _ => return Err(cluster::unknown(place, kind)),
        };
        self.steps.push(Step::Apply(event));
        Ok(())
    }

    fn schedule(
        &mut self,
        name: &str,
        template: usize,
        expect: ExpectView,
        place: &str,
    ) -> Result<(), Problem> {
        let mut object = self
            .templates
            .get(template)
            .cloned()
            .ok_or_else(|| cluster::unknown(place, &format!("template {template}")))?;
        if let Some(Value::Object(meta)) = object.get_mut("metadata") {
            meta.insert("name".to_owned(), json!(name));
            meta.insert("uid".to_owned(), json!(format!("u-{name}")));
        }
        let pod = cluster::pending(&object, &format!("templates[{template}]"))?;
        let expect = expect.read(place)?;
        if let Some(node) = &expect.bound {
            let bound = Pod { node: Some(node.clone()), ..pod.clone() };
            self.pods.insert((pod.namespace.clone(), pod.name.clone()), bound);
        }
        self.steps.push(Step::Schedule { pod: Box::new(pod), expect });
        Ok(())
    }
}

impl ExpectView {
    fn read(self, place: &str) -> Result<ScheduleExpectation, Problem> {
        let rejected_by: Result<_, Problem> = self
            .rejected_by
            .into_iter()
            .map(|(name, count)| Ok((cluster::plugin(&name, place)?, count)))
            .collect();
        Ok(ScheduleExpectation {
            feasible: self.feasible,
            max: self.max,
            distinct: self.distinct,
            best: self.best.into_iter().map(Str::from).collect(),
            hash: self.hash,
            bound: self.bound.map(Str::from),
            rejected_by: rejected_by?,
        })
    }
}
