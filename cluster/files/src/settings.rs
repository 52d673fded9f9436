// SPDX-License-Identifier: Apache-2.0
//! What a sandbox and a container shall be, in plain values.

use crate::error::{ConfigError, ReferenceError, SandboxError};
use crate::etc::kernel_hostname;
use crate::facts::Facts;
use crate::resources::{self, Resources};
use crate::security::{self, Security};
use crate::sources::Sources;
use crate::{env, pod};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;
use std::fmt;

/// The reason of the event that tells which keys are no names of variables.
const SKIPPED: &str = "InvalidEnvironmentVariableNames";

/// What is known of a container beside its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Given<'a> {
    /// The pod's addresses, the first one first; empty while there is none.
    pub addresses: &'a [String],
    /// `Config.User` of its image: empty, `1000`, `name`, `1000:1000` ...
    pub image_user: &'a str,
}

/// What a container shall be.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its environment, by name.
    pub env: BTreeMap<String, String>,
    /// Replaces the image's ENTRYPOINT and CMD; empty keeps both.
    pub command: Vec<String>,
    /// Replaces the image's CMD; empty keeps it, unless there is a command.
    pub args: Vec<String>,
    /// `None` for the image's.
    pub working_dir: Option<String>,
    /// As which user it runs, and what it may do.
    pub security: Security,
    /// What it may use.
    pub resources: Resources,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its standard input stays open.
    pub stdin: bool,
    /// Whether its input ends with the first that attached.
    pub stdin_once: bool,
    /// What the user should be told though the container is made: events of type Warning, as (reason, message).
    pub warnings: Vec<(&'static str, String)>,
}

impl fmt::Debug for Settings {
    /// Without the values of the environment and what was made of them, for they may come from Secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("env", &self.env.keys())
            .field("working_dir", &self.working_dir)
            .field("security", &self.security)
            .field("resources", &self.resources)
            .field("tty", &self.tty)
            .field("stdin", &self.stdin)
            .field("stdin_once", &self.stdin_once)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// What a pod's sandbox shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxSettings {
    /// What the pod calls itself; empty on the host's network, which has the host's name.
    pub hostname: String,
    /// Whether it has the host's network.
    pub host_network: bool,
    /// Whether it sees the host's processes.
    pub host_pid: bool,
    /// Whether it has the host's IPC.
    pub host_ipc: bool,
    /// Whether its containers see one another's processes.
    pub share_processes: bool,
    /// Kernel parameters of its own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// What all of the pod together may use: of a cgroup around its containers.
    pub resources: Resources,
}

/// What the container or init container of that name shall be.
pub fn container(
    pod: &Pod,
    name: &str,
    sources: &Sources,
    facts: &Facts,
    given: Given<'_>,
) -> Result<Settings, ConfigError> {
    let absent = || ReferenceError::Container { name: name.to_owned() };
    let container = pod::container(pod, name).ok_or_else(absent)?;
    let security = security::container(pod, container, given.image_user)?;
    let resources = resources::container(pod, container, facts)?;
    let environment = env::container(pod, container, sources, facts, given.addresses)?;
    let env = environment.variables;
    let expand = |texts: &Option<Vec<String>>| -> Vec<String> {
        let texts = texts.as_deref().unwrap_or_default();
        texts.iter().map(|text| env::expand(text, |name| env.get(name).cloned())).collect()
    };
    let command = expand(&container.command);
    let args = expand(&container.args);
    Ok(Settings {
        command,
        args,
        env,
        working_dir: container.working_dir.clone().filter(|dir| !dir.is_empty()),
        security,
        resources,
        tty: container.tty.unwrap_or(false),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        warnings: environment.skipped.into_iter().map(|text| (SKIPPED, text)).collect(),
    })
}

