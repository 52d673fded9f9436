// SPDX-License-Identifier: Apache-2.0
//! Holds a value against its schema: unknown fields are taken out and told, wrong types refused, as upstream's decoder does.

use crate::schema::{Form, Schema, View, canonical};
use crate::{Map, Refusal};
use berth_cluster_json::Value;
use std::fmt::{self, Write as _};

/// How many unknown fields are told; upstream's number.
pub const UNKNOWN_MAX: usize = 100;

/// Fields that were taken out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unknown {
    /// Their paths: `spec.containers[0].imagee`.
    pub fields: Vec<String>,
}

/// A value that has not the type of its field; the text is upstream's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongType {
    /// E.g. `json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`.
    pub message: String,
}

impl fmt::Display for WrongType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for WrongType {}

impl WrongType {
    /// What the client is told: `X in version "v1" cannot be handled as a X: ...`.
    pub fn refusal(&self, version: &str, kind: &str) -> Refusal {
        unhandled(version, kind, &self.message)
    }
}

/// The texts of strict decoding: `duplicate field "spec.b"`, `unknown field "spec.a"`. As warnings they are
/// sent one by one.
pub fn problems(unknown: &[String], duplicates: &[String]) -> Vec<String> {
    let unknown = unknown.iter().map(|path| format!("unknown field \"{path}\""));
    let duplicates = duplicates.iter().map(|path| format!("duplicate field \"{path}\""));
    duplicates.chain(unknown).collect()
}

/// The refusal of strict decoding for these problems.
pub fn refusal(version: &str, kind: &str, problems: &[String]) -> Refusal {
    unhandled(version, kind, &format!("strict decoding error: {}", problems.join(", ")))
}

fn unhandled(version: &str, kind: &str, why: &str) -> Refusal {
    let text = format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {why}");
    Refusal::bad_request(text)
}

/// Checks all types, and takes unknown fields out. Null is of every type. Names of fields count with their case.
pub fn check(value: &mut Value, schema: &Schema) -> Result<Unknown, WrongType> {
    let mut walk = Walk::default();
    walk.value(value, schema.view(), Place::Root)?;
    Ok(Unknown { fields: walk.unknown })
}

/// Where the walk is; written out only if there is something to say about it.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    Root,
    /// A field, and the structure that has it.
    Field(&'a Place<'a>, &'a str, &'a str),
    /// An entry of a map.
    Entry(&'a Place<'a>, &'a str),
    /// An item of a list.
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    /// The path with indexes, as unknown fields are told.
    fn path(&self, name: &str) -> String {
        let mut text = String::new();
        self.write(&mut text);
        let dot = if text.is_empty() { "" } else { "." };
        text + dot + name
    }

    fn write(&self, text: &mut String) {
        let (outer, name) = match self {
            Self::Root => return,
            Self::Field(outer, name, _) | Self::Entry(outer, name) => (outer, name),
            Self::Item(outer, index) => {
                outer.write(text);
                let _ = write!(text, "[{index}]");
                return;
            }
        };
        outer.write(text);
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(name);
    }

    /// Names of fields only, and the innermost structure, as errors of types have them.
    fn fields(&self) -> (Vec<&str>, Option<&str>) {
        match self {
            Self::Root => (Vec::new(), None),
            Self::Entry(outer, _) | Self::Item(outer, _) => outer.fields(),
            Self::Field(outer, name, owner) => {
                let (mut fields, _) = outer.fields();
                fields.push(name);
                (fields, Some(owner))
            }
        }
    }
}

/// What was found on the way.
#[derive(Debug, Default)]
struct Walk {
    unknown: Vec<String>,
}

impl Walk {
    fn value(
        &mut self,
        value: &mut Value,
        schema: View<'_>,
        place: Place<'_>,
    ) -> Result<(), WrongType> {
        match (schema.form(), value) {
            (_, Value::Null) => Ok(()),
            (Form::Structure(_), Value::Object(object)) => self.structure(object, schema, place),
            (Form::List(_), Value::Array(items)) => self.items(items, schema.items(), place),
            (Form::Map(_), Value::Object(entries)) => self.entries(entries, schema, place),
            (Form::SchemaOrBool | Form::SchemaOrList | Form::SchemaOrTexts, value) => {
                self.schema(value, schema, place)
            }
            (_, value) => scalar(value, schema, place),
        }
    }

