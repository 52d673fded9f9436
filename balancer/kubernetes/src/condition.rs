// SPDX-License-Identifier: Apache-2.0
//! What a Service's status says of what is not served, and who of many nodes says it. Pure.
//!
//! The condition `berth.dev/Served` is there only while something is wrong. Its message begins with the name of the node that speaks: the
//! first one that has trouble. It alone changes the condition and takes it back; others keep silent as long, and speak next if they have
//! trouble still. The condition of a node that is gone is anybody's.
//!
//! | the condition | trouble here | is done |
//! |---|---|---|
//! | is not there, or of a node that is gone | yes | this node speaks |
//! | of a node that is gone | no | it goes |
//! | of this node | yes | it says what is wrong now |
//! | of this node | no | it goes |
//! | of another node | | nothing |

use crate::parts::Note;
use serde_json::{Value, json};

/// The condition's type.
pub const TYPE: &str = "berth.dev/Served";

/// Notes of one object that are told; a hundred ports that cannot be bound are one problem.
const NOTES: usize = 5;

/// The conditions as they should be; none if they are.
pub(crate) fn decide(
    node: &str,
    conditions: &[Value],
    notes: &[Note],
    now: &str,
    is_gone: impl Fn(&str) -> bool,
) -> Option<Vec<Value>> {
    let at = conditions.iter().position(|one| one["type"] == TYPE);
    let old = at.and_then(|at| conditions.get(at));
    let speaker =
        old.and_then(|old| old["message"].as_str()?.split_once(": ")).map(|(node, _)| node);
    let free = speaker.is_none_or(|speaker| speaker == node || is_gone(speaker));
    if !free {
        return None;
    }
    let mut all: Vec<Value> = conditions.to_vec();
    let Some(first) = notes.first() else {
        all.remove(at?);
        return Some(all);
    };
    let message = message(node, notes);
    if let Some(old) = old
        && old["message"] == *message
        && old["reason"] == first.reason
        && old["status"] == "False"
    {
        return None;
    }
    let since = old.filter(|old| old["status"] == "False");
    let since = since.map_or_else(|| json!(now), |old| old["lastTransitionTime"].clone());
    let new = json!({
        "type": TYPE, "status": "False", "reason": first.reason, "message": message,
        "lastTransitionTime": since,
    });
    match at.and_then(|at| all.get_mut(at)) {
        Some(place) => *place = new,
        None => all.push(new),
    }
    Some(all)
}

/// All notes as one text.
pub(crate) fn message(node: &str, notes: &[Note]) -> String {
    let told: Vec<&str> = notes.iter().take(NOTES).map(|note| note.message.as_str()).collect();
    let more = notes.len().saturating_sub(NOTES);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{node}: {}{more}", told.join("; "))
}

/// Why an address is not served, with the command that helps, of what the data plane says.
pub(crate) fn help(protocol: &str, address: std::net::SocketAddr, reason: &str) -> Note {
    let port = address.port();
    let kind = if protocol == "UDP" { "-lunp" } else { "-ltnp" };
    let (word, command) = if reason.contains("CAP_NET_BIND_SERVICE") {
        let command = format!("`sudo sysctl net.ipv4.ip_unprivileged_port_start={port}` allows it");
        ("PortNotAllowed", command)
    } else if reason.contains("another process has the port") {
        ("PortInUse", format!("`sudo ss {kind} 'sport = :{port}'` names it"))
    } else if reason.contains("descriptors") {
        ("NoDescriptors", "`ulimit -n` and `sysctl fs.file-max` have the bounds".to_owned())
    } else if reason.contains("not local") || reason.contains("namespace") {
        (
            "AddressNotServed",
            "run as root (`sudo berth proxy …`) it takes such addresses".to_owned(),
        )
    } else {
        ("AddressNotServed", format!("`ip route get {}` says whose it is", address.ip()))
    };
    Note::new(word, format!("{protocol} {address} is not served: {reason}; {command}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(message: &str) -> Value {
        json!({
            "type": TYPE, "status": "False", "reason": "PortInUse", "message": message,
            "lastTransitionTime": "2027-01-15T08:00:00Z",
        })
    }

    /// `n2` is gone. What the condition says afterwards: `-` nothing, `=` what it said.
    fn check(old: Option<&str>, notes: &[&str], want: &str) {
        let other = json!({"type": "example.com/Other", "status": "True"});
        let mut conditions = vec![other.clone()];
        conditions.extend(old.map(served));
        let note = |text: &&str| Note::new("PortInUse", (*text).to_owned());
        let notes: Vec<Note> = notes.iter().map(note).collect();
        let now = "2027-01-15T09:00:00Z";
        let decided = decide("n1", &conditions, &notes, now, |node| node == "n2");
        let Some(decided) = decided else {
            assert_eq!(want, "=", "{old:?} {notes:?}");
            return;
        };
        assert_eq!(decided[0], other, "what others say stays");
        let said = decided.get(1).map_or("-", |one| one["message"].as_str().unwrap());
        assert_eq!(said, want, "{old:?} {notes:?}");
        if let Some(one) = decided.get(1) {
            let since = if old.is_some() { "2027-01-15T08:00:00Z" } else { now };
            assert_eq!(one["lastTransitionTime"], since);
        }
    }

    #[test]
    fn one_node_speaks_and_takes_back_what_it_said() {
        check(None, &[], "=");
        check(None, &["a"], "n1: a");
        check(None, &["a", "b", "c", "d", "e", "f", "g"], "n1: a; b; c; d; e; and 2 more");
        check(Some("n1: a"), &["a"], "=");
        check(Some("n1: a"), &["b"], "n1: b");
        check(Some("n1: a"), &[], "-");
        check(Some("n3: a"), &["b"], "=");
        check(Some("n3: a"), &[], "=");
        check(Some("n2: a"), &["b"], "n1: b");
        check(Some("n2: a"), &[], "-");
    }

    #[test]
    fn each_reason_comes_with_a_command() {
        let at = |text: &str| text.parse().unwrap();
        for (reason, word, part) in [
            (
                "a port below the unprivileged ones needs CAP_NET_BIND_SERVICE",
                "PortNotAllowed",
                "ip_unprivileged_port_start=80",
            ),
            ("another process has the port", "PortInUse", "ss -ltnp 'sport = :80'"),
            ("the address is not local to this host", "AddressNotServed", "sudo berth proxy"),
            ("it lies in the network of eth0", "AddressNotServed", "ip route get 10.0.0.1"),
        ] {
            let note = help("TCP", at("10.0.0.1:80"), reason);
            assert_eq!(note.reason, word, "{reason}");
            assert!(note.message.contains(part), "{}", note.message);
        }
    }
}
