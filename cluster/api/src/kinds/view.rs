// SPDX-License-Identifier: Apache-2.0
//! Reading of objects that may be maps or values: what is null counts as absent.

use crate::Map;
use berth_cluster_json::Value;

static NULL: Value = Value::Null;

/// Reading of fields that may not be there.
pub(crate) trait View {
    /// The field, or null.
    fn at(&self, name: &str) -> &Value;

    /// The field's text, or an empty one.
    fn text(&self, name: &str) -> &str {
        self.at(name).as_str().unwrap_or_default()
    }

    /// The field's number.
    fn int(&self, name: &str) -> Option<i64> {
        self.at(name).as_i64()
    }

    /// The field's flag; false if absent.
    fn flag(&self, name: &str) -> bool {
        self.at(name).as_bool().unwrap_or(false)
    }

    /// The field's items, or none.
    fn list(&self, name: &str) -> &[Value] {
        self.at(name).as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// The field's entries.
    fn map(&self, name: &str) -> Option<&Map> {
        self.at(name).as_object()
    }

    /// The field's entries, in order of their names; none if absent.
    fn entries(&self, name: &str) -> Vec<(&str, &Value)> {
        let mut all: Vec<(&str, &Value)> = self
            .map(name)
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        all.sort_by_key(|(key, _)| *key);
        all
    }

    /// Whether the field is there.
    fn has(&self, name: &str) -> bool {
        !self.at(name).is_null()
    }
}

impl View for Map {
    fn at(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&NULL)
    }
}

impl View for Value {
    fn at(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&NULL)
    }
}

/// The objects of the list below `name`.
pub(crate) fn items<'a>(map: &'a mut Map, name: &str) -> impl Iterator<Item = &'a mut Map> {
    map.get_mut(name)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}
