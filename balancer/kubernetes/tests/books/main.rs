// SPDX-License-Identifier: Apache-2.0
//! What the books make of objects: case by case as kube-proxy does it, and whatever happens in whatever order.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod cases;
mod history;
mod minimal;
mod nonsense;
mod support;
