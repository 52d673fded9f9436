// SPDX-License-Identifier: Apache-2.0
//! Options of deletions: in the body, or in the query.

use crate::ask::Ask;
use crate::body::{self, Expected, Validation};
use berth_cluster_api::field::{Errors, Path};
use berth_cluster_api::schema::lookup;
use berth_cluster_api::{Map, Refusal};
use berth_cluster_json::Value;

/// What becomes of what an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    Orphan,
    Background,
    Foreground,
}

/// How something is to be deleted.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace: Option<i64>,
    pub(crate) propagation: Option<Propagation>,
    /// The deprecated form of it.
    pub(crate) orphans: Option<bool>,
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    /// Reads and judges them.
    pub(crate) fn new(ask: &Ask) -> Result<Self, Refusal> {
        let from_query = ask.dry_run("DeleteOptions")?;
        let given = if ask.body.is_empty() { from_the_query(ask)? } else { in_the_body(ask)? };
        let mut errors = Errors::new();
        let options = Self::read(&given, &mut errors);
        if errors.is_empty() {
            return Ok(Self { dry_run: options.dry_run || from_query, ..options });
        }
        Err(Refusal::invalid("meta.k8s.io", "DeleteOptions", "", &errors))
    }

    /// Those that an eviction carries.
    pub(crate) fn of(given: Option<&Value>) -> Result<Self, Refusal> {
        let none = Map::new();
        let given = given.and_then(Value::as_object).unwrap_or(&none);
        let mut errors = Errors::new();
        let options = Self::read(given, &mut errors);
        if errors.is_empty() {
            return Ok(options);
        }
        Err(Refusal::invalid("meta.k8s.io", "DeleteOptions", "", &errors))
    }

    fn read(given: &Map, errors: &mut Errors) -> Self {
        let orphans = given.get("orphanDependents").and_then(Value::as_bool);
        let policy = given.get("propagationPolicy").and_then(Value::as_str);
        let path = Path::new("propagationPolicy");
        if let (Some(policy), true) = (policy, orphans.is_some()) {
            errors.invalid(
                &path,
                policy,
                "orphanDependents and deletionPropagation cannot be both set",
            );
        }
        let propagation = match policy {
            None => None,
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some(other) => {
                let known = ["Foreground", "Background", "Orphan", "nil"];
                if !other.is_empty() {
                    errors.not_supported(&path, other, &known);
                }
                None
            }
        };
        let dry = given.get("dryRun").and_then(Value::as_array);
        for one in dry.into_iter().flatten().filter(|one| **one != "All") {
            errors.not_supported(&Path::new("dryRun"), one.clone(), &["All"]);
        }
        let of = given.get("preconditions");
        let text = |field: &str| of.and_then(|of| of[field].as_str()).map(str::to_owned);
        Self {
            grace: given.get("gracePeriodSeconds").and_then(Value::as_i64),
            propagation,
            orphans,
            uid: text("uid"),
            version: text("resourceVersion"),
            dry_run: dry.is_some_and(|all| !all.is_empty()),
        }
    }
}

/// The kind of options that a body of another group and version may have, too.
fn in_the_body(ask: &Ask) -> Result<Map, Refusal> {
    let schema = lookup("", "v1", "DeleteOptions")
        .ok_or_else(|| Refusal::internal("no schema of DeleteOptions"))?;
    let own = Expected { group: "", version: "v1", kind: "DeleteOptions", schema: &schema };
    let (group, version) = (&*ask.kind.group, &*ask.kind.version);
    let of_group = Expected { group, version, kind: "DeleteOptions", schema: &schema };
    let read = body::read(ask, &own, Validation::Ignore);
    let read = read.or_else(|first| {
        let second = body::read(ask, &of_group, Validation::Ignore);
        second.map_err(|_| first)
    });
    Ok(read?.object)
}

fn from_the_query(ask: &Ask) -> Result<Map, Refusal> {
    let mut given = Map::new();
    if let Some(grace) = ask.query.number("gracePeriodSeconds")? {
        given.insert("gracePeriodSeconds".to_owned(), grace.into());
    }
    if ask.query.get("orphanDependents").is_some() {
        given.insert("orphanDependents".to_owned(), ask.query.flag("orphanDependents").into());
    }
    if let Some(policy) = ask.query.get("propagationPolicy") {
        given.insert("propagationPolicy".to_owned(), policy.into());
    }
    Ok(given)
}
