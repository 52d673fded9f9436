// SPDX-License-Identifier: Apache-2.0
//! Calls that are cut off at each step, as by a crash, and made again.

use super::*;

const STEPS_MAX: u32 = 2_000;

fn all(ground: &Ground) -> (Pod, Sources) {
    let context = if may_mount() { json!({"fsGroup": 42}) } else { json!({}) };
    let mut mounts: Vec<_> = all_kinds(ground)
        .iter()
        .map(|volume| json!({"name": volume["name"], "mountPath": format!("/m/{}", volume["name"].as_str().unwrap())}))
        .collect();
    if may_mount() {
        mounts.push(json!({"name": "empty", "mountPath": "/part", "subPath": "a/b"}));
        mounts.push(json!({"name": "map", "mountPath": "/one", "subPath": "a"}));
    }
    let pod = with_mounts(&all_kinds(ground), &mounts, context);
    (pod, sources(&[("a", "1"), ("b", "2")], &[("k", "v")], "jwt"))
}

/// All that is made for a pod, from nothing.
fn make(ground: &Ground, pod: &Pod, sources: &Sources) -> Result<Vec<crate::Bind>, VolumeError> {
    let folder = ground.folder();
    let prepared = folder.prepare(pod, sources, &facts())?;
    folder.write_etc(&etc())?;
    folder.binds(pod, "c", 3, &prepared, &BTreeMap::new())
}

fn assert_made(ground: &Ground, binds: &[crate::Bind]) {
    let read = |path: &str| fs::read_to_string(ground.volume(path)).unwrap();
    assert_eq!(
        (read("map/a"), read("map/b"), read("secret/deep/er/k")),
        ("1".into(), "2".into(), "v".into())
    );
    assert_eq!((read("projected/token"), read("down/labels")), ("jwt".into(), "a=\"b\"".into()));
    for bind in binds {
        assert!(Path::new(&bind.host).exists(), "{bind:?}");
    }
    if may_mount() {
        for path in ["empty", "memory"] {
            assert_eq!(mode(&ground.volume(path)), (0o2777, 42));
        }
        let one = binds.iter().find(|bind| bind.container == "/one").unwrap();
        assert_eq!(fs::read_to_string(&one.host).unwrap(), "1");
        let part = binds.iter().find(|bind| bind.container == "/part").unwrap();
        assert_eq!(mode(Path::new(&part.host)), (0o2777, 42));
    }
    let volumes: Vec<_> =
        fs::read_dir(ground.volume("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(volumes.iter().all(|name| !name.to_str().unwrap().starts_with('.')), "{volumes:?}");
    ground.assert_canary();
}

#[test]
fn making_can_be_cut_off_anywhere() {
    let mut cuts = 0;
    for cut in 0..STEPS_MAX {
        let ground = Ground::new();
        let (pod, sources) = all(&ground);
        steps::cut_after(Some(cut));
        let made = make(&ground, &pod, &sources);
        steps::cut_after(None);
        let done = made.is_ok();
        cuts += u32::from(!done);
        // Every other time it is given up instead of made good.
        if cut % 2 == 0 || done {
            assert_made(&ground, &make(&ground, &pod, &sources).unwrap());
        }
        ground.folder().tear_down().unwrap();
        ground.assert_gone();
        if done {
            assert!(cuts > 50, "only {cuts} steps");
            return;
        }
    }
    panic!("it does not end");
}

#[test]
fn tearing_down_can_be_cut_off_anywhere() {
    for cut in 0..STEPS_MAX {
        let ground = Ground::new();
        let (pod, sources) = all(&ground);
        make(&ground, &pod, &sources).unwrap();
        steps::cut_after(Some(cut));
        let done = ground.folder().tear_down().is_ok();
        steps::cut_after(None);
        ground.assert_canary();
        if cut % 3 == 1 {
            // The pod may come again before the rest is removed.
            assert_made(&ground, &make(&ground, &pod, &sources).unwrap());
        }
        ground.folder().tear_down().unwrap();
        ground.folder().tear_down().unwrap();
        ground.assert_gone();
        assert!(ground.outside().join("made/here").is_dir());
        if done {
            assert!(cut > 20, "only {cut} steps");
            return;
        }
    }
    panic!("it does not end");
}

#[test]
fn folders_of_pods_that_nobody_knows_are_swept() {
    let ground = Ground::new();
    let (pod, sources) = all(&ground);
    make(&ground, &pod, &sources).unwrap();
    let pods = ground.dir.path().join("root/pods");
    // A crash while a folder was made; a pod that is known; and what is no folder of a pod.
    fs::create_dir(pods.join(".new-u-2")).unwrap();
    fs::create_dir(pods.join(".new-u-3")).unwrap();
    fs::create_dir_all(pods.join("u-3/volumes")).unwrap();
    fs::write(pods.join("file"), "").unwrap();
    std::os::unix::fs::symlink(ground.outside(), pods.join("link")).unwrap();
    fs::create_dir(pods.join("-odd")).unwrap();
    let known = std::collections::BTreeSet::from(["u-3".to_owned()]);
    let swept = ground.root.sweep(&known).unwrap();
    assert_eq!((swept.removed, swept.failed.len()), (vec!["u-1".to_owned(), "u-2".to_owned()], 0));
    ground.assert_canary();
    let mut left: Vec<_> = fs::read_dir(&pods).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["-odd", ".new-u-3", "file", "link", "u-3"]);
}
