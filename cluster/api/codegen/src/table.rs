// SPDX-License-Identifier: Apache-2.0
//! Joins what was read, and writes it.

use crate::Failure;
use crate::hand::Hand;
use crate::openapi::{Field, Type};
use crate::protobuf::{self, Message, plain};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What bodies hold besides kinds, with the kind they are looked up as.
const META: [(&str, &str); 2] =
    [("meta.v1.DeleteOptions", "DeleteOptions"), ("meta.v1.Status", "Status")];

type Types = BTreeMap<String, Type>;
type Messages = BTreeMap<String, Message>;

/// The table as text.
pub fn write(mut types: Types, messages: &Messages, hand: &Hand) -> Result<String, Failure> {
    for (name, kind) in META {
        if let Some(one) = types.get_mut(name) {
            one.kind = Some([String::new(), "v1".into(), kind.into(), String::new()]);
            for field in ["apiVersion", "kind"] {
                let form = "str".to_owned();
                one.fields.insert(field.into(), Field { form, required: false });
            }
        }
    }
    let mut text = String::from(
        "# SPDX-License-Identifier: Apache-2.0\n# Written by cluster/api/codegen: do not edit.\n",
    );
    let mut missing = Vec::new();
    for name in reachable(&types) {
        let one = &types[&name];
        let _ = write!(text, "@{name}");
        if let Some([group, version, kind, list]) = &one.kind {
            let _ = write!(text, " {group}/{version}/{kind} {list}");
        }
        text.push('\n');
        for (field, is) in &one.fields {
            write_field(&mut text, &name, field, is, messages, hand, &mut missing);
        }
    }
    if missing.is_empty() {
        Ok(text)
    } else {
        Err(format!("without a tag: {}", missing.join(", ")))
    }
}

/// Names of kinds of stable versions, and of all types that they are made of.
fn reachable(types: &Types) -> BTreeSet<String> {
    let stable = |version: &str| !version.contains("alpha") && !version.contains("beta");
    let mut todo: Vec<String> = types
        .iter()
        .filter(|(_, one)| one.kind.as_ref().is_some_and(|[_, version, ..]| stable(version)))
        .map(|(name, _)| name.clone())
        .collect();
    todo.push("meta.v1.ListMeta".into());
    let mut seen = BTreeSet::new();
    while let Some(name) = todo.pop() {
        let Some(one) = types.get(&name) else { continue };
        if seen.insert(name) {
            let inner = one
                .fields
                .values()
                .map(|field| field.form.trim_start_matches(['[', ']', '{', '}']));
            todo.extend(inner.filter(|form| form.contains('.')).map(str::to_owned));
        }
    }
    seen
}

fn write_field(
    text: &mut String,
    name: &str,
    field: &str,
    is: &Field,
    messages: &Messages,
    hand: &Hand,
    missing: &mut Vec<String>,
) {
    let untagged = matches!(field, "apiVersion" | "kind");
    let found = find(messages, &message_of(name), &plain(field));
    let (tags, markers) = match found {
        Some((tags, field)) => (tags, field.markers.as_slice()),
        None if untagged => ("0".to_owned(), [].as_slice()),
        None => {
            missing.push(format!("{name}.{field}"));
            return;
        }
    };
    let _ = write!(text, "{field} {} {tags}", is.form);
    let mut words: BTreeSet<String> = markers.iter().filter_map(word).collect();
    let keys: Vec<&str> = markers
        .iter()
        .filter(|(key, _)| key == "listMapKey")
        .map(|(_, value)| value.as_str())
        .collect();
    if !keys.is_empty() {
        words.insert(format!("k={}", keys.join(",")));
    }
    if pointer(name, field, is, hand) {
        words.insert("p".into());
    }
    words.extend(hand.words.get(&format!("{name}.{field}")).into_iter().flatten().cloned());
    // "o": it need not be there, whatever the crate says
    if is.required && !words.remove("o") {
        words.insert("r".into());
    }
    for word in words {
        let _ = write!(text, " {word}");
    }
    text.push('\n');
}

/// Whether Go keeps it apart whether the field is there.
fn pointer(name: &str, field: &str, is: &Field, hand: &Hand) -> bool {
    let in_list = |list: &BTreeSet<String>| Hand::has(list, name, field);
    match is.form.as_str() {
        "bool" | "i32" | "i64" | "f64" => {
            in_list(&hand.pointers) || !is.required && !in_list(&hand.values)
        }
        "str" => in_list(&hand.pointers),
        "quantity" | "intstr" => !is.required && !in_list(&hand.structs),
        form if form.contains('.') && !form.starts_with(['[', '{']) => {
            in_list(&hand.pointers) || !is.required && !in_list(&hand.structs)
        }
        _ => false,
    }
}

fn word((key, value): &(String, String)) -> Option<String> {
    let value = value.trim_matches('"');
    match key.as_str() {
        "patchMergeKey" => Some(format!("m={value}")),
        "patchStrategy" => Some(format!("s={value}")),
        "listType" | "mapType" | "structType" => Some(format!("l={value}")),
        "default" if !value.is_empty() && !value.contains([' ', '{', '(']) => {
            Some(format!("d={value}"))
        }
        _ => None,
    }
}

/// `core.v1.servicespec` of `core.v1.ServiceSpec`.
fn message_of(name: &str) -> String {
    let (package, name) = name.rsplit_once('.').unwrap_or_default();
    format!("{}.{}", package.replace('_', ""), plain(name))
}

/// The tags that lead to a field: more than one where Go has the fields of an embedded struct among its own.
fn find<'a>(
    messages: &'a Messages,
    message: &str,
    field: &str,
) -> Option<(String, &'a protobuf::Field)> {
    let fields = messages.get(message)?;
    if let Some(found) = fields.get(field) {
        return Some((found.tag.to_string(), found));
    }
    embedded(message, fields).find_map(|(tag, inner)| {
        let (tags, found) = find(messages, inner, field)?;
        Some((format!("{tag}.{tags}"), found))
    })
}

/// Messages that hold what is embedded in Go.
fn embedded<'a>(message: &'a str, fields: &'a Message) -> impl Iterator<Item = (u32, &'a str)> {
    const EMBEDDED: [(&str, &str); 10] = [
        ("ingressrule", "ingressrulevalue"),
        ("volume", "volumesource"),
        ("probe", "handler"),
        ("persistentvolumespec", "persistentvolumesource"),
        ("ephemeralcontainer", "ephemeralcontainercommon"),
        ("namedrulewithoperations", "rulewithoperations"),
        ("rulewithoperations", "rule"),
        ("deviceallocationconfiguration", "deviceconfiguration"),
        ("deviceclaimconfiguration", "deviceconfiguration"),
        ("deviceclassconfiguration", "deviceconfiguration"),
    ];
    let short = message.rsplit('.').next().unwrap_or_default();
    fields.iter().filter_map(move |(name, field)| {
        let known = EMBEDDED.contains(&(short, name.as_str())) || name == "localobjectreference";
        Some((field.tag, field.message.as_deref().filter(|_| known)?))
    })
}
