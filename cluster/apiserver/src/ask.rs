// SPDX-License-Identifier: Apache-2.0
//! A request for a resource, understood and allowed.

use crate::accept::Form;
use crate::environment::Moment;
use crate::fence::Fence;
use crate::path::Resource;
use crate::query::Query;
use crate::resources::Resources;
use berth_cluster_api::field::{Errors, Path};
use berth_cluster_api::registry::{Kind, Part, Subresource};
use berth_cluster_api::{Map, Refusal};
use berth_cluster_auth::user::User;
use bytes::Bytes;
use http::Method;
use std::sync::Arc;

/// A request for a resource.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) resources: Arc<Resources>,
    pub(crate) kind: Arc<Kind>,
    pub(crate) sub: Option<Subresource>,
    pub(crate) verb: &'static str,
    pub(crate) target: Resource,
    pub(crate) query: Query,
    pub(crate) form: Form,
    pub(crate) user: User,
    pub(crate) now: Moment,
    pub(crate) media: String,
    pub(crate) body: Bytes,
    /// What a write is bound to.
    pub(crate) fence: Option<Fence>,
}

impl Ask {
    /// Namespace of the object or collection; empty where the kind has none, and for all namespaces.
    pub(crate) fn namespace(&self) -> &str {
        if self.kind.namespaced { &self.target.namespace } else { "" }
    }

    /// Where the object is kept.
    pub(crate) fn key(&self) -> String {
        crate::object::key(&self.kind, self.namespace(), &self.target.name)
    }

    /// What the keys of the collection begin with.
    pub(crate) fn prefix(&self) -> String {
        match self.namespace() {
            "" => format!("{}/", self.kind.stored_as),
            namespace => format!("{}/{namespace}/", self.kind.stored_as),
        }
    }

    /// An object out of the store, in this kind's form.
    pub(crate) fn parse(&self, bytes: &[u8]) -> Result<Map, Refusal> {
        crate::shape::parse(bytes).map(|object| self.kind.rules.as_shown(object))
    }

    /// Whether objects go out as they lie in the store.
    pub(crate) fn is_plain(&self) -> bool {
        self.form == Form::PLAIN && !self.kind.rules.converts()
    }

    /// Which part of the object is written.
    pub(crate) fn part(&self) -> Part {
        match self.sub {
            None => Part::Main,
            Some(Subresource::Status) => Part::Status,
            Some(other) => Part::Other(other),
        }
    }

    /// The request without its body, to be kept while a watch runs.
    pub(crate) fn for_watch(&self) -> Self {
        Self {
            resources: Arc::clone(&self.resources),
            kind: Arc::clone(&self.kind),
            target: self.target.clone(),
            query: self.query.clone(),
            user: self.user.clone(),
            media: String::new(),
            body: Bytes::new(),
            fence: None,
            ..*self
        }
    }

    /// 404 for the object of the path.
    pub(crate) fn not_found(&self) -> Refusal {
        Refusal::not_found(&self.kind.group, &self.kind.plural, &self.target.name)
    }

    /// 409 for an object of the kind.
    pub(crate) fn conflict(&self, name: &str, why: &str) -> Refusal {
        Refusal::conflict(&self.kind.group, &self.kind.plural, name, why)
    }

    /// Whether nothing is to be stored. `options`: the kind of the options, for messages.
    pub(crate) fn dry_run(&self, options: &str) -> Result<bool, Refusal> {
        let values: Vec<&str> = self.query.all("dryRun").filter(|one| !one.is_empty()).collect();
        if let Some(wrong) = values.iter().find(|one| **one != "All") {
            let mut errors = Errors::new();
            errors.not_supported(&Path::new("dryRun"), *wrong, &["All"]);
            return Err(Refusal::invalid("meta.k8s.io", options, "", &errors));
        }
        Ok(!values.is_empty())
    }
}

/// The verb of a request, as roles know it; none for a method that no resource has.
pub(crate) fn verb(method: &Method, target: &Resource, query: &Query) -> Option<&'static str> {
    let collection = target.name.is_empty();
    Some(match *method {
        Method::GET | Method::HEAD if target.watch => "watch",
        Method::GET | Method::HEAD if collection && query.flag("watch") => "watch",
        Method::GET | Method::HEAD if collection => "list",
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        _ => return None,
    })
}
