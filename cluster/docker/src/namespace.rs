// SPDX-License-Identifier: Apache-2.0
//! The network namespace of a container, where this process sees the engine's processes and may enter their namespaces.

use crate::engine::Engine;
use crate::error::CallError;
use crate::exec::is_in;
use std::fs::File;
use std::path::Path;

impl Engine {
    /// The network namespace that a container runs in, to be entered; none if it does not run, or is out of this process' reach.
    pub async fn network_namespace(&self, id: &str) -> Result<Option<File>, CallError> {
        let pid = self.inspect(id).await?.state.pid;
        let id = id.to_owned();
        let opened = tokio::task::spawn_blocking(move || open(pid, &id)).await;
        Ok(opened.ok().flatten())
    }
}

fn open(pid: i32, container: &str) -> Option<File> {
    if pid <= 1 {
        return None;
    }
    let process = Path::new("/proc").join(pid.to_string());
    let namespace = File::open(process.join("ns/net")).ok()?;
    // Asked afterwards: only then it is known whose number it was.
    is_in(&process, container).then_some(namespace)
}
