// SPDX-License-Identifier: Apache-2.0
//! What people do with pods of `berth up` by the unmodified kubectl, many at once and at length: copies, commands, forwarded ports. And
//! what pods ask of their node: host ports, probes over HTTPS and gRPC, volumes that somebody made by hand.
#![cfg(target_os = "linux")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that finds nothing has failed")]

#[allow(dead_code, reason = "other tests use all of it")]
mod machine;
#[path = "sessions/pods.rs"]
mod pods;
#[path = "../../store/tests/stores/tier.rs"]
#[allow(dead_code, unreachable_pub, reason = "the store's tests use all of it")]
mod tier;

use berth_balancer_testkit::{have_docker, until};
use machine::{Machine, busybox};
use std::fs;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tier::Row;

/// Nothing here takes a quarter of it.
const HANG: Duration = Duration::from_mins(4);
/// Commands at once, each of a kubectl of its own.
const COMMANDS: usize = 100;
const MIB: usize = 1 << 20;

/// What goes on beside others.
type Test = fn(&Machine);

#[test]
fn people_and_pods_get_what_they_ask_for() {
    if !have_docker() {
        return;
    }
    let machine = Machine::new();
    busybox(&machine);
    let mut up = machine.up(&[]);
    up.says("Ctrl-C");
    machine.apply(&pods::all(&machine));
    pods::bind_by_hand(&machine);
    machine.tell("wait --for=condition=Ready pod/box --timeout=60s");
    a_hundred_commands_at_once(&machine);
    std::thread::scope(|scope| {
        let tests: [(&str, Test); 6] = [
            ("files are copied both ways", files_are_copied),
            ("ends, codes and sizes", ends_codes_and_sizes),
            ("ports are forwarded to the loopback", loopback_is_forwarded),
            ("a port of the host", a_port_of_the_host),
            ("probes over HTTPS and gRPC", probes_of_all_kinds),
            ("a volume made by hand", a_volume_made_by_hand),
        ];
        let begun = Instant::now();
        let all = tests.map(|(name, test)| {
            let machine = &machine;
            scope.spawn(move || {
                test(machine);
                println!("passed: {name}, after {:.1} s", begun.elapsed().as_secs_f32());
            })
        });
        for one in all {
            one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    hung_probes_leave_no_process(&machine);
    up.interrupt();
    assert!(machine::containers(&machine).is_empty(), "{:?}", machine::containers(&machine));
}

fn files_are_copied(machine: &Machine) {
    let mut row = Row::new("MiB copied each way", 64, 1_024);
    let count = u16::try_from(row.goal().min(1_024)).unwrap();
    let size = usize::from(count) * MIB;
    let (there, back) = (machine.folder().join("there"), machine.folder().join("back"));
    let mut file = BufWriter::with_capacity(MIB, fs::File::create(&there).unwrap());
    let mut state = 1_u64;
    for _ in 0..size / 8 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        file.write_all(&(state ^ (state >> 33)).to_le_bytes()).unwrap();
    }
    file.into_inner().unwrap();
    let begun = Instant::now();
    machine.told(&["cp", there.to_str().unwrap(), "box:/tmp/there"]);
    let up = begun.elapsed();
    let begun = Instant::now();
    machine.told(&["cp", "box:/tmp/there", back.to_str().unwrap()]);
    let rate = |took: Duration| f32::from(count) / took.as_secs_f32();
    let down = rate(begun.elapsed());
    println!("kubectl cp: {:.0} MiB/s there, {down:.0} MiB/s back", rate(up));
    assert!(is_same(&there, &back), "what was copied is the same");
    row.add(u64::from(count));
}

fn is_same(a: &Path, b: &Path) -> bool {
    let open = |path: &Path| BufReader::with_capacity(MIB, fs::File::open(path).unwrap());
    let length = |path: &Path| fs::metadata(path).unwrap().len();
    let (mut one, mut other) = (open(a), open(b));
    let (mut left, mut right) = (vec![0; MIB], vec![0; MIB]);
    if length(a) != length(b) {
        return false;
    }
    for _ in 0..length(a) / MIB as u64 {
        one.read_exact(&mut left).unwrap();
        other.read_exact(&mut right).unwrap();
        if left != right {
            return false;
        }
    }
    true
}

/// All are open at the same time: each has said a word, and waits for one.
fn a_hundred_commands_at_once(machine: &Machine) {
    let line = "echo here; read -r word; echo \"$word, $word\"; echo trouble >&2; exit $1";
    let mut all = Vec::new();
    for number in 0..COMMANDS {
        let code = (number % 120 + 1).to_string();
        let words = ["exec", "-i", "box", "--", "sh", "-c", line, "sh", &code];
        all.push(machine.begin(&words, Stdio::piped));
    }
    for child in &mut all {
        let mut here = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut here).unwrap();
        assert_eq!(&here, b"here\n");
    }
    for (number, child) in all.iter_mut().enumerate() {
        // The stream stays open: the end of the command is no answer to the end of its input.
        child.stdin.as_mut().unwrap().write_all(format!("I am {number}\n").as_bytes()).unwrap();
    }
    for (number, child) in all.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said, format!("I am {number}, I am {number}\n"));
        let trouble = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(trouble.starts_with("trouble\n"), "{trouble}");
        assert_eq!(output.status.code(), i32::try_from(number % 120 + 1).ok());
    }
}

