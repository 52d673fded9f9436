// SPDX-License-Identifier: Apache-2.0
//! Specifications in the engine's words.

use super::*;
use crate::spec::{Device, Tmpfs, Ulimit};

fn bound(host: &str, propagation: Propagation) -> Bind {
    Bind { host: host.to_owned(), container: "/at".to_owned(), read_only: true, propagation }
}

#[test]
fn a_container_joins_its_sandbox_and_keeps_its_bounds() {
    let resources = Resources {
        cpu_shares: 512,
        cpu_quota_us: Some(50_000),
        cpu_period_us: 100_000,
        memory_bytes: Some(64 << 20),
        pids: Some(100),
        oom_score_adj: 999,
    };
    let mut spec = ContainerSpec { resources, ..ContainerSpec::plain("i") };
    let host = container(&spec, "sb").host_config.unwrap();
    assert_eq!(host.network_mode.as_deref(), Some("container:sb"));
    assert_eq!(host.ipc_mode.as_deref(), Some("container:sb"));
    assert_eq!(host.pid_mode, None);
    assert_eq!((host.memory, host.memory_swap), (Some(64 << 20), Some(64 << 20)));
    assert_eq!(
        (host.cpu_shares, host.cpu_quota, host.cpu_period),
        (Some(512), Some(50_000), Some(100_000))
    );
    assert_eq!((host.pids_limit, host.oom_score_adj), (Some(100), Some(999)));
    assert_eq!(host.restart_policy.unwrap().name, Some(RestartPolicyNameEnum::NO));
    spec.processes = Processes::Pod;
    assert_eq!(
        container(&spec, "sb").host_config.unwrap().pid_mode.as_deref(),
        Some("container:sb")
    );
    spec.processes = Processes::Host;
    assert_eq!(container(&spec, "sb").host_config.unwrap().pid_mode.as_deref(), Some("host"));
    spec.memory_swap_bytes = Some(128 << 20);
    assert_eq!(container(&spec, "sb").host_config.unwrap().memory_swap, Some(128 << 20));
    spec.resources.memory_bytes = None;
    assert_eq!(container(&spec, "sb").host_config.unwrap().memory_swap, None, "nothing to bound");
}

#[test]
fn a_command_replaces_more_than_arguments_do() {
    let texts = |all: &[&str]| all.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    for (command, args) in
        [(vec![], vec![]), (vec!["a"], vec![]), (vec![], vec!["b"]), (vec!["a"], vec!["b"])]
    {
        let spec = ContainerSpec {
            command: texts(&command),
            args: texts(&args),
            ..ContainerSpec::plain("i")
        };
        let body = container(&spec, "sb");
        assert_eq!(body.entrypoint.unwrap_or_default(), texts(&command));
        assert_eq!(body.cmd.unwrap_or_default(), texts(&args));
    }
}

#[test]
fn rights_are_said_as_the_engine_wants_them() {
    let security = Security {
        seccomp: Seccomp::Unconfined,
        apparmor: AppArmor::Localhost("x".to_owned()),
        no_new_privileges: true,
        ..Security::default()
    };
    assert_eq!(
        security_options(&security, None),
        ["seccomp=unconfined", "apparmor=x", "no-new-privileges"]
    );
    assert!(security_options(&Security::default(), None).is_empty());
    let named =
        Security { seccomp: Seccomp::Localhost("p.json".to_owned()), ..Security::default() };
    assert_eq!(security_options(&named, Some("{}")), ["seccomp={}"]);
    assert!(
        security_options(&named, None)[0].contains("ERRNO"),
        "a profile that is missing allows nothing"
    );
}

