// SPDX-License-Identifier: Apache-2.0
//! docs/conformance.md and the cases say the same.

use crate::case::{self, Class, FOLDER};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Where the part of the document begins that is held against the cases.
const PART: &str = "## Containers and traffic";

/// The rows of the table: names, and what stands beside them.
fn rows() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, part) = text.split_once(PART).unwrap_or_else(|| panic!("no part {PART:?}"));
    let mut rows = BTreeMap::new();
    for line in part.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 4)
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if ["B", "C"].contains(&cells[1]) {
            let twice = rows.insert(format!("{} {}", cells[1], cells[2]), cells[3].to_owned());
            assert!(twice.is_none(), "there are two rows of {}", cells[2]);
        }
    }
    rows
}

#[test]
fn the_document_says_of_each_test_which_case_has_it_or_why_none_does() {
    let names = fs::read_to_string(Path::new(FOLDER).join("names.txt")).unwrap();
    let names: BTreeSet<String> = names
        .lines()
        .map(|line| {
            let parts: Vec<&str> = line.split('\t').collect();
            format!("{} {}", parts[0], parts[2])
        })
        .collect();
    let mut cases = BTreeMap::new();
    for one in case::all() {
        let class = if one.class == Class::B { "B" } else { "C" };
        let (name, file) = (format!("{class} {}", one.name), one.file);
        let twice = cases.insert(name.clone(), format!("`{file}`"));
        assert!(twice.is_none(), "there are two cases of {name}");
        assert!(names.contains(&name), "upstream has no test {name}");
    }
    let rows = rows();
    assert_eq!(
        rows.keys().cloned().collect::<BTreeSet<_>>(),
        names,
        "a row for each of upstream's"
    );
    for (name, by) in &rows {
        assert!(!by.is_empty(), "the row of {name} says nothing");
        let claimed = by.starts_with('`').then_some(by);
        assert_eq!(claimed, cases.get(name), "the row of {name} names the file of its case");
    }
    let of = |class: &str| cases.keys().filter(|name| name.starts_with(class)).count();
    println!(
        "{} of {} are covered: {} of B, {} of C",
        cases.len(),
        names.len(),
        of("B "),
        of("C ")
    );
}
