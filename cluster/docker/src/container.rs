// SPDX-License-Identifier: Apache-2.0
//! Sandboxes and containers, from their making to their removal. Every call may be made again.

use crate::body;
use crate::engine::{Engine, limited, no_options};
use crate::error::{CallError, CreateError, StartError};
use crate::labels::{self, Identity, Part};
use crate::limits;
use crate::spec::{ContainerSpec, SandboxSpec};
use crate::state::{self, Phase, Seen, View};
use bollard::models::{ContainerCreateBody, ContainerSummary};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What was made, or was there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The engine's id of it.
    pub id: String,
    /// Whether an earlier call had made it, whose answer was lost.
    pub adopted: bool,
}

impl Engine {
    /// Makes a pod's sandbox, which does not run yet. The pause image is loaded first if it is not there.
    pub async fn create_sandbox(
        &self,
        identity: &Identity,
        spec: &SandboxSpec,
        facts: &BTreeMap<String, String>,
    ) -> Result<Made, CreateError> {
        let image = self.ensure_pause().await.map_err(CreateError::Call)?;
        let body = body::sandbox(spec, &image, &self.network_name());
        Box::pin(self.create(identity, body, facts)).await
    }

    /// Makes a container in the sandbox of that id. It does not run yet.
    pub async fn create_container(
        &self,
        identity: &Identity,
        sandbox: &str,
        spec: &ContainerSpec,
        facts: &BTreeMap<String, String>,
    ) -> Result<Made, CreateError> {
        const CALL: &str = "create container";
        self.check_owned(CALL, sandbox).await.map_err(CreateError::Call)?;
        Box::pin(self.create(identity, body::container(spec, sandbox), facts)).await
    }

    async fn create(
        &self,
        identity: &Identity,
        mut body: ContainerCreateBody,
        facts: &BTreeMap<String, String>,
    ) -> Result<Made, CreateError> {
        const CALL: &str = "create container";
        let name = identity.engine_name(&self.agent).map_err(|error| {
            let message = error.to_string();
            CreateError::Call(CallError::Refused { call: CALL, status: 400, message })
        })?;
        self.fit_score(&mut body).await.map_err(CreateError::Call)?;
        let labels = identity.labels(&self.agent, &body::digest(&body), facts);
        body.labels = Some(labels.clone().into_iter().collect());
        let image = body.image.clone().unwrap_or_default();
        let end = Instant::now() + limits::CREATE;
        loop {
            let options = CreateContainerOptionsBuilder::new().name(&name).build();
            let created = Box::pin(self.docker.create_container(Some(options), body.clone()));
            match limited(CALL, limits::CREATE, created).await {
                Ok(created) => {
                    self.note_owned(&created.id);
                    return Ok(Made { id: created.id, adopted: false });
                }
                Err(CallError::NotFound { message, .. }) if message.contains("image") => {
                    return Err(CreateError::NoImage { image, message });
                }
                Err(CallError::Conflict { message, .. }) => {
                    if let Some(made) = self.adopt(&name, &labels).await? {
                        return Ok(made);
                    }
                    // The name is reserved, and nothing has it: another call is about to make or remove it.
                    if Instant::now() > end {
                        return Err(CreateError::Call(CallError::Conflict { call: CALL, message }));
                    }
                    tokio::time::sleep(limits::LOOK).await;
                }
                Err(error) => return Err(CreateError::Call(error)),
            }
        }
    }

    /// What has a name, if it is what we wanted to make; none if nothing has it.
    async fn adopt(
        &self,
        name: &str,
        wanted: &BTreeMap<String, String>,
    ) -> Result<Option<Made>, CreateError> {
        let found = self.docker.inspect_container(name, no_options());
        let found = match limited("adopt container", limits::ASK, found).await {
            Err(error) if error.is_not_found() => return Ok(None),
            found => found.map_err(CreateError::Call)?,
        };
        let id = found.id.unwrap_or_default();
        let has = found.config.and_then(|config| config.labels).unwrap_or_default();
        let has: BTreeMap<String, String> = has.into_iter().collect();
        if labels::read(&self.agent, name, &has).is_none() {
            return Err(CreateError::NameTaken { name: name.to_owned(), by: id });
        }
        if wanted.iter().any(|(key, value)| has.get(key) != Some(value)) {
            return Err(CreateError::Differs { name: name.to_owned(), id });
        }
        self.note_owned(&id);
        Ok(Some(Made { id, adopted: true }))
    }

    /// Starts a sandbox or a container. One that runs is left as it is.
    pub async fn start(&self, id: &str) -> Result<(), StartError> {
        const CALL: &str = "start container";
        self.check_owned(CALL, id).await.map_err(StartError::Call)?;
        let started = self.docker.start_container(id, None::<StartContainerOptions>);
        let Err(error) = limited(CALL, limits::START, started).await else { return Ok(()) };
        let CallError::Refused { message, .. } = &error else {
            return Err(StartError::Call(error));
        };
        let message = message.clone();
        if message.contains("Address already in use") {
            return Err(StartError::AddressInUse { message });
        }
        match self.inspect(id).await {
            // Only an attempt to start leaves an error there.
            Ok(seen) if seen.state.phase != Phase::Running && seen.state.exit_code != 0 => {
                Err(StartError::CannotRun { exit_code: seen.state.exit_code, message })
            }
            _ => Err(StartError::Call(error)),
        }
    }

