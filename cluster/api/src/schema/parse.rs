// SPDX-License-Identifier: Apache-2.0
//! Reads the table of the built-in kinds.
//!
//! A line `@core.v1.Pod /v1/Pod PodList` begins a structure; each line below is a field: `name form tags word...`.

use super::{Builder, Field, Form, FormId, Patch, Structure, Table};

/// The table that the text says. What it does not say well is left out; a test proves that there is no such line.
pub(super) fn table(text: &str) -> Table {
    let mut builder = builder(text);
    let mut any = Structure { name: "any".into(), preserve_unknown: true, ..Structure::default() };
    for (name, form) in [("apiVersion", "str"), ("kind", "str"), ("metadata", "meta.v1.ObjectMeta")]
    {
        any.fields.insert(name.into(), plain(form_of(&mut builder, form), Vec::new()));
    }
    let any = builder.structure(any);
    builder.into_table(any)
}

/// A builder that has what the text says.
pub(super) fn builder(text: &str) -> Builder {
    let mut builder = Builder::new();
    builder.form(Form::Any);
    let mut open: Option<(Structure, String)> = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix('@') {
            close(&mut builder, open.take());
            open = Some(header(head));
        } else if let Some((structure, _)) = &mut open {
            let mut words = line.split(' ');
            if let (Some(name), Some(form), Some(tags)) = (words.next(), words.next(), words.next())
            {
                let form = form_of(&mut builder, form);
                structure.fields.insert(name.to_owned(), field(form, tags, words));
            }
        }
    }
    close(&mut builder, open);
    builder
}

fn header(head: &str) -> (Structure, String) {
    let mut words = head.split(' ');
    let name = words.next().unwrap_or_default().to_owned();
    let mut parts = words.next().unwrap_or_default().splitn(3, '/').map(str::to_owned);
    let kind = match (parts.next(), parts.next(), parts.next()) {
        (Some(group), Some(version), Some(kind)) => Some((group, version, kind)),
        _ => None,
    };
    let list = words.next().unwrap_or_default().to_owned();
    (Structure { name, kind, ..Structure::default() }, list)
}

/// Adds a structure, and that of its lists.
fn close(builder: &mut Builder, done: Option<(Structure, String)>) {
    let Some((structure, list)) = done else { return };
    let kind = structure.kind.clone();
    let package = structure.name.rsplit_once('.').map_or("", |(package, _)| package).to_owned();
    let item = builder.structure(structure);
    let Some((group, version, _)) = kind.filter(|_| !list.is_empty()) else { return };
    let mut lists = Structure {
        name: format!("{package}.{list}"),
        kind: Some((group, version, list)),
        ..Structure::default()
    };
    let items = builder.form(Form::List(item));
    for (name, form, tags) in [
        ("apiVersion", form_of(builder, "str"), vec![]),
        ("kind", form_of(builder, "str"), vec![]),
        ("metadata", form_of(builder, "meta.v1.ListMeta"), vec![1]),
        ("items", items, vec![2]),
    ] {
        let required = name == "items" || name == "metadata";
        lists.fields.insert(name.to_owned(), Field { required, ..plain(form, tags) });
    }
    builder.structure(lists);
}

fn plain(form: FormId, tags: Vec<u32>) -> Field {
    Field {
        form,
        tags,
        required: false,
        pointer: false,
        zero: false,
        patch: Patch::default(),
        merge_key: String::new(),
        list_type: String::new(),
        map_keys: Vec::new(),
        default: None,
    }
}

fn field<'a>(form: FormId, tags: &str, words: impl Iterator<Item = &'a str>) -> Field {
    let tags = tags.split('.').filter_map(|tag| tag.parse().ok()).filter(|tag| *tag != 0);
    let mut field = plain(form, tags.collect());
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("r", _) => field.required = true,
            ("p", _) => field.pointer = true,
            ("z", _) => field.zero = true,
            ("m", key) => key.clone_into(&mut field.merge_key),
            ("l", kind) => kind.clone_into(&mut field.list_type),
            ("k", keys) => field.map_keys = keys.split(',').map(str::to_owned).collect(),
            ("d", value) => field.default = Some(value.to_owned()),
            ("s", strategy) => {
                field.patch = Patch {
                    merge: strategy.contains("merge"),
                    retain_keys: strategy.contains("retainKeys"),
                };
            }
            _ => {}
        }
    }
    field
}

fn form_of(builder: &mut Builder, text: &str) -> FormId {
    if let Some(inner) = text.strip_prefix("[]") {
        let inner = form_of(builder, inner);
        return builder.form(Form::List(inner));
    }
    if let Some(inner) = text.strip_prefix("{}") {
        let inner = form_of(builder, inner);
        return builder.form(Form::Map(inner));
    }
    let form = match text {
        "str" => Form::Text,
        "bool" => Form::Bool,
        "i32" => Form::Int32,
        "i64" => Form::Int64,
        "f64" => Form::Double,
        "bytes" => Form::Bytes,
        "quantity" => Form::Quantity,
        "intstr" => Form::IntOrString,
        "time" => Form::Time,
        "microtime" => Form::MicroTime,
        "raw" => Form::Raw,
        "fields" => Form::Fields,
        "json" => Form::Json,
        "jsonschemapropsorbool" => Form::SchemaOrBool,
        "jsonschemapropsorarray" => Form::SchemaOrList,
        "jsonschemapropsorstringarray" => Form::SchemaOrTexts,
        _ => return builder.named(text),
    };
    builder.form(form)
}
