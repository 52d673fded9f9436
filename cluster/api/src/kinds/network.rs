// SPDX-License-Identifier: Apache-2.0
//! What is let into the cluster, and what pods may say to each other: Ingress, IngressClass, NetworkPolicy.

mod backend;
mod class;
mod ingress;
mod policy;

use super::row::{RowExt, column, row};
use crate::registry::{Kind, Subresource};

const GROUP: &str = "networking.k8s.io";

/// The rows.
pub fn kinds() -> Vec<Kind> {
    let selector = column("Pod-Selector", "string", "Labels of the pods that the policy is about.");
    let class = [
        column("Controller", "string", "Who takes care of ingresses of the class."),
        column("Parameters", "string", "Where more is said of the class."),
    ];
    vec![
        row(GROUP, "NetworkPolicy", "networkpolicies", &[selector], policy::Policy)
            .short(&["netpol"]),
        row(GROUP, "Ingress", "ingresses", &ingress::columns(), ingress::Ingress)
            .short(&["ing"])
            .below(&[Subresource::Status]),
        row(GROUP, "IngressClass", "ingressclasses", &class, class::Class).cluster_scoped(),
    ]
}
