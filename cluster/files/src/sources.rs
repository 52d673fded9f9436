// SPDX-License-Identifier: Apache-2.0
//! The objects that a pod refers to, as far as the caller has them.

use crate::error::ReferenceError;
use crate::needs::TokenNeed;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolume, PersistentVolumeClaim, Secret, Service,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The objects that a pod refers to ([`crate::needs`] says which), by name. What stands in none of these was not fetched yet.
#[derive(Clone, Default)]
pub struct Sources {
    /// Of the pod's namespace.
    pub config_maps: BTreeMap<String, Lookup<ConfigMap>>,
    /// Of the pod's namespace.
    pub secrets: BTreeMap<String, Lookup<Secret>>,
    /// Of the pod's namespace.
    pub claims: BTreeMap<String, Lookup<Claim>>,
    /// Of the pod's ServiceAccount. The caller renews them, and calls [`crate::Folder::refresh`].
    pub tokens: BTreeMap<TokenNeed, Lookup<Token>>,
    /// At least those of the pod's namespace, and `default/kubernetes`. Others do no harm.
    pub services: Vec<ServiceLink>,
}

impl fmt::Debug for Sources {
    /// Names only: what is in Secrets and tokens never gets into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("config_maps", &self.config_maps.keys())
            .field("secrets", &self.secrets.keys())
            .field("claims", &self.claims.keys())
            .field("tokens", &self.tokens.keys())
            .field("services", &self.services)
            .finish()
    }
}

/// What came of looking for an object.
#[derive(Debug, Clone)]
pub enum Lookup<T> {
    /// It is there.
    Found(Arc<T>),
    /// There is none of that name.
    Absent,
    /// It is not known: the API gave this error. What depends on it waits.
    Failed(String),
}

impl<T> Lookup<T> {
    /// Of an object that is there.
    pub fn found(object: T) -> Self {
        Self::Found(Arc::new(object))
    }
}

/// A claim, and the volume it is bound to.
#[derive(Debug, Clone, Default)]
pub struct Claim {
    /// The claim.
    pub claim: PersistentVolumeClaim,
    /// The volume that its `spec.volumeName` names, if it names one that is there.
    pub volume: Option<PersistentVolume>,
}

/// A token of a ServiceAccount.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(
    /// As it goes into the file.
    pub String,
);

impl fmt::Debug for Token {
    /// Never the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What containers are told of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceLink {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its first address.
    pub address: String,
    /// Its ports, in its order.
    pub ports: Vec<LinkPort>,
}

/// A port of a [`ServiceLink`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkPort {
    /// Its name, which may be empty.
    pub name: String,
    /// Its number.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

impl ServiceLink {
    /// Of a Service; `None` for one without an address or ports, of which containers are told nothing.
    pub fn of(service: &Service) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        let address = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None")?;
        let ports = spec.ports.as_deref().unwrap_or_default().iter().map(|port| LinkPort {
            name: port.name.clone().unwrap_or_default(),
            port: u16::try_from(port.port).unwrap_or(0),
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        });
        let ports: Vec<_> = ports.collect();
        let external = spec.type_.as_deref() == Some("ExternalName");
        (!external && !ports.is_empty()).then(|| Self {
            namespace: service.metadata.namespace.clone().unwrap_or_default(),
            name: service.metadata.name.clone().unwrap_or_default(),
            address: address.to_owned(),
            ports,
        })
    }
}

/// The object, or `None` if there is none. An error if that is not known.
pub(crate) fn known<'a, T>(
    found: Option<&'a Lookup<T>>,
    kind: &'static str,
    name: &str,
) -> Result<Option<&'a Arc<T>>, ReferenceError> {
    let why = match found {
        Some(Lookup::Found(object)) => return Ok(Some(object)),
        Some(Lookup::Absent) => return Ok(None),
        Some(Lookup::Failed(why)) => why,
        None => "it was not fetched yet",
    };
    Err(ReferenceError::Unknown { kind, name: name.to_owned(), why: why.to_owned() })
}
