// SPDX-License-Identifier: Apache-2.0
//! The server under test, with a namespace for the load and a user who may do there what rows need, and nothing else.

use super::kubeconfig::Kubeconfig;
use super::process::{Home, Process, USER, authority};
use super::wire::{Ask, Door, Protocol, Wire};
use crate::cli::api::ServerArgs;
use crate::error::Error;
use crate::schedule::run::run_number;
use bytes::Bytes;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Kinds that rows make.
const KINDS: [&str; 3] = ["configmaps", "secrets", "pods"];
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// A server that is ready for the load.
#[derive(Debug)]
pub struct Subject {
    /// How to enter, as the load's user.
    pub door: Door,
    /// The namespace of the load.
    pub namespace: String,
    /// Where it lives and runs; none if it is not ours.
    pub own: Option<(Home, Process)>,
}

/// The program to start: this one, or `berth` beside us.
pub fn program(named: Option<&Path>) -> Result<PathBuf, Error> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => std::env::current_exe().map_err(Error::Spawn)?.with_file_name("berth"),
    };
    if path.is_file() { Ok(path) } else { Err(Error::NoApiserver { path }) }
}

impl Subject {
    /// Starts one on an empty store, or enters the one that runs.
    pub async fn begin(args: &ServerArgs) -> Result<Self, Error> {
        let namespace = format!("berth-load-{:08x}", run_number());
        if let (Some(url), Some(path)) = (&args.connect, &args.kubeconfig) {
            let config = Kubeconfig::read(path)?;
            let door = Door::new(authority(url), &config.ca, &config.identity)?;
            let mut wire = door.open(Protocol::One).await?;
            make_namespace(&mut wire, &namespace).await?;
            return Ok(Self { door, namespace, own: None });
        }
        let home = Home::new(&program(args.server.as_deref())?, args.data.as_deref())?;
        let process = home.start().await?;
        let admin = home.admin()?;
        let entrance = Door::new(authority(&admin.url), &admin.ca, &admin.identity)?;
        let mut wire = entrance.open(Protocol::One).await?;
        make_namespace(&mut wire, &namespace).await?;
        grant(&mut wire, &namespace).await?;
        let door = Door::new(authority(&admin.url), &admin.ca, &home.identity())?;
        Ok(Self { door, namespace, own: Some((home, process)) })
    }

    /// Stops it, or kills it, and starts it again on what it left.
    pub async fn again(self, killed: bool) -> Result<Self, Error> {
        let Some((home, process)) = self.own else {
            return Err(Error::Api("a server that is not ours is not stopped".to_owned()));
        };
        if killed {
            process.kill();
        } else {
            process.stop().await?;
        }
        let process = home.start().await?;
        let admin = home.admin()?;
        let door = Door::new(authority(&admin.url), &admin.ca, &home.identity())?;
        Ok(Self { door, namespace: self.namespace, own: Some((home, process)) })
    }

    /// How long the last start took.
    pub fn ready_us(&self) -> f64 {
        let own = self.own.as_ref();
        own.map_or(f64::NAN, |(_, process)| process.ready.as_secs_f64() * 1e6)
    }

    /// Stops it, or removes what was made.
    pub async fn end(self) -> Result<(), Error> {
        if let Some((_home, process)) = self.own {
            return process.stop().await;
        }
        let mut wire = self.door.open(Protocol::One).await?;
        for kind in KINDS {
            let path = format!("/api/v1/namespaces/{}/{kind}", self.namespace);
            wire.send(&Ask::delete(path)).await?;
        }
        wire.send(&Ask::delete(format!("/api/v1/namespaces/{}", self.namespace))).await.map(drop)
    }

    /// The path of a kind in the load's namespace.
    pub fn path(&self, kind: &str) -> String {
        format!("/api/v1/namespaces/{}/{kind}", self.namespace)
    }

    /// Seconds of CPU that the server took so far; no number if it is not ours.
    pub fn cpu_seconds(&self) -> f64 {
        self.own.as_ref().map_or(f64::NAN, |(_, process)| process.cpu_seconds())
    }

    /// What the server keeps in memory; no number if it is not ours.
    pub fn resident_mib(&self) -> f64 {
        self.own.as_ref().map_or(f64::NAN, |(_, process)| process.resident_mib())
    }

    /// Where the store lies, to try the same disk; where temporary files are if the server is not ours.
    pub fn disk(&self) -> PathBuf {
        let own = self.own.as_ref().map(|(home, _)| home.path());
        own.map_or_else(std::env::temp_dir, Path::to_owned)
    }
}

async fn make_namespace(wire: &mut Wire, name: &str) -> Result<(), Error> {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    make(wire, "/api/v1/namespaces".to_owned(), &object).await
}

/// Gives the load's user what rows need: all of three kinds in its namespace, and to watch pods, as an agent does.
async fn grant(wire: &mut Wire, namespace: &str) -> Result<(), Error> {
    let writer = json!([{"apiGroups": [""], "resources": KINDS,
        "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]}]);
    let agent = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]);
    let own = format!("{RBAC}/namespaces/{namespace}");
    for (path, kind, name, rules) in [
        (own.clone(), "Role", "berth-loadgen", writer),
        (RBAC.to_owned(), "ClusterRole", "berth-loadgen-agent", agent),
    ] {
        let plural = format!("{}s", kind.to_lowercase());
        let metadata = json!({"name": name});
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": metadata, "rules": rules});
        make(wire, format!("{path}/{plural}"), &role).await?;
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": format!("{kind}Binding"), "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}]});
        let plural = plural.trim_end_matches('s');
        make(wire, format!("{path}/{plural}bindings"), &binding).await?;
    }
    Ok(())
}

async fn make(wire: &mut Wire, path: String, object: &Value) -> Result<(), Error> {
    let ask = Ask::create(path, Bytes::from(object.to_string()));
    wire.send(&ask).await.map(drop)
}
