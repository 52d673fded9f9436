// SPDX-License-Identifier: Apache-2.0
//! Who asks: a name, groups, and what else the credential says.

use std::collections::BTreeMap;

/// The group that may do everything; no rule can take it away.
pub const MASTERS: &str = "system:masters";
/// The group of everybody who showed a credential.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of those who showed none.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The name of those who showed no credential.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of all ServiceAccounts; with `:NAMESPACE` behind it, of those of one namespace.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
/// What the name of a ServiceAccount's user begins with.
pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// The group of those who have a bootstrap token.
pub const BOOTSTRAPPERS: &str = "system:bootstrappers";
/// What the name of the holder of a bootstrap token begins with.
pub const BOOTSTRAP_PREFIX: &str = "system:bootstrap:";
/// The group of node agents.
pub const NODES: &str = "system:nodes";
/// What the name of a node agent's user begins with.
pub const NODE_PREFIX: &str = "system:node:";

/// The group of what runs on nodes beside their agents: the service proxy, the DNS.
pub const NODE_SERVICES: &str = "berth:node-services";
/// What the name of such a user begins with; the node's follows.
pub const NODE_SERVICES_PREFIX: &str = "berth:node-services:";

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The name; never empty for one who may do anything.
    pub name: String,
    /// The uid; empty if the credential has none.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// What else the credential says, e.g. `authentication.kubernetes.io/pod-name`.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// One who showed a credential: `system:authenticated` is added to the groups.
    pub fn authenticated(name: &str, uid: &str, groups: Vec<String>) -> Self {
        let mut user = Self { name: name.into(), uid: uid.into(), groups, extra: BTreeMap::new() };
        if !user.is_in(AUTHENTICATED) {
            user.groups.push(AUTHENTICATED.into());
        }
        user
    }

    /// One who showed no credential.
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED.into()], ..Self::default() }
    }

    /// A ServiceAccount.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let groups = vec![SERVICE_ACCOUNTS.into(), format!("{SERVICE_ACCOUNTS}:{namespace}")];
        Self::authenticated(&format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"), uid, groups)
    }

    /// Whether the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|one| one == group)
    }

    /// Namespace and name, if this is a ServiceAccount.
    pub fn as_service_account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')
    }
}
