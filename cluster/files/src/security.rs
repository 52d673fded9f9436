// SPDX-License-Identifier: Apache-2.0
//! The security contexts of pod and container as one: the container's fields win (upstream's `DetermineEffectiveSecurityContext`).

mod sysctls;
mod user;

pub(crate) use sysctls::sysctls;
pub(crate) use user::shared_user;

use crate::error::ConfigError;
use crate::names;
use crate::pod;
use k8s_openapi::api::core::v1::{Container, Pod, SecurityContext};

/// What a container may do, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Security {
    /// `uid`, `uid:gid`, or a name that the image knows; `None` for the image's.
    pub user: Option<String>,
    /// More groups: `supplementalGroups` and `fsGroup`.
    pub groups: Vec<u32>,
    /// Everything that the host's root may.
    pub privileged: bool,
    /// Capabilities beside the usual ones, without `CAP_`; `ALL` for all.
    pub capabilities_add: Vec<String>,
    /// Capabilities that are taken away, likewise.
    pub capabilities_drop: Vec<String>,
    /// Whether its image's files are read only.
    pub read_only_root: bool,
    /// Whether no program may gain privileges by being executed.
    pub no_new_privileges: bool,
    /// Which system calls it may make.
    pub seccomp: Seccomp,
    /// Which AppArmor profile it has.
    pub apparmor: AppArmor,
}

/// Which system calls a container may make.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Seccomp {
    /// Those of the engine's profile: also where nothing is said, as a kubelet has it with `seccompDefault`.
    #[default]
    Default,
    /// All.
    Unconfined,
    /// Those of this profile: [`crate::Root::seccomp_profile`] reads it.
    Localhost(String),
}

/// Which AppArmor profile a container has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AppArmor {
    /// The engine's.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// One that is loaded on the node.
    Localhost(String),
}

/// Of one container, whose image runs as `image_user`.
pub(crate) fn container(
    pod: &Pod,
    container: &Container,
    image_user: &str,
) -> Result<Security, ConfigError> {
    let none = SecurityContext::default();
    let own = container.security_context.as_ref().unwrap_or(&none);
    let reader = Reader { pod, container, own };
    reader.refuse_what_is_not_there()?;
    user::check_non_root(pod, container, image_user)?;
    let capabilities = own.capabilities.as_ref();
    let privileged = own.privileged.unwrap_or(false);
    Ok(Security {
        user: user::user(pod, container, image_user)?,
        groups: user::groups(pod, container)?,
        privileged,
        capabilities_add: reader.capabilities(capabilities.and_then(|c| c.add.as_deref()))?,
        capabilities_drop: reader.capabilities(capabilities.and_then(|c| c.drop.as_deref()))?,
        read_only_root: own.read_only_root_filesystem.unwrap_or(false),
        no_new_privileges: own.allow_privilege_escalation == Some(false),
        seccomp: reader.seccomp(privileged)?,
        apparmor: reader.apparmor(privileged)?,
    })
}

struct Reader<'a> {
    pod: &'a Pod,
    container: &'a Container,
    own: &'a SecurityContext,
}

impl Reader<'_> {
    fn refuse_what_is_not_there(&self) -> Result<(), ConfigError> {
        let policy = pod::security(self.pod).supplemental_groups_policy.as_deref();
        let what = if self.own.proc_mount.as_deref() == Some("Unmasked") {
            "procMount: Unmasked is not there: it would need a user namespace; leave procMount out"
        } else if policy == Some("Strict") {
            "supplementalGroupsPolicy: Strict is not there: the engine adds the groups of the image's /etc/group; use Merge"
        } else if self.container.volume_devices.as_ref().is_some_and(|all| !all.is_empty()) {
            "volumeDevices are not there: use volumeMounts"
        } else {
            return Ok(());
        };
        Err(ConfigError::Unsupported { container: self.container.name.clone(), what })
    }

    fn invalid(&self, field: &'static str, value: &str) -> ConfigError {
        let container = self.container.name.clone();
        ConfigError::Invalid { container, field, value: value.to_owned() }
    }

    /// Names of capabilities go into options of the engine: they are letters and nothing else.
    fn capabilities(&self, all: Option<&[String]>) -> Result<Vec<String>, ConfigError> {
        let mut capabilities = Vec::new();
        for written in all.unwrap_or_default() {
            let name = written.to_ascii_uppercase();
            let name = name.strip_prefix("CAP_").unwrap_or(&name);
            let letters = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            if name.is_empty() || name.len() > 32 || !name.bytes().all(letters) {
                return Err(self.invalid("capability", written));
            }
            capabilities.push(name.to_owned());
        }
        Ok(capabilities)
    }

    fn seccomp(&self, privileged: bool) -> Result<Seccomp, ConfigError> {
        let of_pod = pod::security(self.pod).seccomp_profile.as_ref();
        let Some(profile) = self.own.seccomp_profile.as_ref().or(of_pod) else {
            return Ok(if privileged { Seccomp::Unconfined } else { Seccomp::Default });
        };
        let local = profile.localhost_profile.as_deref().unwrap_or_default();
        match profile.type_.as_str() {
            // A privileged container is confined by nothing, whatever its profile.
            _ if privileged => Ok(Seccomp::Unconfined),
            "RuntimeDefault" => Ok(Seccomp::Default),
            "Unconfined" => Ok(Seccomp::Unconfined),
            "Localhost" => match names::file("localhostProfile", local) {
                Ok(path) => Ok(Seccomp::Localhost(path)),
                Err(_) => Err(self.invalid("seccompProfile.localhostProfile", local)),
            },
            other => Err(self.invalid("seccompProfile.type", other)),
        }
    }

    fn apparmor(&self, privileged: bool) -> Result<AppArmor, ConfigError> {
        let of_pod = pod::security(self.pod).app_armor_profile.as_ref();
        let Some(profile) = self.own.app_armor_profile.as_ref().or(of_pod) else {
            return Ok(if privileged { AppArmor::Unconfined } else { AppArmor::Default });
        };
        let local = profile.localhost_profile.as_deref().unwrap_or_default();
        let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        match profile.type_.as_str() {
            "RuntimeDefault" => Ok(AppArmor::Default),
            "Unconfined" => Ok(AppArmor::Unconfined),
            "Localhost" if !local.is_empty() && local.bytes().all(letters) => {
                Ok(AppArmor::Localhost(local.to_owned()))
            }
            "Localhost" => Err(self.invalid("appArmorProfile.localhostProfile", local)),
            other => Err(self.invalid("appArmorProfile.type", other)),
        }
    }
}

#[cfg(test)]
mod tests;