    fn structure(
        &mut self,
        object: &mut Map,
        schema: View<'_>,
        place: Place<'_>,
    ) -> Result<(), WrongType> {
        let Some(structure) = schema.structure() else { return Ok(()) };
        let owner = short(&structure.name);
        let mut unknown = Vec::new();
        for (name, value) in &mut *object {
            match schema.field(name) {
                Some((_, inner)) => self.value(value, inner, Place::Field(&place, name, owner))?,
                None if structure.preserve_unknown => {}
                None => unknown.push(name.clone()),
            }
        }
        for name in unknown {
            object.remove(&name);
            if self.unknown.len() < UNKNOWN_MAX {
                self.unknown.push(place.path(&name));
            }
        }
        Ok(())
    }

    fn items(
        &mut self,
        items: &mut [Value],
        schema: Option<View<'_>>,
        place: Place<'_>,
    ) -> Result<(), WrongType> {
        let Some(schema) = schema else { return Ok(()) };
        let mut items = items.iter_mut().enumerate();
        items.try_for_each(|(index, item)| self.value(item, schema, Place::Item(&place, index)))
    }

    fn entries(
        &mut self,
        entries: &mut Map,
        schema: View<'_>,
        place: Place<'_>,
    ) -> Result<(), WrongType> {
        let Some(schema) = schema.values() else { return Ok(()) };
        let mut entries = entries.iter_mut();
        entries.try_for_each(|(name, entry)| self.value(entry, schema, Place::Entry(&place, name)))
    }

    /// A schema, or what may stand in its place.
    fn schema(
        &mut self,
        value: &mut Value,
        schema: View<'_>,
        place: Place<'_>,
    ) -> Result<(), WrongType> {
        let form = schema.form();
        let Some(inner) = schema.of_schema() else { return Ok(()) };
        match value {
            Value::Object(_) => self.value(value, inner, place),
            Value::Array(items) if form == Form::SchemaOrList => {
                self.items(items, Some(inner), place)
            }
            Value::Array(items) if form == Form::SchemaOrTexts => {
                match items.iter().find(|item| !item.is_string()) {
                    Some(item) => Err(wrong(item, "string", place)),
                    None => Ok(()),
                }
            }
            Value::Bool(_) if form != Form::SchemaOrTexts => Ok(()),
            _ => Err(WrongType {
                message: match form {
                    Form::SchemaOrBool => "boolean or JSON schema expected",
                    _ => "unable to unmarshal JSON schema",
                }
                .to_owned(),
            }),
        }
    }
}

fn scalar(value: &Value, schema: View<'_>, place: Place<'_>) -> Result<(), WrongType> {
    let form = schema.form();
    let fits = match (form, value) {
        (Form::Bool, Value::Bool(_))
        | (Form::Text | Form::IntOrString, Value::String(_))
        | (Form::Double, Value::Number(_))
        | (Form::Any | Form::Json, _)
        | (Form::Raw | Form::Fields, Value::Object(_)) => true,
        (Form::Int32 | Form::IntOrString, Value::Number(number)) => {
            number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
        }
        (Form::Int64, Value::Number(number)) => number.is_i64(),
        (Form::Quantity, _) => {
            return match canonical(value, form) {
                Some(_) => Ok(()),
                None => Err(WrongType { message: QUANTITY.to_owned() }),
            };
        }
        (Form::Time, Value::String(text)) if crate::time::is_canonical(text) => true,
        (Form::Time | Form::MicroTime | Form::Bytes, Value::String(text)) => {
            return match canonical(value, form) {
                Some(_) => Ok(()),
                None => Err(unreadable(text, form)),
            };
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(wrong(value, &go_type(schema), place)) }
}

fn wrong(value: &Value, wanted: &str, place: Place<'_>) -> WrongType {
    let given = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if wanted.starts_with("int") => format!("number {number}"),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    };
    let place = match place.fields() {
        (fields, Some(owner)) => format!("struct field {owner}.{}", fields.join(".")),
        (_, None) => "value".to_owned(),
    };
    WrongType {
        message: format!("json: cannot unmarshal {given} into Go {place} of type {wanted}"),
    }
}

const QUANTITY: &str = "quantities must match the regular expression \
                        '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// A text that is no time, or no base64.
