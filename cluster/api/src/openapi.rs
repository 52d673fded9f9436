// SPDX-License-Identifier: Apache-2.0
//! The documents from which clients learn what kinds are made of: OpenAPI v3 of a group's version, and as little of v2 as clients
//! accept.
//!
//! kubectl reads from v3 how lists are merged by a patch, and that the server judges fields itself (the parameter `fieldValidation`).

use crate::Map;
use crate::registry::Kind;
use crate::schema::{Field, Form, Schema};
use berth_cluster_json::{Value, json};
use std::collections::BTreeMap;

/// The document of a group's version.
pub fn v3(group: &str, version: &str, kinds: &[&Kind]) -> Value {
    let mut paths = Map::new();
    let mut components = Components::default();
    for kind in kinds {
        let name = components.kind(kind, &kind.schema);
        add_paths(&mut paths, group, version, kind, &name);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.33.0"},
        "paths": paths,
        "components": {"schemas": components.finish()},
    })
}

/// The index: a path of a group's version (`api/v1`, `apis/apps/v1`), and what changes when its document does.
pub fn index<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let entry = |(path, hash): (&str, &str)| {
        let url = format!("/openapi/v3/{path}?hash={hash}");
        (path.to_owned(), json!({"serverRelativeURL": url}))
    };
    let paths: Map = documents.into_iter().map(entry).collect();
    json!({"paths": paths})
}

/// A document of v2 without kinds, in protobuf (gnostic's `Document`): for clients that ask and are content with v3.
pub fn v2() -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        [&[tag << 3 | 2, length], bytes].concat()
    };
    let info = [field(1, b"Kubernetes"), field(2, b"v1.33.0")].concat();
    [field(1, b"2.0"), field(2, &info), field(8, b"")].concat()
}

fn add_paths(paths: &mut Map, group: &str, version: &str, kind: &Kind, component: &str) {
    let root = if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    };
    let namespace = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let all = format!("{root}{namespace}/{}", kind.plural);
    let operation = |action: &str, consumes: &[&str]| {
        let reference = json!({"schema": {"$ref": format!("#/components/schemas/{component}")}});
        let content: Map =
            consumes.iter().map(|one| ((*one).to_owned(), reference.clone())).collect();
        let mut operation = json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {
                "group": &*kind.group, "version": &*kind.version, "kind": &*kind.kind,
            },
            "parameters": parameters(action),
            "responses": {"200": {"description": "OK", "content": {"application/json": reference}}},
        });
        if !content.is_empty() {
            operation["requestBody"] = json!({"required": true, "content": content});
        }
        operation
    };
    let bodies = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
    if kind.rules.is_question() {
        paths.insert(all, json!({"post": operation("post", &bodies)}));
        return;
    }
    // a custom kind has no keys by which a strategic merge could go
    let mut patches = vec!["application/json-patch+json", "application/merge-patch+json"];
    if kind.schema.is_built_in() {
        patches.push("application/strategic-merge-patch+json");
    }
    paths.insert(
        format!("{all}/{{name}}"),
        json!({
            "get": operation("get", &[]),
            "put": operation("put", &bodies),
            "patch": operation("patch", &patches),
            "delete": operation("delete", &[]),
        }),
    );
    paths.insert(all, json!({"get": operation("list", &[]), "post": operation("post", &bodies)}));
}

