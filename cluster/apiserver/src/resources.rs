// SPDX-License-Identifier: Apache-2.0
//! The kinds that are served at the moment. Another set may take its place while requests run: they keep the one they began with.

use berth_cluster_api::openapi;
use berth_cluster_api::registry::Kind;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, OnceLock};

/// A group and one of its versions.
type Version = (Arc<str>, Arc<str>);

/// A set of kinds.
#[derive(Debug, Default)]
pub struct Resources {
    /// By plural: few groups have the same.
    by_plural: BTreeMap<Arc<str>, Vec<Arc<Kind>>>,
    /// By group and version, in the order of upstream's groups; kinds by plural.
    versions: BTreeMap<Version, Vec<Arc<Kind>>>,
    documents: OnceLock<BTreeMap<String, Document>>,
}

/// The OpenAPI document of a group's version.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// Changes when the document does.
    pub(crate) hash: String,
    pub(crate) json: Bytes,
}

impl Resources {
    /// A set of these. Of two with the same group, version and plural the later one counts.
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        let mut all = Self::default();
        for kind in kinds {
            all.add(Arc::new(kind));
        }
        all
    }

    /// This set, and one more kind.
    #[must_use]
    pub fn with(&self, kind: Kind) -> Self {
        let mut all = Self::default();
        for kind in self.kinds() {
            all.add(Arc::clone(kind));
        }
        all.add(Arc::new(kind));
        all
    }

    fn add(&mut self, kind: Arc<Kind>) {
        let same = |one: &Arc<Kind>| {
            one.group == kind.group && one.version == kind.version && one.plural == kind.plural
        };
        let of_plural = self.by_plural.entry(Arc::clone(&kind.plural)).or_default();
        of_plural.retain(|one| !same(one));
        of_plural.push(Arc::clone(&kind));
        let version = (Arc::clone(&kind.group), Arc::clone(&kind.version));
        let of_version = self.versions.entry(version).or_default();
        of_version.retain(|one| !same(one));
        of_version.push(kind);
        of_version.sort_by(|a, b| a.plural.cmp(&b.plural));
    }

    /// All kinds, by group, version and plural.
    pub fn kinds(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.versions.values().flatten()
    }

    /// The kind at a path.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        let kinds = self.by_plural.get(plural)?;
        kinds.iter().find(|kind| &*kind.group == group && &*kind.version == version)
    }

    /// The kind of a group by its name, in any version.
    pub fn named(&self, group: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.kinds().find(|one| &*one.group == group && &*one.kind == kind)
    }

    /// Groups with their versions and kinds; the core group has an empty name and comes first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&str, &str, &[Arc<Kind>])> {
        self.versions.iter().map(|((group, version), kinds)| (&**group, &**version, &**kinds))
    }

    /// OpenAPI documents by path (`api/v1`, `apis/apps/v1`); made when first asked for.
    pub(crate) fn documents(&self) -> &BTreeMap<String, Document> {
        self.documents.get_or_init(|| self.versions().map(document).collect())
    }
}

fn document((group, version, kinds): (&str, &str, &[Arc<Kind>])) -> (String, Document) {
    let kinds: Vec<&Kind> = kinds.iter().map(Arc::as_ref).collect();
    let mut text = openapi::v3(group, version, &kinds).to_string();
    text.push('\n');
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    let hash = format!("{:016X}", hasher.finish());
    let path =
        if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
    (path, Document { hash, json: text.into() })
}
