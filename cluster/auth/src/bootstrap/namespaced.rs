// SPDX-License-Identifier: Apache-2.0
//! Roles in `kube-system`, and who has them.

use super::{Binding, Grant, READ, Role, Subject, on, on_named};

const SYSTEM: &str = "kube-system";
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
];

const fn bind(name: &'static str, role: &'static str, subjects: &'static [Subject]) -> Binding {
    Binding { namespace: SYSTEM, name, role, subjects }
}

pub(super) const BINDINGS: &[Binding] = &[
    bind(
        "system::extension-apiserver-authentication-reader",
        READER,
        &[Subject::User("system:kube-controller-manager"), Subject::User("system:kube-scheduler")],
    ),
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
