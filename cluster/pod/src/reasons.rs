// SPDX-License-Identifier: Apache-2.0
//! Reasons and texts of statuses and events, in the words of upstream's kubelet: people and programs look for them.

/// Reasons of containers that wait.
pub(crate) mod waiting {
    pub(crate) const CREATING: &str = "ContainerCreating";
    pub(crate) const INITIALIZING: &str = "PodInitializing";
    pub(crate) const CRASH: &str = "CrashLoopBackOff";
    pub(crate) const PULL: &str = "ErrImagePull";
    pub(crate) const PULL_BACKOFF: &str = "ImagePullBackOff";
    pub(crate) const NEVER_PULL: &str = "ErrImageNeverPull";
    pub(crate) const INSPECT: &str = "ImageInspectError";
    pub(crate) const INVALID_NAME: &str = "InvalidImageName";
    pub(crate) const CONFIG: &str = "CreateContainerConfigError";
    pub(crate) const CREATE: &str = "CreateContainerError";
    pub(crate) const RUN: &str = "RunContainerError";
    pub(crate) const POST_START: &str = "PostStartHookError";
}

/// Reasons of containers that have ended.
pub(crate) mod ended {
    pub(crate) const COMPLETED: &str = "Completed";
    pub(crate) const ERROR: &str = "Error";
    pub(crate) const OOM: &str = "OOMKilled";
    pub(crate) const START: &str = "StartError";
    pub(crate) const UNKNOWN: &str = "ContainerStatusUnknown";
    /// Of one that ran, and is gone without a trace.
    pub(crate) const LOST: &str = "The container could not be located when the pod was deleted.  The container used to be Running";
    /// Of one of which nothing was left when its pod ended.
    pub(crate) const LOST_AT_END: &str =
        "The container could not be located when the pod was terminated";
    /// The exit code of both.
    pub(crate) const UNKNOWN_CODE: i32 = 137;
    /// The exit code of one that could not be started.
    pub(crate) const START_CODE: i32 = 128;
}

/// Reasons of events.
pub(crate) mod event {
    pub(crate) const BACKOFF: &str = "BackOff";
    pub(crate) const CREATED: &str = "Created";
    pub(crate) const DEADLINE: &str = "DeadlineExceeded";
    pub(crate) const FAILED: &str = "Failed";
    pub(crate) const FAILED_KILL: &str = "FailedKillPod";
    pub(crate) const FAILED_MOUNT: &str = "FailedMount";
    pub(crate) const FAILED_POST_START: &str = "FailedPostStartHook";
    pub(crate) const FAILED_PRE_STOP: &str = "FailedPreStopHook";
    pub(crate) const FAILED_SANDBOX: &str = "FailedCreatePodSandBox";
    pub(crate) const FAILED_UNMOUNT: &str = "FailedUnMount";
    pub(crate) const INSPECT_FAILED: &str = "InspectFailed";
    pub(crate) const KILLING: &str = "Killing";
    pub(crate) const NEVER_PULL: &str = "ErrImageNeverPull";
    pub(crate) const PULLED: &str = "Pulled";
    pub(crate) const PULLING: &str = "Pulling";
    pub(crate) const ROTATION: &str = "EndpointStillInRotation";
    pub(crate) const SANDBOX_CHANGED: &str = "SandboxChanged";
    pub(crate) const STARTED: &str = "Started";
    pub(crate) const UNHEALTHY: &str = "Unhealthy";
}

/// Of pods and their conditions.
pub(crate) mod pod {
    pub(crate) const DEADLINE_MESSAGE: &str =
        "Pod was active on the node longer than the specified deadline";
    pub(crate) const SHUTDOWN: &str = "Terminated";
    pub(crate) const SHUTDOWN_MESSAGE: &str =
        "Pod was terminated in response to imminent node shutdown.";
    pub(crate) const BY_KUBELET: &str = "TerminationByKubelet";
    pub(crate) const COMPLETED: &str = "PodCompleted";
    pub(crate) const FAILED: &str = "PodFailed";
    pub(crate) const NOT_READY: &str = "ContainersNotReady";
    pub(crate) const NOT_INITIALIZED: &str = "ContainersNotInitialized";
    pub(crate) const GATES: &str = "ReadinessGatesNotReady";
}
