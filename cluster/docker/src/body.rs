// SPDX-License-Identifier: Apache-2.0
//! A specification in the engine's words, and its digest. Pure.

use crate::spec::{ContainerSpec, LogFiles, PodNetwork, Processes, SandboxSpec};
use berth_cluster_files::{AppArmor, Bind, Propagation, Resources, Seccomp, Security};
use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointIpamConfig, EndpointSettings, HostConfig,
    HostConfigLogConfig, Mount, MountBindOptions, MountBindOptionsPropagationEnum,
    MountTmpfsOptions, MountType, NetworkingConfig, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use ring::digest;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// A sandbox is killed after all that it holds together: upstream's score for it.
const SANDBOX_OOM_SCORE: i64 = -998;
/// The least weight that the kernel knows: a sandbox only waits.
const SANDBOX_SHARES: i64 = 2;

/// A sandbox, from the pause image of that id, in that network.
pub(crate) fn sandbox(spec: &SandboxSpec, image: &str, network: &str) -> ContainerCreateBody {
    let (mode, networking) = match &spec.network {
        PodNetwork::Host => ("host".to_owned(), None),
        PodNetwork::Own { address } => {
            let ipam = EndpointIpamConfig {
                ipv4_address: Some(address.to_string()),
                ..EndpointIpamConfig::default()
            };
            let endpoint =
                EndpointSettings { ipam_config: Some(ipam), ..EndpointSettings::default() };
            let endpoints = [(network.to_owned(), endpoint)].into_iter().collect();
            (network.to_owned(), Some(NetworkingConfig { endpoints_config: Some(endpoints) }))
        }
    };
    let host = HostConfig {
        network_mode: Some(mode),
        uts_mode: matches!(spec.network, PodNetwork::Host).then(|| "host".to_owned()),
        ipc_mode: Some(if spec.host_ipc { "host" } else { "shareable" }.to_owned()),
        sysctls: some(&spec.sysctls).map(|all| all.clone().into_iter().collect()),
        cgroup_parent: spec.cgroup_parent.clone(),
        cpu_shares: Some(SANDBOX_SHARES),
        oom_score_adj: Some(SANDBOX_OOM_SCORE),
        mounts: Some(spec.binds.iter().map(bind).collect()),
        readonly_rootfs: Some(true),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        log_config: Some(log(LogFiles { bytes_max: 1 << 20, files_max: 1 })),
        ..never_restarted()
    };
    ContainerCreateBody {
        hostname: Some(spec.hostname.clone()).filter(|name| !name.is_empty()),
        image: Some(image.to_owned()),
        host_config: Some(host),
        networking_config: networking,
        ..ContainerCreateBody::default()
    }
}

/// A container in the sandbox of that id.
pub(crate) fn container(spec: &ContainerSpec, sandbox: &str) -> ContainerCreateBody {
    let of_sandbox = format!("container:{sandbox}");
    let security = &spec.security;
    let groups = security.groups.iter().map(u32::to_string).collect();
    let host = HostConfig {
        network_mode: Some(of_sandbox.clone()),
        ipc_mode: Some(of_sandbox.clone()),
        pid_mode: match spec.processes {
            Processes::Own => None,
            Processes::Pod => Some(of_sandbox),
            Processes::Host => Some("host".to_owned()),
        },
        uts_mode: spec.host_network.then(|| "host".to_owned()),
        cgroup_parent: spec.cgroup_parent.clone(),
        group_add: Some(groups),
        privileged: Some(security.privileged),
        cap_add: Some(security.capabilities_add.clone()),
        cap_drop: Some(security.capabilities_drop.clone()),
        readonly_rootfs: Some(security.read_only_root),
        security_opt: Some(security_options(security, spec.seccomp_profile.as_deref())),
        mounts: Some(mounts(spec)),
        devices: Some(devices(spec)),
        ulimits: Some(ulimits(spec)),
        log_config: Some(log(spec.log)),
        ..limited(&spec.resources, spec.memory_swap_bytes)
    };
    let list = |texts: &[String]| Some(texts.to_vec()).filter(|texts| !texts.is_empty());
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: list(&spec.command),
        cmd: list(&spec.args),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: spec.working_dir.clone(),
        user: security.user.clone(),
        tty: Some(spec.tty),
        open_stdin: Some(spec.stdin),
        stdin_once: Some(spec.stdin_once),
        stop_signal: spec.stop_signal.clone(),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

/// The engine restarts nothing: that is for the pod's policy to say.
pub(crate) fn never_restarted() -> HostConfig {
    let no = RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None };
    HostConfig { restart_policy: Some(no), ..HostConfig::default() }
}

