// SPDX-License-Identifier: Apache-2.0
//! Compiles the programs that are loaded into engines: static, by the compiler that compiles the crate, without anything to download.

#![allow(clippy::panic, reason = "a build has nobody else to tell")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// What makes a program small and keeps the names of this machine's folders out of it.
const COMMON: [&str; 8] = [
    "--edition=2024",
    "-Copt-level=s",
    "-Cpanic=abort",
    "-Cstrip=symbols",
    "-Ccodegen-units=1",
    "--crate-type=bin",
    "-Cdebuginfo=0",
    "-Clink-arg=-Wl,--build-id=none",
];

/// The pause program brings its own start and uses no library; `-n` does not align its parts to pages, so it stays below 4 KiB.
const BARE: [&str; 6] = [
    "-Crelocation-model=static",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static",
    "-Clink-arg=-Wl,-n",
    "-Clink-arg=-Wl,--gc-sections",
];

/// A program with the standard library that runs in an image without files.
const STATIC: [&str; 1] = ["-Ctarget-feature=+crt-static"];

fn main() {
    let target = variable("TARGET");
    let known = ["x86_64", "aarch64"].iter().any(|arch| target.starts_with(arch));
    assert!(
        known && target.contains("linux"),
        "Docker's node programs are for Linux on x86_64 and aarch64, not {target}"
    );
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/exec/tree.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    compile("pause", &target, &BARE);
    compile("echo", &target, &STATIC);
    compile("reach", &target, &STATIC);
}

fn compile(name: &str, target: &str, more: &[&str]) {
    let source = format!("{name}/main.rs");
    println!("cargo::rerun-if-changed={name}");
    let out: PathBuf = Path::new(&variable("OUT_DIR")).join(name);
    let mut command = Command::new(variable("RUSTC"));
    command.args(COMMON).args(more).args(["--target", target, "--crate-name", name, "-o"]);
    command.arg(&out).arg(&source);
    command.arg(format!("--remap-path-prefix={}=.", variable("CARGO_MANIFEST_DIR")));
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        command.arg(format!("-Clinker={linker}"));
    }
    let status =
        command.status().unwrap_or_else(|error| panic!("cannot start the compiler: {error}"));
    assert!(status.success(), "the program {name} does not compile");
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|error| panic!("cargo sets {name}: {error}"))
}
