// SPDX-License-Identifier: Apache-2.0
//! Each kind of volume.

use super::*;
use std::os::unix::fs::symlink;

fn refused(ground: &Ground, volume: Value) -> String {
    prepare(ground, &pod(&[volume], json!({})), &Sources::default()).unwrap_err().to_string()
}

#[test]
fn objects_become_files() {
    let ground = Ground::new();
    let pod = pod(
        &[
            json!({"name": "map", "configMap": {"name": "map", "defaultMode": 0o400, "items": [
                {"key": "a", "path": "x/y/a"}, {"key": "b", "path": "b", "mode": 0o755}]}}),
            json!({"name": "secret", "secret": {"secretName": "secret"}}),
            json!({"name": "projected", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}),
        ],
        json!({}),
    );
    let prepared =
        prepare(&ground, &pod, &sources(&[("a", "1"), ("b", "2")], &[("k", "v")], "jwt")).unwrap();
    let read =
        |volume: &str, file: &str| fs::read_to_string(ground.volume(volume).join(file)).unwrap();
    assert_eq!((read("map", "x/y/a"), read("map", "b")), ("1".to_owned(), "2".to_owned()));
    assert_eq!(
        (read("secret", "k"), read("projected", "token")),
        ("v".to_owned(), "jwt".to_owned())
    );
    let map = ground.volume("map");
    assert_eq!(mode(&map.join("x/y/a")).0, 0o400);
    assert_eq!(mode(&map.join("b")).0, 0o755);
    assert_eq!(mode(&map).0, 0o755);
    assert_eq!(fs::read_link(map.join("b")).unwrap(), Path::new("..data/b"));
    assert_eq!(prepared.path("map"), Some(map.as_path()));
    assert_eq!(mounts::is_mounted(&ground.volume("secret")).unwrap(), Rights::own().mount);
    assert!(!mounts::is_mounted(&map).unwrap());
    ground.folder().tear_down().unwrap();
    ground.assert_gone();
}

#[test]
fn a_volume_that_nobody_mounts_is_not_made() {
    let ground = Ground::new();
    let volumes = [
        json!({"name": "a", "emptyDir": {}}),
        json!({"name": "b", "secret": {"secretName": "gone"}}),
    ];
    let pod = with_mounts(&volumes, &[json!({"name": "a", "mountPath": "/a"})], json!({}));
    prepare(&ground, &pod, &Sources::default()).unwrap();
    assert!(ground.volume("a").is_dir() && !ground.volume("b").exists());
}

#[test]
fn a_group_owns_what_it_shall() {
    if !may_mount() {
        return;
    }
    let ground = Ground::new();
    let volumes = [
        json!({"name": "empty", "emptyDir": {}}),
        json!({"name": "memory", "emptyDir": {"medium": "Memory"}}),
        json!({"name": "map", "configMap": {"name": "map", "defaultMode": 0o400}}),
        json!({"name": "projected", "projected": {"sources": [{"serviceAccountToken": {"path": "dir/token"}}]}}),
    ];
    let pod = pod(&volumes, json!({"fsGroup": 4321, "runAsUser": 77}));
    prepare(&ground, &pod, &sources(&[("a", "1")], &[], "jwt")).unwrap();
    for (path, want) in [
        ("empty", 0o2777),
        ("memory", 0o2777),
        ("map", 0o2755),
        ("map/a", 0o440),
        ("projected/dir", 0o2755),
        ("projected/dir/token", 0o640),
    ] {
        assert_eq!(mode(&ground.volume(path)), (want, 4321), "{path}");
    }
    assert_eq!(fs::metadata(ground.volume("projected/dir/token")).unwrap().uid(), 77);
    // It is as it should be: a second time changes nothing.
    steps::cut_after(Some(0));
    prepare(&ground, &pod, &sources(&[("a", "1")], &[], "jwt")).unwrap();
}