fn ends_codes_and_sizes(machine: &Machine) {
    // The end of what is typed is the end for who reads it, and not for what comes after.
    let line = "wc -c; echo after; exit 3";
    let mut child = machine.begin(&["exec", "-i", "box", "--", "sh", "-c", line], Stdio::piped);
    child.stdin.take().unwrap().write_all(&vec![b'x'; 300_000]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "300000\nafter\n");
    assert_eq!(output.status.code(), Some(3));
    // What closes its own output first goes on to its end.
    let line = "exec >&- 2>&-; sleep 1; exit 9";
    let child = machine.begin(&["exec", "box", "--", "sh", "-c", line], Stdio::piped);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(9));
    let child = machine.begin(&["exec", "box", "--", "/no/such/program"], Stdio::piped);
    let output = child.wait_with_output().unwrap();
    // As upstream with Docker, the engine's words are the command's output.
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success() && said.contains("/no/such/program"), "{said}");
    // A terminal has the size of the one that kubectl runs in.
    let (node, kubeconfig) = (&machine.engine.node, machine.kubeconfig().display().to_string());
    let exec = format!("kubectl --kubeconfig {kubeconfig} exec -it box -- sh -c");
    let line = format!("stty rows 33 cols 99; {exec} \"sleep 1; stty size\"");
    let said = node.sh(&format!("script -qec '{line}' /dev/null"));
    assert!(said.contains("33 99"), "{said:?}");
}

fn loopback_is_forwarded(machine: &Machine) {
    machine.tell("wait --for=condition=Ready pod/inner --timeout=60s");
    let kubeconfig = machine.kubeconfig();
    let line = format!(
        "kubectl --kubeconfig {} port-forward pod/inner 18090:90 18091:91 >/dev/null",
        kubeconfig.display()
    );
    let forwarding = machine.engine.node.spawn(&line);
    let get = |port: u16| {
        let line = format!("curl -fsS -m 5 http://127.0.0.1:{port}/page 2>/dev/null");
        machine.engine.node.try_sh(&line)
    };
    until("the loopback is reached", || get(18_090).is_some_and(|page| page == "inner\n"));
    until("what listens everywhere is reached", || {
        get(18_091).is_some_and(|page| page == "inner\n")
    });
    drop(forwarding);
    let ip = machine.tell("get pod inner -o jsonpath={.status.podIP}");
    let direct = machine.engine.node.try_sh(&format!("curl -fsS -m 2 http://{ip}:90/page"));
    assert!(direct.is_none(), "its loopback is its own");
}

fn a_port_of_the_host(machine: &Machine) {
    let get = || {
        let line = "curl -fsS -m 2 http://192.168.77.2:18099/page 2>/dev/null";
        machine.outside.try_sh(line)
    };
    until("the port is reached from outside", || get().is_some_and(|page| page == "porter\n"));
    machine.tell("delete pod porter --timeout=60s");
    until("the port is nobody's", || get().is_none());
    // Another pod may have it now.
    machine.apply(&pods::porter("heir"));
    until("the heir has it", || get().is_some_and(|page| page == "heir\n"));
}

fn probes_of_all_kinds(machine: &Machine) {
    let begun = Instant::now();
    let ready = "get pod own -o jsonpath={.status.containerStatuses[*].ready}";
    while machine.tell(ready) != "true true" {
        let what = || machine.tell("describe pod own");
        assert!(begun.elapsed() < HANG, "{}", what());
        std::thread::sleep(Duration::from_millis(200));
    }
    // A service that gRPC's health does not know, and a port where nobody speaks TLS.
    for (pod, words) in [
        ("nobody", "rpc error: code = NotFound"),
        ("plain", "http: server gave HTTP response to HTTPS client"),
    ] {
        let line = format!(
            "get events --field-selector involvedObject.name={pod},reason=Unhealthy -o jsonpath={{.items[*].message}}"
        );
        let begun = Instant::now();
        loop {
            let said = machine.tell(&line);
            if said.contains("Readiness probe failed") && said.contains(words) {
                break;
            }
            assert!(begun.elapsed() < HANG, "{pod}: {said}");
            std::thread::sleep(Duration::from_millis(200));
        }
        let ready = format!("get pod {pod} -o jsonpath={{.status.containerStatuses[*].ready}}");
        assert!(machine.tell(&ready).contains("false"));
    }
}

fn a_volume_made_by_hand(machine: &Machine) {
    machine.tell("wait --for=condition=Ready pod/keeper --timeout=60s");
    for kind in ["path", "local"] {
        let folder = machine.folder().join(format!("by-hand-{kind}"));
        until("the pod has written", || folder.join("written").exists());
        assert_eq!(fs::read_to_string(folder.join("written")).unwrap(), "kept\n");
    }
    machine.tell("delete pod keeper --timeout=60s");
    assert!(machine.folder().join("by-hand-path/written").exists(), "data outlasts its pod");
}

/// Ten containers, each asked each second by a command that hangs.
fn hung_probes_leave_no_process(machine: &Machine) {
    machine.apply(&pods::hung());
    machine.tell("wait --for=jsonpath={.status.phase}=Running pod/hung --timeout=60s");
    let begun = Instant::now();
    let mut most = 0;
    // A hundred probes: ten of each.
    while begun.elapsed() < Duration::from_secs(11) {
        most = most.max(hanging());
        std::thread::sleep(Duration::from_millis(250));
    }
    assert!(most > 0, "they hang");
    assert!(most <= 2 * 3 * pods::HUNG, "{most} processes at once");
    println!("hung probes: {most} processes at most, of {} containers", pods::HUNG);
    machine.tell("delete pod hung --timeout=60s");
    until("nothing hangs any more", || hanging() == 0);
}

/// Processes of hung probes.
fn hanging() -> usize {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let of = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(pods::HANGS)
    };
    all.filter(of).count()
}
