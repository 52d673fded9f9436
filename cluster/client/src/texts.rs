// SPDX-License-Identifier: Apache-2.0
//! Labels and annotations: texts by name, small, in order.

use compact_str::CompactString as Text;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;

/// Texts by name, in order of names. Objects have few: they lie in one vector.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Texts(Vec<(Text, Text)>);

impl Texts {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }

    /// The text of a name.
    pub fn get(&self, name: &str) -> Option<&Text> {
        self.place(name).ok().map(|at| &self.0[at].1)
    }

    /// Whether a name is there.
    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Sets a name, and gives what it had.
    pub fn insert(&mut self, name: impl Into<Text>, text: impl Into<Text>) -> Option<Text> {
        let (name, text) = (name.into(), text.into());
        // As they mostly come: in order.
        if self.0.last().is_none_or(|(last, _)| *last < name) {
            self.0.push((name, text));
            return None;
        }
        match self.place(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, text)),
            Err(at) => {
                self.0.insert(at, (name, text));
                None
            }
        }
    }

    /// Takes a name out, and gives what it had.
    pub fn remove(&mut self, name: &str) -> Option<Text> {
        let at = self.place(name).ok()?;
        Some(self.0.remove(at).1)
    }

    /// Keeps those for which it is said so.
    pub fn retain(&mut self, mut keep: impl FnMut(&Text, &mut Text) -> bool) {
        self.0.retain_mut(|(name, text)| keep(name, text));
    }

    /// The first name and its text.
    pub fn first_key_value(&self) -> Option<(&Text, &Text)> {
        self.iter().next()
    }

    /// Names and texts, in order of names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Text, &Text)> + Clone {
        self.0.iter().map(|(name, text)| (name, text))
    }

    /// The names, in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Text> + Clone {
        self.0.iter().map(|(name, _)| name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The text of a name.
///
/// # Panics
///
/// If it is not there.
impl std::ops::Index<&str> for Texts {
    type Output = Text;

    #[expect(clippy::panic, reason = "an index that is not there is a defect, as with slices")]
    fn index(&self, name: &str) -> &Text {
        self.get(name).unwrap_or_else(|| panic!("no {name:?} among texts"))
    }
}

impl<N: Into<Text>, T: Into<Text>> Extend<(N, T)> for Texts {
    fn extend<I: IntoIterator<Item = (N, T)>>(&mut self, all: I) {
        // Sorted once: who sends many in the worst order makes nobody move them again and again.
        self.0.extend(all.into_iter().map(|(name, text)| (name.into(), text.into())));
        if self.0.is_sorted_by(|(a, _), (b, _)| a < b) {
            return;
        }
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        // Of one name the last one counts.
        self.0.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
    }
}

impl<N: Into<Text>, T: Into<Text>> FromIterator<(N, T)> for Texts {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(all: I) -> Self {
        let mut texts = Self::new();
        texts.extend(all);
        texts
    }
}

impl<N: Into<Text>, T: Into<Text>, const COUNT: usize> From<[(N, T); COUNT]> for Texts {
    fn from(all: [(N, T); COUNT]) -> Self {
        all.into_iter().collect()
    }
}

impl IntoIterator for Texts {
    type Item = (Text, Text);
    type IntoIter = std::vec::IntoIter<(Text, Text)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("texts by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut all: Vec<(Text, Text)> = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(all.into_iter().collect())
            }
        }
        reader.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_in_order_and_once_whatever_came() {
        let read: Texts = serde_json::from_str(r#"{"b":"1","a":"2","b":"3","c":"4"}"#).unwrap();
        assert_eq!(read, Texts::from([("a", "2"), ("b", "3"), ("c", "4")]));
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"a":"2","b":"3","c":"4"}"#);
        let mut texts = Texts::from([("m", "1")]);
        assert_eq!(texts.insert("a", "2"), None);
        assert_eq!(texts.insert("z", "3"), None);
        assert_eq!(texts.insert("m", "4").as_deref(), Some("1"));
        assert_eq!((texts.get("a").map(Text::as_str), texts.get("b")), (Some("2"), None));
        assert_eq!(texts.remove("m").as_deref(), Some("4"));
        assert_eq!(texts.remove("m"), None);
        assert_eq!(texts.keys().collect::<Vec<_>>(), ["a", "z"]);
    }
}