    /// Asks a container to end, by its own signal, and kills it once `grace` is over. Returns when it has ended. One that does not run,
    /// or is gone, has.
    pub async fn stop(&self, id: &str, grace: Duration) -> Result<(), CallError> {
        const CALL: &str = "stop container";
        if self.is_gone(CALL, id).await? {
            return Ok(());
        }
        // The engine counts whole seconds; a fraction more is given rather than less.
        let whole = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let seconds = i32::try_from(whole).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let stopped = self.docker.stop_container(id, Some(options));
        let limit = Duration::from_secs(whole).saturating_add(limits::STOP);
        gone_is_fine(limited(CALL, limit, stopped).await)
    }

    /// Sends a signal, by its name or number, to a container's first process. One that does not run has none.
    pub async fn kill(&self, id: &str, signal: &str) -> Result<(), CallError> {
        const CALL: &str = "kill container";
        if self.is_gone(CALL, id).await? {
            return Ok(());
        }
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        let killed = self.docker.kill_container(id, Some(options));
        match limited(CALL, limits::STOP, killed).await {
            Err(CallError::Conflict { .. }) => Ok(()),
            done => gone_is_fine(done),
        }
    }

    /// Removes a container with the volumes that the engine made for it; one that runs only by `force`. Returns when it is gone.
    pub async fn remove(&self, id: &str, force: bool) -> Result<(), CallError> {
        const CALL: &str = "remove container";
        let end = Instant::now() + limits::REMOVE;
        loop {
            if self.is_gone(CALL, id).await? {
                return Ok(());
            }
            let options = RemoveContainerOptionsBuilder::new().v(true).force(force).build();
            let removed = self.docker.remove_container(id, Some(options));
            match limited(CALL, limits::REMOVE, removed).await {
                // Another call is at it.
                Err(CallError::Conflict { message, .. })
                    if message.contains("already in progress") && Instant::now() < end =>
                {
                    tokio::time::sleep(limits::LOOK).await;
                    let found = self.docker.inspect_container(id, no_options());
                    if let Err(error) = limited(CALL, limits::ASK, found).await {
                        return gone_is_fine(Err(error));
                    }
                }
                done => return gone_is_fine(done),
            }
        }
    }

    /// How a sandbox or a container is.
    pub async fn inspect(&self, id: &str) -> Result<Seen, CallError> {
        const CALL: &str = "inspect container";
        self.check_owned(CALL, id).await?;
        let found =
            limited(CALL, limits::ASK, self.docker.inspect_container(id, no_options())).await?;
        let foreign = || CallError::Foreign { call: CALL, what: format!("container {id}") };
        state::seen(&self.agent, found).ok_or_else(foreign)
    }

    /// All that this agent has on the engine.
    pub async fn list(&self) -> Result<View, CallError> {
        const CALL: &str = "list containers";
        let mut view = View::default();
        let mut ids = Vec::new();
        for summary in self.summaries(CALL).await? {
            let id = summary.id.unwrap_or_default();
            let labels: BTreeMap<String, String> =
                summary.labels.unwrap_or_default().into_iter().collect();
            let names = summary.names.unwrap_or_default();
            let name = names.first().map_or("", |name| name.trim_start_matches('/'));
            if labels::is_helper(&self.agent, name, &labels) {
                view.left_over.push(id);
            } else if labels::read(&self.agent, name, &labels).is_some() {
                ids.push(id);
            }
        }
        let details = stream::iter(ids.into_iter().map(|id| self.detail(CALL, id)));
        let details: Vec<Option<Seen>> = details.buffered(limits::INSPECTS).try_collect().await?;
        for seen in details.into_iter().flatten() {
            match seen.identity.part {
                Part::Sandbox => view.sandboxes.push(seen),
                Part::Container(_) => view.containers.push(seen),
            }
        }
        view.sandboxes.sort_by(|a, b| a.identity.cmp(&b.identity));
        view.containers.sort_by(|a, b| a.identity.cmp(&b.identity));
        view.left_over.sort();
        Ok(view)
    }

    async fn summaries(&self, call: &'static str) -> Result<Vec<ContainerSummary>, CallError> {
        let ours = format!("{}={}", labels::AGENT, self.agent.name());
        let filters = [("label", vec![ours])].into_iter().collect();
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        limited(call, limits::ASK, self.docker.list_containers(Some(options))).await
    }

    /// Of one that was listed; none if it has gone since.
    async fn detail(&self, call: &'static str, id: String) -> Result<Option<Seen>, CallError> {
        let found = self.docker.inspect_container(&id, no_options());
        match limited(call, limits::ASK, found).await {
            Err(error) if error.is_not_found() => Ok(None),
            found => {
                self.note_owned(&id);
                Ok(state::seen(&self.agent, found?))
            }
        }
    }

    /// Whether a container is gone. If not, it is this agent's.
    async fn is_gone(&self, call: &'static str, id: &str) -> Result<bool, CallError> {
        match self.check_owned(call, id).await {
            Err(error) if error.is_not_found() => Ok(true),
            done => done.map(|()| false),
        }
    }
}

fn gone_is_fine(done: Result<(), CallError>) -> Result<(), CallError> {
    match done {
        Err(error) if error.is_not_found() => Ok(()),
        done => done,
    }
}