#[test]
fn memory_has_the_least_of_its_bounds() {
    if !may_mount() {
        return;
    }
    let size = |source: Value, limit: &str| {
        let ground = Ground::new();
        let mut pod = pod(&[json!({"name": "m", "emptyDir": source})], json!({}));
        let limits = json!({"limits": {"memory": limit}});
        pod.spec.as_mut().unwrap().containers[0].resources =
            serde_json::from_value(limits).unwrap();
        prepare(&ground, &pod, &Sources::default()).unwrap();
        let stat = rustix::fs::statvfs(ground.volume("m")).unwrap();
        assert_eq!(mode(&ground.volume("m")).0, 0o777);
        stat.f_blocks * stat.f_frsize
    };
    assert_eq!(size(json!({"medium": "Memory"}), "0"), 64 << 20);
    assert_eq!(size(json!({"medium": "Memory"}), "16Mi"), 16 << 20);
    assert_eq!(size(json!({"medium": "Memory", "sizeLimit": "1Mi"}), "16Mi"), 1 << 20);
    assert_eq!(size(json!({"medium": "Memory", "sizeLimit": "0"}), "16Mi"), 16 << 20);
}

#[test]
fn without_rights_it_says_what_is_missing() {
    let ground = Ground::with(NO_RIGHTS);
    let error = refused(&ground, json!({"name": "m", "emptyDir": {"medium": "Memory"}}));
    assert!(error.contains("an emptyDir with medium Memory needs CAP_SYS_ADMIN"), "{error}");
    let grouped = pod(&[json!({"name": "e", "emptyDir": {}})], json!({"fsGroup": 5}));
    let error = prepare(&ground, &grouped, &Sources::default()).unwrap_err().to_string();
    assert!(error.contains("fsGroup needs CAP_CHOWN"), "{error}");
    // A Secret goes to the disk, where only the agent gets.
    let secret = pod(&[json!({"name": "s", "secret": {"secretName": "secret"}})], json!({}));
    prepare(&ground, &secret, &sources(&[], &[("k", "v")], "")).unwrap();
    assert_eq!(fs::read_to_string(ground.volume("s/k")).unwrap(), "v");
    assert_eq!(mode(&ground.own("")).0 & 0o007, 0);
}

