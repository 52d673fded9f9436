// SPDX-License-Identifier: Apache-2.0
//! Plants bugs into copies of the engine, one at a time, and demands that comparison with the naive scheduler finds each.
//!
//! `mutants [FOLDER [NAME...]]`: those whose names begin so, or all. The copies are built in FOLDER, by default in the system's
//! folder for temporary files. Each file of `mutants/` says what is planted: a line of words, the file, what is there and what takes its place. One that no longer
//! applies is an error: somebody has to plant it anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// Events after which a planted bug counts as not found; without one nothing may be found in as many.
const EVENTS: &str = "120000";
/// A planted bug may make the engine run in circles.
const PATIENCE: Duration = Duration::from_mins(4);

type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| env::temp_dir().join("berth-mutants"));
    copy_crates(&root, &folder)?;
    let wanted: Vec<String> = env::args().skip(2).collect();
    let mut mutants = read_mutants(&root.join("scheduler/simulation/mutants"))?;
    mutants.retain(|mutant| {
        wanted.is_empty() || wanted.iter().any(|name| mutant.name.starts_with(name.as_str()))
    });
    for mutant in &mutants {
        mutant.apply(&folder)?;
    }
    report("nothing is planted", &folder, false)?;
    let mut missed = Vec::new();
    for mutant in &mutants {
        let (path, before, after) = mutant.apply(&folder)?;
        write(&path, &after)?;
        let found = report(&mutant.name, &folder, true);
        write(&path, &before)?;
        if let Err(problem) = found {
            eprintln!("{problem}");
            missed.push(format!("{} ({})", mutant.name, mutant.words));
        }
    }
    if missed.is_empty() {
        println!("all {} planted bugs are found", mutants.len());
        return Ok(());
    }
    Err(format!("not found: {}", missed.join(", ")))
}

/// Builds, compares, and says how that went.
fn report(name: &str, folder: &Path, planted: bool) -> Outcome<()> {
    let start = Instant::now();
    build(folder)?;
    let built = start.elapsed();
    let (differs, line) = compare(folder)?;
    let ran = start.elapsed().saturating_sub(built);
    println!("{name}: built in {built:.1?}, ran {ran:.1?}: {line}");
    if differs == planted { Ok(()) } else { Err(format!("{name}: {line}")) }
}

