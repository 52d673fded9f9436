// SPDX-License-Identifier: Apache-2.0
//! Containers that plant symbolic links, and worse, into what they can write.

use super::*;
use std::os::unix::fs::symlink;

#[test]
fn planted_links_lead_an_update_nowhere() {
    let ground = Ground::new();
    let pod = pod(&[json!({"name": "map", "configMap": {"name": "map"}})], json!({}));
    let canary = ground.outside().join("canary");
    for at in 0..7 {
        let text = format!("{at}");
        prepare(&ground, &pod, &sources(&[("a", "1"), ("b", &text)], &[], "")).unwrap();
        let volume = ground.volume("map");
        let data = volume.join(fs::read_link(volume.join("..data")).unwrap());
        match at {
            0 => {
                fs::remove_file(volume.join("a")).unwrap();
                symlink(&canary, volume.join("a")).unwrap();
            }
            1 => {
                fs::remove_file(volume.join("..data")).unwrap();
                symlink(ground.outside(), volume.join("..data")).unwrap();
            }
            2 => {
                fs::remove_file(data.join("a")).unwrap();
                symlink(&canary, data.join("a")).unwrap();
            }
            3 => {
                fs::remove_file(volume.join("b")).unwrap();
                fs::create_dir(volume.join("b")).unwrap();
                symlink(ground.outside(), volume.join("b/out")).unwrap();
            }
            4 => {
                let number: u64 = data.file_name().unwrap().to_str().unwrap()[2..].parse().unwrap();
                symlink(ground.outside(), data.with_file_name(format!("..{}", number + 1)))
                    .unwrap();
                symlink(ground.outside(), volume.join("..data_tmp")).unwrap();
                symlink(ground.outside(), volume.join("..link_tmp")).unwrap();
            }
            5 => {
                fs::remove_dir_all(&data).unwrap();
                symlink(ground.outside(), &data).unwrap();
            }
            _ => {
                fs::remove_file(volume.join("..data")).unwrap();
                symlink("..99999999999999999999", volume.join("..data")).unwrap();
            }
        }
        let text = format!("{at} next");
        prepare(&ground, &pod, &sources(&[("a", "1"), ("b", &text)], &[], "")).unwrap();
        assert_eq!(fs::read_to_string(volume.join("b")).unwrap(), text);
        assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "1");
        assert!(!fs::symlink_metadata(volume.join("a")).unwrap().is_file());
        assert!(fs::canonicalize(volume.join("a")).unwrap().starts_with(&volume));
        ground.assert_canary();
    }
    assert_eq!(fs::read_dir(ground.outside()).unwrap().count(), 1);
    ground.folder().tear_down().unwrap();
    ground.assert_gone();
}

/// A pod that mounts `x/y` of its emptyDir `e`, with its volumes.
fn with_part(ground: &Ground) -> (Pod, Prepared) {
    let volumes = [json!({"name": "e", "emptyDir": {}})];
    let part = json!({"name": "e", "mountPath": "/a", "subPath": "x/y"});
    let pod = with_mounts(&volumes, &[part], json!({}));
    let prepared = prepare(ground, &pod, &Sources::default()).unwrap();
    (pod, prepared)
}

#[test]
fn a_part_never_lies_outside() {
    if !may_mount() {
        return;
    }
    let ground = Ground::new();
    fs::write(ground.outside().join("f"), "stolen").unwrap();
    let (pod, prepared) = with_part(&ground);
    let volume = ground.volume("e");
    let bind = || ground.folder().binds(&pod, "c", 0, &prepared, &BTreeMap::new());
    let up = "../../../../../outside";
    for target in [
        ground.outside().to_str().unwrap(),
        up,
        "/",
        "..",
        "/proc/self/root",
        "../../../../../outside/f",
    ] {
        symlink(target, volume.join("x")).unwrap();
        let error = bind().unwrap_err().to_string();
        assert!(
            error.starts_with("container c: volume mount \"e\": cannot open the subPath"),
            "{error}"
        );
        assert!(!error.contains("outside"), "{error}");
        fs::remove_file(volume.join("x")).unwrap();
        fs::create_dir(volume.join("x")).unwrap();
        symlink(target, volume.join("x/y")).unwrap();
        // One step up from there is the volume itself.
        assert_eq!(bind().is_ok(), target == "..", "{target}");
        fs::remove_dir_all(volume.join("x")).unwrap();
    }
    assert_eq!(fs::read_dir(ground.outside()).unwrap().count(), 2);
}

