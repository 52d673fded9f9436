// SPDX-License-Identifier: Apache-2.0
//! The apiserver, its clock, and doors to it.

use berth_cluster_apiserver::{Caller, Environment, Faults, Fixed, Moment, Server, Tolerations};
use berth_cluster_auth::user::{MASTERS, User};
use berth_cluster_client::{Api, CallError, Clock, Media};
use berth_cluster_controllers::events::{Record, Recorder, Reference, Type};
use berth_cluster_controllers::{Config, Controllers, SHARED, Settings};
use berth_cluster_store::{Options, Store};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// When the clock begins: 2027-01-15T08:00:00Z, in seconds.
pub const NOW: i64 = 1_800_000_000;

/// Time goes by tokio's clock.
#[derive(Debug)]
struct Ticking {
    clock: Clock,
    chance: Fixed,
}

impl Environment for Ticking {
    fn now(&self) -> Moment {
        let micros = self.clock.micros();
        let nanos =
            u32::try_from(micros.rem_euclid(1_000_000) * 1000).expect("a cluster of a test");
        Moment { seconds: micros.div_euclid(1_000_000), nanos }
    }

    fn random(&self) -> u64 {
        self.chance.random()
    }
}

/// Events that were told, as `REASON message` of the object `KIND/NAME`.
#[derive(Debug, Clone, Default)]
pub struct Told(Arc<Mutex<Vec<(String, String)>>>);

impl Record for Told {
    fn record(&self, about: &Reference, _: Type, reason: &str, _: &str, message: String) {
        let about = format!("{}/{}", about.kind, about.name);
        self.0.lock().expect("a cluster of a test").push((about, format!("{reason} {message}")));
    }
}

impl Told {
    /// What was told of an object.
    pub fn of(&self, about: &str) -> Vec<String> {
        let all = self.0.lock().expect("a cluster of a test");
        all.iter().filter(|(of, _)| of == about).map(|(_, text)| text.clone()).collect()
    }
}

/// A server, and the administrator's door to it.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The server.
    pub server: Server,
    /// Its store.
    pub store: Store,
    /// What time it is for all.
    pub clock: Clock,
    /// Events of components.
    pub told: Told,
    admin: Api,
    /// What components talk to.
    door: Server,
}

impl Cluster {
    /// One in memory. The test has to run on a paused clock.
    pub async fn new() -> Self {
        Self::with_faults(Faults::default()).await
    }

    /// One whose components are refused, kept waiting and left without an answer.
    pub async fn with_faults(faults: Faults) -> Self {
        let clock = settable();
        let store = Store::memory(Options::default());
        let environment = Arc::new(Ticking { clock, chance: Fixed::new(NOW, 7) });
        let builder = || {
            Server::builder(store.clone())
                .environment(Arc::<Ticking>::clone(&environment))
                // Pods come without ServiceAccounts.
                .without_admission(["ServiceAccount".to_owned()])
                // Those that do not say otherwise leave a lost node at once, as tests of that expect.
                .tolerations(Tolerations { not_ready_seconds: 0, unreachable_seconds: 0 })
        };
        let (server, door) = (builder().build(), builder().faults(faults).build());
        server.bootstrap().await.expect("a cluster of a test");
        let user = User::authenticated("admin", "", vec![MASTERS.to_owned()]);
        let admin = Api::within(server.clone(), Caller(user));
        Self { server, store, clock, told: Told::default(), admin, door }
    }

    /// A door for a component.
    pub fn component(&self, name: &str) -> Api {
        Api::within(self.door.clone(), component(name))
    }

    /// Starts controllers.
    pub fn control(&self, names: &[&str], settings: Settings) -> Controllers {
        let (doors, told) = (self.clone(), self.told.clone());
        Controllers::start(Config {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            api: Box::new(move |name| doors.component(name)),
            recorder: Some(Box::new(move |_| Arc::new(told.clone()) as Recorder)),
            clock: self.clock,
            seed: 1,
            settings,
        })
    }

    /// Starts controllers whose events go into the API.
    pub fn control_and_record(&self, names: &[&str]) -> Controllers {
        let doors = self.clone();
        Controllers::start(Config {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            api: Box::new(move |name| doors.component(name)),
            recorder: None,
            clock: self.clock,
            seed: 1,
            settings: Settings::default(),
        })
    }

    /// Sets the clock of all forward by so many seconds, or back.
    pub fn set_clock(&self, seconds: i64) {
        set(self.clock, seconds);
    }

    /// The administrator's door.
    pub fn admin(&self) -> &Api {
        &self.admin
    }

    /// What a path has.
    pub async fn get(&self, path: &str) -> Value {
        value(self.admin.get(path).await)
    }

    /// What a path has, if it has anything.
    pub async fn find(&self, path: &str) -> Option<Value> {
        match self.admin.get(path).await {
            Err(error) if error.code() == Some(404) => None,
            found => Some(value(found)),
        }
    }

    /// The objects of a collection.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        self.get(path).await["items"].as_array().expect("a cluster of a test").clone()
    }

    /// Creates an object.
    pub async fn make(&self, path: &str, object: Value) -> Value {
        value(self.admin.post(path, bytes(&object)).await)
    }

    /// Changes an object by a merge patch.
    pub async fn change(&self, path: &str, patch: Value) -> Value {
        value(self.admin.patch(path, Media::Merge, bytes(&patch)).await)
    }

    /// Deletes an object, with options.
    pub async fn delete(&self, path: &str, options: Value) {
        drop(value(self.admin.delete(path, Some(bytes(&options))).await));
    }

    /// The revision of the store.
    pub fn revision(&self) -> u64 {
        self.store.revision()
    }

    /// Waits until something holds, for ten minutes at most.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        for _ in 0..6_000 {
            if holds(self).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("after ten minutes it does not hold that {what}");
    }

    /// Waits; nothing may be written meanwhile.
    pub async fn silent(&self, time: Duration) {
        let before = self.revision();
        tokio::time::sleep(time).await;
        assert_eq!(self.revision(), before, "nothing is written where all is as it should be");
    }
}

/// A clock that goes by tokio's, from [`NOW`] on, and that can be [`set`].
pub fn settable() -> Clock {
    // A clock is a value that everybody has: what sets it lives as long as the process.
    let by: &'static AtomicI64 = Box::leak(Box::default());
    Clock::Set { at: NOW * 1_000_000, start: Instant::now(), by }
}

/// Sets a clock forward by so many seconds, or back.
pub fn set(clock: Clock, seconds: i64) {
    let Clock::Set { by, .. } = clock else { panic!("this clock cannot be set") };
    by.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
}

/// Who a component is: a ServiceAccount of `kube-system`, or the user that follows all kinds.
pub fn component(name: &str) -> Caller {
    if name == SHARED {
        return Caller(User::authenticated("system:kube-controller-manager", "", Vec::new()));
    }
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system"];
    let name = format!("system:serviceaccount:kube-system:{name}");
    Caller(User::authenticated(&name, "", groups.map(str::to_owned).to_vec()))
}

/// A body.
pub fn bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

fn value(answer: Result<Bytes, CallError>) -> Value {
    serde_json::from_slice(&answer.unwrap_or_else(|error| panic!("{error}")))
        .expect("a cluster of a test")
}

/// A template of pods with a label.
pub fn template(app: &str, image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": app } },
        "spec": { "containers": [{ "name": "c", "image": image, "ports": [{ "name": "http", "containerPort": 8080 }] }] },
    })
}

/// A ReplicaSet.
pub fn replica_set(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": template(name, "i"),
        },
    })
}
