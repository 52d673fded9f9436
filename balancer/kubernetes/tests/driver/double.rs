// SPDX-License-Identifier: Apache-2.0
//! A data plane inside the test: the core's compiler, which judges as the real one does, and forwards nothing.

use berth_balancer_core::model::Config;
use berth_balancer_core::{Change, Compiler, Problem};
use berth_balancer_data::control::FlowFilter;
use berth_balancer_data::stats::{Draining, FlowInfo, Stats};
use berth_balancer_service::observe::{Observe, Observer};
use berth_balancer_service::plane::{Applied, DataPlane, Identity, Known, PlaneError};
use berth_balancer_service::{Builder, Problems, Server};
use std::sync::{Arc, Mutex};

/// What it has been told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) compiler: Compiler,
    pub(crate) revision: u64,
    /// Changes, and replacements as an empty list.
    pub(crate) calls: Vec<Vec<Change>>,
    /// It ends before the next call.
    pub(crate) dies: bool,
    pub(crate) gone: bool,
}

/// A data plane that is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Double(Arc<Mutex<Told>>);

impl Double {
    pub(crate) fn told<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    pub(crate) fn config(&self) -> Config {
        self.told(|told| told.compiler.config())
    }

    pub(crate) fn builder(&self) -> Builder {
        Server::builder(Box::new(self.clone()), Observer::new(Box::new(self.clone())))
    }

    fn call<T>(
        &self,
        call: impl FnOnce(&mut Told) -> Result<T, Vec<Problem>>,
    ) -> Result<T, PlaneError> {
        self.told(|told| {
            if std::mem::take(&mut told.dies) {
                told.gone = true;
                told.compiler = Compiler::new();
            }
            if told.gone {
                return Err(PlaneError::Gone("it died".to_owned()));
            }
            call(told).map_err(|all| {
                let mut problems = Problems::default();
                for one in all {
                    problems.note(one.path, one.fault.to_string());
                }
                PlaneError::Refused(problems)
            })
        })
    }
}

fn applied(told: &mut Told) -> Applied {
    told.revision += 1;
    Applied { revision: told.revision, unserved: Vec::new() }
}

impl DataPlane for Double {
    fn apply(&mut self, changes: Vec<Change>) -> Result<Applied, PlaneError> {
        self.call(|told| {
            for change in &changes {
                told.compiler.apply(change.clone(), 0)?;
            }
            told.calls.push(changes);
            Ok(applied(told))
        })
    }

    fn replace(&mut self, config: Config) -> Result<Applied, PlaneError> {
        self.call(|told| {
            told.compiler.replace(config, 0)?;
            told.calls.push(Vec::new());
            Ok(applied(told))
        })
    }

    fn known(&mut self) -> Result<Known, PlaneError> {
        self.call(|told| {
            let (config, revision) = (told.compiler.config(), told.revision);
            Ok(Known { config, revision, unhealthy: Vec::new() })
        })
    }

    fn identity(&self) -> Identity {
        Identity { pid: 1, workers: 1, ..Identity::default() }
    }

    fn ensure(&mut self) -> Result<bool, PlaneError> {
        Ok(self.told(|told| std::mem::take(&mut told.gone)))
    }

    fn stop(&mut self) {}
}

impl Observe for Double {
    fn stats(&mut self) -> Result<Stats, String> {
        Ok(Stats::default())
    }

    fn drains(&mut self) -> Result<Vec<Draining>, String> {
        Ok(Vec::new())
    }

    fn flows(&mut self, _: FlowFilter) -> Result<Vec<FlowInfo>, String> {
        Ok(Vec::new())
    }
}