/// Attack 44: what is a folder at one moment is a link to the host at the next.
#[test]
fn a_race_for_a_part_is_not_won() {
    if !may_mount() {
        return;
    }
    let ground = Ground::new();
    fs::create_dir(ground.outside().join("y")).unwrap();
    fs::write(ground.outside().join("y/f"), "stolen").unwrap();
    let (pod, prepared) = with_part(&ground);
    let volume = ground.volume("e");
    fs::create_dir_all(volume.join("good/y")).unwrap();
    fs::write(volume.join("good/y/f"), "own").unwrap();
    symlink("../../../../../outside", volume.join("bad")).unwrap();
    fs::rename(volume.join("good"), volume.join("x")).unwrap();
    let done = AtomicBool::new(false);
    let (mut good, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The link and the folder change places, in one go each time.
            let cwd = rustix::fs::CWD;
            while !done.load(Ordering::Relaxed) {
                let (a, b) = (volume.join("x"), volume.join("bad"));
                rustix::fs::renameat_with(cwd, &a, cwd, &b, rustix::fs::RenameFlags::EXCHANGE)
                    .unwrap();
            }
        });
        let _stop = Stop(&done);
        // Each outcome is seen now and then, or there was no race.
        for _ in 0..100_000 {
            if good + refused >= 2_000 && good.min(refused) >= 20 {
                break;
            }
            match ground.folder().binds(&pod, "c", 0, &prepared, &BTreeMap::new()) {
                Ok(binds) => {
                    let read = fs::read_to_string(Path::new(&binds[0].host).join("f"));
                    assert_eq!(read.unwrap(), "own");
                    good += 1;
                }
                Err(_) => refused += 1,
            }
        }
    });
    assert!(good.min(refused) >= 20, "no race: {good} good, {refused} refused");
    assert_eq!(fs::read_to_string(ground.outside().join("y/f")).unwrap(), "stolen");
    ground.folder().tear_down().unwrap();
    ground.assert_gone();
}

#[test]
fn removing_follows_nothing_out() {
    let ground = Ground::new();
    let pod = pod(&[json!({"name": "e", "emptyDir": {}})], json!({}));
    prepare(&ground, &pod, &Sources::default()).unwrap();
    let volume = ground.volume("e");
    symlink(ground.outside(), volume.join("out")).unwrap();
    symlink("/", volume.join("..data")).unwrap();
    fs::create_dir(volume.join("d")).unwrap();
    symlink("..", volume.join("d/up")).unwrap();
    fs::write(volume.join("d/ \n*"), "").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        volume.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    fs::set_permissions(volume.join("d"), fs::Permissions::from_mode(0o700)).unwrap();
    ground.folder().tear_down().unwrap();
    ground.assert_gone();
}

#[test]
fn a_mount_that_a_container_left_is_taken_away_and_not_emptied() {
    if !may_mount() {
        return;
    }
    let ground = Ground::new();
    let pod = pod(&[json!({"name": "e", "emptyDir": {}})], json!({}));
    prepare(&ground, &pod, &Sources::default()).unwrap();
    let point = ground.volume("e/a b");
    fs::create_dir(&point).unwrap();
    // Twice upon one another, and in use.
    for _ in 0..2 {
        rustix::mount::mount_bind(ground.outside(), &point).unwrap();
    }
    let held = fs::File::open(point.join("canary")).unwrap();
    // Removing alone stops there.
    let removed = super::super::remove::tree(&ground.root.folder("u-1").unwrap().root.pods, "u-1");
    assert!(removed.is_err());
    ground.assert_canary();
    ground.folder().tear_down().unwrap();
    ground.assert_gone();
    drop(held);
}

#[test]
fn deep_folders_are_measured_in_bounds_and_removed() {
    let ground = Ground::new();
    let pod = pod(&[json!({"name": "e", "emptyDir": {}})], json!({}));
    prepare(&ground, &pod, &Sources::default()).unwrap();
    let mut at = super::super::dir::Dir::absolute(&ground.volume("e")).unwrap();
    for depth in 0..3_000 {
        at.write_new("f", b"x", 0o644, super::super::dir::Owner::default()).unwrap();
        at = at.make_at_once("d", 0o755, None).unwrap_or_else(|error| panic!("{depth}: {error}"));
    }
    drop(at);
    let usage = ground.folder().usage("e").unwrap();
    assert!(usage.more && usage.inodes > 100, "{usage:?}");
    ground.folder().tear_down().unwrap();
    ground.assert_gone();
}
