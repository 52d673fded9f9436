// SPDX-License-Identifier: Apache-2.0
//! Counts, and how Prometheus reads them.
//!
//! | name | is |
//! |---|---|
//! | `berth_agent_running_pods`, `berth_agent_running_containers` | what the agent says |
//! | `berth_agent_server_requests_total` | answers by path and class of status |
//! | `berth_agent_server_sessions` | sessions of exec, attach and port-forward that are open |

use crate::pods::Pods;
use crate::route::Route;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

const PATHS: [&str; 8] =
    ["containerLogs", "exec", "attach", "portForward", "pods", "healthz", "metrics", "other"];
/// 1xx to 5xx.
const CLASSES: usize = 5;

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    requests: [[AtomicU64; CLASSES]; PATHS.len()],
    pub(crate) sessions: AtomicU64,
}

impl Counts {
    /// Counts an answer.
    pub(crate) fn answered(&self, route: Option<&Route>, status: http::StatusCode) {
        let path = match route {
            Some(Route::Logs(_)) => 0,
            Some(Route::Exec(_)) => 1,
            Some(Route::Attach(_)) => 2,
            Some(Route::Forward(_)) => 3,
            Some(Route::Pods) => 4,
            Some(Route::Health) => 5,
            Some(Route::Metrics) => 6,
            None => 7,
        };
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES) - 1;
        self.requests[path][class].fetch_add(1, Ordering::Relaxed);
    }

    /// All figures.
    pub(crate) fn write(&self, pods: &dyn Pods) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let count = pods.count();
        for (name, help, value) in [
            ("running_pods", "Pods whose sandbox runs.", count.pods),
            ("running_containers", "Containers that run.", count.containers),
            (
                "server_sessions",
                "Sessions of exec, attach and port-forward that are open.",
                self.sessions.load(Ordering::Relaxed),
            ),
        ] {
            let name = format!("berth_agent_{name}");
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}")?;
        }
        let name = "berth_agent_server_requests_total";
        writeln!(
            text,
            "# HELP {name} Answers by path and class of status.\n# TYPE {name} counter"
        )?;
        for (path, classes) in PATHS.iter().zip(&self.requests) {
            for (class, count) in (1..).zip(classes) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    writeln!(text, "{name}{{path=\"{path}\",code=\"{class}xx\"}} {count}")?;
                }
            }
        }
        pods.metrics(&mut text)?;
        Ok(text)
    }
}