fn build(folder: &Path) -> Outcome<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--offline", "--package", "berth-scheduler-simulation"])
        .args(["--example", "compare"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        // A bug is a line or two: what it does not touch need not be built again.
        .env("CARGO_INCREMENTAL", "1")
        .env("RUSTFLAGS", "--cap-lints=warn")
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("the copy does not build:\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// Whether a difference was found, and what was said of it.
fn compare(folder: &Path) -> Outcome<(bool, String)> {
    let program = folder.join("target/debug/examples/compare");
    let mut child = Command::new(&program)
        .arg(EVENTS)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{} does not start: {error}", program.display()))?;
    let start = Instant::now();
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().map_err(|error| error.to_string())?;
            return Err(format!("no end after {PATIENCE:?}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default().chars().take(120).collect();
    match output.status.code() {
        Some(0) => Ok((false, line)),
        Some(2) => Ok((true, line)),
        _ => Err(format!("the comparison ended with {}: {line}", output.status)),
    }
}

/// A bug to plant.
struct Mutant {
    name: String,
    words: String,
    file: String,
    old: String,
    new: String,
}

impl Mutant {
    fn read(path: &Path) -> Outcome<Self> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = read(path)?;
        let wrong = || format!("{name}: not of the form words, file, old, new");
        let (head, rest) = text.split_once("\n<<<<<<<\n").ok_or_else(wrong)?;
        let (words, file) = head.split_once("\nfile: ").ok_or_else(wrong)?;
        let (old, rest) = rest.split_once("\n=======\n").ok_or_else(wrong)?;
        let (new, _) = rest.split_once("\n>>>>>>>\n").ok_or_else(wrong)?;
        let [words, file, old, new] = [words, file, old, new].map(str::to_owned);
        Ok(Self { name, words, file, old, new })
    }

    /// The file, as it is and with the bug.
    fn apply(&self, folder: &Path) -> Outcome<(PathBuf, String, String)> {
        let path = folder.join(&self.file);
        let before = read(&path)?;
        match before.matches(&self.old).count() {
            1 => {
                let after = before.replace(&self.old, &self.new);
                Ok((path, before, after))
            }
            count => Err(format!(
                "{}: what it replaces is in {} {count} times; plant it anew",
                self.name, self.file
            )),
        }
    }
}

fn read_mutants(folder: &Path) -> Outcome<Vec<Mutant>> {
    let mut mutants =
        files(folder)?.iter().map(|path| Mutant::read(path)).collect::<Outcome<Vec<_>>>()?;
    mutants.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(mutants)
}

/// Copies the crates that the comparison needs, and the workspace's manifest with only these as members. Files that are the
/// same are left alone, so that they are not built again.
fn copy_crates(root: &Path, folder: &Path) -> Outcome<()> {
    let manifest = read(&root.join("Cargo.toml"))?;
    let (head, rest) = manifest.split_once("members = [").ok_or("no members in the manifest")?;
    let (members, tail) = rest.split_once(']').ok_or("no end of the members in the manifest")?;
    let mut paths: BTreeMap<String, (String, String)> = BTreeMap::new();
    for member in members.split('"').skip(1).step_by(2) {
        let text = read(&root.join(member).join("Cargo.toml"))?;
        let name = text.lines().find_map(|line| line.strip_prefix("name = "));
        let name = name.ok_or_else(|| format!("{member} has no name"))?.trim_matches('"');
        paths.insert(name.to_owned(), (member.to_owned(), text.clone()));
    }
    let mut needed = vec!["berth-scheduler-simulation".to_owned()];
    for at in 0.. {
        let Some(name) = needed.get(at).cloned() else { break };
        let (_, text) = paths.get(&name).ok_or_else(|| format!("{name} is no member"))?;
        for other in paths.keys() {
            let names = |line: &str| {
                let rest = line.strip_prefix(other.as_str());
                rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
            };
            if text.lines().any(names) && !needed.contains(other) {
                needed.push(other.clone());
            }
        }
    }
    let kept: Vec<&str> = needed.iter().map(|name| &*paths[name].0).collect();
    for member in &kept {
        copy(&root.join(member), &folder.join(member))?;
    }
    let list: Vec<String> = kept.iter().map(|member| format!("{member:?}")).collect();
    // Whoever calls cargo without a package means one that is not copied.
    let tail = tail.lines().filter(|line| !line.starts_with("default-members"));
    let tail = tail.collect::<Vec<_>>().join("\n");
    let manifest = format!("{head}members = [{}]{tail}\n", list.join(", "));
    write_changed(&folder.join("Cargo.toml"), &manifest)?;
    for file in ["Cargo.lock", "rust-toolchain.toml"] {
        write_changed(&folder.join(file), &read(&root.join(file))?)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    for path in files(from)? {
        let name = path.file_name().unwrap_or_default();
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        if path.is_dir() && name != "target" && name != "testdata" && name != "mutants" {
            copy(&path, &to.join(name))?;
        } else if path.is_file() && (is_source || name == "Cargo.toml") {
            write_changed(&to.join(name), &read(&path)?)?;
        }
    }
    // What is gone there must be gone here.
    for path in files(to).unwrap_or_default() {
        let name = path.file_name().unwrap_or_default();
        if path.is_file() && !from.join(name).exists() {
            fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

fn files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let problem = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(problem)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(problem)).collect()
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Outcome<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn write_changed(path: &Path, text: &str) -> Outcome<()> {
    if fs::read_to_string(path).is_ok_and(|have| have == text) {
        return Ok(());
    }
    write(path, text)
}
