// SPDX-License-Identifier: Apache-2.0
//! Services on a machine with one agent or several: one data plane for all of them (docs/adr/0021). The agent that has its lock tells it what
//! to serve; the others stand by, and one of them goes on when that ends.

use crate::balancer;
use crate::node::{Leave, proxy_address};
use anyhow::Context;
use berth_balancer_data::control::make_folder;
use berth_balancer_kubernetes::{Kubernetes, Rotation, Settings};
use berth_balancer_service::Server;
use berth_balancer_service::plane::process::ClaimError;
use berth_cluster_client::Api;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How often one that stands by looks whether it is its turn.
const LOOK: Duration = Duration::from_millis(250);
/// What is waited before a balancer is started again that did not start.
const AGAIN: Duration = Duration::from_secs(1);
const SEED: u64 = 0x5e41;

/// What Services' data plane is told by, and by whom.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) node: String,
    pub(super) address: Ipv4Addr,
    /// As who reads Services, and as the node's agent.
    pub(super) services: Api,
    pub(super) agent: Api,
    /// Whether nothing is to be forwarded by the kernel alone.
    pub(super) no_fast: bool,
}

impl Told {
    /// Whom an agent asks that stands by: those that serve.
    pub(super) fn others(&self) -> Arc<Leave> {
        Arc::new(Leave::new(Rotation::of_others(self.services.clone(), &self.node, SEED)))
    }
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    /// The data plane goes on.
    Leave,
    /// It ends too, if no other agent of this machine needs it.
    Remove,
}

/// One that leads, or stands by.
#[derive(Debug)]
pub(super) struct Services {
    task: JoinHandle<()>,
    end: watch::Sender<End>,
}

impl Services {
    /// Begins. `cluster`: by what the cluster is told from others; `rotation`: whom the agent asks when a pod gets nothing more.
    pub(super) fn start(told: Told, cluster: &str, rotation: Arc<Leave>) -> anyhow::Result<Self> {
        let control = place(cluster);
        let users = users(&control)?;
        let (end, ending) = watch::channel(End::NotYet);
        let task = tokio::spawn(run(told, control, users, rotation, ending));
        Ok(Self { task, end })
    }

    /// Ends it; the data plane only with `remove`, and if nobody else needs it.
    pub(super) async fn stop(self, remove: bool) {
        self.end.send_replace(if remove { End::Remove } else { End::Leave });
        if let Err(error) = self.task.await {
            tracing::error!(%error, "Services did not end well");
        }
    }
}

/// The socket of the data plane of this cluster in this network.
fn place(cluster: &str) -> PathBuf {
    // Machines that are network namespaces share their files.
    let network = fs::metadata("/proc/self/ns/net").map_or(0, |data| data.ino());
    let cluster = cluster.get(..8).unwrap_or(cluster);
    balancer::control_path(None).with_file_name(format!("services-{cluster}-{network:x}.sock"))
}

/// A file that each agent of this machine holds, together with the others.
fn users(control: &Path) -> anyhow::Result<File> {
    let path = control.with_extension("agents");
    let failed = || format!("cannot use {}", path.display());
    make_folder(&path).with_context(failed)?;
    let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let file = file.with_context(failed)?;
    file.lock_shared().with_context(failed)?;
    Ok(file)
}

async fn run(
    told: Told,
    control: PathBuf,
    users: File,
    rotation: Arc<Leave>,
    mut ending: watch::Receiver<End>,
) {
    let mut said = false;
    let ended = loop {
        let pause = match lead(&told, &control, &rotation).await {
            Ok(server) => {
                println!("services   are served by this agent's data plane, {}", control.display());
                let ended = ending.wait_for(|end| *end != End::NotYet).await.map(|end| *end);
                let ended = ended.unwrap_or(End::Leave);
                // Alone if no other agent holds it.
                let all = ended == End::Remove && users.try_lock().is_ok();
                server.stop(all).await;
                return;
            }
            Err(error) if error.downcast_ref::<ClaimError>().is_some_and(is_taken) => {
                if !std::mem::replace(&mut said, true) {
                    println!(
                        "services   are served by another agent of this machine; this one stands by"
                    );
                }
                LOOK
            }
            Err(error) => {
                tracing::warn!("Services are not served: {error:#}");
                AGAIN
            }
        };
        if let Ok(ended) = timeout(pause, ending.wait_for(|end| *end != End::NotYet)).await {
            break ended.map_or(End::Leave, |end| *end);
        }
    };
    // The last one takes what those before have left, though its turn had not come yet.
    if ended == End::Remove && users.try_lock().is_ok() {
        match lead(&told, &control, &rotation).await {
            Ok(server) => server.stop(true).await,
            Err(error) => tracing::warn!("Services' data plane is left: {error:#}"),
        }
    }
}

fn is_taken(error: &ClaimError) -> bool {
    matches!(error, ClaimError::Taken { .. })
}

/// Takes the data plane, or starts it, and tells it of Services from now on; an error if another agent does.
async fn lead(told: &Told, control: &Path, rotation: &Leave) -> anyhow::Result<Server> {
    let more: Vec<OsString> = if told.no_fast { vec!["--no-fast".into()] } else { Vec::new() };
    let builder = balancer::builder(control.to_owned(), 0, &more)?;
    let settings = Settings {
        health: proxy_address(told.address),
        seed: u64::from(std::process::id()),
        ..Settings::new(&told.node)
    };
    let source = Kubernetes::new(told.services.clone(), settings).announced_by(told.agent.clone());
    let own = source.rotation();
    let server = balancer::start(builder.source(Box::new(source)), "--node-ip").await?;
    rotation.change(own);
    Ok(server)
}
