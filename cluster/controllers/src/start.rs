// SPDX-License-Identifier: Apache-2.0
//! The way in: which controllers run, and as whom.

use crate::context::Context;
use crate::events::Recorder;
use crate::informers::Informers;
use crate::{deployment, replica_set};
use berth_cluster_client::{Api, Clock};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Who follows the kinds that all controllers share: the user `system:kube-controller-manager`, not a ServiceAccount.
pub const SHARED: &str = "kube-controller-manager";

/// The controllers that there are, by upstream's names, and the ServiceAccount in `kube-system` that each acts as.
pub const CONTROLLERS: [(&str, &str); 2] = [
    ("replicaset-controller", "replicaset-controller"),
    ("deployment-controller", "deployment-controller"),
];

/// What controllers are told beside what is in the API.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {}

/// What is needed to start.
pub struct Config {
    /// Which of [`CONTROLLERS`] run.
    pub names: Vec<String>,
    /// The API as a user: [`SHARED`], or a ServiceAccount of [`CONTROLLERS`].
    pub api: Box<dyn Fn(&str) -> Api + Send + Sync>,
    /// Takes down the events of a component.
    pub recorder: Box<dyn Fn(&str) -> Recorder + Send + Sync>,
    /// What time it is.
    pub clock: Clock,
    /// Decides how long informers wait after failures.
    pub seed: u64,
    /// What else there is to say.
    pub settings: Settings,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("Config");
        fields.field("names", &self.names).field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Controllers that run. Dropping stops them at once.
#[derive(Debug)]
pub struct Controllers {
    tasks: Vec<JoinHandle<()>>,
}

impl Controllers {
    /// Starts them.
    pub fn start(config: Config) -> Self {
        let Config { names, api, recorder, clock, seed, settings } = config;
        let informers = Arc::new(Informers::new(api(SHARED), seed));
        let settings = Arc::new(settings);
        let on = |name: &str| names.iter().any(|one| one == name);
        let mut tasks = Vec::new();
        for (name, account) in CONTROLLERS.into_iter().filter(|(name, _)| on(name)) {
            let context = Context {
                api: api(account),
                informers: Arc::clone(&informers),
                recorder: recorder(account),
                clock,
                settings: Arc::clone(&settings),
            };
            tasks.extend(spawn(name, context));
        }
        Self { tasks }
    }
}

/// Starts a controller.
fn spawn(name: &str, context: Context) -> Option<JoinHandle<()>> {
    Some(match name {
        "replicaset-controller" => tokio::spawn(replica_set::run(context)),
        "deployment-controller" => tokio::spawn(deployment::run(context)),
        _ => return None,
    })
}

impl Drop for Controllers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
