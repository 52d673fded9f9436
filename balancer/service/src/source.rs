// SPDX-License-Identifier: Apache-2.0
//! Sources of truth: who says what is wanted.
//!
//! A source turns what it knows into [`crate::wanted::Update`]s and hands them to [`Control`], which answers with what became of
//! each: in effect, or every problem in the source's own words. What a source must do: say who owns its services, say everything
//! (`replace`) when it begins, and afterwards either everything or what is different, as it likes; the control plane compares.
//! [`file::File`] is one, the gRPC service another; Services and EndpointSlices of a Kubernetes cluster fit in the same way.

pub mod file;

use crate::control::Control;
use crate::wanted::Owner;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use tokio::sync::watch;

/// A task of a source.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that says what is wanted.
pub trait Source: Debug + Send {
    /// Whose services these are.
    fn owner(&self) -> Owner;

    /// Runs until `stopping` says true: hands its updates to `control`.
    fn run(self: Box<Self>, control: Control, stopping: watch::Receiver<bool>) -> Running;
}
