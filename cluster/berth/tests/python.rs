// SPDX-License-Identifier: Apache-2.0
//! The official Python client against the binary: the suite in the folder `python`, which reads every answer with the client's models.
//!
//! With `BERTH_REQUIRE_PYTHON_CLIENT=1` the client has to be there; `.ci/run` installs it into `target/python-client`.

mod apiserver;

use apiserver::Apiserver;
use std::env;
use std::path::Path;
use std::process::Command;

#[test]
fn the_python_client_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join("target/python-client/bin/python");
    if !python.exists() {
        let required = env::var("BERTH_REQUIRE_PYTHON_CLIENT").is_ok_and(|value| value == "1");
        assert!(!required, "there is no {}", python.display());
        eprintln!("skipped: there is no client in target/python-client");
        return;
    }
    // The second start forgets the events before it: a watch of them is to be told so.
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sled:{}", folder.path().join("store").display());
    drop(Apiserver::start_on(&store, &[]));
    let server = Apiserver::start_on(&store, &[]);
    let output = Command::new(python)
        .args(["-m", "unittest", "discover", "--verbose"])
        .current_dir(root.join("cluster/berth/tests/python"))
        .env("KUBECONFIG", &server.kubeconfig)
        .env("TOKEN", apiserver::TOKEN)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stdout));
    // A suite that finds no test is content, too.
    let ran = told.lines().filter(|line| line.ends_with(" ... ok")).count();
    assert!(ran > 60, "{ran} tests:\n{told}");
    eprintln!("the Python client: {ran} tests");
}
