// SPDX-License-Identifier: Apache-2.0
//! ClusterRoles of people, nodes and components, and who has them.

use super::{
    Binding, Grant, READ, READ_UPDATE, READ_WRITE, Role, Subject, WRITE, WRITE_EVENTS,
    aggregate_label, at, object, on, on_named,
};
use crate::pki::AGENTS_CLIENT;
use crate::user::{
    AUTHENTICATED, BOOTSTRAPPERS, MASTERS, NODE_SERVICES, NODES, SERVICE_ACCOUNTS, UNAUTHENTICATED,
};
use berth_cluster_api::Map;
use berth_cluster_json::json;

const SCHEDULER: &str = "system:kube-scheduler";
const MANAGER: &str = "system:kube-controller-manager";

/// As upstream's installer calls it, and who answers names in a cluster.
const DNS: &str = "system:coredns";
const SERVICE_PROXY: &str = "berth:service-proxy";

const CERTIFICATES: &str = "certificates.k8s.io";
const NODE_CLIENT: &str = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
const SELF_NODE_CLIENT: &str =
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient";

/// Where workloads and ingresses once were; rules for it are kept, as upstream keeps them.
const OLD: &str = "extensions";

/// The roles of a namespace's people, which are made of others: `admin` holds `edit`, `edit` holds `view`.
pub(super) fn aggregated() -> Vec<(&'static str, Map)> {
    let role = |name: &str, part_of: Option<&str>| {
        let mut made = object("ClusterRole", "", name);
        let selector = json!({ "matchLabels": { aggregate_label(name): "true" } });
        made.insert("aggregationRule".to_owned(), json!({ "clusterRoleSelectors": [selector] }));
        made.insert("rules".to_owned(), json!([]));
        if let Some(target) = part_of {
            made["metadata"]["labels"][aggregate_label(target)] = "true".into();
        }
        ("ClusterRole", made)
    };
    vec![role("admin", None), role("edit", Some("admin")), role("view", Some("edit"))]
}

const fn cluster(name: &'static str, grants: &'static [Grant]) -> Role {
    Role { namespace: "", name, grants }
}

