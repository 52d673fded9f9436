// SPDX-License-Identifier: Apache-2.0
//! Folders of pods on a real file system. What needs mounts runs as root, and only then.

mod attacks;
mod cut_off;
mod kinds;
mod parts;
mod swaps;

use super::rights::Rights;
use super::{Folder, Prepared, Root, mounts, steps};
use crate::error::VolumeError;
use crate::etc::Etc;
use crate::facts::{Facts, NodeAmounts};
use crate::needs::TokenNeed;
use crate::sources::{Claim, Lookup, Sources, Token};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// A folder of pods, and beside it what is not theirs.
struct Ground {
    dir: TempDir,
    root: Root,
}

impl Ground {
    fn new() -> Self {
        Self::with(Rights::own())
    }

    fn with(rights: Rights) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::with(&dir.path().join("root"), rights).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/canary"), "alive").unwrap();
        Self { dir, root }
    }

    fn outside(&self) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join("outside")
    }

    fn folder(&self) -> Folder {
        self.root.folder("u-1").unwrap()
    }

    /// What lies in the pod's folder.
    fn own(&self, path: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join("root/pods/u-1").join(path)
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.own("volumes").join(name)
    }

    fn assert_canary(&self) {
        assert_eq!(fs::read_to_string(self.outside().join("canary")).unwrap(), "alive");
    }

    fn assert_gone(&self) {
        let pods = self.dir.path().join("root/pods");
        let left: Vec<_> = fs::read_dir(pods).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
        self.assert_canary();
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        steps::cut_after(None);
        drop(mounts::unmount_below(&fs::canonicalize(self.dir.path()).unwrap()));
    }
}

/// Whether mounts can be tried. Without the right they are not, unless it is demanded.
fn may_mount() -> bool {
    let may = Rights::own().mount && Rights::own().chown;
    let demanded = std::env::var("BERTH_REQUIRE_ROOT").is_ok_and(|value| value == "1");
    assert!(may || !demanded, "BERTH_REQUIRE_ROOT=1, and this is not root");
    if !may {
        eprintln!("not root: what needs mounts is not tried");
    }
    may
}

const NO_RIGHTS: Rights = Rights { mount: false, chown: false };

/// A pod with one container, which mounts all volumes below `/m`.
fn pod(volumes: &[Value], context: Value) -> Pod {
    let mounts: Vec<_> = volumes
        .iter()
        .map(|volume| {
            let name = volume["name"].as_str().unwrap();
            json!({"name": name, "mountPath": format!("/m/{name}")})
        })
        .collect();
    with_mounts(volumes, &mounts, context)
}

fn with_mounts(volumes: &[Value], mounts: &[Value], context: Value) -> Pod {
    let pod = json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u-1", "labels": {"a": "b"}},
        "spec": {"securityContext": context, "volumes": volumes, "containers": [{"name": "c", "volumeMounts": mounts}]},
    });
    serde_json::from_value(pod).unwrap()
}

fn config_map(data: &[(&str, &str)]) -> Value {
    let data: BTreeMap<_, _> = data.iter().copied().collect();
    json!({"data": data})
}

fn sources(map: &[(&str, &str)], secret: &[(&str, &str)], token: &str) -> Sources {
    let map = serde_json::from_value(config_map(map)).unwrap();
    let mut of_secret = k8s_openapi::api::core::v1::Secret::default();
    let bytes = |text: &str| k8s_openapi::ByteString(text.as_bytes().to_vec());
    of_secret.data = Some(secret.iter().map(|(k, v)| ((*k).to_owned(), bytes(v))).collect());
    let need = TokenNeed { audience: String::new(), seconds: 3_600 };
    Sources {
        config_maps: BTreeMap::from([("map".to_owned(), Lookup::found(map))]),
        secrets: BTreeMap::from([("secret".to_owned(), Lookup::found(of_secret))]),
        tokens: BTreeMap::from([(need, Lookup::found(Token(token.to_owned())))]),
        ..Sources::default()
    }
}

fn facts() -> Facts {
    let allocatable = NodeAmounts { memory_bytes: 64 << 20, ..NodeAmounts::default() };
    Facts { allocatable, ..Facts::default() }
}

fn prepare(ground: &Ground, pod: &Pod, sources: &Sources) -> Result<Prepared, VolumeError> {
    ground.folder().prepare(pod, sources, &facts())
}

/// Permissions and group.
fn mode(path: &Path) -> (u32, u32) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.permissions().mode() & 0o7777, metadata.gid())
}

fn etc() -> Etc {
    Etc {
        hosts: "hosts\n".to_owned(),
        resolv_conf: "nameserver 10.96.0.10\n".to_owned(),
        hostname: "p\n".to_owned(),
        warnings: Vec::new(),
    }
}

fn all_kinds(ground: &Ground) -> Vec<Value> {
    let mut kinds = vec![
        json!({"name": "map", "configMap": {"name": "map"}}),
        json!({"name": "secret", "secret": {"secretName": "secret", "items": [{"key": "k", "path": "deep/er/k"}]}}),
        json!({"name": "down", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}),
        json!({"name": "projected", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "map"}}]}}),
        json!({"name": "empty", "emptyDir": {}}),
        json!({"name": "host", "hostPath": {"path": ground.outside(), "type": "Directory"}}),
        json!({"name": "made", "hostPath": {"path": ground.outside().join("made/here"), "type": "DirectoryOrCreate"}}),
    ];
    if Rights::own().mount {
        kinds.push(json!({"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}));
    }
    kinds
}

/// Stops what runs beside a test, however the test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn claim(spec: &Value, changes: impl FnOnce(&mut Claim)) -> Lookup<Claim> {
    let claim = json!({"metadata": {"uid": "c-1"}, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}});
    let volume = json!({"metadata": {"name": "pv"}, "spec": spec});
    let mut claim = Claim {
        claim: serde_json::from_value(claim).unwrap(),
        volume: Some(serde_json::from_value(volume).unwrap()),
    };
    changes(&mut claim);
    Lookup::found(claim)
}
