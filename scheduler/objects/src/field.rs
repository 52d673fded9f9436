// SPDX-License-Identifier: Apache-2.0
//! How single fields are read: absent, null and empty are one, quantities are text or numbers, texts and lists have limits.

use crate::error::{ObjectError, Path, Problem};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::Labels;
use berth_scheduler_model::limits::{LABELS_MAX, TEXT_MAX};
use berth_scheduler_model::quantity::{self, QuantityError};
use serde::de::{Deserialize, Deserializer, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

/// A field that Go's JSON may leave out or write as `null`: both mean its empty value.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Lax<T>(pub(crate) T);

impl<T> Deref for Lax<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Lax<T> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Ok(Self(Option::<T>::deserialize(source)?.unwrap_or_default()))
    }
}

/// A text field.
pub(crate) type Text = Lax<String>;
/// A list field.
pub(crate) type List<T> = Lax<Vec<T>>;
/// A map field with texts as values: labels, annotations.
pub(crate) type TextMap = Lax<BTreeMap<String, Text>>;
/// A map of quantities by resource.
pub(crate) type QuantityMap = Lax<BTreeMap<String, Quantity>>;

/// A quantity as it is written: text, or a bare number.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Quantity(pub(crate) String);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }
            fn visit_str<E>(self, text: &str) -> Result<Quantity, E> {
                Ok(Quantity(text.to_owned()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
            fn visit_unit<E>(self) -> Result<Quantity, E> {
                Ok(Quantity("0".to_owned()))
            }
        }
        source.deserialize_any(Any)
    }
}

impl Quantity {
    /// In whole units, rounded up.
    pub(crate) fn units(&self, path: &Path<'_>) -> Result<i64, ObjectError> {
        self.read(path, quantity::units)
    }

    /// In thousandths, rounded up.
    pub(crate) fn milli(&self, path: &Path<'_>) -> Result<i64, ObjectError> {
        self.read(path, quantity::milli)
    }

    fn read(
        &self,
        path: &Path<'_>,
        scale: impl Fn(&str) -> Result<i64, QuantityError>,
    ) -> Result<i64, ObjectError> {
        scale(self.0.trim()).map_err(|error| path.error(Problem::Quantity(error)))
    }
}

/// Reads a view, naming the field that has another shape.
pub(crate) fn view<'de, V, D>(source: D) -> Result<V, ObjectError>
where
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    serde_path_to_error::deserialize(source).map_err(|error| ObjectError {
        path: error.path().to_string(),
        problem: Problem::Shape(error.inner().to_string()),
    })
}

/// A text within the limit.
pub(crate) fn text(value: &str, path: &Path<'_>) -> Result<Str, ObjectError> {
    if value.len() > TEXT_MAX {
        return Err(path.error(Problem::TooLong { found: value.len(), max: TEXT_MAX }));
    }
    Ok(Str::from(value))
}

/// A text that must be there.
pub(crate) fn name(value: &str, path: &Path<'_>) -> Result<Str, ObjectError> {
    if value.is_empty() {
        return Err(path.error(Problem::Missing));
    }
    text(value, path)
}

/// A text, `None` when empty.
pub(crate) fn optional(value: &str, path: &Path<'_>) -> Result<Option<Str>, ObjectError> {
    if value.is_empty() { Ok(None) } else { text(value, path).map(Some) }
}

/// Labels, or another map of texts.
pub(crate) fn labels(map: &TextMap, path: &Path<'_>) -> Result<Labels, ObjectError> {
    at_most(map.len(), LABELS_MAX, path)?;
    map.iter()
        .map(|(key, value)| {
            let at = path.key(key);
            Ok((text(key, &at)?, text(value, &at)?))
        })
        .collect()
}

/// Whether a list is short enough.
pub(crate) fn at_most(found: usize, max: usize, path: &Path<'_>) -> Result<(), ObjectError> {
    if found > max { Err(path.error(Problem::TooMany { found, max })) } else { Ok(()) }
}

/// A number within its range.
pub(crate) fn within(found: i64, min: i64, max: i64, path: &Path<'_>) -> Result<i64, ObjectError> {
    if (min..=max).contains(&found) {
        Ok(found)
    } else {
        Err(path.error(Problem::OutOfRange { found, min, max }))
    }
}

/// One of some words.
pub(crate) fn one_of<T: Copy>(
    found: &str,
    words: &[(&str, T)],
    path: &Path<'_>,
) -> Result<T, ObjectError> {
    words.iter().find(|(word, _)| *word == found).map(|(_, meaning)| *meaning).ok_or_else(|| {
        path.error(Problem::Unknown {
            found: found.to_owned(),
            expected: words.iter().map(|(word, _)| (*word).to_owned()).collect(),
        })
    })
}

/// Reads each entry of a list.
pub(crate) fn each<V, T>(
    list: &[V],
    path: &Path<'_>,
    mut read: impl FnMut(&V, &Path<'_>) -> Result<T, ObjectError>,
) -> Result<Vec<T>, ObjectError> {
    list.iter().enumerate().map(|(at, entry)| read(entry, &path.index(at))).collect()
}