fn unreadable(text: &str, form: Form) -> WrongType {
    let layout = match form {
        Form::Time => "2006-01-02T15:04:05Z07:00",
        Form::MicroTime => "2006-01-02T15:04:05.000000Z07:00",
        _ => {
            let wrong = |byte: u8| !byte.is_ascii_alphanumeric() && byte != b'+' && byte != b'/';
            let place = text.bytes().position(wrong).unwrap_or(text.len());
            return WrongType { message: format!("illegal base64 data at input byte {place}") };
        }
    };
    WrongType {
        message: format!(
            "parsing time \"{text}\" as \"{layout}\": cannot parse \"{text}\" as \"2006\""
        ),
    }
}

/// `PodSpec` of `core.v1.PodSpec`.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The type as Go calls it.
fn go_type(schema: View<'_>) -> String {
    match schema.form() {
        Form::Bool => "bool".to_owned(),
        Form::Int32 | Form::IntOrString => "int32".to_owned(),
        Form::Int64 => "int64".to_owned(),
        Form::Double => "float64".to_owned(),
        Form::Bytes => "[]uint8".to_owned(),
        Form::Text | Form::Time | Form::MicroTime => "string".to_owned(),
        Form::List(_) => {
            format!("[]{}", schema.items().map(go_type).unwrap_or_default())
        }
        Form::Map(_) => {
            format!("map[string]{}", schema.values().map(go_type).unwrap_or_default())
        }
        Form::Structure(_) => {
            let name = schema.structure().map_or("", |one| one.name.as_str());
            name.split_once('.').map_or(name, |(_, rest)| rest).to_owned()
        }
        _ => "map[string]interface {}".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{lookup, normalise};
    use berth_cluster_json::json;

    fn deployment() -> Schema {
        lookup("apps", "v1", "Deployment").unwrap()
    }

    #[test]
    fn unknown_fields_are_told_with_their_paths_and_taken_out() {
        let mut object = json!({"Kind": "x", "metadata": {"labels": {"any": "thing"}}, "spec": {
            "replicaz": 1,
            "template": {"spec": {"containers": [{"name": "a"}, {"imagee": "x"}]}},
        }});
        let unknown = check(&mut object, &deployment()).unwrap();
        assert_eq!(
            unknown.fields,
            ["spec.template.spec.containers[1].imagee", "spec.replicaz", "Kind"]
        );
        assert!(object["spec"].get("replicaz").is_none());
        assert_eq!(check(&mut object, &deployment()).unwrap(), Unknown::default());
        let text =
            refusal("v1", "Deployment", &problems(&unknown.fields[1..2], &["a".into()])).message;
        assert_eq!(
            text,
            "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: duplicate field \"a\", \
             unknown field \"spec.replicaz\""
        );
    }

    #[test]
    fn wrong_types_are_refused_in_upstreams_words() {
        let says = |mut value: Value, wanted: &str| {
            assert_eq!(check(&mut value, &deployment()).unwrap_err().message, wanted, "{value}");
        };
        says(
            json!({"spec": {"replicas": "3"}}),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        );
        says(
            json!({"spec": {"replicas": 3_000_000_000_u32}}),
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        );
        says(
            json!({"spec": {"template": {"spec": {"containers": {}}}}}),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
        );
        says(
            json!({"metadata": {"labels": {"a": 1}}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        );
        says(json!([]), "json: cannot unmarshal array into Go value of type v1.Deployment");
        says(
            json!({"metadata": {"creationTimestamp": "x"}}),
            "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"",
        );
        let limits = json!({"spec": {"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "x"}}}]}}}});
        says(limits, QUANTITY);
    }

    #[test]
    fn what_is_read_is_written_in_canonical_form_once_and_for_all() {
        let schema = lookup("", "v1", "Pod").unwrap();
        let mut pod = json!({"metadata": {"labels": {}, "name": "p", "creationTimestamp": null}, "spec": {
            "hostNetwork": false, "automountServiceAccountToken": false, "volumes": [], "nodeName": "",
            "containers": [{"name": "c", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}, "ports": [
                {"containerPort": 80, "hostPort": 0}
            ]}],
        }});
        normalise(&mut pod, &schema);
        let once = pod.clone();
        assert_eq!(
            pod,
            json!({"metadata": {"name": "p"}, "spec": {
            "automountServiceAccountToken": false,
            "containers": [{"name": "c", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                "ports": [{"containerPort": 80}]}],
        }, "status": {}})
        );
        normalise(&mut pod, &schema);
        assert_eq!(pod, once);
    }
}
