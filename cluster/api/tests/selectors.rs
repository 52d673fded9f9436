// SPDX-License-Identifier: Apache-2.0
//! Recorded refusals of selectors in queries, and what selectors take.
#![allow(clippy::unwrap_used, reason = "what is recorded has these fields")]

mod record;

use berth_cluster_api::names;
use berth_cluster_api::select::{Fields, Labels};
use berth_cluster_json::json;
use record::{decoded, scenarios};

fn parse(name: &str, text: &str) -> Option<Result<(), String>> {
    match name {
        "labelSelector" => Some(Labels::parse(text).map(drop).map_err(|one| one.message)),
        "fieldSelector" => Some(Fields::parse(text).map(drop).map_err(|one| one.message)),
        _ => None,
    }
}

#[test]
fn selectors_are_refused_in_the_recorded_words() {
    let (mut taken, mut refused, mut failed) = (0, 0, Vec::new());
    for scenario in scenarios() {
        for step in scenario["steps"].as_array().unwrap() {
            let Some((_, query)) = step["request"]["path"].as_str().unwrap().split_once('?') else {
                continue;
            };
            for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
                let value = decoded(value);
                let Some(got) = parse(name, &value) else { continue };
                let status = step["response"]["status"].as_u64().unwrap();
                // Of a watch that was refused no body is recorded; other statuses are not about selectors.
                let message = step["response"]["body"]["message"].as_str();
                let marked = step.get("differs_in_1_33").is_some();
                match got {
                    Ok(()) if status == 200 => taken += 1,
                    Err(_) if status == 400 && marked => refused += 1,
                    Err(got) if status == 400 && message.is_none_or(|one| one == got) => {
                        refused += 1;
                    }
                    // A field that the kind does not know is refused after parsing.
                    Ok(()) if status == 400 && name == "fieldSelector" => {}
                    Ok(()) if status != 400 => {}
                    got => failed.push(format!("{value}: {status} {message:?}, got {got:?}")),
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(taken > 20 && refused > 5, "{taken} {refused}");
}

#[test]
fn a_selector_of_labels_takes_what_it_says() {
    let labels = [("a", "1"), ("b", "x")];
    let takes = |text: &str| Labels::parse(text).unwrap().matches_sorted(&labels);
    for text in ["", "a", "a=1", "a==1,b!=y", "a in (1,2)", "c notin (z)", "!c", "a>0", "a<2"] {
        assert!(takes(text), "{text}");
    }
    for text in ["c", "a=2", "a!=1", "a in (2,3)", "b notin (x)", "!a", "a>1", "b<5"] {
        assert!(!takes(text), "{text}");
    }
    assert_eq!(Labels::parse("in=notin").unwrap().equal("in"), Some("notin"));
}

#[test]
fn a_label_selector_is_written_sorted() {
    let selector = json!({"matchLabels": {"b": "1"}, "matchExpressions": [
        {"key": "c", "operator": "DoesNotExist"}, {"key": "a", "operator": "In", "values": ["y", "x"]}]});
    let all = Labels::of_selector(selector.as_object());
    assert_eq!(all.to_string(), "a in (x,y),b=1,!c");
    assert!(Labels::of_selector(None).nothing);
    assert!(Labels::of_selector(json!({}).as_object()).is_everything());
}

#[test]
fn a_selector_of_fields_unescapes_its_values() {
    let fields = Fields::parse(r"a=x\,y,b!=z,,metadata.name==n").unwrap();
    assert_eq!(fields.equal("a"), Some("x,y"));
    assert_eq!(fields.equal("b"), None);
    assert_eq!(fields.unsupported(&["a"]), Some("b"));
    assert!(fields.matches(|field| match field {
        "a" => Some("x,y"),
        "metadata.name" => Some("n"),
        _ => None,
    }));
    assert!(Fields::parse(r"a=\x").is_err());
}

#[test]
fn names_are_judged() {
    assert!(names::dns_subdomain("a.b-c", false).is_empty());
    assert!(names::dns_subdomain("ab-", true).is_empty());
    assert!(!names::dns_subdomain("ab-", false).is_empty());
    assert!(names::dns_label("a.b", false).len() == 1);
    assert!(!names::dns_1035_label("1a", false).is_empty());
    assert!(names::qualified("e.x/A_b").is_empty());
    assert!(names::qualified("").len() == 2);
    assert!(names::qualified("/a").len() == 1);
    assert!(names::label_value("").is_empty());
    assert!(!names::config_key("..").is_empty());
    assert_eq!(names::path_segment(".", false), ["may not be '.'"]);
    assert!(names::path_segment(".", true).is_empty());
    assert!(names::is_cidr("10.0.0.0/8") && !names::is_cidr("10.0.0.0/33"));
}
