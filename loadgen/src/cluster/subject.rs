// SPDX-License-Identifier: Apache-2.0
//! The cluster under test: `berth up` as a process of its own, with a user who may do what rows need.

use super::objects;
use crate::api::kubeconfig::Kubeconfig;
use crate::api::process::{Home, Process, USER, until_ready};
use crate::api::wire::{Ask, Door, Protocol, Wire};
use crate::error::Error;
use serde_json::json;
use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

/// What comes before the kubeconfig in the output, which is after the URL.
const KUBECONFIG: &str = "kubeconfig ";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// How long a namespace's account may take to be there.
const ACCOUNT: Duration = Duration::from_secs(30);

/// Controllers that leave nodes and pods alone which only exist in the API.
pub const PASSIVE: &str = "*,-node-lifecycle-controller,-taint-eviction-controller,-replicaset-controller,\
    -deployment-controller,-garbage-collector-controller";
/// All controllers.
pub const ALL: &str = "*";

/// A cluster that runs.
#[derive(Debug)]
pub struct Cluster {
    /// How to enter, as the load's user.
    pub door: Door,
    /// The process.
    pub process: Process,
    // Behind the process: the folder goes when the process has ended.
    home: Home,
}

impl Cluster {
    /// Starts one on an empty store.
    pub async fn start(home: Home, simulate: u64, controllers: &str) -> Result<Self, Error> {
        let (store, tokens, nodes) =
            (home.path().join("data"), home.tokens(), simulate.to_string());
        let mut flags: Vec<&OsStr> = vec!["up".as_ref(), "--data".as_ref(), store.as_ref()];
        for at in ["--api", "--listen", "--metrics", "--balancer", "--balancer-admin"] {
            flags.extend([OsStr::new(at), OsStr::new("127.0.0.1:0")]);
        }
        flags.extend([OsStr::new("--token-auth-file"), tokens.as_ref()]);
        flags.push(OsStr::new("--no-node"));
        flags.extend(["--simulate", &nodes, "--controllers", controllers].map(OsStr::new));
        let (process, lines) = home.launch("log", &flags, KUBECONFIG)?;
        let line = lines.last().and_then(|line| line.strip_prefix(KUBECONFIG));
        let admin = Kubeconfig::read(Path::new(line.unwrap_or_default().trim()))?;
        let door = ready(&home, &admin).await?;
        Ok(Self { door, process, home })
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(self) -> Result<(), Error> {
        let Self { process, home, .. } = self;
        let stopped = process.stop().await;
        drop(home);
        stopped
    }
}

/// Waits until the server is ready, gives the load's user its rights, and returns how that one enters.
pub async fn ready(home: &Home, admin: &Kubeconfig) -> Result<Door, Error> {
    let entrance = admin.door()?;
    until_ready(&entrance, Instant::now()).await?;
    grant(&mut entrance.open(Protocol::One).await?).await?;
    admin.door_as(&home.identity())
}

/// What a team's tools may do: make what the load is made of, and read what comes of it.
async fn grant(wire: &mut Wire) -> Result<(), Error> {
    let all = ["get", "list", "watch", "create", "update", "patch", "delete"];
    let metadata = json!({"name": USER});
    let group = "rbac.authorization.k8s.io";
    let rules = json!([
        {"apiGroups": [""], "verbs": all,
         "resources": ["nodes", "namespaces", "pods", "services", "configmaps", "serviceaccounts", "events"]},
        {"apiGroups": ["apps"], "verbs": all, "resources": ["deployments", "replicasets"]},
        // Owners block the deletion of what they own, which takes a right of its own.
        {"apiGroups": ["apps"], "verbs": ["update"], "resources": ["replicasets/finalizers"]},
        {"apiGroups": ["discovery.k8s.io", "events.k8s.io"], "verbs": ["get", "list"],
         "resources": ["endpointslices", "events"]},
    ]);
    let role = json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRole",
        "metadata": metadata, "rules": rules});
    let binding = json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": USER},
        "subjects": [{"apiGroup": group, "kind": "User", "name": USER}]});
    wire.send(&objects::make(format!("{RBAC}/clusterroles"), &role)).await?;
    wire.send(&objects::make(format!("{RBAC}/clusterrolebindings"), &binding)).await?;
    Ok(())
}

/// Makes a namespace, and waits until pods can be made there.
pub async fn namespace(wire: &mut Wire, name: &str) -> Result<(), Error> {
    wire.send(&objects::a_namespace(name)).await?;
    let account = Ask::get(objects::core(name, "serviceaccounts/default"));
    let began = Instant::now();
    loop {
        match wire.send(&account).await {
            Ok(_) => return Ok(()),
            Err(Error::Api(_)) if began.elapsed() < ACCOUNT => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => return Err(error),
        }
    }
}