#[test]
fn paths_of_the_host() {
    let ground = Ground::new();
    let outside = ground.outside();
    fs::write(outside.join("file"), "").unwrap();
    symlink(&outside, outside.join("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(outside.join("socket")).unwrap();
    let volume = |path: &str, kind: Option<&str>| json!({"name": "h", "hostPath": {"path": path, "type": kind}});
    let at = |name: &str| outside.join(name).to_str().unwrap().to_owned();
    for (path, kind) in [
        (at(""), None),
        (at(""), Some("Directory")),
        (at("link"), Some("Directory")),
        (at("file"), Some("File")),
        (at("file"), Some("FileOrCreate")),
        (at("new-file"), Some("FileOrCreate")),
        (at("new/folder"), Some("DirectoryOrCreate")),
        (at("implied/folder"), Some("")),
        (at("socket"), Some("Socket")),
        ("/dev/null".to_owned(), Some("CharDevice")),
    ] {
        let pod = pod(&[volume(&path, kind)], json!({}));
        let prepared = prepare(&ground, &pod, &Sources::default()).unwrap();
        assert_eq!(prepared.path("h").unwrap(), Path::new(path.trim_end_matches('/')), "{kind:?}");
    }
    assert!(outside.join("new/folder").is_dir() && outside.join("implied/folder").is_dir());
    assert!(outside.join("new-file").is_file());
    for (path, kind, want) in [
        (at("file"), "Directory", "is not a directory"),
        (at("none"), "Directory", "is not a directory"),
        (at("file"), "DirectoryOrCreate", "is not a directory"),
        (at("new"), "File", "is not a file"),
        (at("none"), "File", "is not a file"),
        (at("new"), "FileOrCreate", "is not a file"),
        (at("file"), "Socket", "is not a socket"),
        (at("file"), "CharDevice", "is not a character device"),
        (at("none"), "BlockDevice", "is not a block device"),
        (at("file"), "Magic", "is not supported"),
        (at("../outside"), "Directory", "must not contain '..'"),
        ("relative".to_owned(), "Directory", "must be an absolute path"),
        ("/a\nb".to_owned(), "", "control characters"),
        (at("none/file"), "FileOrCreate", "cannot make"),
    ] {
        let error = refused(&ground, volume(&path, Some(kind)));
        assert!(error.starts_with("MountVolume.SetUp failed for volume \"h\" : "), "{error}");
        assert!(error.contains(want), "{error}");
    }
    ground.folder().tear_down().unwrap();
    ground.assert_gone();
    assert!(outside.join("new/folder").is_dir());
}

#[test]
fn claims_lead_to_paths() {
    let ground = Ground::new();
    let outside = ground.outside();
    let reference = json!({"uid": "c-1"});
    let host = json!({"claimRef": reference, "hostPath": {"path": outside}});
    let local = json!({"claimRef": reference, "local": {"path": outside}});
    let volume =
        json!({"name": "v", "persistentVolumeClaim": {"claimName": "data", "readOnly": true}});
    let find = |volume: &Value, name: &str, claim: Lookup<Claim>| {
        let sources =
            Sources { claims: BTreeMap::from([(name.to_owned(), claim)]), ..Sources::default() };
        let prepared = prepare(&ground, &pod(std::slice::from_ref(volume), json!({})), &sources);
        prepared.map(|prepared| prepared.places["v"].clone()).map_err(|error| error.to_string())
    };
    for spec in [&host, &local] {
        let place = find(&volume, "data", claim(spec, |_| {})).unwrap();
        assert_eq!((place.host, place.read_only), (outside.clone(), true));
    }
    let refusals: [(Lookup<Claim>, &str); 9] = [
        (Lookup::Absent, "persistentvolumeclaims \"data\" not found"),
        (
            Lookup::Failed("timeout".to_owned()),
            "persistentvolumeclaim \"data\" is not known yet: timeout",
        ),
        (claim(&host, |c| c.volume = None), "its persistentvolume \"pv\" not found"),
        (claim(&host, |c| c.claim.status = None), "non-bound phase"),
        (
            claim(&host, |c| c.claim.spec.as_mut().unwrap().volume_name = None),
            "empty spec.volumeName",
        ),
        (claim(&host, |c| c.claim.metadata.uid = Some("other".to_owned())), "ClaimRef.UID \"c-1\""),
        (
            claim(&host, |c| c.claim.spec.as_mut().unwrap().volume_mode = Some("Block".to_owned())),
            "volumeMode is Block",
        ),
        (
            claim(&host, |c| {
                c.claim.metadata.deletion_timestamp =
                    Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
            }),
            "being deleted",
        ),
        (
            claim(&json!({"claimRef": reference, "nfs": {"path": "/", "server": "s"}}), |_| {}),
            "use one of kind hostPath or local",
        ),
    ];
    for (claim, want) in refusals {
        let error = find(&volume, "data", claim).unwrap_err();
        assert!(error.contains(want), "{error}");
    }
    let error = find(
        &volume,
        "data",
        claim(&json!({"claimRef": reference, "local": {"path": outside.join("none")}}), |_| {}),
    )
    .unwrap_err();
    assert!(error.contains("is not a directory"), "{error}");
    // Of an ephemeral volume the pod has to be the owner.
    let ephemeral = json!({"name": "v", "ephemeral": {}});
    let error = find(&ephemeral, "p-v", claim(&host, |_| {})).unwrap_err();
    assert!(error.contains("was not created for pod p"), "{error}");
    let owned = claim(&host, |c| {
        let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u-1", "controller": true}]);
        c.claim.metadata.owner_references = serde_json::from_value(owner).unwrap();
    });
    assert!(find(&ephemeral, "p-v", owned).is_ok());
}

#[test]
fn a_local_volume_is_given_to_the_group() {
    if !may_mount() {
        return;
    }
    let ground = Ground::new();
    let outside = ground.outside();
    fs::create_dir_all(outside.join("data/sub")).unwrap();
    fs::write(outside.join("data/sub/file"), "x").unwrap();
    fs::set_permissions(outside.join("data/sub/file"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink(outside.join("canary"), outside.join("data/link")).unwrap();
    let canary = mode(&outside.join("canary"));
    let claims = |read_only: bool| {
        let spec = json!({"claimRef": {"uid": "c-1"}, "local": {"path": outside.join("data")}});
        let claims = BTreeMap::from([("data".to_owned(), claim(&spec, |_| {}))]);
        let volume = json!({"name": "v", "persistentVolumeClaim": {"claimName": "data", "readOnly": read_only}});
        let context = json!({"fsGroup": 99, "fsGroupChangePolicy": "OnRootMismatch"});
        (pod(&[volume], context), Sources { claims, ..Sources::default() })
    };
    let (read_only, sources) = claims(true);
    prepare(&ground, &read_only, &sources).unwrap();
    assert_ne!(mode(&outside.join("data")).1, 99);
    let (pod, sources) = claims(false);
    prepare(&ground, &pod, &sources).unwrap();
    assert_eq!(mode(&outside.join("data")), (0o2775, 99));
    assert_eq!(mode(&outside.join("data/sub")), (0o2775, 99));
    assert_eq!(mode(&outside.join("data/sub/file")), (0o660, 99));
    assert_eq!(mode(&outside.join("canary")), canary);
    // Once in the pod's life; and not where the folder itself has it.
    fs::set_permissions(outside.join("data/sub/file"), fs::Permissions::from_mode(0o600)).unwrap();
    prepare(&ground, &pod, &sources).unwrap();
    assert_eq!(mode(&outside.join("data/sub/file")).0, 0o600);
    ground.folder().tear_down().unwrap();
    prepare(&ground, &pod, &sources).unwrap();
    assert_eq!(mode(&outside.join("data/sub/file")).0, 0o600);
}

#[test]
fn other_kinds_are_refused_in_words() {
    let ground = Ground::new();
    for volume in [
        json!({"name": "v", "nfs": {"path": "/", "server": "s"}}),
        json!({"name": "v", "csi": {"driver": "d"}}),
        json!({"name": "v", "image": {"reference": "i"}}),
        json!({"name": "v"}),
        json!({"name": "v", "emptyDir": {"medium": "HugePages"}}),
    ] {
        let error = refused(&ground, volume);
        assert!(error.contains("is not supported here; "), "{error}");
    }
}

#[test]
fn use_is_measured() {
    let ground = Ground::new();
    let pod = pod(&[json!({"name": "e", "emptyDir": {"sizeLimit": "1Mi"}})], json!({}));
    prepare(&ground, &pod, &Sources::default()).unwrap();
    let folder = ground.folder();
    assert_eq!(folder.usage("e").unwrap(), crate::Usage::default());
    let volume = ground.volume("e");
    fs::create_dir(volume.join("d")).unwrap();
    fs::write(volume.join("d/f"), vec![1; 100_000]).unwrap();
    fs::hard_link(volume.join("d/f"), volume.join("again")).unwrap();
    symlink("/", volume.join("root")).unwrap();
    let usage = folder.usage("e").unwrap();
    assert!(
        (100_000..150_000).contains(&usage.bytes) && usage.inodes == 3 && !usage.more,
        "{usage:?}"
    );
    assert_eq!(folder.usage("none").unwrap(), crate::Usage::default());
    assert!(folder.usage("../../..").is_err());
    folder.write_etc(&Etc { hosts: "x".repeat(50_000), ..etc() }).unwrap();
    assert!(folder.usage_beside_volumes().unwrap().bytes >= 50_000);
}
