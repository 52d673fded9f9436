// SPDX-License-Identifier: Apache-2.0
//! Volumes of one source, and those that several are projected into.

use super::objects::{self, Wanted};
use super::{MODE, Payload};
use crate::error::{Cause, ReferenceError};
use crate::facts::Facts;
use crate::needs::{TokenNeed, token_need};
use crate::sources::{self, Sources};
use crate::{pod, security};
use k8s_openapi::api::core::v1::{Pod, ServiceAccountTokenProjection, Volume, VolumeProjection};

/// The mode of a token that only its reader is to read.
const TOKEN_MODE: u32 = 0o600;

/// What a volume that is made of objects holds; `None` for one that is not. `may_own`: whether files can be given to another user.
pub(crate) fn of_volume(
    pod: &Pod,
    volume: &Volume,
    sources: &Sources,
    facts: &Facts,
    may_own: bool,
) -> Result<Option<Payload>, Cause> {
    let payload = if let Some(source) = &volume.config_map {
        let wanted = Wanted {
            name: &source.name,
            items: source.items.as_deref().unwrap_or_default(),
            optional: source.optional.unwrap_or(false),
            mode: objects::mode(source.default_mode, MODE),
        };
        objects::of_config_map(&wanted, sources)?
    } else if let Some(source) = &volume.secret {
        let wanted = Wanted {
            name: source.secret_name.as_deref().unwrap_or_default(),
            items: source.items.as_deref().unwrap_or_default(),
            optional: source.optional.unwrap_or(false),
            mode: objects::mode(source.default_mode, MODE),
        };
        objects::of_secret(&wanted, sources)?
    } else if let Some(source) = &volume.downward_api {
        let items = source.items.as_deref().unwrap_or_default();
        objects::of_fields(pod, items, objects::mode(source.default_mode, MODE), facts)?
    } else if let Some(source) = &volume.projected {
        let mode = objects::mode(source.default_mode, MODE);
        let reader = Reader { pod, sources, facts, mode, may_own };
        let mut payload = Payload::default();
        for source in source.sources.as_deref().unwrap_or_default() {
            payload.append(reader.source(source)?);
        }
        payload
    } else {
        return Ok(None);
    };
    payload.check()?;
    Ok(Some(payload))
}

struct Reader<'a> {
    pod: &'a Pod,
    sources: &'a Sources,
    facts: &'a Facts,
    mode: u32,
    may_own: bool,
}

impl Reader<'_> {
    fn source(&self, source: &VolumeProjection) -> Result<Payload, Cause> {
        let mode = self.mode;
        if let Some(map) = &source.config_map {
            let items = map.items.as_deref().unwrap_or_default();
            let optional = map.optional.unwrap_or(false);
            let wanted = Wanted { name: &map.name, items, optional, mode };
            objects::of_config_map(&wanted, self.sources)
        } else if let Some(secret) = &source.secret {
            let items = secret.items.as_deref().unwrap_or_default();
            let optional = secret.optional.unwrap_or(false);
            let wanted = Wanted { name: &secret.name, items, optional, mode };
            objects::of_secret(&wanted, self.sources)
        } else if let Some(fields) = &source.downward_api {
            let items = fields.items.as_deref().unwrap_or_default();
            objects::of_fields(self.pod, items, mode, self.facts)
        } else if let Some(token) = &source.service_account_token {
            self.token(token)
        } else {
            let what = if source.cluster_trust_bundle.is_some() {
                "a projected clusterTrustBundle"
            } else {
                "a projected source without a kind"
            };
            let instead = "use a configMap, secret, downwardAPI or serviceAccountToken";
            Err(Cause::Unsupported { what: what.to_owned(), instead })
        }
    }

    /// Who may read a token is decided by who may: the one user that all containers run as, or the pod's group.
    fn token(&self, projection: &ServiceAccountTokenProjection) -> Result<Payload, Cause> {
        let need: TokenNeed = token_need(projection);
        let account = pod::spec(self.pod).service_account_name.as_deref();
        let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
        let kind = "token of serviceaccount";
        let token = sources::known(self.sources.tokens.get(&need), kind, account)?;
        let token = token.ok_or_else(|| ReferenceError::Unknown {
            kind,
            name: account.to_owned(),
            why: "the ServiceAccount or the pod is gone".to_owned(),
        })?;
        let owner = security::shared_user(self.pod).filter(|_| self.may_own);
        let group = pod::security(self.pod).fs_group;
        let close = self.may_own && (owner.is_some() || group.is_some());
        let mode = if close { TOKEN_MODE } else { self.mode };
        let mut payload = Payload { secret: true, ..Payload::default() };
        payload.put(&projection.path, token.0.clone().into_bytes(), mode)?;
        for file in payload.files.values_mut() {
            file.owner = owner;
        }
        Ok(payload)
    }
}
