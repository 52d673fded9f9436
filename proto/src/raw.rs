// SPDX-License-Identifier: Apache-2.0
//! The messages of the two scheduling calls in their encoded form.
//!
//! On the wire an embedded message is nothing but its bytes with a length. So a server need not decode a pod's spec to find out
//! that it knows it: the bytes are the key. And a client need encode it once for all replicas. Names stay where they are, too:
//! a request is read into [`Span`]s.
//!
//! [`request`] reads and writes what clients send, [`result`] what servers send.
//!
//! [`Span`]: crate::wire::Span

pub mod request;
pub mod result;

use bytes::Bytes;

/// An encoded `berth.scheduler.v1.ScheduleRequest`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleRequest(pub Bytes);

/// An encoded `berth.scheduler.v1.ScheduleResponse`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleResponse(pub Bytes);

/// An encoded `berth.scheduler.v1.StreamRequest`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamRequest(pub Bytes);

/// An encoded `berth.scheduler.v1.StreamResponse`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamResponse(pub Bytes);
