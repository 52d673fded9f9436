// SPDX-License-Identifier: Apache-2.0
//! Recorded lists against the rows of the registry: what tables show, and what fields select.
#![allow(clippy::unwrap_used, reason = "what is recorded has these fields")]

mod record;

use berth_cluster_api::registry::Kind;
use berth_cluster_api::select::Fields;
use berth_cluster_api::{Map, kinds};
use berth_cluster_json::{Value, json};
use record::{decoded, scenarios_with_times};
use std::collections::BTreeMap;

/// Objects by name.
type Held = BTreeMap<String, Map>;

/// The kind of a path, and the path of all of it.
fn collection<'a>(kinds: &'a [Kind], path: &str) -> Option<(&'a Kind, String)> {
    let path = path.split('?').next().unwrap();
    kinds.iter().find_map(|kind| {
        let root = match &*kind.group {
            "" => format!("/api/{}/", kind.version),
            group => format!("/apis/{group}/{}/", kind.version),
        };
        let rest = path.strip_prefix(&root)?;
        let scope = match rest.strip_prefix("namespaces/").filter(|_| kind.namespaced) {
            Some(rest) => format!("namespaces/{}/", rest.split('/').next()?),
            None => String::new(),
        };
        let mut names = rest.get(scope.len()..)?.split('/');
        let found =
            names.next() == Some(&kind.plural) && names.nth(1).is_none_or(|it| it == "status");
        found.then(|| (kind, format!("{root}{scope}{}", kind.plural)))
    })
}

fn name(object: &Map) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// Plays the scenarios; `see` gets each list, and the objects that there then are.
fn play(mut see: impl FnMut(&str, &Kind, &Value, &Held)) {
    let kinds = kinds::builtin();
    for scenario in scenarios_with_times() {
        let mut all: BTreeMap<String, Held> = BTreeMap::new();
        for step in scenario["steps"].as_array().unwrap() {
            let (request, answer) = (&step["request"], &step["response"]["body"]);
            let Some((kind, at)) = collection(&kinds, request["path"].as_str().unwrap()) else {
                continue;
            };
            let held = all.entry(at).or_default();
            if answer["kind"] == *kind.kind {
                let object = answer.as_object().unwrap();
                if request["method"] == "DELETE" {
                    held.remove(name(object));
                } else {
                    held.insert(name(object).to_owned(), object.clone());
                }
            }
            see(scenario["name"].as_str().unwrap(), kind, step, held);
        }
    }
}

/// Columns that 1.33 has, and 1.20 had not or had as another type.
fn is_newer(kind: &Kind, column: &str) -> bool {
    matches!(
        (&*kind.kind, column),
        ("Pod", "Restarts")
            | ("PriorityClass", "PreemptionPolicy")
            | ("PersistentVolume" | "PersistentVolumeClaim", "VolumeAttributesClass")
    )
}

#[test]
fn tables_have_the_recorded_columns_and_cells() {
    let mut rows = 0;
    play(|scenario, kind, step, held| {
        let answer = &step["response"]["body"];
        if answer["kind"] != "Table" || step["request"]["method"] != "GET" {
            return;
        }
        let columns = answer["columnDefinitions"].as_array().unwrap();
        let told = |column: &Value| {
            json!([column["name"], column["type"], column["format"], column["priority"]])
        };
        let theirs: Vec<Value> = columns
            .iter()
            .filter(|one| !is_newer(kind, one["name"].as_str().unwrap()))
            .map(told)
            .collect();
        let kept: Vec<bool> = kind.columns.iter().map(|one| !is_newer(kind, one.name)).collect();
        let ours: Vec<Value> = kind
            .columns
            .iter()
            .filter(|one| !is_newer(kind, one.name))
            .map(|one| json!([one.name, one.kind, one.format, one.priority]))
            .collect();
        assert_eq!(ours, theirs, "{scenario}");
        for row in answer["rows"].as_array().unwrap() {
            let cells = row["cells"].as_array().unwrap();
            let object = &held[cells[0].as_str().unwrap()];
            let ours = kind.rules.cells(object, 0);
            assert_eq!(ours.len(), kind.columns.len(), "{scenario}");
            let ours = ours.into_iter().zip(&kept).filter(|(_, kept)| **kept);
            let theirs = cells.iter().zip(columns);
            let theirs = theirs.filter(|(_, it)| !is_newer(kind, it["name"].as_str().unwrap()));
            for ((our, _), (their, _)) in ours.zip(theirs) {
                // What stands for any value.
                let any = their.as_str().is_some_and(|text| text.contains('$'));
                assert!(any || our == *their, "{scenario}: {our}, not {their}");
            }
            rows += 1;
        }
    });
    assert!(rows > 15, "{rows}");
}

#[test]
fn fields_select_as_recorded() {
    let (mut taken, mut refused) = (0, 0);
    play(|scenario, kind, step, held| {
        let path = step["request"]["path"].as_str().unwrap();
        let Some((_, selector)) = path.split_once("fieldSelector=") else { return };
        let selector = decoded(selector.split('&').next().unwrap());
        let (status, answer) = (&step["response"]["status"], &step["response"]["body"]);
        let Ok(fields) = Fields::parse(&selector) else { return };
        let known: Vec<&str> = kind.rules.fields(&Map::new()).into_iter().map(|it| it.0).collect();
        if *status == 400 && step.get("differs_in_1_33").is_none() {
            assert!(fields.unsupported(&known).is_some(), "{scenario}: {selector}");
            refused += 1;
        }
        // Of all namespaces the record holds more than its scenario made.
        let everywhere = kind.namespaced && !path.contains("/namespaces/");
        if *status != 200 || !answer["items"].is_array() || everywhere {
            return;
        }
        assert_eq!(fields.unsupported(&known), None, "{scenario}: {selector}");
        let selected = |object: &Map| {
            let own = kind.rules.fields(object);
            fields.matches(|field| match field.strip_prefix("metadata.") {
                Some(field) => object["metadata"][field].as_str(),
                None => own.iter().find(|it| it.0 == field).map(|it| it.1.as_str()),
            })
        };
        let theirs: Vec<&str> = answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["metadata"]["name"].as_str().unwrap())
            .collect();
        let ours: Vec<&str> = held.values().filter(|one| selected(one)).map(name).collect();
        assert_eq!(ours, theirs, "{scenario}: {selector}");
        taken += 1;
    });
    assert!(taken > 10 && refused > 0, "{taken} {refused}");
}
