// SPDX-License-Identifier: Apache-2.0
//! Contents that change while they are read.

use super::*;
use std::sync::atomic::AtomicUsize;

fn map_pod() -> Pod {
    pod(&[json!({"name": "map", "configMap": {"name": "map"}})], json!({}))
}

fn refresh(ground: &Ground, pod: &Pod, sources: &Sources) -> Vec<String> {
    ground.folder().refresh(pod, sources, &facts()).unwrap()
}

fn entries(path: &Path) -> Vec<String> {
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(path).unwrap().map(name).collect();
    names.sort();
    names
}

#[test]
fn what_is_the_same_is_not_written() {
    let ground = Ground::new();
    let pod = pod(&all_kinds(&ground), json!({}));
    let same = sources(&[("a", "1"), ("b", "2")], &[("k", "v")], "jwt");
    prepare(&ground, &pod, &same).unwrap();
    ground.folder().write_etc(&etc()).unwrap();
    let before = fs::read_link(ground.volume("map/..data")).unwrap();
    steps::cut_after(Some(0));
    assert!(refresh(&ground, &pod, &same).is_empty());
    prepare(&ground, &pod, &same).unwrap();
    ground.folder().write_etc(&etc()).unwrap();
    steps::cut_after(None);
    assert_eq!(fs::read_link(ground.volume("map/..data")).unwrap(), before);
    let other = sources(&[("a", "1"), ("b", "3")], &[("k", "v")], "jwt");
    assert_eq!(refresh(&ground, &pod, &other), ["map", "projected"]);
    let other = sources(&[("a", "1"), ("b", "3")], &[("k", "v")], "renewed");
    assert_eq!(refresh(&ground, &pod, &other), ["projected"]);
    assert_eq!(fs::read_to_string(ground.volume("projected/token")).unwrap(), "renewed");
}

#[test]
fn files_come_and_go() {
    let ground = Ground::new();
    let pod = map_pod();
    prepare(&ground, &pod, &sources(&[("a", "1"), ("b", "2")], &[], "")).unwrap();
    let volume = ground.volume("map");
    assert_eq!(entries(&volume), ["..1", "..data", "a", "b"]);
    refresh(&ground, &pod, &sources(&[("b", "2"), ("c", "")], &[], ""));
    assert_eq!(entries(&volume), ["..2", "..data", "b", "c"]);
    // A mode is content too.
    let closed = self::pod(
        &[json!({"name": "map", "configMap": {"name": "map", "defaultMode": 0o600}})],
        json!({}),
    );
    assert_eq!(refresh(&ground, &closed, &sources(&[("b", "2"), ("c", "")], &[], "")), ["map"]);
    refresh(&ground, &pod, &sources(&[], &[], ""));
    assert_eq!(entries(&volume), ["..4", "..data"]);
}

#[test]
fn what_was_torn_down_does_not_come_back() {
    let ground = Ground::new();
    let pod = map_pod();
    prepare(&ground, &pod, &sources(&[("a", "1")], &[], "")).unwrap();
    ground.folder().tear_down().unwrap();
    assert!(refresh(&ground, &pod, &sources(&[("a", "2")], &[], "")).is_empty());
    assert!(ground.folder().binds(&pod, "c", 0, &Prepared::default(), &BTreeMap::new()).is_err());
    ground.assert_gone();
}

#[test]
fn what_cannot_be_made_anew_stays() {
    let ground = Ground::new();
    let volumes = [
        json!({"name": "map", "configMap": {"name": "map"}}),
        json!({"name": "secret", "secret": {"secretName": "secret"}}),
    ];
    let pod = pod(&volumes, json!({}));
    prepare(&ground, &pod, &sources(&[("a", "1")], &[("k", "v")], "")).unwrap();
    let mut next = sources(&[("a", "2")], &[("k", "w")], "");
    next.config_maps.insert("map".to_owned(), Lookup::Absent);
    let error = ground.folder().refresh(&pod, &next, &facts()).unwrap_err().to_string();
    assert_eq!(error, "MountVolume.SetUp failed for volume \"map\" : configmap \"map\" not found");
    assert_eq!(fs::read_to_string(ground.volume("map/a")).unwrap(), "1");
    assert_eq!(fs::read_to_string(ground.volume("secret/k")).unwrap(), "w");
}

/// Numbers from a seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// Each file says which turn it is of and how many there are; `always` is there at every turn.
fn turn(turn: usize, numbers: &mut Numbers) -> Vec<(String, String)> {
    let mut names = vec!["always".to_owned()];
    names.extend((0..8).filter(|_| numbers.below(2) == 0).map(|at| format!("f{at}")));
    let text = format!(
        "{turn}/{}/{}",
        names.len(),
        "x".repeat(usize::try_from(numbers.below(9_000)).unwrap())
    );
    names.into_iter().map(|name| (name, text.clone())).collect()
}

/// Reads one generation as a container can: `None` if another one counts meanwhile, for then files of this one go.
fn read_generation(volume: &Path) -> Option<Vec<String>> {
    let target = fs::read_link(volume.join("..data")).expect("it is there at all times");
    let folder = volume.join(&target);
    let mut texts = Vec::new();
    for entry in fs::read_dir(&folder).ok()? {
        texts.push(fs::read_to_string(entry.ok()?.path()).ok()?);
    }
    (fs::read_link(volume.join("..data")).unwrap() == target).then_some(texts)
}

#[test]
fn a_reader_sees_one_turn_or_another() {
    let seed = 0x5EED_0001;
    eprintln!("seed {seed:#x}");
    let mut numbers = Numbers(seed);
    let ground = Ground::new();
    let pod = map_pod();
    let of = |files: &[(String, String)]| {
        let pairs: Vec<_> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        sources(&pairs, &[], "")
    };
    prepare(&ground, &pod, &of(&turn(0, &mut numbers))).unwrap();
    let volume = ground.volume("map");
    let (done, whole) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let always = fs::read_to_string(volume.join("always"));
                    // Opened by name it is there, or of a turn that ended between the two steps of opening it.
                    assert!(always.is_err() || always.is_ok_and(|text| text.contains('/')));
                    let Some(texts) = read_generation(&volume) else { continue };
                    let count: usize = texts[0].split('/').nth(1).unwrap().parse().unwrap();
                    assert_eq!(texts.len(), count, "a file is missing or of another turn");
                    assert!(texts.iter().all(|text| *text == texts[0]), "two turns at once");
                    whole.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _stop = Stop(&done);
        for at in 1..400 {
            let files = turn(at, &mut numbers);
            // Now and then it is cut off somewhere, and made good.
            if numbers.below(3) == 0 {
                steps::cut_after(Some(u32::try_from(numbers.below(40)).unwrap()));
                drop(ground.folder().refresh(&pod, &of(&files), &facts()));
                steps::cut_after(None);
            }
            refresh(&ground, &pod, &of(&files));
            let names: Vec<_> =
                entries(&volume).into_iter().filter(|name| !name.starts_with("..")).collect();
            let mut wanted: Vec<_> = files.iter().map(|(name, _)| name.clone()).collect();
            wanted.sort();
            assert_eq!(names, wanted);
            assert_eq!(entries(&volume).len(), wanted.len() + 2, "something was left");
        }
    });
    assert!(whole.load(Ordering::Relaxed) > 0, "nobody read anything");
}
