// SPDX-License-Identifier: Apache-2.0
//! Reading: one object, or many.

use crate::answer::{Answer, Body, json};
use crate::ask::Ask;
use crate::epoch;
use crate::listing::{AsOf, ListOptions, Token, revision};
use crate::render::{List, More};
use crate::server::Inner;
use crate::shape::{Include, Shaper};
use berth_cluster_api::Refusal;
use berth_cluster_api::kinds::workload::scale as scales;
use berth_cluster_api::refusal::Cause;
use berth_cluster_api::select::{Fields, Labels, unsupported_field};
use berth_cluster_store::{Entry, Listing, Store};
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

/// How long a reader waits for a revision that is yet to come; upstream's number.
const PATIENCE: Duration = Duration::from_secs(3);

/// The request's form, with what goes into it.
pub(crate) fn shaper(ask: &Ask) -> Result<Shaper<'_>, Refusal> {
    let include = Include::new(ask.query.text("includeObject"))?;
    Ok(Shaper { kind: &ask.kind, form: ask.form, include, now: ask.now.seconds })
}

/// GET of an object.
pub(crate) async fn one(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let shaper = shaper(ask)?;
    let entry = find(server, ask).await?;
    let mut answer = shaper.object(StatusCode::OK, &entry.bytes)?;
    epoch::tell(server, ask, &entry.bytes, &mut answer);
    Ok(answer)
}

/// GET of an object's scale.
pub(crate) async fn scale(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let entry = find(server, ask).await.map_err(|refusal| of_scale(ask, refusal))?;
    let object = crate::shape::parse(&entry.bytes)?;
    Ok(shaper(ask)?.write(StatusCode::OK, &scales::read(&object)))
}

/// What is not found is the scale, of most kinds.
fn of_scale(ask: &Ask, refusal: Refusal) -> Refusal {
    if refusal.code != 404 || !ask.kind.rules.missing_as_scale() {
        return refusal;
    }
    let resource = format!("{}/scale", ask.kind.plural);
    Refusal::not_found(&ask.kind.group, &resource, &ask.target.name)
}

async fn find(server: &Inner, ask: &Ask) -> Result<Arc<Entry>, Refusal> {
    match ask.query.text("resourceVersion") {
        "" => {
            current(&server.store).await?;
        }
        text => reach(&server.store, revision(text)?).await?,
    }
    server.store.get(&ask.key()).ok_or_else(|| ask.not_found())
}

/// Waits until reads see all that was acknowledged.
pub(crate) async fn current(store: &Store) -> Result<u64, Refusal> {
    store.current().await.map_err(|error| unavailable(&error))
}

/// The newest state of a key, to be changed.
pub(crate) async fn newest(store: &Store, key: &str) -> Result<Option<Arc<Entry>>, Refusal> {
    store.find(key).await.map_err(|error| unavailable(&error))
}

fn unavailable(error: &berth_cluster_store::Error) -> Refusal {
    let mut refusal = Refusal::new(503, "ServiceUnavailable", error.to_string());
    refusal.details.retry_after = Some(1);
    refusal
}

/// Waits for a revision; 504 if it does not come.
pub(crate) async fn reach(store: &Store, wanted: u64) -> Result<(), Refusal> {
    if store.reached(wanted, PATIENCE).await {
        return Ok(());
    }
    let current = store.revision();
    let text = format!("Timeout: Too large resource version: {wanted}, current: {current}");
    let mut refusal = Refusal::new(504, "Timeout", text);
    refusal.details.retry_after = Some(1);
    refusal.details.causes = vec![Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        field: String::new(),
    }];
    Err(refusal)
}

/// 410: that past is forgotten.
pub(crate) fn expired(message: impl Into<String>) -> Refusal {
    Refusal::new(410, "Expired", message)
}

/// What of a collection is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) labels: Labels,
    pub(crate) fields: Fields,
}