fn limited(resources: &Resources, swap: Option<u64>) -> HostConfig {
    let memory = resources.memory_bytes.map(signed);
    // What bounds memory bounds memory and swap together, unless something else is asked for.
    let swap = swap.map(signed).or(memory);
    HostConfig {
        cpu_shares: Some(signed(resources.cpu_shares)).filter(|shares| *shares > 0),
        cpu_quota: resources.cpu_quota_us.map(signed),
        cpu_period: resources.cpu_quota_us.map(|_| signed(resources.cpu_period_us)),
        memory,
        memory_swap: memory.and(swap),
        pids_limit: resources.pids.map(signed),
        oom_score_adj: Some(i64::from(resources.oom_score_adj)),
        ..never_restarted()
    }
}

/// The kernel's amounts are signed; nothing has 8 EiB.
fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

fn security_options(security: &Security, profile: Option<&str>) -> Vec<String> {
    let mut options = Vec::new();
    match &security.seccomp {
        Seccomp::Default => {}
        Seccomp::Unconfined => options.push("seccomp=unconfined".to_owned()),
        // Without its content no call is allowed, rather than all.
        Seccomp::Localhost(_) => {
            let nothing = r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#;
            options.push(format!("seccomp={}", profile.unwrap_or(nothing)));
        }
    }
    match &security.apparmor {
        AppArmor::Default => {}
        AppArmor::Unconfined => options.push("apparmor=unconfined".to_owned()),
        AppArmor::Localhost(name) => options.push(format!("apparmor={name}")),
    }
    if security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    options
}

fn mounts(spec: &ContainerSpec) -> Vec<Mount> {
    let tmpfs = spec.tmpfs.iter().map(|tmpfs| Mount {
        typ: Some(MountType::TMPFS),
        target: Some(tmpfs.path.clone()),
        tmpfs_options: Some(MountTmpfsOptions {
            size_bytes: tmpfs.bytes.map(signed),
            mode: Some(i64::from(tmpfs.mode)),
            options: None,
        }),
        ..Mount::default()
    });
    spec.binds.iter().map(bind).chain(tmpfs).collect()
}

/// As an object, for in the short form a colon in a path would divide it.
fn bind(bind: &Bind) -> Mount {
    let propagation = match bind.propagation {
        Propagation::None => MountBindOptionsPropagationEnum::RPRIVATE,
        Propagation::HostToContainer => MountBindOptionsPropagationEnum::RSLAVE,
        Propagation::Bidirectional => MountBindOptionsPropagationEnum::RSHARED,
    };
    Mount {
        typ: Some(MountType::BIND),
        source: Some(bind.host.clone()),
        target: Some(bind.container.clone()),
        read_only: Some(bind.read_only),
        bind_options: Some(MountBindOptions {
            propagation: Some(propagation),
            ..MountBindOptions::default()
        }),
        ..Mount::default()
    }
}

/// A file or folder of the host at the path that it has there.
pub(crate) fn same(path: &Path, read_only: bool) -> Mount {
    let path = path.to_string_lossy().into_owned();
    bind(&Bind { host: path.clone(), container: path, read_only, propagation: Propagation::None })
}

fn devices(spec: &ContainerSpec) -> Vec<DeviceMapping> {
    let devices = spec.devices.iter().map(|device| DeviceMapping {
        path_on_host: Some(device.host.clone()),
        path_in_container: Some(device.container.clone()),
        cgroup_permissions: Some(device.rights.clone()),
    });
    devices.collect()
}

fn ulimits(spec: &ContainerSpec) -> Vec<ResourcesUlimits> {
    let limits = spec.ulimits.iter().map(|limit| ResourcesUlimits {
        name: Some(limit.name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    });
    limits.collect()
}

pub(crate) fn log(files: LogFiles) -> HostConfigLogConfig {
    let pairs =
        [("max-size", files.bytes_max.to_string()), ("max-file", files.files_max.to_string())];
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
    }
}

fn some(map: &BTreeMap<String, String>) -> Option<&BTreeMap<String, String>> {
    Some(map).filter(|map| !map.is_empty())
}

/// A digest of all that a container is made to be, before its labels are added.
pub(crate) fn digest(body: &ContainerCreateBody) -> String {
    let mut text = String::new();
    // It has no map but with keys that are texts, and no number that JSON lacks.
    let value = serde_json::to_value(body).unwrap_or_default();
    write_sorted(&value, &mut text);
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// JSON with the keys of each object in order: the engine's types keep them in tables without one.
fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            text.push('{');
            for (key, value) in sorted {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_sorted(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_sorted(item, text);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
