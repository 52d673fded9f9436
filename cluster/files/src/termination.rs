// SPDX-License-Identifier: Apache-2.0
//! What a container leaves behind as its last words (`terminationMessagePath`).

use crate::pod;
use k8s_openapi::api::core::v1::{Container, Pod};

/// Bytes that are kept of one container's message: its last ones.
pub const MESSAGE_BYTES_MAX: usize = 4_096;
/// Bytes of all messages of a pod.
const POD_BYTES_MAX: usize = 12 * 1_024;
/// Where a container writes it if nothing is said.
const PATH: &str = "/dev/termination-log";

/// Bytes of each message that have room in the pod's status: the containers share 12 KiB evenly.
pub fn message_share(pod: &Pod) -> usize {
    let ephemeral = pod::spec(pod).ephemeral_containers.as_ref().map_or(0, Vec::len);
    let count = pod::containers(pod).count() + ephemeral;
    MESSAGE_BYTES_MAX.min(POD_BYTES_MAX / count.max(1))
}

/// Where the container writes it; `None` if it is told not to.
pub(crate) fn path(container: &Container) -> Option<&str> {
    match container.termination_message_path.as_deref() {
        None => Some(PATH),
        Some("") => None,
        path => path,
    }
}

/// Text out of the last bytes of a file: a character that was cut at its start is left out.
pub(crate) fn text(bytes: &[u8]) -> String {
    let cut = bytes.iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
    let whole = bytes.len() < MESSAGE_BYTES_MAX;
    String::from_utf8_lossy(if whole { bytes } else { &bytes[cut..] }).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_share_what_there_is() {
        let of = |count: usize| {
            let containers: Vec<_> =
                (0..count).map(|at| serde_json::json!({"name": format!("c{at}")})).collect();
            let pod = serde_json::json!({"spec": {"containers": containers}});
            message_share(&serde_json::from_value(pod).unwrap())
        };
        assert_eq!([of(0), of(1), of(3), of(4), of(100)], [4_096, 4_096, 4_096, 3_072, 122]);
    }

    #[test]
    fn a_cut_character_is_left_out() {
        let mut bytes = "ä".repeat(MESSAGE_BYTES_MAX).into_bytes();
        bytes.remove(0);
        bytes.truncate(MESSAGE_BYTES_MAX);
        assert_eq!(text(&bytes), "ä".repeat(2_047) + "\u{fffd}");
        assert_eq!(text(b"\xffok"), "\u{fffd}ok");
    }
}
