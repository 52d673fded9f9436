// SPDX-License-Identifier: Apache-2.0
//! What sources of truth say: the vocabulary between them and the control plane. Plain data.
//!
//! A source says what it wants in [`Update`]s: everything of it anew, or a few services, or one endpoint. [`Wish`] is a service as
//! it is wanted; [`Origin`] knows how the source calls its fields, so that a problem found later still names the field that its
//! author wrote.

use berth_balancer_core::model::{Cidr, Endpoint, Name, Node, Service, Settings};
use std::fmt;
use std::sync::Arc;

/// Who wants something. A service belongs to one source; another one cannot touch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The configuration file.
    File,
    /// Clients of the control channel.
    Grpc,
    /// The Services and EndpointSlices of a Kubernetes cluster.
    Kubernetes,
    /// Nobody yet: the data plane served it when the control plane began. Any source takes it over by naming it; what the source
    /// that inherits does not name goes when that says everything it wants.
    Adopted,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "the configuration file",
            Self::Grpc => "the control channel (gRPC)",
            Self::Kubernetes => "Kubernetes",
            Self::Adopted => "nobody yet",
        })
    }
}

/// A service as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The service. Its load balancer addresses are those that were asked for by number.
    pub service: Service,
    /// One address of the pools, besides those asked for by number.
    pub from_pool: bool,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// Settings that services share which say the same: those that came last.
#[derive(Debug, Default)]
pub(crate) struct LastSettings(Arc<Settings>);

impl LastSettings {
    pub(crate) fn share(&mut self, settings: Settings) -> Arc<Settings> {
        if *self.0 != settings {
            self.0 = Arc::new(settings);
        }
        Arc::clone(&self.0)
    }
}

/// A wish, and where it stands.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The wish.
    pub wish: Wish,
    /// Where it stands.
    pub origin: Origin,
}

/// How a source calls the fields of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Where the service stands: `services[3]`.
    pub path: String,
    /// Its one address stands in `address`, not in a list.
    pub one_address: bool,
    /// Its one port stands in the service itself, not in a list.
    pub one_port: bool,
}

impl Origin {
    /// A service at a place, with all lists as lists.
    pub fn at(path: impl Into<String>) -> Self {
        Self { path: path.into(), one_address: false, one_port: false }
    }
}

/// What holds for all services of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Common {
    /// The node.
    pub node: Node,
    /// Ranges of which load balancer addresses are given, in order.
    pub pools: Vec<Cidr>,
    /// Services may take external addresses. Off: who may write a service could take any address that is routed here
    /// (CVE-2020-8554).
    pub external_ips: bool,
}

/// One endpoint of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointUpdate {
    /// It is new, or different.
    Set {
        /// Name of the service.
        service: Name,
        /// The endpoint.
        endpoint: Box<Endpoint>,
    },
    /// It is gone.
    Remove {
        /// Name of the service.
        service: Name,
        /// Name of the endpoint.
        endpoint: Name,
    },
}

impl EndpointUpdate {
    /// Name of the service.
    #[must_use]
    pub fn service(&self) -> &Name {
        match self {
            Self::Set { service, .. } | Self::Remove { service, .. } => service,
        }
    }
}

/// What a source says. It is taken as a whole or not at all.
#[derive(Debug, Clone)]
pub struct Update {
    /// Who says it.
    pub owner: Owner,
    /// What holds for all services, if the source says so.
    pub common: Option<Common>,
    /// The services that are named are all there are of this source.
    pub replace: bool,
    /// Services that are new or different, each with all of its endpoints.
    pub services: Vec<Draft>,
    /// Services that are gone.
    pub remove: Vec<Name>,
    /// Single endpoints.
    pub endpoints: Vec<EndpointUpdate>,
}

impl Update {
    /// Nothing yet.
    #[must_use]
    pub fn new(owner: Owner) -> Self {
        Self {
            owner,
            common: None,
            replace: false,
            services: Vec::new(),
            remove: Vec::new(),
            endpoints: Vec::new(),
        }
    }
}
