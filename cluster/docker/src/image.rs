// SPDX-License-Identifier: Apache-2.0
//! Images: what is there, what of it is this agent's, and its removal. [`pull`] brings new ones.
//!
//! An engine has images of others too, and an image cannot be labelled once it is made. So what this agent has pulled gets a second tag, a
//! *mark*, in a repository of the agent's own: a mark for each name that it was pulled by. Only what has marks is ever removed, and of
//! its names only those that have a mark. A name or an image that was there before keeps what it had.

pub(crate) mod archive;
pub(crate) mod builtin;
pub(crate) mod pull;
pub(crate) mod reference;

use crate::engine::{Engine, limited};
use crate::error::CallError;
use crate::labels::Agent;
use crate::limits;
use crate::moment::Moment;
use archive::sha256;
use bollard::models::{ImageConfig, ImageInspect};
use bollard::query_parameters::{
    ImportImageOptions, ListContainersOptionsBuilder, RemoveImageOptionsBuilder,
    TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt;
use reference::{Reference, ReferenceError, is_image_id};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where marks are. No registry is called that: `.local` is never one of the internet.
const MARKS: &str = "berth.local/pulled-by";

/// An image that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The engine's id of it.
    pub id: String,
    /// Its names with tags, without this crate's marks.
    pub tags: Vec<String>,
    /// Its names with digests.
    pub digests: Vec<String>,
    /// Bytes that it takes, with what it shares with others.
    pub size_bytes: u64,
    /// When it was made.
    pub created: Option<Moment>,
    /// For which processors.
    pub architecture: String,
    /// USER: empty, `1000`, `name`, `1000:1000` ...
    pub user: String,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// ENTRYPOINT.
    pub entrypoint: Vec<String>,
    /// CMD.
    pub cmd: Vec<String>,
    /// WORKDIR.
    pub working_dir: String,
    /// Paths for which the engine makes volumes.
    pub volumes: Vec<String>,
    /// EXPOSE: `80/tcp` ...
    pub ports: Vec<String>,
    /// The signal that it wants to be ended by; empty for SIGTERM.
    pub stop_signal: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// An image in the list of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedImage {
    /// The engine's id of it.
    pub id: String,
    /// Its names with tags, without this crate's marks.
    pub tags: Vec<String>,
    /// Its names with digests.
    pub digests: Vec<String>,
    /// Bytes that it takes, with what it shares with others.
    pub size_bytes: u64,
    /// Whether this agent has pulled it, and may remove it.
    pub ours: bool,
}

/// What became of an image that was to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, or was not there.
    Gone,
    /// Others gave it names, by which it stays.
    Kept {
        /// The names.
        by: Vec<String>,
    },
    /// Containers are made from it, this agent's or others': nothing was done.
    InUse {
        /// Their names.
        by: Vec<String>,
    },
}

/// Why an image could not be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Its name is none.
    #[error(transparent)]
    Name(ReferenceError),
    /// The call failed.
    #[error(transparent)]
    Call(CallError),
}

/// Images of the engine's list, as all its versions give them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    id: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
    #[serde(default)]
    size: i64,
}

impl Engine {
    /// An image by its name or id, if it is there.
    pub async fn image(&self, name: &str) -> Result<Option<Image>, ImageError> {
        let name = if is_image_id(name) {
            name.to_owned()
        } else {
            Reference::parse(name).map_err(ImageError::Name)?.to_string()
        };
        self.image_named(&name).await.map_err(ImageError::Call)
    }

    /// By a name that has been checked.
    async fn image_named(&self, name: &str) -> Result<Option<Image>, CallError> {
        let found = self.docker.inspect_image(name);
        match limited("inspect image", limits::ASK, found).await {
            Err(error) if error.is_not_found() => Ok(None),
            found => found.map(|found| Some(image(found))),
        }
    }

    /// All images of the engine, by id. Layers without a name are among them.
    pub async fn images(&self) -> Result<Vec<ListedImage>, CallError> {
        let marks = marks(&self.agent);
        let listed = self.summaries_of_images().await?.into_iter().map(|summary| {
            let tags = named(summary.repo_tags);
            ListedImage {
                ours: tags.iter().any(|tag| tag.starts_with(&marks)),
                tags: without_marks(tags),
                digests: named(summary.repo_digests),
                size_bytes: u64::try_from(summary.size).unwrap_or(0),
                id: summary.id,
            }
        });
        let mut listed: Vec<ListedImage> = listed.collect();
        listed.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(listed)
    }

    async fn summaries_of_images(&self) -> Result<Vec<Summary>, CallError> {
        const CALL: &str = "list images";
        let all = self.get(CALL, "/images/json?digests=1".to_owned(), limits::ASK).await?;
        serde_json::from_value(all)
            .map_err(|error| CallError::Unreadable { call: CALL, reason: error.to_string() })
    }

