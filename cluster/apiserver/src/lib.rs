// SPDX-License-Identifier: Apache-2.0
//! The Kubernetes API over HTTP: a tower Service, and a TLS listener around it.
#![forbid(unsafe_code)]
