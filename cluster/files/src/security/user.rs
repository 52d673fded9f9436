// SPDX-License-Identifier: Apache-2.0
//! As whom a container runs, and whether that is root (upstream's `verifyRunAsNonRoot`).

use crate::error::ConfigError;
use crate::pod;
use k8s_openapi::api::core::v1::{Container, Pod};

/// The container's or the pod's `runAsUser`.
fn effective_user(pod: &Pod, container: &Container) -> Option<i64> {
    let own = container.security_context.as_ref().and_then(|own| own.run_as_user);
    own.or(pod::security(pod).run_as_user)
}

/// The user that all containers run as, if they say so and it is one (upstream's `FsUserFrom`): who may read a token.
pub(crate) fn shared_user(pod: &Pod) -> Option<u32> {
    let mut users = pod::containers(pod).map(|container| effective_user(pod, container));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok())?
}

/// `uid:gid` as far as the pod says; what it does not say is the image's.
pub(super) fn user(
    pod: &Pod,
    container: &Container,
    image_user: &str,
) -> Result<Option<String>, ConfigError> {
    let user = effective_user(pod, container);
    let own = container.security_context.as_ref().and_then(|own| own.run_as_group);
    let group = own.or(pod::security(pod).run_as_group);
    let user = user.map(|user| id(container, "runAsUser", user)).transpose()?;
    let group = group.map(|group| id(container, "runAsGroup", group)).transpose()?;
    let image = image_user.split(':').next().unwrap_or_default();
    let image = if image.is_empty() { "0" } else { image };
    Ok(match (user, group) {
        (None, None) => None,
        (Some(user), None) => Some(user.to_string()),
        (Some(user), Some(group)) => Some(format!("{user}:{group}")),
        (None, Some(group)) => Some(format!("{image}:{group}")),
    })
}

pub(super) fn groups(pod: &Pod, container: &Container) -> Result<Vec<u32>, ConfigError> {
    let context = pod::security(pod);
    let mut groups = Vec::new();
    let supplemental = context.supplemental_groups.as_deref().unwrap_or_default();
    for group in supplemental.iter().chain(&context.fs_group) {
        let group = id(container, "supplementalGroups", *group)?;
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    Ok(groups)
}

fn id(container: &Container, field: &'static str, id: i64) -> Result<u32, ConfigError> {
    let fits = u32::try_from(id).ok().filter(|id| i32::try_from(*id).is_ok());
    fits.ok_or_else(|| {
        let container = container.name.clone();
        ConfigError::Invalid { container, field, value: id.to_string() }
    })
}

/// Refuses root where it must not be: said in the pod, or in the image. An image whose user is a name may be root.
pub(super) fn check_non_root(
    pod: &Pod,
    container: &Container,
    image_user: &str,
) -> Result<(), ConfigError> {
    let own = container.security_context.as_ref().and_then(|own| own.run_as_non_root);
    if own.or(pod::security(pod).run_as_non_root) != Some(true) {
        return Ok(());
    }
    let (described, name) = (pod::described(pod), container.name.clone());
    match effective_user(pod, container) {
        Some(0) => return Err(ConfigError::RootUser { pod: described, container: name }),
        Some(_) => return Ok(()),
        None => {}
    }
    let user = image_user.split(':').next().unwrap_or_default();
    match user.parse::<u32>() {
        Ok(0) => Err(ConfigError::RootImage { pod: described, container: name }),
        Ok(_) => Ok(()),
        Err(_) if user.is_empty() => {
            Err(ConfigError::RootImage { pod: described, container: name })
        }
        Err(_) => Err(ConfigError::NamedImageUser {
            user: user.to_owned(),
            pod: described,
            container: name,
        }),
    }
}
