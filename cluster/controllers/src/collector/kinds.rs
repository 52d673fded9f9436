// SPDX-License-Identifier: Apache-2.0
//! Which kinds the API has: each in the version that its group prefers.

use crate::place::{collection, object};
use berth_cluster_client::{Api, CallError};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is made all the time, ends by itself, and owns nothing.
const LEFT_OUT: [(&str, &str); 2] = [("", "events"), ("events.k8s.io", "events")];

/// A kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) plural: String,
    pub(super) namespaced: bool,
}

impl Kind {
    /// Group and version.
    pub(super) fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The path of one.
    pub(super) fn path(&self, namespace: &str, name: &str) -> String {
        let namespace = if self.namespaced { namespace } else { "" };
        object(&self.api_version(), namespace, &self.plural, name)
    }

    /// The path of all.
    pub(super) fn collection(&self) -> String {
        collection(&self.api_version(), "", &self.plural)
    }
}

/// Kinds by group and name.
#[derive(Debug, Default)]
pub(super) struct Kinds(BTreeMap<(String, String), Kind>);

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    preferred_version: Version,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    kind: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

impl Kinds {
    /// Asks.
    pub(super) async fn ask(api: &Api) -> Result<Self, CallError> {
        let groups = api.get("/apis").await?;
        let groups: Groups =
            serde_json::from_slice(&groups).unwrap_or(Groups { groups: Vec::new() });
        let named = groups.groups.into_iter().map(|one| (one.name, one.preferred_version.version));
        let mut kinds = BTreeMap::new();
        for (group, version) in [(String::new(), "v1".to_owned())].into_iter().chain(named) {
            let path = match group.as_str() {
                "" => format!("/api/{version}"),
                group => format!("/apis/{group}/{version}"),
            };
            let resources = api.get(&path).await?;
            let Ok(Resources { resources }) = serde_json::from_slice(&resources) else { continue };
            let kept = resources.into_iter().filter(|one| {
                let can = |verb: &str| one.verbs.iter().any(|known| known == verb);
                !one.name.contains('/')
                    && can("list")
                    && can("watch")
                    && can("delete")
                    && !LEFT_OUT.contains(&(group.as_str(), one.name.as_str()))
            });
            for Resource { name: plural, kind, namespaced, .. } in kept {
                let (group, version) = (group.clone(), version.clone());
                let place = (group.clone(), kind.clone());
                kinds.insert(place, Kind { group, version, kind, plural, namespaced });
            }
        }
        Ok(Self(kinds))
    }

    /// The kind of an owner or of an object.
    pub(super) fn find(&self, api_version: &str, kind: &str) -> Option<&Kind> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.0.get(&(group.to_owned(), kind.to_owned()))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Kind> {
        self.0.values()
    }
}