    /// Loads images out of an archive, as `docker save` writes it.
    pub async fn load_image(&self, archive: Vec<u8>) -> Result<(), CallError> {
        const CALL: &str = "load image";
        let body = bollard::body_full(Bytes::from(archive));
        let said = self.docker.import_image(ImportImageOptions::default(), body, None);
        let all = async {
            let mut said = std::pin::pin!(said);
            while let Some(line) = said.next().await {
                let line = line.map_err(|error| CallError::of(CALL, error))?;
                if let Some(error) = line.error_detail {
                    let message = error.message.unwrap_or_default();
                    return Err(CallError::Refused { call: CALL, status: 400, message });
                }
            }
            Ok(())
        };
        let timed_out = CallError::TimedOut { call: CALL, limit: limits::LOAD };
        tokio::time::timeout(limits::LOAD, all).await.unwrap_or(Err(timed_out))
    }

    /// Removes an image that this agent has pulled, unless a container is made from it. Others' names of it stay, and it with them.
    pub async fn remove_image(&self, id: &str) -> Result<Removal, CallError> {
        const CALL: &str = "remove image";
        if !is_image_id(id) {
            let message = format!("{id:?} is no id of an image");
            return Err(CallError::Refused { call: CALL, status: 400, message });
        }
        let images = self.summaries_of_images().await?;
        let Some(image) = images.into_iter().find(|image| image.id == id) else {
            return Ok(Removal::Gone);
        };
        let marks = marks(&self.agent);
        let (ours, tags): (Vec<String>, Vec<String>) =
            named(image.repo_tags).into_iter().partition(|tag| tag.starts_with(&marks));
        if ours.is_empty() {
            return Err(CallError::Foreign { call: CALL, what: format!("image {id}") });
        }
        let by = self.users_of_image(CALL, id).await?;
        if !by.is_empty() {
            return Ok(Removal::InUse { by });
        }
        let is_ours = |tag: &String| {
            Reference::parse(tag).is_ok_and(|name| ours.contains(&mark(&self.agent, &name, id)))
        };
        let names = named(image.repo_digests).into_iter().chain(tags);
        let pulled: Vec<String> = names.filter(is_ours).collect();
        // Marks last: a removal that is cut off can be made again.
        for tag in pulled.iter().chain(&ours) {
            let options = RemoveImageOptionsBuilder::new().force(false).build();
            let removed = self.docker.remove_image(tag, Some(options), None);
            match limited(CALL, limits::REMOVE, removed).await {
                Err(CallError::Conflict { message, .. }) => {
                    return Ok(Removal::InUse { by: vec![message] });
                }
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        let left = self.image_named(id).await?;
        Ok(left.map_or(Removal::Gone, |image| {
            let by = if image.tags.is_empty() { image.digests } else { image.tags };
            Removal::Kept { by }
        }))
    }

    /// Names of all containers, whosever they are, that are made from an image.
    async fn users_of_image(&self, call: &'static str, id: &str) -> Result<Vec<String>, CallError> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let all = limited(call, limits::ASK, self.docker.list_containers(Some(options))).await?;
        let users = all.into_iter().filter(|container| container.image_id.as_deref() == Some(id));
        let name = |names: Vec<String>| names.into_iter().next().unwrap_or_default();
        Ok(users.map(|user| name(user.names.unwrap_or_default())).collect())
    }

    /// Marks an image as pulled by this agent by that name.
    pub(crate) async fn mark(&self, reference: &Reference, id: &str) -> Result<(), CallError> {
        let mark = mark(&self.agent, reference, id);
        let (repository, tag) = mark.rsplit_once(':').unwrap_or((&mark, "latest"));
        let options = TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
        let marked = self.docker.tag_image(id, Some(options));
        limited("mark image", limits::ASK, marked).await
    }
}

/// What all marks of an agent begin with.
fn marks(agent: &Agent) -> String {
    format!("{MARKS}/{}:", agent.name())
}

/// The mark of an image that was pulled by a name.
fn mark(agent: &Agent, reference: &Reference, id: &str) -> String {
    let digest = sha256(format!("{reference} {id}").as_bytes());
    format!("{}{}", marks(agent), &digest[..32])
}

/// The engine says `<none>` where there is none.
fn named(names: Option<Vec<String>>) -> Vec<String> {
    let mut names = names.unwrap_or_default();
    names.retain(|name| !name.contains("<none>"));
    names.sort();
    names
}

/// Without the marks of any agent.
fn without_marks(mut tags: Vec<String>) -> Vec<String> {
    tags.retain(|tag| !tag.starts_with(MARKS));
    tags
}

fn image(found: ImageInspect) -> Image {
    let config: ImageConfig = found.config.unwrap_or_default();
    Image {
        id: found.id.unwrap_or_default(),
        tags: without_marks(named(found.repo_tags)),
        digests: named(found.repo_digests),
        size_bytes: found.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
        created: found.created.and_then(|text| Moment::parse(&text)),
        architecture: found.architecture.unwrap_or_default(),
        user: config.user.unwrap_or_default(),
        env: config.env.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        cmd: config.cmd.unwrap_or_default(),
        working_dir: config.working_dir.unwrap_or_default(),
        volumes: sorted(config.volumes),
        ports: sorted(config.exposed_ports),
        stop_signal: config.stop_signal.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
    }
}

fn sorted(texts: Option<Vec<String>>) -> Vec<String> {
    let mut texts = texts.unwrap_or_default();
    texts.sort();
    texts
}
