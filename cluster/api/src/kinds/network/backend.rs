// SPDX-License-Identifier: Apache-2.0
//! Where requests go that an Ingress takes, and references to objects of any kind.

use crate::field::{Errors, Path};
use crate::kinds::pod::each;
use crate::kinds::view::View;
use crate::names;
use berth_cluster_json::Value;

/// A service's port, or another object.
pub(super) fn backend(backend: &Value, path: &Path, errors: &mut Errors) {
    let (service, resource) = (backend.at("service"), backend.at("resource"));
    match (service.is_null(), resource.is_null()) {
        (true, true) => errors.invalid(path, "", "resource or service backend is required"),
        (false, false) => {
            errors.invalid(path, "", "cannot set both resource and service backends");
        }
        (true, false) => reference(resource, &path.child("resource"), errors),
        (false, true) => self::service(service, path, errors),
    }
}

fn service(service: &Value, path: &Path, errors: &mut Errors) {
    let inner = path.child("service");
    match service.text("name") {
        "" => errors.required(&inner.child("name"), ""),
        name => each(names::dns_1035_label(name, false), &inner.child("name"), name, errors),
    }
    let port = service.at("port");
    let (name, number) = (port.text("name"), port.int("number").unwrap_or(0));
    let at = inner.child("port");
    match (name, number) {
        ("", 0) => errors.required(path, "port name or number is required"),
        (name, 0) => each(names::port_name(name), &at.child("name"), name, errors),
        ("", number) => {
            for why in names::port_number(number) {
                errors.invalid(&at.child("number"), number, why);
            }
        }
        _ => errors.invalid(path, "", "cannot set both port name & port number"),
    }
}

/// A kind and a name, of whatever group.
pub(super) fn reference(to: &Value, path: &Path, errors: &mut Errors) {
    if let Some(group) = to.at("apiGroup").as_str() {
        each(names::dns_subdomain(group, false), &path.child("apiGroup"), group, errors);
    }
    for field in ["kind", "name"] {
        match to.text(field) {
            "" => errors.required(&path.child(field), format!("{field} is required")),
            text => each(names::path_segment(text, false), &path.child(field), text, errors),
        }
    }
}