/// What the pod's sandbox shall be. An error is for the pod, not for a while: upstream refuses such a pod, with [`SandboxError::reason`].
pub fn sandbox(pod: &Pod, facts: &Facts) -> Result<SandboxSettings, SandboxError> {
    let spec = pod::spec(pod);
    let host_network = spec.host_network.unwrap_or(false);
    let host_ipc = spec.host_ipc.unwrap_or(false);
    if spec.host_users == Some(false) {
        return Err(SandboxError::UserNamespaces);
    }
    let hostname =
        if host_network { String::new() } else { kernel_hostname(pod, &facts.cluster_domain)? };
    Ok(SandboxSettings {
        hostname,
        host_network,
        host_pid: spec.host_pid.unwrap_or(false),
        host_ipc,
        share_processes: spec.share_process_namespace.unwrap_or(false),
        sysctls: security::sysctls(pod)?,
        resources: resources::pod_resources(pod)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::Seccomp;
    use crate::sources::Lookup;
    use serde_json::json;

    fn pod(container: serde_json::Value, spec: serde_json::Value) -> Pod {
        let mut pod =
            json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec});
        pod["spec"]["containers"] = json!([container]);
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_container_as_a_whole() {
        let pod = pod(
            json!({"name": "c", "command": ["run", "$(A)"], "args": ["$(NONE)", "$$(A)", "$(POD_IP)"], "workingDir": "/w", "tty": true,
                "env": [{"name": "A", "value": "1"}, {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "envFrom": [{"secretRef": {"name": "s"}}], "resources": {"limits": {"cpu": "1"}}, "securityContext": {"runAsUser": 7}}),
            json!({}),
        );
        let secret = json!({"data": {"key": "c2VjcmV0", "not a name": ""}});
        let mut sources = Sources::default();
        sources
            .secrets
            .insert("s".to_owned(), Lookup::found(serde_json::from_value(secret).unwrap()));
        let addresses = ["10.1.0.7".to_owned()];
        let given = Given { addresses: &addresses, image_user: "" };
        let settings = container(&pod, "c", &sources, &Facts::default(), given).unwrap();
        assert_eq!(settings.command, ["run", "1"]);
        assert_eq!(settings.args, ["$(NONE)", "$(A)", "10.1.0.7"]);
        assert_eq!(settings.working_dir.as_deref(), Some("/w"));
        assert_eq!((settings.tty, settings.stdin, settings.stdin_once), (true, false, false));
        assert_eq!(settings.security.user.as_deref(), Some("7"));
        assert_eq!(settings.security.seccomp, Seccomp::Default);
        assert_eq!(settings.resources.cpu_quota_us, Some(100_000));
        assert_eq!((settings.warnings.len(), settings.warnings[0].0), (1, SKIPPED));
        let shown = format!("{settings:?} {sources:?}");
        assert!(
            shown.contains("key") && !shown.contains("secret\"") && !shown.contains("c2Vj"),
            "{shown}"
        );
        let error = container(&pod, "d", &sources, &Facts::default(), given).unwrap_err();
        assert_eq!(error.to_string(), "container d not found");
    }

    #[test]
    fn a_sandbox() {
        let facts = Facts { cluster_domain: "cluster.local".to_owned(), ..Facts::default() };
        let of = |spec| sandbox(&pod(json!({"name": "c"}), spec), &facts);
        let plain = of(json!({"shareProcessNamespace": true, "hostPID": false})).unwrap();
        assert_eq!((plain.hostname.as_str(), plain.share_processes), ("p", true));
        assert!(!plain.host_network && !plain.host_pid && !plain.host_ipc);
        let host = of(json!({"hostNetwork": true, "hostIPC": true, "hostPID": true})).unwrap();
        assert!(host.hostname.is_empty() && host.host_network && host.host_pid && host.host_ipc);
        let error = of(json!({"hostUsers": false})).unwrap_err();
        assert!(error.to_string().starts_with("hostUsers: false is not there"), "{error}");
        assert!(of(json!({"hostUsers": true})).is_ok());
        let sysctls = json!([{"name": "net.ipv4.tcp_rmem", "value": "4096 8192 16384"}]);
        let settings = of(json!({"securityContext": {"sysctls": sysctls}})).unwrap();
        assert_eq!(settings.sysctls["net.ipv4.tcp_rmem"], "4096 8192 16384");
    }
}
