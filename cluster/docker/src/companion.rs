// SPDX-License-Identifier: Apache-2.0
//! Companions: programs of this host that an agent without root's rights runs as root in a container, on the host's network. Whoever may
//! use an engine may do that; what they may is what is named, no more.

use crate::body::{self, never_restarted};
use crate::engine::{Engine, limited, no_options};
use crate::error::CallError;
use crate::labels;
use crate::limits;
use crate::spec::LogFiles;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions};
use std::path::{Path, PathBuf};

/// What a program of this host needs of it to run: its libraries, and commands that it calls.
const SYSTEM: [&str; 8] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache"];
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Rules and settings of the host's network are kept from containers by these, whatever capabilities say. System calls stay filtered.
const PROFILES: [&str; 2] = ["apparmor=unconfined", "label=disable"];
const CALL: &str = "run companion";

/// What a companion is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// What it is for: one DNS label. An agent has one companion of a name.
    pub name: String,
    /// The program, by its path on the host, and its arguments.
    pub command: Vec<String>,
    /// Capabilities, without `CAP_`; it has no others.
    pub capabilities: Vec<String>,
    /// Folders of the host that it may write to; they have the same path there.
    pub folders: Vec<PathBuf>,
}

impl Engine {
    /// Starts a companion, in place of one of its name that was left. Gives its id.
    pub async fn start_companion(&self, companion: &Companion) -> Result<String, CallError> {
        let image = self.ensure_pause().await?;
        let (name, labels) = labels::companion(&self.agent, &companion.name);
        self.remove_named(&name).await?;
        let body = ContainerCreateBody {
            image: Some(image),
            labels: Some(labels.into_iter().collect()),
            ..body(companion)
        };
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let created = Box::pin(self.docker.create_container(Some(options), body));
        let id = limited(CALL, limits::CREATE, created).await?.id;
        self.note_owned(&id);
        let started = self.docker.start_container(&id, None::<StartContainerOptions>);
        limited(CALL, limits::START, started).await?;
        Ok(id)
    }

    /// How a companion ended, with what it said last; `None` as long as it runs.
    pub async fn companion_ended(&self, id: &str) -> Result<Option<String>, CallError> {
        let found = self.docker.inspect_container(id, no_options());
        let state = match limited(CALL, limits::ASK, found).await {
            Err(error) if error.is_not_found() => return Ok(Some("it was removed".to_owned())),
            found => found?.state.unwrap_or_default(),
        };
        if state.running == Some(true) {
            return Ok(None);
        }
        Ok(Some(format!("its status is {}", state.exit_code.unwrap_or_default())))
    }

    /// Removes the companion of that name, if there is one; it is asked to end first.
    pub async fn remove_companion(&self, name: &str) -> Result<(), CallError> {
        let (name, _) = labels::companion(&self.agent, name);
        self.remove_named(&name).await
    }

    async fn remove_named(&self, name: &str) -> Result<(), CallError> {
        let found = self.docker.inspect_container(name, no_options());
        let id = match limited(CALL, limits::ASK, found).await {
            Err(error) if error.is_not_found() => return Ok(()),
            found => found?.id.unwrap_or_default(),
        };
        self.stop(&id, limits::STOP).await?;
        self.remove(&id, true).await
    }
}

fn body(companion: &Companion) -> ContainerCreateBody {
    let system = SYSTEM.iter().filter(|path| Path::new(path).exists());
    let program = companion.command.first().map(PathBuf::from);
    let read = system.map(|path| (PathBuf::from(path), true));
    let read = read.chain(program.map(|path| (path, true)));
    let written = companion.folders.iter().map(|path| (path.clone(), false));
    let binds = read.chain(written).map(|(path, read_only)| body::same(&path, read_only));
    let nothing = Some(Vec::new());
    let host = HostConfig {
        network_mode: Some("host".to_owned()),
        // Whoever started it looks for it by its number.
        pid_mode: Some("host".to_owned()),
        userns_mode: Some("host".to_owned()),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(companion.capabilities.clone()),
        security_opt: Some(PROFILES.map(str::to_owned).into()),
        // Settings of the network are below /proc/sys.
        masked_paths: nothing.clone(),
        readonly_paths: nothing,
        readonly_rootfs: Some(true),
        tmpfs: Some([("/run".to_owned(), "size=1m".to_owned())].into_iter().collect()),
        mounts: Some(binds.collect()),
        log_config: Some(body::log(LogFiles { bytes_max: 1 << 20, files_max: 1 })),
        ..never_restarted()
    };
    ContainerCreateBody {
        entrypoint: Some(companion.command.clone()),
        env: Some(vec![PATH.to_owned()]),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_may_what_is_named_and_no_more() {
        let companion = Companion {
            name: "data".to_owned(),
            command: vec!["/opt/berth".to_owned(), "x".to_owned()],
            capabilities: vec!["NET_ADMIN".to_owned()],
            folders: vec!["/run/user/7/berth".into()],
        };
        let made = body(&companion);
        let host = made.host_config.unwrap();
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        assert_eq!(host.cap_add.unwrap(), ["NET_ADMIN"]);
        assert_ne!(host.privileged, Some(true));
        let written: Vec<String> = host
            .mounts
            .unwrap()
            .into_iter()
            .filter(|mount| mount.read_only == Some(false))
            .filter_map(|mount| mount.target)
            .collect();
        assert_eq!(written, ["/run/user/7/berth"]);
    }
}
