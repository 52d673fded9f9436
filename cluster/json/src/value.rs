// SPDX-License-Identifier: Apache-2.0
//! A value.

use crate::{Map, Text};
use serde_json::Number;

/// A value of JSON (RFC 8259).
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(Text),
    /// A list.
    Array(Vec<Self>),
    /// An object.
    Object(Map),
}

pub(crate) static NULL: Value = Value::Null;

impl Value {
    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it is a flag.
    pub fn is_boolean(&self) -> bool {
        matches!(self, Self::Bool(_))
    }

    /// Whether it is a number.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Number(_))
    }

    /// Whether it is a text.
    pub fn is_string(&self) -> bool {
        matches!(self, Self::String(_))
    }

    /// Whether it is a list.
    pub fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Whether it is a whole number that an `i64` holds.
    pub fn is_i64(&self) -> bool {
        matches!(self, Self::Number(number) if number.is_i64())
    }

    /// The flag.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The number as an `i64`, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// The number as a `u64`, if it is one.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// The number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// The text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The list.
    pub fn as_array(&self) -> Option<&Vec<Self>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The list, to be changed.
    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Self>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The object.
    pub fn as_object(&self) -> Option<&Map> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The object, to be changed.
    pub fn as_object_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// A member by its name, or an item by its place.
    pub fn get(&self, at: impl Index) -> Option<&Self> {
        at.part(self)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, at: impl Index) -> Option<&mut Self> {
        at.part_mut(self)
    }

    /// Takes the value out and leaves null.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// What a JSON pointer (RFC 6901) means.
    pub fn pointer(&self, pointer: &str) -> Option<&Self> {
        steps(pointer)?.try_fold(self, |value, step| match value {
            Self::Object(members) => members.get(&step),
            Self::Array(items) => items.get(place(&step)?),
            _ => None,
        })
    }

    /// The same, to be changed.
    pub fn pointer_mut(&mut self, pointer: &str) -> Option<&mut Self> {
        steps(pointer)?.try_fold(self, |value, step| match value {
            Self::Object(members) => members.get_mut(&step),
            Self::Array(items) => items.get_mut(place(&step)?),
            _ => None,
        })
    }
}

/// The names of a pointer; none if it is not one.
fn steps(pointer: &str) -> Option<impl Iterator<Item = String> + '_> {
    let begins = pointer.is_empty() || pointer.starts_with('/');
    begins
        .then(|| pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")))
}

/// A place in a list: digits without a sign and without zeros in front.
fn place(step: &str) -> Option<usize> {
    let plain = !step.starts_with('+') && (!step.starts_with('0') || step.len() == 1);
    plain.then(|| step.parse().ok()).flatten()
}

/// How a part of a value is named: a member by a text, an item by a number.
pub trait Index {
    /// The part.
    fn part<'a>(&self, of: &'a Value) -> Option<&'a Value>;
    /// The part, to be changed.
    fn part_mut<'a>(&self, of: &'a mut Value) -> Option<&'a mut Value>;
    /// The part, which is made where it can be.
    fn made<'a>(&self, of: &'a mut Value) -> &'a mut Value;
}

impl Index for str {
    fn part<'a>(&self, of: &'a Value) -> Option<&'a Value> {
        of.as_object()?.get(self)
    }

    fn part_mut<'a>(&self, of: &'a mut Value) -> Option<&'a mut Value> {
        of.as_object_mut()?.get_mut(self)
    }

    #[expect(clippy::panic, reason = "an index that is not there is a defect, as with slices")]
    fn made<'a>(&self, of: &'a mut Value) -> &'a mut Value {
        if of.is_null() {
            *of = Value::Object(Map::new());
        }
        match of {
            Value::Object(members) => members.entry(self).or_insert(Value::Null),
            other => panic!("{self:?} of a value that is no object: {other}"),
        }
    }
}

impl Index for usize {
    fn part<'a>(&self, of: &'a Value) -> Option<&'a Value> {
        of.as_array()?.get(*self)
    }

    fn part_mut<'a>(&self, of: &'a mut Value) -> Option<&'a mut Value> {
        of.as_array_mut()?.get_mut(*self)
    }

    #[expect(clippy::panic, reason = "an index that is not there is a defect, as with slices")]
    fn made<'a>(&self, of: &'a mut Value) -> &'a mut Value {
        match of {
            Value::Array(items) => &mut items[*self],
            other => panic!("item {self} of a value that is no list: {other}"),
        }
    }
}

macro_rules! texts {
    ($($kind:ty)*) => {$(
        impl Index for $kind {
            fn part<'a>(&self, of: &'a Value) -> Option<&'a Value> {
                self.as_str().part(of)
            }

            fn part_mut<'a>(&self, of: &'a mut Value) -> Option<&'a mut Value> {
                self.as_str().part_mut(of)
            }

            fn made<'a>(&self, of: &'a mut Value) -> &'a mut Value {
                self.as_str().made(of)
            }
        }
    )*};
}

texts!(String Text);

impl<T: Index + ?Sized> Index for &T {
    fn part<'a>(&self, of: &'a Value) -> Option<&'a Value> {
        (**self).part(of)
    }

    fn part_mut<'a>(&self, of: &'a mut Value) -> Option<&'a mut Value> {
        (**self).part_mut(of)
    }

    fn made<'a>(&self, of: &'a mut Value) -> &'a mut Value {
        (**self).made(of)
    }
}

/// The part, or null if it is not there.
impl<I: Index> std::ops::Index<I> for Value {
    type Output = Self;

    fn index(&self, at: I) -> &Self {
        at.part(self).unwrap_or(&NULL)
    }
}

/// The part; a member that is not there is made, and null becomes an object for it.
///
/// # Panics
///
/// Of what is neither, and of an item that is not there.
impl<I: Index> std::ops::IndexMut<I> for Value {
    fn index_mut(&mut self, at: I) -> &mut Self {
        at.made(self)
    }
}
