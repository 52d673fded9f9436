// SPDX-License-Identifier: Apache-2.0
//! What steps hold answers against.

use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a text must be. `*` in a pattern stands for anything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Text {
    /// Exactly this, but for white space at the ends.
    is: Option<Value>,
    has: Option<Several>,
    lacks: Option<Several>,
    like: Option<Several>,
    /// These, one after the other, with anything between.
    order: Option<Vec<String>>,
    /// One of its lines is this.
    line: Option<Several>,
}

/// One text, or some.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Several {
    All(Vec<Value>),
    One(Value),
}

impl Several {
    fn texts(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![plain(one)],
            Self::All(all) => all.iter().map(plain).collect(),
        }
    }
}

/// As it stands in a text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn texts(several: Option<&Several>) -> Vec<String> {
    several.map(Several::texts).unwrap_or_default()
}

impl Text {
    /// Whether a text is so; what is wrong, if not.
    pub(crate) fn judge(&self, text: &str) -> Result<(), String> {
        let wrong = |what: &str, wanted: &str| Err(format!("{what} {wanted:?}, but:\n{text}"));
        if let Some(wanted) = &self.is {
            let wanted = plain(wanted);
            if text.trim() != wanted.trim() {
                return wrong("should be", &wanted);
            }
        }
        if let Some(missing) = texts(self.has.as_ref()).iter().find(|part| !text.contains(*part)) {
            return wrong("should have", missing);
        }
        if let Some(extra) = texts(self.lacks.as_ref()).iter().find(|part| text.contains(*part)) {
            return wrong("should not have", extra);
        }
        if let Some(pattern) = texts(self.like.as_ref()).iter().find(|p| !like(p, text.trim())) {
            return wrong("should be like", pattern);
        }
        let missing = |line: &&String| !text.lines().any(|one| one.trim_end() == line.as_str());
        if let Some(line) = texts(self.line.as_ref()).iter().find(missing) {
            return wrong("should have the line", line);
        }
        let mut rest = text;
        for part in self.order.iter().flatten() {
            match rest.split_once(part.as_str()) {
                Some((_, after)) => rest = after,
                None => return wrong("should have in order", part),
            }
        }
        Ok(())
    }
}

/// Whether a text is as a pattern with `*` says.
fn like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(before) = last.replace(part) {
            match rest.split_once::<&str>(before) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last: &str| rest.ends_with(last))
}

/// What stands at paths of an object. A value, or `{like: pattern}`, `{absent: true}`, `{over: n}`, `{under: n}`, `{not: value}`, `{count: n}`.
pub(crate) type Wanted = BTreeMap<String, Value>;

/// Whether an object has all that; what is wrong, if not.
pub(crate) fn judge(wanted: &Wanted, object: &Value) -> Result<(), String> {
    for (path, want) in wanted {
        let found = at(object, path);
        if !fits(want, found) {
            let found = found.map_or("nothing".to_owned(), Value::to_string);
            return Err(format!("{path} should be {want}, but is {found}"));
        }
    }
    Ok(())
}

fn fits(want: &Value, found: Option<&Value>) -> bool {
    let Some((word, what)) =
        want.as_object().filter(|all| all.len() == 1).and_then(|all| all.iter().next())
    else {
        return found == Some(want);
    };
    let number = |value: &Value| value.as_f64();
    match word.as_str() {
        "like" => found.is_some_and(|found| like(&plain(what), &plain(found))),
        "absent" => found.is_none() == (what == &Value::Bool(true)),
        "not" => found != Some(what),
        "over" => found.and_then(number) > number(what),
        "under" => found.and_then(number).is_some_and(|found| Some(found) < number(what)),
        "count" => {
            let size = found.map_or(0, |found| match found {
                Value::Array(all) => all.len(),
                Value::Object(all) => all.len(),
                _ => 1,
            });
            what.as_u64() == u64::try_from(size).ok()
        }
        _ => found == Some(want),
    }
}

/// What stands at a path of parts with `/` between: names of fields, numbers, and `field=value` for the first of a list that has it.
/// `~1` in a name is `/`.
pub(crate) fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.map(|part| part.replace("~1", "/")).try_fold(object, |value, part| match value {
        Value::Array(all) => match part.split_once('=') {
            Some((key, wanted)) => all.iter().find(|one| one[key] == *wanted),
            None => all.get(part.parse::<usize>().ok()?),
        },
        other => other.get(part.as_str()),
    })
}

/// Puts a value there, and makes what is missing on the way.
pub(crate) fn put(object: &mut Value, path: &str, value: Value) {
    let mut here = object;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let part = part.replace("~1", "/");
        here = match here {
            Value::Array(all) => match part.split_once('=') {
                Some((key, wanted)) => all.iter_mut().find(|one| one[key] == *wanted).unwrap(),
                None => &mut all[part.parse::<usize>().unwrap()],
            },
            other => &mut other[part],
        };
    }
    *here = value;
}

#[test]
fn patterns_and_paths_find_what_they_say() {
    for (pattern, text, fits) in [
        ("a*c", "abc", true),
        ("a*c", "ac", true),
        ("a*c", "acb", false),
        ("*", "", true),
        ("a*b*c", "a1b2c", true),
        ("a*b*c", "a1c2b", false),
        ("abc", "abcd", false),
        ("a*a", "a", false),
    ] {
        assert_eq!(like(pattern, text), fits, "{pattern} {text}");
    }
    let mut object = json!({"a": [{"type": "x", "v": 1}, {"type": "y", "v": 2}], "b/c": 3});
    assert_eq!(at(&object, "/a/type=y/v"), Some(&Value::from(2)));
    assert_eq!(at(&object, "/b~1c"), Some(&Value::from(3)));
    assert_eq!(at(&object, "/a/2"), None);
    put(&mut object, "/d/e", Value::from(4));
    assert_eq!(object["d"]["e"], 4);
    let judged = |path: &str, want| judge(&Wanted::from([(path.to_owned(), want)]), &object);
    assert!(judged("/a", json!({"count": 2})).is_ok());
    assert!(judged("/z", json!({"absent": true})).is_ok());
    assert!(judged("/a", json!({"absent": true})).is_err());
    assert!(judged("/a/0/v", json!({"over": 1})).is_err());
}

#[test]
fn a_text_is_judged_by_each_word() {
    let judged =
        |wanted, text: &str| serde_json::from_value::<Text>(wanted).unwrap().judge(text).is_ok();
    assert!(judged(json!({"is": "a\nb"}), "a\nb\n") && !judged(json!({"is": "a"}), "ab"));
    assert!(judged(json!({"has": ["a", "b"]}), "ab") && !judged(json!({"has": ["a", "c"]}), "ab"));
    assert!(judged(json!({"lacks": "c"}), "ab") && !judged(json!({"lacks": "a"}), "ab"));
    assert!(
        judged(json!({"order": ["a", "b"]}), "a b") && !judged(json!({"order": ["b", "a"]}), "a b")
    );
    assert!(judged(json!({"line": "b"}), "a\nb\nc") && !judged(json!({"line": "b"}), "a\nbb\nc"));
}