pub(super) const ROLES: &[Role] = &[
    cluster("cluster-admin", &[on("*", "*", "*"), at("*", "*")]),
    cluster(
        "system:discovery",
        &[at(
            "get",
            "/livez /readyz /healthz /version /version/ /openapi /openapi/* /api /api/* /apis /apis/*",
        )],
    ),
    cluster(
        "system:monitoring",
        &[at(
            "get",
            "/metrics /metrics/slis /livez /readyz /healthz /livez/* /readyz/* /healthz/*",
        )],
    ),
    cluster(
        "system:basic-user",
        &[
            on(
                "create",
                "authorization.k8s.io",
                "selfsubjectaccessreviews selfsubjectrulesreviews",
            ),
            on("create", "authentication.k8s.io", "selfsubjectreviews"),
        ],
    ),
    cluster(
        "system:public-info-viewer",
        &[at("get", "/livez /readyz /healthz /version /version/")],
    ),
    cluster(
        "system:service-account-issuer-discovery",
        &[at(
            "get",
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        )],
    ),
    cluster("system:aggregate-to-admin", ADMIN),
    cluster("system:aggregate-to-edit", EDIT),
    cluster("system:aggregate-to-view", VIEW),
    cluster("system:node", NODE),
    cluster(
        "system:node-bootstrapper",
        &[on("create get list watch", CERTIFICATES, "certificatesigningrequests")],
    ),
    cluster(NODE_CLIENT, &[on("create", CERTIFICATES, "certificatesigningrequests/nodeclient")]),
    cluster(
        SELF_NODE_CLIENT,
        &[on("create", CERTIFICATES, "certificatesigningrequests/selfnodeclient")],
    ),
    cluster(
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &[on_named("approve", CERTIFICATES, "signers", "kubernetes.io/kube-apiserver-client")],
    ),
    cluster(
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &[on_named(
            "approve",
            CERTIFICATES,
            "signers",
            "kubernetes.io/kube-apiserver-client-kubelet",
        )],
    ),
    cluster(
        "system:certificates.k8s.io:kubelet-serving-approver",
        &[on_named("approve", CERTIFICATES, "signers", "kubernetes.io/kubelet-serving")],
    ),
    cluster(
        "system:kubelet-api-admin",
        &[
            on(READ, "core", "nodes"),
            on("proxy", "core", "nodes"),
            on("*", "core", "nodes/proxy nodes/metrics nodes/stats nodes/log"),
            on("*", "core", "nodes/configz nodes/healthz nodes/pods"),
        ],
    ),
    // what Berth's service proxy does beyond upstream's: ports of pods, and the condition of a Service that it cannot serve
    cluster(
        SERVICE_PROXY,
        &[on("list watch", "core", "pods"), on("patch", "core", "services/status")],
    ),
    cluster(
        DNS,
        &[
            on("list watch", "core", "endpoints services pods namespaces"),
            on("list watch", "discovery.k8s.io", "endpointslices"),
        ],
    ),
    cluster(
        "system:auth-delegator",
        &[
            on("create", "authentication.k8s.io", "tokenreviews"),
            on("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
    ),
    cluster(
        "system:persistent-volume-provisioner",
        &[
            on("get list watch create delete", "core", "persistentvolumes"),
            on("get list watch update", "core", "persistentvolumeclaims"),
            on(READ, "storage.k8s.io", "storageclasses"),
            on("watch", "core", "events"),
            WRITE_EVENTS,
        ],
    ),
    cluster(
        "system:node-proxier",
        &[
            on("list watch", "core", "services endpoints"),
            on(READ, "core", "nodes"),
            WRITE_EVENTS,
            on("list watch", "discovery.k8s.io", "endpointslices"),
            on("list watch", "networking.k8s.io", "servicecidrs"),
        ],
    ),
    cluster(
        "system:volume-scheduler",
        &[
            on(READ_UPDATE, "core", "persistentvolumes"),
            on(READ, "storage.k8s.io", "storageclasses"),
            on(READ_UPDATE, "core", "persistentvolumeclaims"),
        ],
    ),
    cluster(SCHEDULER, KUBE_SCHEDULER),
    cluster(MANAGER, KUBE_CONTROLLER_MANAGER),
];

const ADMIN: &[Grant] = &[
    on("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    on(READ_WRITE, "rbac.authorization.k8s.io", "roles rolebindings"),
];

const EDIT: &[Grant] = &[
    // whoever reads these can do more than read
    on(READ, "core", "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy"),
    on("impersonate", "core", "serviceaccounts"),
    on(WRITE, "core", "pods pods/attach pods/proxy pods/exec pods/portforward"),
    on("create", "core", "pods/eviction"),
    on(
        WRITE,
        "core",
        "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy \
         persistentvolumeclaims configmaps secrets events",
    ),
    on("create", "core", "serviceaccounts/token"),
    on(
        WRITE,
        "apps",
        "statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback replicasets \
         replicasets/scale",
    ),
    on(WRITE, "autoscaling", "horizontalpodautoscalers"),
    on(WRITE, "batch", "jobs cronjobs"),
    on(
        WRITE,
        OLD,
        "daemonsets deployments deployments/scale deployments/rollback ingresses replicasets replicasets/scale \
         replicationcontrollers/scale networkpolicies",
    ),
    on(WRITE, "policy", "poddisruptionbudgets"),
    on(WRITE, "networking.k8s.io", "networkpolicies ingresses"),
    on(READ_WRITE, "coordination.k8s.io", "leases"),
];

const VIEW: &[Grant] = &[
    on(
        READ,
        "core",
        "pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status endpoints \
         persistentvolumeclaims persistentvolumeclaims/status configmaps",
    ),
    on(
        READ,
        "core",
        "limitranges resourcequotas bindings events pods/status resourcequotas/status namespaces/status \
         replicationcontrollers/status pods/log",
    ),
    on(READ, "core", "namespaces"),
    on(READ, "discovery.k8s.io", "endpointslices"),
    on(
        READ,
        "apps",
        "controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status deployments \
         deployments/status deployments/scale replicasets replicasets/status replicasets/scale",
    ),
    on(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    on(READ, "batch", "jobs cronjobs cronjobs/status jobs/status"),
    on(
        READ,
        OLD,
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status \
         replicasets replicasets/scale replicasets/status replicationcontrollers/scale networkpolicies",
    ),
    on(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    on(READ, "networking.k8s.io", "networkpolicies ingresses ingresses/status"),
];

pub(super) const NODE: &[Grant] = &[
    on("create", "authentication.k8s.io", "tokenreviews"),
    on("create", "authorization.k8s.io", "subjectaccessreviews localsubjectaccessreviews"),
    on(READ, "core", "services"),
    on("create get list watch", "core", "nodes"),
    on("update patch", "core", "nodes/status"),
    on("update patch", "core", "nodes"),
    // In both groups: newer recorders write the one, older ones the other.
    WRITE_EVENTS,
    on(READ, "core", "pods"),
    on("create delete", "core", "pods"),
    on("update patch", "core", "pods/status"),
    on("create", "core", "pods/eviction"),
    on(READ, "core", "secrets configmaps"),
    on("get", "core", "persistentvolumeclaims persistentvolumes"),
    on("get", "core", "endpoints"),
    on("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
    on("get create update patch delete", "coordination.k8s.io", "leases"),
    on("get", "storage.k8s.io", "volumeattachments"),
    on("create", "core", "serviceaccounts/token"),
    on("get update patch", "core", "persistentvolumeclaims/status"),
    on(READ, "storage.k8s.io", "csidrivers"),
    on("get create update patch delete", "storage.k8s.io", "csinodes"),
    on(READ, "node.k8s.io", "runtimeclasses"),
];

const KUBE_SCHEDULER: &[Grant] = &[
    WRITE_EVENTS,
    on("create", "coordination.k8s.io", "leases"),
    on_named("get update", "coordination.k8s.io", "leases", "kube-scheduler"),
    on(READ, "core", "nodes"),
    on("get list watch delete", "core", "pods"),
    on("create", "core", "pods/binding bindings"),
    on("patch update", "core", "pods/status"),
    on(READ, "core", "services replicationcontrollers"),
    on(READ, "apps extensions", "replicasets"),
    on(READ, "apps", "statefulsets"),
    on(READ, "policy", "poddisruptionbudgets"),
    on(READ, "core", "persistentvolumeclaims persistentvolumes"),
    on("create", "authentication.k8s.io", "tokenreviews"),
    on("create", "authorization.k8s.io", "subjectaccessreviews"),
    on(READ, "storage.k8s.io", "csinodes"),
    on(READ, "core", "namespaces"),
    on(READ, "storage.k8s.io", "csidrivers"),
    on(READ, "storage.k8s.io", "csistoragecapacities"),
    on(READ, "storage.k8s.io", "volumeattachments"),
];

const KUBE_CONTROLLER_MANAGER: &[Grant] = &[
    WRITE_EVENTS,
    on("create", "coordination.k8s.io", "leases"),
    on_named("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
    on("create", "core", "secrets serviceaccounts"),
    on("delete", "core", "secrets"),
    on("get", "core", "namespaces secrets serviceaccounts configmaps"),
    on("update", "core", "secrets serviceaccounts"),
    on("create", "authentication.k8s.io", "tokenreviews"),
    on("create", "authorization.k8s.io", "subjectaccessreviews"),
    on("list watch", "*", "*"),
    on("create", "core", "serviceaccounts/token"),
];

const fn bind(role: &'static str, subjects: &'static [Subject]) -> Binding {
    Binding { namespace: "", name: role, role, subjects }
}

const fn of_nodes(name: &'static str, role: &'static str) -> Binding {
    Binding { namespace: "", name, role, subjects: &[Subject::Group(NODE_SERVICES)] }
}

pub(super) const BINDINGS: &[Binding] = &[
    bind("cluster-admin", &[Subject::Group(MASTERS)]),
    bind("system:monitoring", &[Subject::Group("system:monitoring")]),
    bind("system:discovery", &[Subject::Group(AUTHENTICATED)]),
    bind("system:basic-user", &[Subject::Group(AUTHENTICATED)]),
    bind(
        "system:public-info-viewer",
        &[Subject::Group(AUTHENTICATED), Subject::Group(UNAUTHENTICATED)],
    ),
    bind("system:service-account-issuer-discovery", &[Subject::Group(SERVICE_ACCOUNTS)]),
    bind("system:node-proxier", &[Subject::User("system:kube-proxy")]),
    bind(MANAGER, &[Subject::User(MANAGER)]),
    bind(SCHEDULER, &[Subject::User(SCHEDULER)]),
    bind("system:volume-scheduler", &[Subject::User(SCHEDULER)]),
    // what upstream leaves to its installer: who has a bootstrap token asks for a node's certificate, and gets it; a node renews its own
    Binding {
        namespace: "",
        name: "berth:node-bootstrapper",
        role: "system:node-bootstrapper",
        subjects: &[Subject::Group(BOOTSTRAPPERS)],
    },
    Binding {
        namespace: "",
        name: "berth:node-client-approval",
        role: NODE_CLIENT,
        subjects: &[Subject::Group(BOOTSTRAPPERS)],
    },
    Binding {
        namespace: "",
        name: "berth:node-client-renewal",
        role: SELF_NODE_CLIENT,
        subjects: &[Subject::Group(NODES)],
    },
    // as whom the apiserver calls nodes' agents; and what answers names reads, which upstream's installer makes, too
    Binding {
        namespace: "",
        name: "berth:kubelet-api-admin",
        role: "system:kubelet-api-admin",
        subjects: &[Subject::User(AGENTS_CLIENT)],
    },
    bind(DNS, &[Subject::User(DNS)]),
    bind(SERVICE_PROXY, &[Subject::User("system:kube-proxy")]),
    // a node that joined has one user for its service proxy and its DNS
    of_nodes("berth:node-services-proxier", "system:node-proxier"),
    of_nodes("berth:node-services-proxy", SERVICE_PROXY),
    of_nodes("berth:node-services-dns", DNS),
    // nodes are the node authorizer's, which lets each see its own only
    bind("system:node", &[]),
];
