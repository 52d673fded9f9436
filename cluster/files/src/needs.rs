// SPDX-License-Identifier: Apache-2.0
//! Which objects a pod refers to.

use crate::pod;
use k8s_openapi::api::core::v1::{
    Container, Pod, ServiceAccountTokenProjection, Volume, VolumeProjection,
};
use std::collections::BTreeSet;

/// `expirationSeconds` of a token that names none; the API's default.
const TOKEN_SECONDS: i64 = 3_600;

/// The objects of its own namespace that a pod refers to, by name: what its agent fetches and watches, and no more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// ConfigMaps, of environment and volumes.
    pub config_maps: BTreeSet<String>,
    /// Secrets, of environment and volumes.
    pub secrets: BTreeSet<String>,
    /// Secrets with credentials for the registries of its images.
    pub pull_secrets: BTreeSet<String>,
    /// PersistentVolumeClaims, and with them the PersistentVolumes that they are bound to.
    pub claims: BTreeSet<String>,
    /// Tokens of its ServiceAccount, bound to the pod.
    pub tokens: BTreeSet<TokenNeed>,
}

/// A token of the pod's ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenNeed {
    /// For whom; empty for the API itself.
    pub audience: String,
    /// For how many seconds.
    pub seconds: i64,
}

/// The objects that the pod refers to. A volume that no container mounts needs nothing, for it is not made.
pub fn needs(pod: &Pod) -> Needs {
    let mut needs = Needs::default();
    let spec = pod::spec(pod);
    let pull = spec.image_pull_secrets.as_deref().unwrap_or_default();
    needs.pull_secrets.extend(pull.iter().map(|secret| secret.name.clone()));
    for container in pod::containers(pod) {
        of_environment(container, &mut needs);
    }
    for volume in pod::mounted_volumes(pod) {
        of_volume(pod, volume, &mut needs);
    }
    for names in
        [&mut needs.config_maps, &mut needs.secrets, &mut needs.pull_secrets, &mut needs.claims]
    {
        names.remove("");
    }
    needs
}

fn of_environment(container: &Container, needs: &mut Needs) {
    for from in container.env_from.as_deref().unwrap_or_default() {
        needs.config_maps.extend(from.config_map_ref.iter().map(|r| r.name.clone()));
        needs.secrets.extend(from.secret_ref.iter().map(|r| r.name.clone()));
    }
    for from in
        container.env.as_deref().unwrap_or_default().iter().filter_map(|e| e.value_from.as_ref())
    {
        needs.config_maps.extend(from.config_map_key_ref.iter().map(|r| r.name.clone()));
        needs.secrets.extend(from.secret_key_ref.iter().map(|r| r.name.clone()));
    }
}

fn of_volume(pod: &Pod, volume: &Volume, needs: &mut Needs) {
    needs.config_maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
    needs.secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
    needs.claims.extend(pod::claim_name(pod, volume));
    let sources = volume.projected.iter().flat_map(|p| p.sources.as_deref().unwrap_or_default());
    for source in sources {
        of_projection(source, needs);
    }
}

fn of_projection(source: &VolumeProjection, needs: &mut Needs) {
    needs.config_maps.extend(source.config_map.iter().map(|source| source.name.clone()));
    needs.secrets.extend(source.secret.iter().map(|source| source.name.clone()));
    needs.tokens.extend(source.service_account_token.iter().map(token_need));
}

/// The token that goes into a projected volume.
pub(crate) fn token_need(token: &ServiceAccountTokenProjection) -> TokenNeed {
    TokenNeed {
        audience: token.audience.clone().unwrap_or_default(),
        seconds: token.expiration_seconds.unwrap_or(TOKEN_SECONDS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_referred_to_and_no_more() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {
            "imagePullSecrets": [{"name": "pull"}, {"name": ""}],
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "s1"}}]}],
            "containers": [{"name": "c",
                "envFrom": [{"configMapRef": {"name": "c1", "optional": true}}],
                "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c2", "key": "k"}}},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s2", "key": "k"}}}, {"name": "C", "value": "x"}],
                "volumeMounts": [{"name": "v1", "mountPath": "/1"}, {"name": "v2", "mountPath": "/2"}, {"name": "v3", "mountPath": "/3"},
                    {"name": "v4", "mountPath": "/4"}, {"name": "v5", "mountPath": "/5"}]}],
            "volumes": [
                {"name": "v1", "configMap": {"name": "c3"}}, {"name": "v2", "secret": {"secretName": "s3"}},
                {"name": "v3", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "v4", "ephemeral": {}},
                {"name": "v5", "projected": {"sources": [
                    {"configMap": {"name": "c4"}}, {"secret": {"name": "s4"}}, {"serviceAccountToken": {"path": "token"}},
                    {"serviceAccountToken": {"path": "vault", "audience": "vault", "expirationSeconds": 600}}]}},
                {"name": "unused", "secret": {"secretName": "never"}}]}});
        let needs = needs(&serde_json::from_value(pod).unwrap());
        let names =
            |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let token = |audience: &str, seconds| TokenNeed { audience: audience.to_owned(), seconds };
        let wanted = Needs {
            config_maps: names(&["c1", "c2", "c3", "c4"]),
            secrets: names(&["s1", "s2", "s3", "s4"]),
            pull_secrets: names(&["pull"]),
            claims: names(&["data", "p-v4"]),
            tokens: BTreeSet::from([token("", 3_600), token("vault", 600)]),
        };
        assert_eq!(needs, wanted);
    }
}
