// SPDX-License-Identifier: Apache-2.0
//! What runs beside a container after its start and before its end.

use super::{exec, http, id_of, probe};
use crate::task::{Task, failure};
use berth_cluster_pod::{Failure, Hook, Instance, Millis, Outcome};
use k8s_openapi::api::core::v1::LifecycleHandler;
use std::time::Duration;

/// Runs one.
pub(super) async fn run(
    task: &Task,
    instance: &Instance,
    hook: Hook,
    limit: Option<Millis>,
) -> Outcome {
    let lifecycle = task.container(&instance.container).and_then(|one| one.lifecycle);
    let handler = lifecycle.and_then(|all| match hook {
        Hook::PostStart => all.post_start,
        Hook::PreStop => all.pre_stop,
    });
    let Some(handler) = handler else { return Outcome::Done };
    let limit = limit.map(Duration::from_millis);
    match Box::pin(carry_out(task, instance, &handler, limit)).await {
        Ok(()) => Outcome::Done,
        Err(failure) => Outcome::Failed(failure),
    }
}

async fn carry_out(
    task: &Task,
    instance: &Instance,
    handler: &LifecycleHandler,
    limit: Option<Duration>,
) -> Result<(), Failure> {
    if let Some(action) = &handler.exec {
        let command = action.command.clone().unwrap_or_default();
        let id = id_of(task, instance).await?;
        return match exec::run(task, &id, &command, limit).await {
            Ok(ran) if ran.code == 0 => Ok(()),
            Ok(ran) => {
                let shown = command.join(" ");
                let (code, output) = (ran.code, ran.output);
                Err(Failure::Refused(format!("command '{shown}' exited with {code}: {output}")))
            }
            Err(exec::Failed::Call(error)) => Err(failure(error)),
            Err(exec::Failed::Late) => Err(late()),
        };
    }
    if let Some(action) = &handler.sleep {
        let sleep = Duration::from_secs(u64::try_from(action.seconds).unwrap_or(0));
        tokio::time::sleep(limit.map_or(sleep, |limit| sleep.min(limit))).await;
        return Ok(());
    }
    if let Some(action) = &handler.http_get {
        let ask = probe::ask(task, &instance.container, action).map_err(Failure::Refused)?;
        let answer = Box::pin(http::get(&ask));
        let answer = match limit {
            Some(limit) => tokio::time::timeout(limit, answer).await.map_err(|_| late())?,
            None => answer.await,
        };
        return answer.map(drop).map_err(Failure::Refused);
    }
    // A TCP hook has been of no effect since ever (upstream says so in its API).
    Err(Failure::Refused("invalid handler: nothing to run".to_owned()))
}

fn late() -> Failure {
    Failure::Refused("it took longer than the grace period".to_owned())
}
