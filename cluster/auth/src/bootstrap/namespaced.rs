// SPDX-License-Identifier: Apache-2.0
//! Roles in `kube-system` and `kube-public`, and who has them.

use crate::user::{ANONYMOUS, BOOTSTRAPPERS, NODE_SERVICES};

use super::{Binding, Grant, READ, Role, Subject, on, on_named};

const SYSTEM: &str = "kube-system";
const PUBLIC: &str = "kube-public";
/// What upstream leaves to its installer: a machine that wants to join reads where and what the cluster is.
const INFO: &str = "berth:cluster-info";
/// What a node that joined is told of the cluster's addresses.
const NETWORK: &str = "berth:cluster-network";
const READER: &str = "extension-apiserver-authentication-reader";
const MANAGER: &str = "system::leader-locking-kube-controller-manager";
const SCHEDULER: &str = "system::leader-locking-kube-scheduler";

const fn role(name: &'static str, grants: &'static [Grant]) -> Role {
    Role { namespace: SYSTEM, name, grants }
}

/// The one who holds the lease leads.
const LEAD: &[Grant] = &[on("get watch list create update", "coordination.k8s.io", "leases")];

pub(super) const ROLES: &[Role] = &[
    role(READER, &[on_named(READ, "core", "configmaps", "extension-apiserver-authentication")]),
    role(MANAGER, LEAD),
    role(SCHEDULER, LEAD),
    role(NETWORK, &[on_named("get", "core", "configmaps", "berth-cluster-network")]),
    Role {
        namespace: PUBLIC,
        name: INFO,
        grants: &[on_named("get", "core", "configmaps", "cluster-info")],
    },
];

const fn bind(name: &'static str, role: &'static str, subjects: &'static [Subject]) -> Binding {
    Binding { namespace: SYSTEM, name, role, subjects }
}

pub(super) const BINDINGS: &[Binding] = &[
    Binding {
        namespace: PUBLIC,
        name: INFO,
        role: INFO,
        subjects: &[Subject::User(ANONYMOUS), Subject::Group(BOOTSTRAPPERS)],
    },
    bind(
        "system::extension-apiserver-authentication-reader",
        READER,
        &[Subject::User("system:kube-controller-manager"), Subject::User("system:kube-scheduler")],
    ),
    bind(NETWORK, NETWORK, &[Subject::Group(NODE_SERVICES)]),
    bind(
        MANAGER,
        MANAGER,
        &[
            Subject::User("system:kube-controller-manager"),
            Subject::Account("kube-controller-manager"),
            Subject::Account("leader-election-controller"),
        ],
    ),
    bind(
        SCHEDULER,
        SCHEDULER,
        &[Subject::User("system:kube-scheduler"), Subject::Account("kube-scheduler")],
    ),
];
