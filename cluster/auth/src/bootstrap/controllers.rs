// SPDX-License-Identifier: Apache-2.0
//! ClusterRoles of controllers: one for each, bound to the ServiceAccount of its name in `kube-system`.

use super::{Grant, READ, Role, Subject, WRITE_EVENTS, bound, on, on_named};
use berth_cluster_api::Map;

const PREFIX: &str = "system:controller:";

/// The binding of a controller's role.
pub(super) fn binding(role: &Role) -> (&'static str, Map) {
    let account = role.name.strip_prefix(PREFIX).unwrap_or(role.name);
    bound("", role.name, role.name, &[Subject::Account(account)])
}

const fn controller(name: &'static str, grants: &'static [Grant]) -> Role {
    Role { namespace: "", name, grants }
}

pub(super) const ROLES: &[Role] = &[
    controller(
        "system:controller:certificate-controller",
        &[
            on("get list watch delete", "certificates.k8s.io", "certificatesigningrequests"),
            // the parts are patched, where upstream's are put
            on(
                "update patch",
                "certificates.k8s.io",
                "certificatesigningrequests/approval certificatesigningrequests/status",
            ),
            on_named(
                "approve",
                "certificates.k8s.io",
                "signers",
                // the first one for what runs on nodes beside their agents
                "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet \
                 kubernetes.io/kubelet-serving",
            ),
            on_named(
                "sign",
                "certificates.k8s.io",
                "signers",
                "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet \
                 kubernetes.io/kubelet-serving",
            ),
            on("create", "authorization.k8s.io", "subjectaccessreviews"),
            // whose names a serving certificate may have
            on("get", "core", "nodes"),
            WRITE_EVENTS,
        ],
    ),
    controller(
        "system:controller:clusterrole-aggregation-controller",
        // it gives what it does not hold
        &[on("escalate get list watch update patch", "rbac.authorization.k8s.io", "clusterroles")],
    ),
    controller(
        "system:controller:cronjob-controller",
        &[
            on("get list watch update", "batch", "cronjobs"),
            on("get list watch create update delete patch", "batch", "jobs"),
            on("update", "batch", "cronjobs/status"),
            on("update", "batch", "cronjobs/finalizers"),
            on("list delete watch", "core", "pods"),
            WRITE_EVENTS,
        ],
    ),
    controller(
        "system:controller:daemon-set-controller",
        &[
            on(READ, "apps extensions", "daemonsets"),
            on("update", "apps extensions", "daemonsets/status"),
            on("update", "apps extensions", "daemonsets/finalizers"),
            on("list watch", "core", "nodes"),
            on("list watch create delete patch", "core", "pods"),
            on("create", "core", "pods/binding"),
            on("get list watch create delete update patch", "apps", "controllerrevisions"),
            WRITE_EVENTS,
        ],
    ),
    controller(
        "system:controller:deployment-controller",
        &[
            on("get list watch update", "apps extensions", "deployments"),
            on("update", "apps extensions", "deployments/status"),
            on("update", "apps extensions", "deployments/finalizers"),
            on("get list watch create update patch delete", "apps extensions", "replicasets"),
            on("get list update watch", "core", "pods"),
            WRITE_EVENTS,
        ],
    ),
    controller(
        "system:controller:disruption-controller",
        &[
            on(READ, "apps extensions", "deployments"),
            on(READ, "apps extensions", "replicasets"),
            on(READ, "core", "replicationcontrollers"),
            on(READ, "policy", "poddisruptionbudgets"),
            on(READ, "apps", "statefulsets"),
            on("update", "policy", "poddisruptionbudgets/status"),
            on("patch update", "core", "pods/status"),
            on("get", "*", "*/scale"),
            WRITE_EVENTS,
        ],
    ),
    controller(
        "system:controller:endpoint-controller",
        &[
            on(READ, "core", "services pods"),
            on("get list watch create update delete", "core", "endpoints"),
            on("create", "core", "endpoints/restricted"),
            WRITE_EVENTS,
        ],
    ),
    controller(
        "system:controller:endpointslice-controller",
        &[
            on(READ, "core", "services pods nodes"),
            // whoever owns a slice may have to be deleted after it
            on("update", "core", "services/finalizers"),
            on("get list watch create update delete", "discovery.k8s.io", "endpointslices"),
            WRITE_EVENTS,
        ],
    ),
    controller(
        "system:controller:generic-garbage-collector",
        &[on("get list watch patch update delete", "*", "*"), WRITE_EVENTS],
    ),
    controller(
        "system:controller:horizontal-pod-autoscaler",
        &[
            on(READ, "autoscaling", "horizontalpodautoscalers"),
            on("update", "autoscaling", "horizontalpodautoscalers/status"),
            on("get update", "*", "*/scale"),
            on("list watch", "core", "pods"),
            on("list watch", "metrics.k8s.io", "pods"),
            on(READ, "custom.metrics.k8s.io", "*"),
            on(READ, "external.metrics.k8s.io", "*"),
            WRITE_EVENTS,
        ],
    ),
    controller(
        "system:controller:job-controller",
        &[
            on("get list watch update patch", "batch", "jobs"),
            on("update", "batch", "jobs/status"),
            on("update", "batch", "jobs/finalizers"),
            on("list watch create delete patch", "core", "pods"),
            WRITE_EVENTS,
        ],
    ),
    controller(
        "system:controller:namespace-controller",
        &[
            on("get list watch delete", "core", "namespaces"),
            on("update", "core", "namespaces/finalize namespaces/status"),
            on("get list watch delete deletecollection", "*", "*"),
        ],
    ),
    controller(
        "system:controller:node-controller",
        &[
            on("get list watch update delete patch", "core", "nodes"),
            on("update patch", "core", "nodes/status"),
            on("update patch", "core", "pods/status"),
            on("get list watch delete", "core", "pods"),
            WRITE_EVENTS,
        ],
    ),
    controller(
        "system:controller:pod-garbage-collector",
        &[
            on("list watch delete", "core", "pods"),
            on(READ, "core", "nodes"),
            on("patch", "core", "pods/status"),
        ],
    ),
    controller(
        "system:controller:replicaset-controller",
        &[
            on("get list watch update", "apps extensions", "replicasets"),
            on("update", "apps extensions", "replicasets/status"),
            on("update", "apps extensions", "replicasets/finalizers"),
            on("list watch patch create delete", "core", "pods"),
            WRITE_EVENTS,
        ],
    ),
    controller(
        "system:controller:resourcequota-controller",
        &[on("list watch", "*", "*"), on("update", "core", "resourcequotas/status"), WRITE_EVENTS],
    ),
    controller(
        "system:controller:root-ca-cert-publisher",
        &[on("create update", "core", "configmaps"), WRITE_EVENTS],
    ),
    controller(
        "system:controller:service-account-controller",
        &[on("create", "core", "serviceaccounts"), WRITE_EVENTS],
    ),
    controller(
        "system:controller:service-controller",
        &[
            on(READ, "core", "services"),
            on("patch update", "core", "services/status"),
            on("list watch", "core", "nodes"),
            WRITE_EVENTS,
        ],
    ),
    controller(
        "system:controller:statefulset-controller",
        &[
            on("list watch", "core", "pods"),
            on(READ, "apps", "statefulsets"),
            on("update", "apps", "statefulsets/status"),
            on("update", "apps", "statefulsets/finalizers"),
            on("get create delete update patch", "core", "pods"),
            on("get create delete update patch list watch", "apps", "controllerrevisions"),
            on("get list watch create", "core", "persistentvolumeclaims"),
            // of claims that are to go with their pods
            on("update delete", "core", "persistentvolumeclaims"),
            on("update", "core", "pods/finalizers"),
            WRITE_EVENTS,
        ],
    ),
    controller(
        "system:controller:ttl-after-finished-controller",
        &[on("get list watch delete", "batch", "jobs"), WRITE_EVENTS],
    ),
];