impl Selection {
    pub(crate) fn new(ask: &Ask) -> Result<Self, Refusal> {
        let labels = Labels::parse(ask.query.text("labelSelector"))?;
        let mut fields = Fields::parse(ask.query.text("fieldSelector"))?;
        if !ask.target.name.is_empty() {
            // A path of one object, watched in the old way.
            fields.require("metadata.name", &ask.target.name);
        }
        let known = ask.kind.rules.fields(&berth_cluster_api::Map::new());
        let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        if let Some(field) = fields.unsupported(&known) {
            let text = unsupported_field(&ask.kind.group, &ask.kind.kind, field);
            return Err(Refusal::bad_request(text));
        }
        Ok(Self { labels, fields })
    }

    pub(crate) fn takes(&self, entry: &Entry) -> bool {
        self.fields.matches(|name| entry.meta.field(name))
            && (self.labels.is_everything() || self.labels.matches_sorted(&entry.meta.labels))
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// The name that an object must have, from a deprecated path or a selector.
    pub(crate) fn name(&self) -> Option<&str> {
        self.fields.equal("metadata.name")
    }
}

/// GET of a collection.
pub(crate) async fn list(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let options = ListOptions::new(&ask.query)?;
    let selection = Selection::new(ask)?;
    let listing = read(&server.store, ask, &options, &selection).await?;
    let more = more(ask, &options, &selection, &listing);
    if ask.is_plain() {
        let list = List::new(&ask.kind, listing.entries, listing.revision, more.as_ref());
        return Ok(json(StatusCode::OK, Body::List(Box::new(list))));
    }
    let objects: Vec<_> = listing.entries.iter().map(|entry| entry.bytes.clone()).collect();
    shaper(ask)?.list(&objects, listing.revision, more.as_ref())
}

/// Reads the objects of a collection.
pub(crate) async fn read(
    store: &Store,
    ask: &Ask,
    options: &ListOptions,
    selection: &Selection,
) -> Result<Listing, Refusal> {
    let at = match options.as_of {
        AsOf::Now => {
            current(store).await?;
            None
        }
        AsOf::Any => None,
        AsOf::NotOlderThan(revision) => {
            reach(store, revision).await?;
            None
        }
        AsOf::Exactly(revision) => {
            reach(store, revision).await?;
            Some(revision)
        }
    };
    let mut prefix = ask.prefix();
    if let (Some(name), true) =
        (selection.name(), prefix.matches('/').count() > 1 || !ask.kind.namespaced)
    {
        // Few keys begin so: the object's own, and those of longer names.
        prefix.push_str(name);
    }
    let after = options.after.as_ref().map(|after| format!("{}{after}", ask.prefix()));
    let (after, limit) = (after.as_deref(), options.limit);
    let found = if limit > 0 && selection.is_everything() {
        store.page(&prefix, after, at, limit)
    } else {
        store.list(&prefix, after, at, limit, &|entry| selection.takes(entry))
    };
    found.map_err(|_| too_old(options, store.revision()))
}

/// The object's key, below the collection's prefix.
fn relative<'a>(ask: &Ask, entry: &'a Entry) -> &'a str {
    entry.key.get(ask.prefix().len()..).unwrap_or_default()
}

/// How to go on after a page.
pub(crate) fn more(
    ask: &Ask,
    options: &ListOptions,
    selection: &Selection,
    listing: &Listing,
) -> Option<More> {
    let last = listing.entries.last().filter(|_| listing.more)?;
    // A list that went on in the present has no revision of its own: each page is of its time.
    let renewed = options.after.is_some() && options.as_of == AsOf::Now;
    let revision = if renewed { 0 } else { listing.revision };
    let token = Token::new(revision, relative(ask, last)).text();
    let remaining = selection.is_everything().then_some(listing.remaining);
    Some(More { token, remaining })
}

fn too_old(options: &ListOptions, revision: u64) -> Refusal {
    let _ = revision;
    match &options.after {
        None => expired(
            "The resourceVersion for the provided list is too old. \
             Start a new list without the resourceVersion parameter.",
        ),
        Some(after) => {
            let mut refusal = expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
                 the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
                 Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
                 deleted between the time the first chunk was returned and now may show up in the list.",
            );
            refusal.details.go_on = Token::new(0, after).text();
            refusal
        }
    }
}
