// SPDX-License-Identifier: Apache-2.0
//! What makes a cluster of an API in the same process: the scheduler, the controllers, and nodes that are simulated.

use crate::apiserver;
use crate::controllers::{self, Chosen, Leader};
use berth_cluster_apiserver::Caller;
use berth_cluster_auth::pki::Pki;
use berth_cluster_auth::user::{MASTERS, User};
use berth_cluster_client::{Api, election};
use berth_cluster_controllers::certificates::{Authority, Order, Signer};
use berth_cluster_controllers::{SHARED, Settings};
use berth_cluster_hollow::{Hollow, Identity, Options};
use berth_scheduler_kubernetes::Replica;
use std::sync::Arc;

/// What is to run.
pub(crate) struct Wanted<'a> {
    /// Controllers, in the words of the flag.
    pub(crate) controllers: &'a [String],
    pub(crate) settings: Settings,
    /// So many nodes that are simulated.
    pub(crate) simulate: u32,
    /// Who this process is to others that contend for a Lease.
    pub(crate) own: &'a str,
}

/// What runs.
pub(crate) struct Components {
    scheduler: Replica,
    controllers: Leader,
    nodes: Option<Hollow>,
}

impl Components {
    /// Starts it.
    pub(crate) fn start(api: &apiserver::Running, wanted: Wanted<'_>) -> anyhow::Result<Self> {
        let Wanted { own, simulate, .. } = wanted;
        let server = api.server.clone();
        let door = move |user: User| Api::within(server.clone(), Caller(user));
        let component = door.clone();
        let doors = move |account: &str| {
            component(match account {
                SHARED => User::authenticated("system:kube-controller-manager", "", Vec::new()),
                account => User::service_account("kube-system", account, ""),
            })
        };
        // A store of one process has one of each: the Lease of an earlier run is its own.
        let lease = election::Options::new("kube-system", "kube-controller-manager", own);
        let authority: Arc<dyn Authority> = Arc::new(Own(Arc::clone(&api.pki)));
        let settings = Settings { authority: Some(Signer(authority)), ..wanted.settings };
        let chosen = Chosen { names: controllers::chosen(wanted.controllers), settings };
        let scheduler = User::authenticated("system:kube-scheduler", "", Vec::new());
        Ok(Self {
            scheduler: crate::scheduler::within(door(scheduler), own)?,
            controllers: Leader::start(chosen, Arc::new(doors), lease),
            nodes: (simulate > 0).then(|| simulated(door, simulate)),
        })
    }

    /// Ends it in good order.
    pub(crate) async fn stop(self) {
        if let Some(nodes) = self.nodes {
            nodes.stop().await;
        }
        self.scheduler.stop().await;
        self.controllers.stop().await;
    }
}

/// Nodes that are simulated; each writes as itself.
fn simulated(door: impl Fn(User) -> Api + Send + Sync + 'static, nodes: u32) -> Hollow {
    let masters = vec![MASTERS.to_owned()];
    let own = door(User::authenticated("system:simulated-nodes", "", masters));
    let node = move |name: &str| {
        let groups = vec!["system:nodes".to_owned(), MASTERS.to_owned()];
        door(User::authenticated(&format!("system:node:{name}"), "", groups))
    };
    let identity = Some(Identity(Arc::new(node)));
    Hollow::start(own, Options { nodes, identity, ..Options::default() })
}

/// The cluster's own CA signs certificates.
struct Own(Arc<Pki>);

impl Authority for Own {
    fn sign(&self, order: &Order<'_>) -> Result<String, String> {
        let signed = self.0.sign_request(order.request, order.usages, order.seconds, order.now);
        signed.map_err(|error| error.to_string())
    }
}
