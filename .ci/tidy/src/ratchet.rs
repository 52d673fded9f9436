// SPDX-License-Identifier: Apache-2.0
//! What is longer than it should be, with its length. The list may only shrink.

use std::collections::BTreeMap;

/// The list, by file, or by file and function.
#[derive(Debug, Default)]
pub struct Ratchet(BTreeMap<String, usize>);

impl Ratchet {
    /// Reads the list: a line each, `LENGTH NAME`; lines that begin with `#` are comments.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let entries = lines.filter_map(|line| {
            let (length, name) = line.split_once(' ')?;
            Some((name.to_owned(), length.parse().ok()?))
        });
        Self(entries.collect())
    }

    /// What of `measured`, all of it too long, is new here or grew; and what of the list is no longer too long.
    #[must_use]
    pub fn compare(&self, measured: &[(String, usize)]) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, lines) in measured {
            match self.0.get(name) {
                None => problems.push(format!("{name}: {lines} lines are too many; split it")),
                Some(cap) if lines > cap => {
                    problems.push(format!("{name}: {lines} lines; it may only shrink from {cap}"));
                }
                Some(_) => {}
            }
        }
        let over = |name: &String| measured.iter().any(|(other, _)| other == name);
        for name in self.0.keys().filter(|name| !over(name)) {
            problems.push(format!("{name} is short enough: take it out of .ci/tidy/ratchet.txt"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_may_only_shrink() {
        let ratchet = Ratchet::read("# a comment\n900 a.rs\n100 b.rs long\n");
        let check = |a: usize, b: usize| {
            ratchet.compare(&[("a.rs".to_owned(), a), ("b.rs long".to_owned(), b)]).len()
        };
        assert_eq!(check(900, 100), 0);
        assert_eq!(check(850, 100), 0);
        assert_eq!(check(901, 101), 2);
        assert_eq!(ratchet.compare(&[("a.rs".to_owned(), 900)]).len(), 1, "b.rs is done");
        let new =
            [("a.rs".to_owned(), 900), ("b.rs long".to_owned(), 100), ("c.rs".to_owned(), 801)];
        assert_eq!(ratchet.compare(&new).len(), 1);
    }
}
