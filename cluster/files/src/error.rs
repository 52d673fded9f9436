// SPDX-License-Identifier: Apache-2.0
//! What can go wrong, an enum for each operation. Where users know a message from upstream's kubelet, it is that message.

use crate::names::NameError;
use std::io;
use std::path::PathBuf;

/// Why something that a pod refers to has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// There is no such ConfigMap.
    #[error("configmap {name:?} not found")]
    ConfigMap {
        /// Its name.
        name: String,
    },
    /// There is no such Secret.
    #[error("secret {name:?} not found")]
    Secret {
        /// Its name.
        name: String,
    },
    /// An object cannot be read at the moment; the answer may be another one soon.
    #[error("{kind} {name:?} is not known yet: {why}")]
    Unknown {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the API said.
        why: String,
    },
    /// The ConfigMap lacks the key that a variable wants.
    #[error("couldn't find key {key} in ConfigMap {namespace}/{name}")]
    ConfigMapKey {
        /// The key.
        key: String,
        /// Namespace of both.
        namespace: String,
        /// The ConfigMap.
        name: String,
    },
    /// The Secret lacks the key that a variable wants.
    #[error("couldn't find key {key} in Secret {namespace}/{name}")]
    SecretKey {
        /// The key.
        key: String,
        /// Namespace of both.
        namespace: String,
        /// The Secret.
        name: String,
    },
    /// The ConfigMap lacks the key that a volume wants.
    #[error("configmap references non-existent config key: {key}")]
    ConfigMapItem {
        /// The key.
        key: String,
    },
    /// The Secret lacks the key that a volume wants.
    #[error("references non-existent secret key: {key}")]
    SecretItem {
        /// The key.
        key: String,
    },
    /// Nothing is known of such a field.
    #[error("unsupported fieldPath: {path}")]
    Field {
        /// As it was written.
        path: String,
    },
    /// Nothing is known of such a resource.
    #[error("unsupported container resource : {resource}")]
    Resource {
        /// As it was written.
        resource: String,
    },
    /// The pod has no such container.
    #[error("container {name} not found")]
    Container {
        /// Its name.
        name: String,
    },
    /// An amount is none, or too large.
    #[error("{resource}: {text:?} cannot be used: {why}")]
    Quantity {
        /// Of what.
        resource: String,
        /// As it was written.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Why a container cannot be made. Its waiting reason is [`ConfigError::reason`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Something that it refers to has no value.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A variable has a name that cannot be passed on.
    #[error(
        "invalid name of an environment variable {name:?}: it must not be empty, nor hold '=' or control characters"
    )]
    Variable {
        /// The name.
        name: String,
    },
    /// It must not run as root, and is told to.
    #[error("container's runAsUser breaks non-root policy (pod: {pod:?}, container: {container})")]
    RootUser {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// It must not run as root, and its image does.
    #[error(
        "container has runAsNonRoot and image will run as root (pod: {pod:?}, container: {container})"
    )]
    RootImage {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// It must not run as root, and what its image runs as is only known by name.
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root (pod: {pod:?}, container: {container})"
    )]
    NamedImageUser {
        /// The image's user.
        user: String,
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// It wants something that is not there.
    #[error("container {container}: {what}")]
    Unsupported {
        /// The container.
        container: String,
        /// What, and what to do instead.
        what: &'static str,
    },
    /// A field of its security context has a value that cannot be used.
    #[error("container {container}: invalid {field}: {value:?}")]
    Invalid {
        /// The container.
        container: String,
        /// Which field.
        field: &'static str,
        /// As it was written.
        value: String,
    },
}

impl ConfigError {
    /// The waiting reason that users know.
    pub fn reason(&self) -> &'static str {
        "CreateContainerConfigError"
    }
}

