// SPDX-License-Identifier: Apache-2.0
//! `berth status`: one screen of what runs in a cluster, what is wrong first. What is read here is judged and shown by [`report`].

mod report;

pub(crate) use report::EXPIRES;

use crate::apiserver::now;
use crate::balancer;
use crate::cli::StatusOfArgs;
use crate::record;
use crate::token::{self, kubeconfig};
use berth_balancer_data::control::Client;
use berth_cluster_client::{Api, CallError};
use report::{Read, Report};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::timeout;

/// How long an answer is waited for: whoever asks for the status wants to know now.
const PATIENCE: Duration = Duration::from_secs(5);
const NOTHING: u8 = 2;

/// What there is to read, and under which name.
const LISTS: [(&str, &str); 6] = [
    ("nodes", "/api/v1/nodes"),
    ("pods", "/api/v1/pods"),
    ("services", "/api/v1/services"),
    ("slices", "/apis/discovery.k8s.io/v1/endpointslices"),
    ("leases", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"),
    ("heartbeats", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"),
];

/// Prints it.
pub(crate) async fn run(args: StatusOfArgs) -> anyhow::Result<ExitCode> {
    let running = record::find();
    if args.cluster.kubeconfig.is_none() && running.is_empty() && token::of_kubectl().is_none() {
        if args.json {
            println!("{}", json!({ "cluster": null, "problems": ["nothing runs"] }));
        } else {
            println!("Nothing of Berth runs on this machine as this user.");
            println!();
            println!("  berth up        starts a whole cluster of this machine");
            println!("  berth server    the control plane of one of several machines");
            println!("  berth status --kubeconfig FILE    shows a cluster that runs elsewhere");
        }
        return Ok(ExitCode::from(NOTHING));
    }
    let path = kubeconfig(&args.cluster)?;
    let api = Api::connect(&path).await?;
    let mut read = Read { now: now(), paths: paths(), ..Read::default() };
    read.url = berth_cluster_client::place(&path).await.map(|place| place.url).unwrap_or_default();
    for one in running.iter().filter(|one| one.kubeconfig == path) {
        read.process = Some(format!("berth {}, process {}", one.kind, one.pid));
        read.since = Some(one.since);
    }
    match asked(&api, "/version").await {
        Ok(version) => {
            version["gitVersion"].as_str().unwrap_or_default().clone_into(&mut read.version);
        }
        Err(why) => read.unreachable = Some(why),
    }
    if read.unreachable.is_none() {
        read.unready = asked_text(&api, "/readyz").await.err();
        for (name, path) in LISTS {
            match asked(&api, path).await {
                Ok(list) => drop(read.lists.insert(name, list["items"].clone())),
                Err(why) => drop(read.unread.insert(name, why)),
            }
        }
    }
    let report = Report::of(&read);
    if args.json {
        println!("{:#}", report.json());
    } else {
        print!("{}", report.page());
    }
    Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn asked(api: &Api, path: &str) -> Result<Value, String> {
    let text = asked_text(api, path).await?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// What is answered, or why not.
async fn asked_text(api: &Api, path: &str) -> Result<String, String> {
    match timeout(PATIENCE, api.get(path)).await {
        Ok(Ok(read)) => Ok(String::from_utf8_lossy(&read).into_owned()),
        Ok(Err(CallError::Refused { message, code, .. })) => Err(format!("{message} ({code})")),
        Ok(Err(error)) => {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            Err(cause.to_string())
        }
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// The path of each service that a data plane of this machine serves.
fn paths() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for socket in sockets() {
        let Ok(mut client) = Client::connect(&socket) else { continue };
        let Ok((_, config)) = client.config() else { continue };
        for service in &config.services {
            all.insert(service.name.to_string(), balancer::status::path(&service.settings));
        }
    }
    all
}

/// Where data planes of this machine listen that `up` and agents started.
fn sockets() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = record::find().into_iter().filter_map(|one| one.control).collect();
    let folder = balancer::control_path(None).with_file_name("");
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("services-") && path.extension().is_some_and(|end| end == "sock") {
            all.push(path);
        }
    }
    all
}
