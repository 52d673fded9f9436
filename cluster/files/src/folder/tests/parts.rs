// SPDX-License-Identifier: Apache-2.0
//! What containers see where: binds, parts of volumes, files below `/etc`, last words.

use super::*;
use crate::{Bind, Propagation};
use std::os::unix::fs::symlink;

fn binds(ground: &Ground, pod: &Pod, env: &[(&str, &str)]) -> Result<Vec<Bind>, String> {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let prepared = prepare(ground, pod, &sources(&[("a", "1")], &[], ""))
        .map_err(|error| error.to_string())?;
    ground.folder().binds(pod, "c", 0, &prepared, &env).map_err(|error| error.to_string())
}

fn one(mount: Value, env: &[(&str, &str)], ground: &Ground) -> Result<Bind, String> {
    let volumes = [
        json!({"name": "e", "emptyDir": {}}),
        json!({"name": "map", "configMap": {"name": "map"}}),
    ];
    let pod = with_mounts(&volumes, &[mount], json!({}));
    binds(ground, &pod, env).map(|mut binds| binds.remove(0))
}

#[test]
fn mounts_become_binds() {
    let ground = Ground::new();
    ground.folder().write_etc(&etc()).unwrap();
    let volumes = [
        json!({"name": "e", "emptyDir": {}}),
        json!({"name": "map", "configMap": {"name": "map"}}),
    ];
    let mounts = [
        json!({"name": "e", "mountPath": "/e/./x//y"}),
        json!({"name": "e", "mountPath": "relative", "readOnly": true, "mountPropagation": "HostToContainer"}),
        json!({"name": "map", "mountPath": "/etc/hostname"}),
    ];
    let pod = with_mounts(&volumes, &mounts, json!({}));
    let got = binds(&ground, &pod, &[]).unwrap();
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    let bind = |host: PathBuf, container: &str, read_only: bool| Bind {
        host: text(host),
        container: container.to_owned(),
        read_only,
        propagation: Propagation::None,
    };
    let wanted = [
        bind(ground.volume("e"), "/e/x/y", false),
        Bind {
            propagation: Propagation::HostToContainer,
            ..bind(ground.volume("e"), "/relative", true)
        },
        bind(ground.volume("map"), "/etc/hostname", true),
        bind(ground.own("etc/hosts"), "/etc/hosts", false),
        bind(ground.own("etc/resolv.conf"), "/etc/resolv.conf", false),
        bind(ground.own("containers/c/0"), "/dev/termination-log", false),
    ];
    assert_eq!(got, wanted);
    assert_eq!(mode(&ground.own("containers/c/0")).0, 0o666);
}

#[test]
fn hostile_mounts_are_refused() {
    let ground = Ground::new();
    for (mount, want) in [
        (
            json!({"name": "e", "mountPath": "/a:b"}),
            "mountPath \"/a:b\" must not be empty, nor hold control characters or ':'",
        ),
        (json!({"name": "e", "mountPath": "/a/../../etc"}), "must not contain '..'"),
        (json!({"name": "e", "mountPath": "/a\nb"}), "control characters"),
        (json!({"name": "e", "mountPath": ""}), "must not be empty"),
        (
            json!({"name": "e", "mountPath": "/a", "subPath": "/etc"}),
            "subPath \"/etc\" must be a relative path",
        ),
        (json!({"name": "e", "mountPath": "/a", "subPath": "a/../../b"}), "must not contain '..'"),
        (json!({"name": "e", "mountPath": "/a", "subPathExpr": "$(UP)"}), "must not contain '..'"),
        (
            json!({"name": "e", "mountPath": "/a", "subPathExpr": "$(ABS)"}),
            "must be a relative path",
        ),
        (
            json!({"name": "e", "mountPath": "/a", "subPathExpr": "x/$(NONE)"}),
            "missing value for \"NONE\"",
        ),
        (json!({"name": "none", "mountPath": "/a"}), "cannot find volume \"none\""),
        (
            json!({"name": "e", "mountPath": "/a", "mountPropagation": "Bidirectional"}),
            "not privileged",
        ),
        (
            json!({"name": "e", "mountPath": "/a", "mountPropagation": "Up"}),
            "mountPropagation: \"Up\"",
        ),
        (
            json!({"name": "e", "mountPath": "/a", "recursiveReadOnly": "Enabled"}),
            "recursiveReadOnly",
        ),
    ] {
        let error = one(mount, &[("UP", "a/.."), ("ABS", "/x")], &ground).unwrap_err();
        assert!(error.starts_with("container c: volume mount ") && error.contains(want), "{error}");
    }
    let other = serde_json::from_value(json!({"metadata": {"uid": "u-2"}})).unwrap();
    assert!(ground.folder().prepare(&other, &Sources::default(), &facts()).is_err());
    for uid in ["", "..", "a/b", "-x", ".new-u", "a\0"] {
        assert!(ground.root.folder(uid).is_err(), "{uid:?}");
    }
}

