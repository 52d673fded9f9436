// SPDX-License-Identifier: Apache-2.0
//! What an engine may do, found out by trying.
//!
//! An engine without `CAP_SYS_RESOURCE` (in a container, or rootless) cannot lower a process' score for the killing of what is too large:
//! each start with a score below zero fails, with words that lead nowhere ("can't get final child's PID from pipe"). There such scores
//! are zero.

use crate::body;
use crate::engine::{Engine, limited};
use crate::error::CallError;
use crate::labels;
use crate::limits;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions};

const CALL: &str = "try what the Docker engine may do";
/// The lowest that there is: what may be set may be set to any.
const LOWEST: i64 = -1000;

impl Engine {
    /// Whether containers can have scores below zero. Found out once for each connection; the first call takes as long as a container.
    pub async fn may_lower_oom_scores(&self) -> Result<bool, CallError> {
        self.may_lower.get_or_try_init(|| Box::pin(self.try_low_score())).await.copied()
    }

    /// Raises a score that the engine could not set.
    pub(crate) async fn fit_score(&self, body: &mut ContainerCreateBody) -> Result<(), CallError> {
        let score = body.host_config.as_mut().and_then(|host| host.oom_score_adj.as_mut());
        if let Some(score) = score.filter(|score| **score < 0)
            && !self.may_lower_oom_scores().await?
        {
            *score = 0;
        }
        Ok(())
    }

    async fn try_low_score(&self) -> Result<bool, CallError> {
        let image = self.ensure_pause().await?;
        let (name, labels) = labels::helper(&self.agent, "probe");
        let host = HostConfig {
            network_mode: Some("none".to_owned()),
            oom_score_adj: Some(LOWEST),
            readonly_rootfs: Some(true),
            ..body::never_restarted()
        };
        let body = ContainerCreateBody {
            image: Some(image),
            labels: Some(labels.into_iter().collect()),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let id = self.create_probe(&name, body).await?;
        let started = self.docker.start_container(&id, None::<StartContainerOptions>);
        let started = limited(CALL, limits::START, started).await;
        self.remove(&id, true).await?;
        match started {
            Ok(()) => Ok(true),
            Err(CallError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the container; one that an earlier agent of this name left behind is removed first.
    async fn create_probe(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<String, CallError> {
        for left_over in self.list().await?.left_over {
            self.remove(&left_over, true).await?;
        }
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let created = Box::pin(self.docker.create_container(Some(options), body));
        let id = limited(CALL, limits::CREATE, created).await?.id;
        self.note_owned(&id);
        Ok(id)
    }
}