/// Why a pod's sandbox cannot be made. What is written in the pod has to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// A kernel parameter that could harm others.
    #[error("forbidden sysctl: {name:?} not allowlisted")]
    Sysctl {
        /// Its name.
        name: String,
    },
    /// A kernel parameter of a namespace that the pod shares with the host.
    #[error("forbidden sysctl: {name:?} not allowed with host {what} enabled")]
    HostSysctl {
        /// Its name.
        name: String,
        /// `net` or `ipc`.
        what: &'static str,
    },
    /// It wants user ids of its own.
    #[error(
        "hostUsers: false is not there: a user namespace for one pod is nothing that the engine has; leave hostUsers out"
    )]
    UserNamespaces,
    /// Its host name is none.
    #[error("pod Hostname {name:?} is not a valid DNS label")]
    Hostname {
        /// As it was written.
        name: String,
    },
    /// Its subdomain is none.
    #[error("pod Subdomain {name:?} is not a valid DNS label")]
    Subdomain {
        /// As it was written.
        name: String,
    },
    /// With its domain, its host name has no room in the kernel.
    #[error(
        "Failed to construct FQDN from Pod hostname and cluster domain, FQDN {name} is too long \
         ({max} characters is the max, {} characters requested)",
        name.len()
    )]
    LongName {
        /// The whole name.
        name: String,
        /// Characters that there is room for.
        max: usize,
    },
    /// Amounts of the pod as a whole cannot be used.
    #[error(transparent)]
    Amount(#[from] ReferenceError),
}

impl SandboxError {
    /// The reason that users know.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Sysctl { .. } | Self::HostSysctl { .. } => "SysctlForbidden",
            _ => "FailedCreatePodSandBox",
        }
    }
}

/// Why a folder of a pod, or a volume in it, is not as it should be. Each call can be repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// A volume could not be made or renewed. The event's reason is `FailedMount`.
    #[error("MountVolume.SetUp failed for volume {volume:?} : {cause}")]
    Volume {
        /// The volume.
        volume: String,
        /// Why.
        #[source]
        cause: Box<Cause>,
    },
    /// A container cannot have what it mounts. Its waiting reason is `CreateContainerConfigError`.
    #[error("container {container}: volume mount {volume:?}: {cause}")]
    Mount {
        /// The container.
        container: String,
        /// The volume.
        volume: String,
        /// Why.
        #[source]
        cause: Box<Cause>,
    },
    /// The folder itself.
    #[error("folder of pod {uid:?}: {cause}")]
    Folder {
        /// The pod.
        uid: String,
        /// Why.
        #[source]
        cause: Box<Cause>,
    },
    /// The folder of all pods.
    #[error("folder {}: {cause}", path.display())]
    Root {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Box<Cause>,
    },
}

/// The reason in a [`VolumeError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// Something that it refers to has no value.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A name or path that leads elsewhere, or cannot be one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Two files have one path, or one is to be a folder too.
    #[error("two files want the path {path:?}")]
    Conflict {
        /// The path.
        path: String,
    },
    /// What is on the host is not what the volume's type says.
    #[error("hostPath type check failed: {path} is not a {wanted}")]
    HostPathType {
        /// The path.
        path: String,
        /// `directory`, `file`, `socket`, `character device`, `block device`.
        wanted: &'static str,
    },
    /// There is no such claim.
    #[error("failed to fetch PVC from API server: persistentvolumeclaims {name:?} not found")]
    NoClaim {
        /// Its name.
        name: String,
    },
    /// The claim is not bound to a volume, or not both ways.
    #[error("persistentvolumeclaim {name:?} cannot be used: {why}")]
    Claim {
        /// Its name.
        name: String,
        /// What is in the way.
        why: String,
    },
    /// It is nothing that is made here.
    #[error("{what} is not supported here; {instead}")]
    Unsupported {
        /// What.
        what: String,
        /// What there is.
        instead: &'static str,
    },
    /// It takes rights that the agent lacks.
    #[error("{what} needs {right}, which the agent lacks: run it as root, or leave {what} out")]
    Right {
        /// What.
        what: &'static str,
        /// The capability.
        right: &'static str,
    },
    /// `subPathExpr` names a variable that the container lacks.
    #[error("missing value for {variable:?}")]
    Variable {
        /// The variable.
        variable: String,
    },
    /// The pod has no such volume, or it was not prepared.
    #[error("cannot find volume {volume:?}")]
    NoVolume {
        /// Its name.
        volume: String,
    },
    /// The pod has no such container.
    #[error("container {container} not found")]
    NoContainer {
        /// Its name.
        container: String,
    },
    /// The pod is another one than the folder's.
    #[error("it is not the pod's: that has uid {uid:?}")]
    OtherPod {
        /// The pod's.
        uid: String,
    },
    /// Something is still mounted where files are to be removed.
    #[error("something is still mounted at {}", path.display())]
    StillMounted {
        /// Where.
        path: PathBuf,
    },
    /// The system did not do it.
    #[error("cannot {doing}: {source}")]
    System {
        /// What.
        doing: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Cause {
    /// Tells what was being done when the system refused.
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing: doing.into(), source }
    }
}
