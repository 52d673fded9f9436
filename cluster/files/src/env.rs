// SPDX-License-Identifier: Apache-2.0
//! The environment of a container (upstream's `makeEnvironmentVariables`).

mod expansion;
mod links;

pub(crate) use expansion::{expand, expand_all_known};

use crate::error::{ConfigError, ReferenceError};
use crate::facts::Facts;
use crate::field;
use crate::sources::{Lookup, Sources};
use crate::{pod, sources};
use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVarSource, Pod};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Variables by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// What a container's environment comes to.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) variables: Variables,
    /// Messages of events with the reason `InvalidEnvironmentVariableNames`.
    pub(crate) skipped: Vec<String>,
}

/// `envFrom`, over which goes `env`, and beneath both what is told of Services.
pub(crate) fn container(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    facts: &Facts,
    addresses: &[String],
) -> Result<Environment, ConfigError> {
    let mut links = links::of(pod, &sources.services);
    let mut environment = Environment::default();
    for from in container.env_from.as_deref().unwrap_or_default() {
        take_all(pod, from, sources, &mut environment)?;
    }
    let variables = &mut environment.variables;
    for variable in container.env.as_deref().unwrap_or_default() {
        let unfit = |c: char| c == '=' || c.is_control();
        if variable.name.is_empty() || variable.name.contains(unfit) {
            return Err(ConfigError::Variable { name: variable.name.clone() });
        }
        let text = variable.value.as_deref().unwrap_or_default();
        let value = match &variable.value_from {
            Some(from) if text.is_empty() => {
                let place = Place { pod, container, sources, facts, addresses };
                match place.value(from)? {
                    Some(value) => value,
                    None => continue,
                }
            }
            _ => expand(text, |name| variables.get(name).or_else(|| links.get(name)).cloned()),
        };
        variables.insert(variable.name.clone(), value);
    }
    // What the pod itself says wins.
    links.append(variables);
    environment.variables = links;
    Ok(environment)
}

/// All keys of an object.
fn take_all(
    pod: &Pod,
    from: &EnvFromSource,
    sources: &Sources,
    environment: &mut Environment,
) -> Result<(), ReferenceError> {
    let prefix = from.prefix.as_deref().unwrap_or_default();
    let mut unfit = Vec::new();
    let mut put = |key: &str, value: String| {
        let name = format!("{prefix}{key}");
        if is_name(&name) {
            environment.variables.insert(name, value);
        } else {
            unfit.push(name);
        }
    };
    let (kind, name) = if let Some(reference) = &from.config_map_ref {
        let optional = reference.optional.unwrap_or(false);
        let map = config_map(sources, &reference.name, optional)?;
        for (key, value) in map.iter().flat_map(|map| map.data.iter().flatten()) {
            put(key, value.clone());
        }
        ("configMap", &reference.name)
    } else if let Some(reference) = &from.secret_ref {
        let optional = reference.optional.unwrap_or(false);
        let secret = secret(sources, &reference.name, optional)?;
        for (key, value) in secret.iter().flat_map(|secret| secret.data.iter().flatten()) {
            put(key, String::from_utf8_lossy(&value.0).into_owned());
        }
        ("secret", &reference.name)
    } else {
        return Ok(());
    };
    if !unfit.is_empty() {
        unfit.sort();
        environment.skipped.push(format!(
            "Keys [{}] from the EnvFrom {kind} {}/{name} were skipped since they are considered invalid environment variable names.",
            unfit.join(", "),
            pod::namespace(pod)
        ));
    }
    Ok(())
}

/// Upstream's `IsEnvVarName`.
fn is_name(name: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let digit = name.as_bytes().first().is_none_or(u8::is_ascii_digit);
    !digit && name != "." && !name.starts_with("..") && name.bytes().all(letters)
}

/// Whose variable is wanted, and what is known.
struct Place<'a> {
    pod: &'a Pod,
    container: &'a Container,
    sources: &'a Sources,
    facts: &'a Facts,
    addresses: &'a [String],
}

impl Place<'_> {
    /// `None` if it may be absent and is.
    fn value(&self, from: &EnvVarSource) -> Result<Option<String>, ReferenceError> {
        if let Some(field) = &from.field_ref {
            let value = field::of_running(self.pod, &field.field_path, self.facts, self.addresses);
            return value.map(Some);
        }
        if let Some(amount) = &from.resource_field_ref {
            let container = Some(self.container);
            return field::amount(self.pod, container, amount, self.facts).map(Some);
        }
        let namespace = || pod::namespace(self.pod).to_owned();
        if let Some(reference) = &from.config_map_key_ref {
            let optional = reference.optional.unwrap_or(false);
            let map = config_map(self.sources, &reference.name, optional)?;
            let value = map.and_then(|map| map.data.as_ref()?.get(&reference.key).cloned());
            if value.is_none() && !optional {
                let (key, name) = (reference.key.clone(), reference.name.clone());
                return Err(ReferenceError::ConfigMapKey { key, namespace: namespace(), name });
            }
            return Ok(value);
        }
        if let Some(reference) = &from.secret_key_ref {
            let optional = reference.optional.unwrap_or(false);
            let secret = secret(self.sources, &reference.name, optional)?;
            let value = secret.and_then(|secret| {
                let value = secret.data.as_ref()?.get(&reference.key)?;
                Some(String::from_utf8_lossy(&value.0).into_owned())
            });
            if value.is_none() && !optional {
                let (key, name) = (reference.key.clone(), reference.name.clone());
                return Err(ReferenceError::SecretKey { key, namespace: namespace(), name });
            }
            return Ok(value);
        }
        Ok(Some(String::new()))
    }
}

type Optional<T> = Result<Option<Arc<T>>, ReferenceError>;

/// `None` if it may be absent and is.
pub(crate) fn config_map(
    sources: &Sources,
    name: &str,
    optional: bool,
) -> Optional<k8s_openapi::api::core::v1::ConfigMap> {
    let absent = || ReferenceError::ConfigMap { name: name.to_owned() };
    look_up(sources.config_maps.get(name), "configmap", name, optional, absent)
}

/// `None` if it may be absent and is.
pub(crate) fn secret(
    sources: &Sources,
    name: &str,
    optional: bool,
) -> Optional<k8s_openapi::api::core::v1::Secret> {
    let absent = || ReferenceError::Secret { name: name.to_owned() };
    look_up(sources.secrets.get(name), "secret", name, optional, absent)
}

fn look_up<T>(
    found: Option<&Lookup<T>>,
    kind: &'static str,
    name: &str,
    optional: bool,
    absent: impl FnOnce() -> ReferenceError,
) -> Optional<T> {
    match sources::known(found, kind, name)? {
        Some(object) => Ok(Some(Arc::clone(object))),
        None if optional => Ok(None),
        None => Err(absent()),
    }
}

#[cfg(test)]
mod tests;
