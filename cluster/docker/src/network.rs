// SPDX-License-Identifier: Apache-2.0
//! A node's network for pods: a bridge on the engine, of known addresses, whose traffic Docker does not masquerade.

use crate::engine::Engine;
use crate::error::CallError;
use crate::labels;
use crate::limits;
use crate::spec::NetworkSpec;
use crate::wire::Ask;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const BRIDGE: &str = "com.docker.network.bridge.name";
const MTU: &str = "com.docker.network.driver.mtu";
/// The kernel's `IFNAMSIZ`, less the zero.
const BRIDGE_NAME_MAX: usize = 15;

/// Why there is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Its addresses, or its bridge's name, are another network's. Choose others, or remove that one.
    #[error(
        "the addresses {subnet} or the bridge {bridge} belong to another network of the engine or the host: {message}"
    )]
    AddressConflict {
        /// The addresses that were asked for.
        subnet: String,
        /// The bridge that was asked for.
        bridge: String,
        /// The engine's words.
        message: String,
    },
    /// There is one of that name that is not this agent's; it is left alone.
    #[error("the name {name} is taken by a network that is not of this agent; remove it")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// This agent's network is there, but is another than was asked for.
    #[error(
        "the network {name} is there with {field} {found}, not {wanted}; remove it, once no container is in it"
    )]
    Differs {
        /// The name.
        name: String,
        /// What differs.
        field: &'static str,
        /// What it has.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// Containers are in it.
    #[error("the network {name} is in use: {message}")]
    InUse {
        /// The name.
        name: String,
        /// The engine's words.
        message: String,
    },
    /// The call failed.
    #[error(transparent)]
    Call(CallError),
}

impl Engine {
    /// What this agent's network is called on the engine.
    #[must_use]
    pub fn network_name(&self) -> String {
        format!("berth_{}", self.agent.name())
    }

    /// Makes this agent's network, or finds it as it should be. Gives its id.
    pub async fn ensure_network(&self, spec: &NetworkSpec) -> Result<String, NetworkError> {
        const CALL: &str = "create network";
        let name = self.network_name();
        if let Some(found) = self.network().await? {
            return compare(&name, &found, spec);
        }
        if spec.bridge.is_empty() || spec.bridge.len() > BRIDGE_NAME_MAX || spec.prefix > 30 {
            let message = format!(
                "a bridge's name has 1 to {BRIDGE_NAME_MAX} signs, and a network at least 4 addresses: {}, /{}",
                spec.bridge, spec.prefix
            );
            return Err(NetworkError::Call(CallError::Refused {
                call: CALL,
                status: 400,
                message,
            }));
        }
        let body = body(&name, self.agent.name(), spec).to_string();
        let path = "/networks/create".to_owned();
        let ask =
            Ask { call: CALL, method: "POST", path, body: Bytes::from(body), ..Ask::default() };
        match self.wire.json::<Value>(ask, limits::CREATE).await {
            Ok(_) => {}
            // Another call, whose answer was lost, has made it.
            Err(CallError::Conflict { message, .. } | CallError::Refused { message, .. })
                if message.contains("already exists") && message.contains(&name) => {}
            Err(CallError::Refused { message, .. }) if is_taken(&message) => {
                let subnet = subnet(spec);
                let bridge = spec.bridge.clone();
                return Err(NetworkError::AddressConflict { subnet, bridge, message });
            }
            Err(error) => return Err(NetworkError::Call(error)),
        }
        let message = format!("network {name} was removed at once");
        let gone = NetworkError::Call(CallError::NotFound { call: CALL, message });
        compare(&name, &self.network().await?.ok_or(gone)?, spec)
    }

    /// Removes this agent's network. One that is gone is no error.
    pub async fn remove_network(&self) -> Result<(), NetworkError> {
        const CALL: &str = "remove network";
        let name = self.network_name();
        let Some(found) = self.network().await? else { return Ok(()) };
        let id = found["Id"].as_str().unwrap_or_default();
        let removed = self.docker.remove_network(id);
        match crate::engine::limited(CALL, limits::REMOVE, removed).await {
            Err(error) if error.is_not_found() => Ok(()),
            Err(CallError::Refused { message, .. }) if message.contains("active endpoints") => {
                Err(NetworkError::InUse { name, message })
            }
            done => done.map_err(NetworkError::Call),
        }
    }

    /// This agent's network, if it is there. One of the same name that is another's is an error.
    async fn network(&self) -> Result<Option<Value>, NetworkError> {
        let name = self.network_name();
        let found = self.get("inspect network", format!("/networks/{name}"), limits::ASK).await;
        let found = match found {
            Err(error) if error.is_not_found() => return Ok(None),
            found => found.map_err(NetworkError::Call)?,
        };
        let ours = found["Labels"][labels::AGENT].as_str() == Some(self.agent.name())
            && found["Labels"][labels::KIND].as_str() == Some("network")
            && found["Name"].as_str() == Some(&name);
        if ours { Ok(Some(found)) } else { Err(NetworkError::NameTaken { name }) }
    }
}

fn is_taken(message: &str) -> bool {
    ["overlap", "already exists", "conflicts with", "address already in use"]
        .iter()
        .any(|word| message.to_lowercase().contains(word))
}

fn subnet(spec: &NetworkSpec) -> String {
    format!("{}/{}", spec.subnet, spec.prefix)
}

fn options(spec: &NetworkSpec) -> BTreeMap<&'static str, String> {
    let mut options =
        BTreeMap::from([(MASQUERADE, "false".to_owned()), (BRIDGE, spec.bridge.clone())]);
    options.extend(spec.mtu.map(|mtu| (MTU, mtu.to_string())));
    options
}

fn body(name: &str, agent: &str, spec: &NetworkSpec) -> Value {
    json!({
        "Name": name,
        // Older engines let two networks have one name.
        "CheckDuplicate": true,
        "Driver": "bridge",
        "IPAM": {"Driver": "default", "Config": [{"Subnet": subnet(spec), "Gateway": spec.gateway}]},
        "Options": options(spec),
        "Labels": {labels::AGENT: agent, labels::KIND: "network"},
    })
}

/// Holds what is there against what should be.
fn compare(name: &str, found: &Value, spec: &NetworkSpec) -> Result<String, NetworkError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let range = &found["IPAM"]["Config"][0];
    let mut fields = vec![
        ("driver", text(&found["Driver"]), "bridge".to_owned()),
        ("subnet", text(&range["Subnet"]), subnet(spec)),
        ("gateway", text(&range["Gateway"]), spec.gateway.to_string()),
    ];
    for (key, value) in options(spec) {
        fields.push((key, text(&found["Options"][key]), value));
    }
    for (field, found, wanted) in fields {
        if found != wanted {
            return Err(NetworkError::Differs { name: name.to_owned(), field, found, wanted });
        }
    }
    Ok(text(&found["Id"]))
}
