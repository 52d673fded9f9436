// SPDX-License-Identifier: Apache-2.0
//! The document as a whole: profiles, backoffs, leader election, the connection to the API server.

use super::fields::{Fields, Problems};
use super::{ConfigError, profile};
use crate::error::{Path, Problem};
use berth_scheduler_model::profile::Profile;
use serde_json::Value;

/// A KubeSchedulerConfiguration with its defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The profiles, each with its own scheduler name.
    pub profiles: Vec<Profile>,
    /// How long a pod waits after its first refusal, in seconds (`podInitialBackoffSeconds`).
    pub pod_initial_backoff_seconds: u32,
    /// How long it waits at most (`podMaxBackoffSeconds`).
    pub pod_max_backoff_seconds: u32,
    /// Leader election.
    pub leader_election: LeaderElection,
    /// The connection to the API server.
    pub client_connection: ClientConnection,
}

/// `leaderElection`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderElection {
    /// Whether replicas elect a leader.
    pub leader_elect: bool,
    /// How long others wait before they take over, in milliseconds.
    pub lease_duration_ms: u64,
    /// How long the leader tries to renew before it gives up, in milliseconds.
    pub renew_deadline_ms: u64,
    /// How long to wait between tries, in milliseconds.
    pub retry_period_ms: u64,
    /// Name of the Lease.
    pub resource_name: String,
    /// Namespace of the Lease.
    pub resource_namespace: String,
}

/// `clientConnection`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientConnection {
    /// Path of a kubeconfig file, if given.
    pub kubeconfig: Option<String>,
    /// Requests a second, if given.
    pub qps: Option<u32>,
    /// Requests at once, if given.
    pub burst: Option<u32>,
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self {
            leader_elect: true,
            lease_duration_ms: 15_000,
            renew_deadline_ms: 10_000,
            retry_period_ms: 2_000,
            resource_name: "kube-scheduler".to_owned(),
            resource_namespace: "kube-system".to_owned(),
        }
    }
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            profiles: vec![Profile::default()],
            pod_initial_backoff_seconds: 1,
            pod_max_backoff_seconds: 10,
            leader_election: LeaderElection::default(),
            client_connection: ClientConnection::default(),
        }
    }
}

const I32_MAX: i64 = i32::MAX as i64;

pub(super) fn read(value: &Value) -> Result<Configuration, ConfigError> {
    let problems = Problems::default();
    let root = Path::ROOT;
    let fields = Fields::of(value, &root, &problems);
    for name in ["apiVersion", "kind"] {
        if fields.get(name).is_none() {
            problems.note(&root.field(name), Problem::Missing);
        }
    }
    fields.header("KubeSchedulerConfiguration");
    let mut configuration = Configuration::default();
    let seconds =
        |name, min| fields.integer(name, min, I32_MAX).and_then(|v| u32::try_from(v).ok());
    if let Some(initial) = seconds("podInitialBackoffSeconds", 1) {
        configuration.pod_initial_backoff_seconds = initial;
    }
    if let Some(max) = seconds("podMaxBackoffSeconds", 1) {
        configuration.pod_max_backoff_seconds = max;
    }
    if configuration.pod_max_backoff_seconds < configuration.pod_initial_backoff_seconds {
        problems.note(
            &root.field("podMaxBackoffSeconds"),
            Problem::Rule("must not be below podInitialBackoffSeconds"),
        );
    }
    // How much upstream does at once, and how many nodes it looks at: here it is always all of them.
    fields.integer("parallelism", 1, I32_MAX);
    fields.integer("percentageOfNodesToScore", 0, 100);
    fields.boolean("enableProfiling");
    fields.boolean("enableContentionProfiling");
    fields.boolean("delayCacheUntilActive");
    fields.unsupported("extenders", "extenders");
    if let Some(value) = fields.get("leaderElection") {
        configuration.leader_election =
            leader_election(value, &root.field("leaderElection"), &problems);
    }
    if let Some(value) = fields.get("clientConnection") {
        configuration.client_connection =
            client_connection(value, &root.field("clientConnection"), &problems);
    }
    let profiles = fields.list("profiles");
    if !profiles.is_empty() {
        configuration.profiles = read_profiles(profiles, &root.field("profiles"), &problems);
    }
    fields.end();
    problems.finish(configuration)
}

fn read_profiles(list: &[Value], path: &Path<'_>, problems: &Problems) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let at = path.index(index);
        let named =
            value.get("schedulerName").and_then(Value::as_str).is_some_and(|n| !n.is_empty());
        if list.len() > 1 && !named {
            problems.note(&at.field("schedulerName"), Problem::Missing);
        }
        let profile = profile::read(value, &at, problems);
        if named && profiles.iter().any(|other| other.name == profile.name) {
            problems.note(
                &at.field("schedulerName"),
                Problem::Rule("another profile has the same name"),
            );
        }
        profiles.push(profile);
    }
    profiles
}

fn leader_election(value: &Value, path: &Path<'_>, problems: &Problems) -> LeaderElection {
    let fields = Fields::of(value, path, problems);
    let mut election = LeaderElection::default();
    if let Some(leader_elect) = fields.boolean("leaderElect") {
        election.leader_elect = leader_elect;
    }
    for (name, field) in [
        ("leaseDuration", &mut election.lease_duration_ms),
        ("renewDeadline", &mut election.renew_deadline_ms),
        ("retryPeriod", &mut election.retry_period_ms),
    ] {
        if let Some(duration) = fields.duration(name) {
            *field = duration;
        }
    }
    fields.word("resourceLock", &[("leases", ())], ());
    for (name, field) in [
        ("resourceName", &mut election.resource_name),
        ("resourceNamespace", &mut election.resource_namespace),
    ] {
        if let Some(text) = fields.text(name).filter(|text| !text.is_empty()) {
            text.clone_into(field);
        }
    }
    if election.leader_elect {
        if election.lease_duration_ms <= election.renew_deadline_ms {
            problems.note(
                &path.field("leaseDuration"),
                Problem::Rule("must be longer than renewDeadline"),
            );
        }
        // Upstream's jitter factor of 1.2.
        if election.renew_deadline_ms * 10 <= election.retry_period_ms * 12 {
            problems.note(
                &path.field("renewDeadline"),
                Problem::Rule("must be longer than 1.2 times retryPeriod"),
            );
        }
    }
    fields.end();
    election
}

fn client_connection(value: &Value, path: &Path<'_>, problems: &Problems) -> ClientConnection {
    let fields = Fields::of(value, path, problems);
    // Both ends speak JSON; other content types are accepted and not used.
    fields.text("acceptContentTypes");
    fields.text("contentType");
    let qps = fields.get("qps").and_then(|value| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate; the cast saturates"
        )]
        let qps = value.as_f64().filter(|qps| *qps > 0.0).map(|qps| qps.ceil() as u32);
        if qps.is_none() && value.as_f64().is_none() {
            problems.note(&path.field("qps"), Problem::Shape("expected a number".to_owned()));
        }
        qps
    });
    let connection = ClientConnection {
        kubeconfig: fields.text("kubeconfig").filter(|p| !p.is_empty()).map(str::to_owned),
        qps,
        burst: fields.integer("burst", 0, I32_MAX).and_then(|v| u32::try_from(v).ok()),
    };
    fields.end();
    connection
}
