// SPDX-License-Identifier: Apache-2.0
//! The registry: a row per kind. To add a kind is to add a row and its rules, never control flow.

use crate::Map;
use crate::field::Errors;
use crate::schema::Schema;
use berth_cluster_json::Value;
use std::fmt;
use std::sync::Arc;

/// A kind in one version, as discovery tells it and the server serves it.
#[derive(Debug, Clone)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: Arc<str>,
    /// Version, e.g. `v1`.
    pub version: Arc<str>,
    /// Name of the kind, e.g. `Pod`.
    pub kind: Arc<str>,
    /// Name of the resource in paths, e.g. `pods`.
    pub plural: Arc<str>,
    /// Name of one, e.g. `pod`.
    pub singular: Arc<str>,
    /// Short names, e.g. `po`.
    pub short_names: Vec<Arc<str>>,
    /// Categories, e.g. `all`.
    pub categories: Vec<Arc<str>>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Where its objects are kept: the group and resource that all its versions and aliases share, e.g. `events` for both
    /// groups of Event.
    pub stored_as: Arc<str>,
    /// What its objects are made of.
    pub schema: Schema,
    /// What there is below an object.
    pub subresources: Vec<Subresource>,
    /// DELETE answers with the object, not with a `Status`.
    pub delete_returns_object: bool,
    /// Whether PUT on a name that is not there creates it (upstream's AllowCreateOnUpdate).
    pub create_on_update: bool,
    /// Columns of tables, in order.
    pub columns: Vec<Column>,
    /// What of it cannot be said as data.
    pub rules: Arc<dyn Rules>,
}

/// What there is below an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subresource {
    /// `/status`
    Status,
    /// `/scale`
    Scale,
    /// `/binding`
    Binding,
    /// `/eviction`
    Eviction,
    /// `/finalize`
    Finalize,
    /// `/token`
    Token,
    /// `/ephemeralcontainers`
    EphemeralContainers,
    /// `/resize`
    Resize,
    /// `/approval`
    Approval,
}

impl Subresource {
    /// As in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Binding => "binding",
            Self::Eviction => "eviction",
            Self::Finalize => "finalize",
            Self::Token => "token",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Resize => "resize",
            Self::Approval => "approval",
        }
    }
}

impl Kind {
    /// Group and version, as in `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// What there is below an object by that name.
    pub fn subresource(&self, name: &str) -> Option<Subresource> {
        self.subresources.iter().copied().find(|one| one.name() == name)
    }
}

/// A column of a table (`TableColumnDefinition` of meta/v1).
#[derive(Debug, Clone)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    pub kind: &'static str,
    /// `name`, or empty.
    pub format: &'static str,
    /// What it says.
    pub description: &'static str,
    /// 0: always shown; 1: in wide output.
    pub priority: u8,
}

/// Which part of an object a write is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The object without its status.
    Main,
    /// `/status`: all but the status (and what upstream allows with it) stays.
    Status,
    /// Any other subresource.
    Other(Subresource),
}

/// How an object goes that is deleted and has no finalizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    AtOnce,
    /// It is marked, has so many seconds, and goes when whoever runs it says so; with none it goes now, and its last state says that it
    /// was deleted.
    Graceful(i64),
    /// It is marked, and goes when nothing is in it any more.
    Emptied,
}

/// What of a kind cannot be said as data. Objects are whole (with `apiVersion`, `kind`, `metadata`); what upstream calls a
/// strategy. All functions are pure: time and chance come from the caller.
///
/// The order of a write is: read, [`default`](Self::default), generic metadata, [`prepare_create`](Self::prepare_create) or
/// [`prepare_update`](Self::prepare_update), admission, generic validation of metadata, [`validate`](Self::validate) and
/// [`validate_create`](Self::validate_create) or [`validate_update`](Self::validate_update).
pub trait Rules: fmt::Debug + Send + Sync {
    /// Sets what a client may leave out, and what upstream sets on reading (also in nested templates). Twice is as once.
    fn default(&self, _object: &mut Map) {}

    /// Takes away what a creator may not set (the status), and sets what it need not: e.g. `metadata.generation` 1 for kinds
    /// that have it, the status of a new object.
    fn prepare_create(&self, _object: &mut Map) {}

    /// Keeps of `old` what this part of `new` may not change, and counts `metadata.generation` up where the spec changed.
    fn prepare_update(&self, _new: &mut Map, _old: &Map, _part: Part) {}

    /// Everything that is wrong with an object by itself. Metadata is checked elsewhere, but for
    /// [`name_problem`](Self::name_problem).
    fn validate(&self, _object: &Map, _errors: &mut Errors) {}

    /// What is wrong with a new object only: what upstream refuses on creation and lets pass in an old object.
    fn validate_create(&self, _object: &Map, _errors: &mut Errors) {}

    /// Everything that is wrong with a change, beyond what is wrong with `new` by itself.
    fn validate_update(&self, _new: &Map, _old: &Map, _part: Part, _errors: &mut Errors) {}

    /// What is wrong with a name, as upstream says it; none if nothing. `prefix`: it is a `generateName`.
    fn name_problem(&self, name: &str, prefix: bool) -> Vec<String> {
        crate::names::dns_subdomain(name, prefix)
    }

    /// Whether PUT without a `resourceVersion` overwrites what is there (upstream's AllowUnconditionalUpdate).
    fn unconditional_update(&self) -> bool {
        true
    }

    /// Whether objects are kept in another form than they are shown in: that of another group or version.
    fn converts(&self) -> bool {
        false
    }

    /// The object in the form in which it is kept. Of one that has it already, the same.
    fn as_stored(&self, object: &Map) -> Map {
        object.clone()
    }

    /// The object in this kind's form. Of one that has it already, the same.
    fn as_shown(&self, object: Map) -> Map {
        object
    }

    /// Seconds after its last write for which an object is kept; none for ever.
    fn lifetime(&self) -> Option<i64> {
        None
    }

    /// How an object goes; `asked`: the seconds that the client would give it.
    fn deletion(&self, _object: &Map, _asked: Option<i64>) -> Deletion {
        Deletion::AtOnce
    }

    /// Changes an object whose deletion begins, besides its metadata.
    fn begin_deletion(&self, _object: &mut Map) {}

    /// Whether something besides finalizers of its metadata and the time that it was given still holds an object.
    fn holds(&self, _object: &Map) -> bool {
        false
    }

    /// Whether its objects are questions: answered when they are created, and kept nowhere.
    fn is_question(&self) -> bool {
        false
    }

    /// Whether a whole collection can be deleted by one request.
    fn deleted_together(&self) -> bool {
        true
    }

    /// Whether one that is not there is called by the name of its scale, when that is read.
    fn missing_as_scale(&self) -> bool {
        true
    }

    /// What everybody who uses the kind should know: a header `Warning` of every answer.
    fn deprecated(&self) -> Option<&'static str> {
        None
    }

    /// What the writer of an object should know though it is taken: headers `Warning`.
    fn warnings(&self, _object: &Map) -> Vec<String> {
        Vec::new()
    }

    /// Fields by which objects can be selected besides `metadata.name` and `metadata.namespace`, and their values; a field that is
    /// not set is there with an empty value. The names are the same for every object.
    fn fields(&self, _object: &Map) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Cells of the object's row, one for each of the kind's columns. `now` is in seconds since 1970.
    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        crate::cells::name_and_age(object, now)
    }
}
