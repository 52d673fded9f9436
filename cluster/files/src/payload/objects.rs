// SPDX-License-Identifier: Apache-2.0
//! Files out of a ConfigMap, a Secret, and the pod's own fields (upstream's `MakePayload` and `CollectData`).

use super::Payload;
use crate::env;
use crate::error::{Cause, ReferenceError};
use crate::facts::Facts;
use crate::field;
use crate::sources::Sources;
use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod};

/// Of which object, which of its keys, and with which mode.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    /// All keys if there is none.
    pub(super) items: &'a [KeyToPath],
    pub(super) optional: bool,
    pub(super) mode: u32,
}

pub(super) fn of_config_map(wanted: &Wanted<'_>, sources: &Sources) -> Result<Payload, Cause> {
    let Some(map) = env::config_map(sources, wanted.name, wanted.optional)? else {
        return Ok(Payload::default());
    };
    let text = |key: &str| map.data.as_ref()?.get(key).map(String::as_bytes);
    let bytes = |key: &str| map.binary_data.as_ref()?.get(key).map(|bytes| bytes.0.as_slice());
    let value = |key: &str| text(key).or_else(|| bytes(key));
    let texts = map.data.iter().flat_map(|data| data.keys());
    let keys = texts.chain(map.binary_data.iter().flat_map(|data| data.keys()));
    let absent = |key: String| ReferenceError::ConfigMapItem { key };
    collect(wanted, keys, value, absent)
}

pub(super) fn of_secret(wanted: &Wanted<'_>, sources: &Sources) -> Result<Payload, Cause> {
    let Some(secret) = env::secret(sources, wanted.name, wanted.optional)? else {
        return Ok(Payload { secret: true, ..Payload::default() });
    };
    let value = |key: &str| secret.data.as_ref()?.get(key).map(|bytes| bytes.0.as_slice());
    let keys = secret.data.iter().flat_map(|data| data.keys());
    let absent = |key: String| ReferenceError::SecretItem { key };
    Ok(Payload { secret: true, ..collect(wanted, keys, value, absent)? })
}

fn collect<'a>(
    wanted: &Wanted<'_>,
    keys: impl Iterator<Item = &'a String>,
    value: impl Fn(&str) -> Option<&'a [u8]>,
    absent: impl Fn(String) -> ReferenceError,
) -> Result<Payload, Cause> {
    let mut payload = Payload::default();
    if wanted.items.is_empty() {
        for key in keys {
            payload.put(key, value(key).unwrap_or_default().to_vec(), wanted.mode)?;
        }
    }
    for item in wanted.items {
        match value(&item.key) {
            Some(bytes) => {
                payload.put(&item.path, bytes.to_vec(), mode(item.mode, wanted.mode))?;
            }
            None if wanted.optional => {}
            None => return Err(absent(item.key.clone()).into()),
        }
    }
    Ok(payload)
}

pub(super) fn of_fields(
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    default_mode: u32,
    facts: &Facts,
) -> Result<Payload, Cause> {
    let mut payload = Payload::default();
    for item in items {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => field::of_object(pod, &field.field_path)?,
            (None, Some(amount)) => field::amount(pod, None, amount, facts)?,
            (None, None) => continue,
        };
        payload.put(&item.path, text.into_bytes(), mode(item.mode, default_mode))?;
    }
    Ok(payload)
}

/// A mode as objects have it, over the one that goes for the whole volume.
pub(super) fn mode(own: Option<i32>, default: u32) -> u32 {
    own.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(default)
}