#[test]
fn paths_with_colons_stay_whole() {
    let spec = ContainerSpec {
        binds: vec![
            bound("/a:b", Propagation::None),
            bound("/c", Propagation::Bidirectional),
            bound("/d", Propagation::HostToContainer),
        ],
        tmpfs: vec![Tmpfs { path: "/t".to_owned(), bytes: Some(7), mode: 0o1777 }],
        devices: vec![Device {
            host: "/dev/null".to_owned(),
            container: "/dev/x".to_owned(),
            rights: "r".to_owned(),
        }],
        ulimits: vec![Ulimit { name: "nofile".to_owned(), soft: 1, hard: 2 }],
        ..ContainerSpec::plain("i")
    };
    let host = container(&spec, "sb").host_config.unwrap();
    let mounts = host.mounts.unwrap();
    assert_eq!(mounts[0].source.as_deref(), Some("/a:b"));
    assert_eq!(mounts[0].read_only, Some(true));
    let propagations: Vec<_> =
        mounts.iter().filter_map(|m| m.bind_options.as_ref()?.propagation).collect();
    assert_eq!(
        propagations,
        [
            MountBindOptionsPropagationEnum::RPRIVATE,
            MountBindOptionsPropagationEnum::RSHARED,
            MountBindOptionsPropagationEnum::RSLAVE,
        ]
    );
    let tmpfs = mounts[3].tmpfs_options.as_ref().unwrap();
    assert_eq!((tmpfs.size_bytes, tmpfs.mode), (Some(7), Some(0o1777)));
    assert_eq!(host.devices.unwrap().len() + host.ulimits.unwrap().len(), 2);
}

#[test]
fn a_sandbox_has_an_address_or_the_hosts_network() {
    let mut spec = SandboxSpec {
        hostname: "p".to_owned(),
        network: PodNetwork::Own { address: [10, 1, 0, 2].into() },
        host_ipc: false,
        sysctls: BTreeMap::new(),
        binds: Vec::new(),
        cgroup_parent: None,
    };
    let body = sandbox(&spec, "i", "net");
    let endpoint = body.networking_config.unwrap().endpoints_config.unwrap()["net"].clone();
    assert_eq!(endpoint.ipam_config.unwrap().ipv4_address.as_deref(), Some("10.1.0.2"));
    let host = body.host_config.unwrap();
    assert_eq!(
        (host.network_mode.as_deref(), host.ipc_mode.as_deref()),
        (Some("net"), Some("shareable"))
    );
    assert_eq!(host.sysctls, None);
    (spec.network, spec.host_ipc, spec.hostname) = (PodNetwork::Host, true, String::new());
    let body = sandbox(&spec, "i", "net");
    assert_eq!((body.networking_config, body.hostname), (None, None));
    let host = body.host_config.unwrap();
    assert_eq!(
        (host.network_mode.as_deref(), host.ipc_mode.as_deref()),
        (Some("host"), Some("host"))
    );
}

#[test]
fn a_digest_depends_on_every_value_and_on_no_order() {
    let mut spec = ContainerSpec::plain("i");
    for n in 0..20 {
        spec.env.insert(format!("N{n}"), n.to_string());
    }
    let first = digest(&container(&spec, "sb"));
    assert_eq!(first.len(), 64);
    let mut sandboxed = SandboxSpec {
        hostname: String::new(),
        network: PodNetwork::Host,
        host_ipc: false,
        sysctls: (0..20).map(|n| (format!("k{n}"), n.to_string())).collect(),
        binds: Vec::new(),
        cgroup_parent: None,
    };
    let of_sandbox = digest(&sandbox(&sandboxed, "i", "net"));
    for _ in 0..20 {
        // A table of the engine's types has another order each time it is made.
        assert_eq!(digest(&container(&spec, "sb")), first);
        assert_eq!(digest(&sandbox(&sandboxed, "i", "net")), of_sandbox);
    }
    sandboxed.sysctls.insert("k3".to_owned(), "4".to_owned());
    assert_ne!(digest(&sandbox(&sandboxed, "i", "net")), of_sandbox);
    assert_ne!(digest(&container(&spec, "sc")), first);
    spec.env.insert("N3".to_owned(), "4".to_owned());
    assert_ne!(digest(&container(&spec, "sb")), first);
}

#[test]
fn what_is_shown_of_a_specification_has_no_secret() {
    let mut spec = ContainerSpec::plain("i");
    spec.env.insert("TOKEN".to_owned(), "hunter2".to_owned());
    spec.args.push("--password=hunter2".to_owned());
    let shown = format!("{spec:?}");
    assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
}
