// SPDX-License-Identifier: Apache-2.0
//! KubeSchedulerConfiguration (`kubescheduler.config.k8s.io/v1`, YAML or JSON) and single profiles.
//!
//! Defaults and the merging of plugin lists are those of kube-scheduler v1.36. A field, plugin or value that is unknown, or
//! that would change decisions and is not supported, is refused with its path; all problems are told, not only the first.
//! What only tunes upstream's speed (`parallelism`, `percentageOfNodesToScore`, candidate limits of preemption) is checked and
//! has no effect: every node is filtered and scored.
//!
//! The order in which filters are listed does not matter here: they run in upstream's default order, which decides only
//! which of several reasons is given first.

mod added;
mod args;
mod document;
mod fields;
mod plugins;
mod profile;

pub use document::{ClientConnection, Configuration, LeaderElection};

use crate::error::{ObjectError, Path, Problem};
use berth_scheduler_model::profile::Profile;
use fields::Problems;
use serde_json::Value;
use std::fmt;

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The problems, in the order of the document.
    pub problems: Vec<ObjectError>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Reads a KubeSchedulerConfiguration from YAML or JSON text.
pub fn configuration(text: &str) -> Result<Configuration, ConfigError> {
    document::read(&parsed(text)?)
}

/// Reads one KubeSchedulerProfile from YAML or JSON text.
pub fn profile_text(text: &str) -> Result<Profile, ConfigError> {
    profile(&parsed(text)?)
}

/// Reads one KubeSchedulerProfile.
pub fn profile(value: &Value) -> Result<Profile, ConfigError> {
    let problems = Problems::default();
    let profile = profile::read(value, &Path::ROOT, &problems);
    problems.finish(profile)
}

fn parsed(text: &str) -> Result<Value, ConfigError> {
    let shape =
        |error: String| ConfigError { problems: vec![Path::ROOT.error(Problem::Shape(error))] };
    if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| shape(error.to_string()))
    } else {
        serde_saphyr::from_str(text).map_err(|error| shape(error.to_string()))
    }
}