#[test]
fn a_part_of_a_volume() {
    if !may_mount() {
        return;
    }
    let ground = Ground::new();
    let at = |path: &str| json!({"name": "e", "mountPath": "/a", "subPath": path});
    let expression = json!({"name": "e", "mountPath": "/a", "subPathExpr": "$(POD)/x"});
    let whole = one(at("."), &[], &ground).unwrap();
    assert_eq!(whole.host, ground.volume("e").to_str().unwrap());
    let part = one(expression, &[("POD", "p")], &ground).unwrap();
    fs::write(Path::new(&part.host).join("f"), "1").unwrap();
    assert_eq!(fs::read_to_string(ground.volume("e/p/x/f")).unwrap(), "1");
    assert_eq!(mode(&ground.volume("e/p/x")).0, 0o777);
    // Again: the same mount. Another part in the same place: that one.
    steps::cut_after(Some(0));
    assert_eq!(one(at("p/x"), &[], &ground).unwrap(), part);
    steps::cut_after(None);
    fs::write(ground.volume("e/file"), "2").unwrap();
    let file = one(at("file"), &[], &ground).unwrap();
    assert_eq!(fs::read_to_string(&file.host).unwrap(), "2");
    // A link that stays within leads on; what was mounted stays what it was.
    symlink("p/x", ground.volume("e/inner")).unwrap();
    let inner = one(at("inner"), &[], &ground).unwrap();
    fs::rename(ground.volume("e/p"), ground.volume("e/q")).unwrap();
    assert_eq!(fs::read_to_string(Path::new(&inner.host).join("f")).unwrap(), "1");
    // Of a ConfigMap: the file as it was then.
    let of_map = json!({"name": "map", "mountPath": "/a", "subPath": "a"});
    let file = one(of_map, &[], &ground).unwrap();
    assert!(file.read_only);
    assert_eq!(fs::read_to_string(&file.host).unwrap(), "1");
    ground.folder().tear_down().unwrap();
    ground.assert_gone();
}

#[test]
fn without_the_right_to_mount_only_the_agents_own_volumes_have_parts() {
    let ground = Ground::with(NO_RIGHTS);
    let error =
        one(json!({"name": "e", "mountPath": "/a", "subPath": "x"}), &[], &ground).unwrap_err();
    assert!(
        error.contains("subPath of a volume that containers write needs CAP_SYS_ADMIN"),
        "{error}"
    );
    let bind =
        one(json!({"name": "map", "mountPath": "/a", "subPath": "a"}), &[], &ground).unwrap();
    assert_eq!(bind.host, ground.volume("map/a").to_str().unwrap());
}

#[test]
fn files_below_etc() {
    let ground = Ground::new();
    let folder = ground.folder();
    folder.write_etc(&etc()).unwrap();
    let hosts = ground.own("etc/hosts");
    assert_eq!(fs::read_to_string(&hosts).unwrap(), "hosts\n");
    assert_eq!(mode(&hosts).0, 0o644);
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let before = inode(&hosts);
    folder.write_etc(&etc()).unwrap();
    assert_eq!(inode(&hosts), before);
    folder.write_etc(&Etc { hosts: "other\n".to_owned(), ..etc() }).unwrap();
    assert_ne!(inode(&hosts), before);
    assert_eq!(fs::read_to_string(&hosts).unwrap(), "other\n");
    // On the host's network there is no host name; one with a read-only root cannot write the others.
    let ground = Ground::new();
    ground.folder().write_etc(&Etc { hostname: String::new(), ..etc() }).unwrap();
    let mut pod = pod(&[], json!({}));
    let container = &mut pod.spec.as_mut().unwrap().containers[0];
    container.security_context =
        serde_json::from_value(json!({"readOnlyRootFilesystem": true})).unwrap();
    container.termination_message_path = Some("/var/last words".to_owned());
    let binds = binds(&ground, &pod, &[]).unwrap();
    let seen: Vec<_> = binds.iter().map(|bind| (bind.container.as_str(), bind.read_only)).collect();
    assert_eq!(
        seen,
        [("/etc/hosts", false), ("/etc/resolv.conf", true), ("/var/last words", false)]
    );
}

#[test]
fn last_words() {
    let ground = Ground::new();
    let folder = ground.folder();
    let pod = pod(&[], json!({}));
    let prepared = prepare(&ground, &pod, &Sources::default()).unwrap();
    let log = |attempt: u32| ground.own(&format!("containers/c/{attempt}"));
    assert_eq!(folder.termination_message("c", 0).unwrap(), "");
    for attempt in 0..4 {
        folder.binds(&pod, "c", attempt, &prepared, &BTreeMap::new()).unwrap();
        fs::write(log(attempt), format!("run {attempt}")).unwrap();
        folder.binds(&pod, "c", attempt, &prepared, &BTreeMap::new()).unwrap();
        assert_eq!(folder.termination_message("c", attempt).unwrap(), format!("run {attempt}"));
    }
    assert!(!log(1).exists() && log(2).exists());
    fs::write(log(3), format!("start{}", "x".repeat(4_096))).unwrap();
    assert_eq!(folder.termination_message("c", 3).unwrap(), "x".repeat(4_096));
    // What is no file, or leads elsewhere, is not read.
    fs::remove_file(log(3)).unwrap();
    symlink(ground.outside().join("canary"), log(3)).unwrap();
    assert!(folder.termination_message("c", 3).is_err());
    fs::remove_file(log(3)).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        log(3),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    assert!(folder.termination_message("c", 3).is_err());
    assert!(folder.termination_message("../c", 3).is_err());
}

#[test]
fn profiles_are_read_from_their_folder_only() {
    let ground = Ground::new();
    let seccomp = ground.dir.path().join("root/seccomp");
    fs::create_dir_all(seccomp.join("sub")).unwrap();
    fs::write(seccomp.join("sub/a.json"), "{}").unwrap();
    symlink(ground.outside().join("canary"), seccomp.join("link")).unwrap();
    assert_eq!(ground.root.seccomp_profile("sub/a.json").unwrap(), "{}");
    for name in ["link", "../x", "/etc/passwd", "", "none", "sub"] {
        assert!(ground.root.seccomp_profile(name).is_err(), "{name:?}");
    }
}