fn parameters(action: &str) -> Value {
    let names: &[&str] = match action {
        "patch" => &["dryRun", "fieldManager", "fieldValidation", "force"],
        "post" | "put" => &["dryRun", "fieldManager", "fieldValidation"],
        "delete" => &["dryRun", "gracePeriodSeconds", "propagationPolicy"],
        "list" => {
            &["continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "watch"]
        }
        _ => &[],
    };
    let parameter = |name: &&str| {
        let kind = match *name {
            "force" | "watch" => "boolean",
            "limit" | "gracePeriodSeconds" => "integer",
            _ => "string",
        };
        json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
    };
    names.iter().map(parameter).collect()
}

/// Schemas by name, with those that they refer to.
#[derive(Debug, Default)]
struct Components {
    done: BTreeMap<String, Value>,
    todo: Vec<Schema>,
}

impl Components {
    /// Adds a kind and gives its name.
    fn kind(&mut self, kind: &Kind, schema: &Schema) -> String {
        let told = schema.structure().is_some_and(|structure| structure.kind.is_some());
        let name = if told {
            component(&schema.structure().map_or(String::new(), |one| one.name.clone()))
        } else {
            let mut parts: Vec<&str> = kind.group.split('.').rev().collect();
            parts.extend([&*kind.version, &*kind.kind]);
            parts.join(".")
        };
        let mut object = self.object(schema);
        object["x-kubernetes-group-version-kind"] = json!([{
            "group": &*kind.group, "version": &*kind.version, "kind": &*kind.kind,
        }]);
        self.done.insert(name.clone(), object);
        name
    }

    fn finish(mut self) -> BTreeMap<String, Value> {
        while let Some(schema) = self.todo.pop() {
            let Some(structure) = schema.structure() else { continue };
            let name = component(&structure.name);
            if !self.done.contains_key(&name) {
                let object = self.object(&schema);
                self.done.insert(name, object);
            }
        }
        self.done
    }

    /// An object with its fields.
    fn object(&mut self, schema: &Schema) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, field, inner) in schema.fields() {
            let mut property = self.property(&inner);
            annotate(&mut property, field);
            properties.insert(name.to_owned(), property);
            if field.required {
                required.push(name);
            }
        }
        let mut object = json!({"type": "object"});
        if !properties.is_empty() {
            object["properties"] = properties.into();
        }
        if !required.is_empty() {
            object["required"] = required.into();
        }
        if schema.structure().is_some_and(|structure| structure.preserve_unknown) {
            object["x-kubernetes-preserve-unknown-fields"] = true.into();
        }
        object
    }

    fn property(&mut self, schema: &Schema) -> Value {
        let known = match schema.form() {
            Form::Any => return json!({}),
            Form::Bool => return json!({"type": "boolean"}),
            Form::Text => return json!({"type": "string"}),
            Form::Int32 => return json!({"type": "integer", "format": "int32"}),
            Form::Int64 => return json!({"type": "integer", "format": "int64"}),
            Form::Double => return json!({"type": "number", "format": "double"}),
            Form::Bytes => return json!({"type": "string", "format": "byte"}),
            Form::List(_) => {
                let items = schema.items().map(|inner| self.property(&inner));
                return json!({"type": "array", "items": items});
            }
            Form::Map(_) => {
                let values = schema.values().map(|inner| self.property(&inner));
                return json!({"type": "object", "additionalProperties": values});
            }
            Form::Structure(_) => {
                self.todo.push(schema.clone());
                schema.structure().map(|one| component(&one.name)).unwrap_or_default()
            }
            form => self.special(form),
        };
        // beside a plain reference nothing else would count
        json!({"allOf": [{"$ref": format!("#/components/schemas/{known}")}]})
    }

    /// A type that is no structure but has a name; gives that.
    fn special(&mut self, form: Form) -> String {
        let (name, says) = match form {
            Form::Quantity => ("apimachinery.pkg.api.resource.Quantity", json!({"type": "string"})),
            Form::IntOrString => (
                "apimachinery.pkg.util.intstr.IntOrString",
                json!({"type": "string", "format": "int-or-string"}),
            ),
            Form::Time => (
                "apimachinery.pkg.apis.meta.v1.Time",
                json!({"type": "string", "format": "date-time"}),
            ),
            Form::MicroTime => (
                "apimachinery.pkg.apis.meta.v1.MicroTime",
                json!({"type": "string", "format": "date-time"}),
            ),
            Form::Raw => ("apimachinery.pkg.runtime.RawExtension", json!({"type": "object"})),
            Form::Fields => ("apimachinery.pkg.apis.meta.v1.FieldsV1", json!({"type": "object"})),
            _ => ("apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", json!({})),
        };
        let name = format!("io.k8s.{name}");
        self.done.entry(name.clone()).or_insert(says);
        name
    }
}

/// What is said of a field beside its type.
fn annotate(property: &mut Value, field: &Field) {
    let strategy = match (field.patch.merge, field.patch.retain_keys) {
        (true, true) => "merge,retainKeys",
        (true, false) => "merge",
        (false, true) => "retainKeys",
        (false, false) => "",
    };
    let structure =
        property.get("allOf").is_some() || property.get("additionalProperties").is_some();
    let list_type = if structure { "x-kubernetes-map-type" } else { "x-kubernetes-list-type" };
    for (name, text) in [
        ("x-kubernetes-patch-strategy", strategy),
        ("x-kubernetes-patch-merge-key", field.merge_key.as_str()),
        (list_type, field.list_type.as_str()),
    ] {
        if !text.is_empty() {
            property[name] = text.into();
        }
    }
    if !field.map_keys.is_empty() {
        property["x-kubernetes-list-map-keys"] = field.map_keys.clone().into();
    }
    if let Some(default) = &field.default {
        // numbers and booleans are written like in JSON, anything else is a text
        let value = match property["type"].as_str() {
            Some("integer" | "boolean") => serde_json::from_str(default).unwrap_or_default(),
            _ => Value::from(default.as_str()),
        };
        property["default"] = value;
    }
}

/// The name that upstream gives a structure: `io.k8s.api.core.v1.Pod`.
fn component(name: &str) -> String {
    let package = match name.split('.').next().unwrap_or_default() {
        "meta" => "apimachinery.pkg.apis.",
        "apiextensions" => "apiextensions-apiserver.pkg.apis.",
        "apiregistration" => "kube-aggregator.pkg.apis.",
        _ => "api.",
    };
    format!("io.k8s.{package}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    fn document(group: &str) -> Value {
        let kinds = kinds::builtin();
        let of_group: Vec<&Kind> = kinds.iter().filter(|kind| &*kind.group == group).collect();
        v3(group, "v1", &of_group)
    }

    #[test]
    fn the_document_has_what_kubectl_looks_for() {
        let document = document("apps");
        let patch =
            &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
        assert_eq!(patch["parameters"][2]["name"], "fieldValidation");
        let accepted = &patch["requestBody"]["content"];
        assert!(accepted.get("application/strategic-merge-patch+json").is_some());
        let schemas = &document["components"]["schemas"];
        let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
        assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
        let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
        assert_eq!(deployment["x-kubernetes-group-version-kind"][0]["group"], "apps");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str));
                    fields.values().for_each(|field| references(field, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        for group in ["", "apps", "rbac.authorization.k8s.io"] {
            let document = document(group);
            let mut found = Vec::new();
            references(&document, &mut found);
            assert!(found.len() > 10, "{group}: {}", found.len());
            for reference in found {
                assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
            }
        }
    }
}
