// SPDX-License-Identifier: Apache-2.0
//! The repository is tidy.

use berth_ci_tidy::ratchet::Ratchet;
use berth_ci_tidy::{Workspace, documents, layers, sources, supply};

fn check(problems: impl FnOnce(&Workspace) -> Vec<String>) {
    let workspace = Workspace::load().expect("the repository can be read");
    let problems = problems(&workspace);
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn dependencies_point_down() {
    check(layers::ranks);
}

#[test]
fn crates_are_called_after_their_folders() {
    check(layers::names);
}

#[test]
fn crates_do_the_io_they_declare() {
    check(layers::purity);
}

#[test]
fn the_pure_crates_do_not_know_std() {
    check(layers::without_std);
}

#[test]
fn files_say_what_they_are() {
    check(sources::headers);
}

#[test]
fn files_and_functions_are_short() {
    check(|workspace| sources::lengths(workspace, &Ratchet::read(include_str!("../ratchet.txt"))));
}

#[test]
fn members_take_the_lints() {
    check(sources::lints);
}

#[test]
fn production_code_does_not_unwrap() {
    check(sources::unwraps);
}

#[test]
fn modules_have_names_that_say_something() {
    check(sources::modules);
}

#[test]
fn links_lead_somewhere() {
    check(documents::links);
}

#[test]
fn documented_commands_exist() {
    check(documents::commands);
}

#[test]
fn dependencies_are_argued() {
    check(documents::dependencies);
}

#[test]
fn packages_come_from_one_place_under_fitting_licences() {
    check(|workspace| supply::origins(&supply::packages(workspace).expect("cargo knows them")));
}

#[test]
fn packages_come_in_one_version() {
    check(|workspace| supply::versions(&supply::packages(workspace).expect("cargo knows them")));
}

#[test]
fn no_file_names_a_machine() {
    check(documents::machines);
}

#[test]
fn decisions_are_numbered() {
    check(documents::decisions);
}
