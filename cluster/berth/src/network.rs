// SPDX-License-Identifier: Apache-2.0
//! The addresses of a cluster: of its pods, of its Services, of its DNS. Nodes that join read them out of a ConfigMap.

use anyhow::{Context, anyhow};
use berth_cluster_agent_network::Range;
use berth_cluster_api::kinds::service::allocate::{Network as Services, Ranges};
use berth_cluster_client::{Api, CallError, Media};
use berth_cluster_controllers::load_balancer::pool;
use berth_cluster_controllers::load_balancer::ranges;
use bytes::Bytes;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// The cluster's domain.
pub(crate) const DOMAIN: &str = "cluster.local";
/// Addresses that are no home's, office's or Docker's.
const SERVICES: &str = "10.96.0.0/16";
const PODS: &str = "10.244.0.0/16";
/// Which of the addresses of Services is the DNS's, as everybody has it.
const DNS: u64 = 10;
/// How many bits the addresses of one node's pods share.
pub(crate) const NODE_BITS: u8 = 24;

const MAPS: &str = "/api/v1/namespaces/kube-system/configmaps";
/// A role lets nodes read it (`berth-cluster-auth`).
const MAP: &str = "berth-cluster-network";

/// The addresses of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    /// Of all pods.
    pub(crate) pods: Range,
    /// Of Services.
    pub(crate) services: Range,
    /// Of the DNS.
    pub(crate) dns: Ipv4Addr,
}

impl Default for Network {
    fn default() -> Self {
        let (pods, services) = (PODS.parse(), SERVICES.parse());
        let (Ok(pods), Ok(services)) = (pods, services) else {
            unreachable!("constants are networks")
        };
        Self::new(pods, services).unwrap_or_else(|_| unreachable!("constants do not overlap"))
    }
}

impl Network {
    /// Of these networks, which have to lie apart and be large enough.
    pub(crate) fn new(pods: Range, services: Range) -> anyhow::Result<Self> {
        if pods.overlaps(services) {
            return Err(anyhow!("{pods} and {services} overlap: pods and Services need their own"));
        }
        if pods.prefix() > NODE_BITS {
            return Err(anyhow!("{pods} is too small: each node gets a /{NODE_BITS} of it"));
        }
        let dns = u64::from(services.first().to_bits()) + DNS;
        let dns = u32::try_from(dns).ok().map(Ipv4Addr::from_bits);
        let dns = dns.filter(|dns| services.contains(*dns) && *dns != services.last());
        let dns =
            dns.with_context(|| format!("{services} is too small for Services: /27 at least"))?;
        Ok(Self { pods, services, dns })
    }

    /// The same as what the API gives out.
    pub(crate) fn ranges(&self) -> anyhow::Result<Ranges> {
        let text = self.services.to_string();
        let cluster_ips: Services =
            text.parse().map_err(|error| anyhow!("{text} is no network of Services: {error}"))?;
        Ok(Ranges { cluster_ips, ..Ranges::default() })
    }

    /// All addresses of Services, as pools of load balancers see them.
    pub(crate) fn service_pool(&self) -> pool::Range {
        ranges::whole(self.services.first(), self.services.prefix())
    }

    /// Writes it where nodes look.
    pub(crate) async fn publish(&self, api: &Api) -> Result<(), CallError> {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": MAP, "namespace": "kube-system" },
            "data": {
                "podNetwork": self.pods.to_string(), "serviceNetwork": self.services.to_string(),
            },
        });
        put(api, MAPS, MAP, &map).await
    }

    /// What a cluster says of itself; the usual where it says nothing.
    pub(crate) async fn read(api: &Api) -> anyhow::Result<Self> {
        let read = match api.get(&format!("{MAPS}/{MAP}")).await {
            Err(error) if error.code() == Some(404) => return Ok(Self::default()),
            read => read?,
        };
        let map: Value = serde_json::from_slice(&read)?;
        let range = |field: &str| -> anyhow::Result<Range> {
            let text = map["data"][field].as_str().unwrap_or_default();
            text.parse().with_context(|| format!("{field} of the ConfigMap {MAP}"))
        };
        Self::new(range("podNetwork")?, range("serviceNetwork")?)
    }
}

/// Makes an object what it should be. One that is there is not created again: that its IP is taken would be said before its name.
pub(crate) async fn put(api: &Api, all: &str, name: &str, object: &Value) -> Result<(), CallError> {
    let (one, body) = (format!("{all}/{name}"), Bytes::from(object.to_string()));
    match api.patch(&one, Media::Merge, body.clone()).await {
        Err(error) if error.code() == Some(404) => api.post(all, body).await.map(drop),
        done => done.map(drop),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]
    use super::*;

    #[test]
    fn networks_lie_apart_and_are_large_enough() {
        let of = |pods: &str, services: &str| {
            Network::new(pods.parse().unwrap(), services.parse().unwrap())
        };
        let usual = Network::default();
        assert_eq!(usual.dns, Ipv4Addr::new(10, 96, 0, 10));
        assert_eq!(of(PODS, SERVICES).unwrap(), usual);
        assert_eq!(usual.ranges().unwrap().cluster_ips.to_string(), SERVICES);
        assert_eq!(of("10.1.0.0/24", "10.2.0.0/27").unwrap().dns, Ipv4Addr::new(10, 2, 0, 10));
        for (pods, services, why) in [
            ("10.96.0.0/24", SERVICES, "overlap"),
            ("10.1.0.0/25", SERVICES, "too small"),
            (PODS, "10.2.0.0/29", "too small"),
        ] {
            assert!(of(pods, services).unwrap_err().to_string().contains(why), "{pods} {services}");
        }
    }
}
