// SPDX-License-Identifier: Apache-2.0
//! The balancer's control plane: what sources of truth want, made into changes of the data plane's table.
#![forbid(unsafe_code)]

pub mod choose;
pub mod config;
pub mod duration;
pub mod pool;
mod problem;
pub mod state;
pub mod wanted;

pub use problem::{PROBLEMS_MAX, Problem, Problems};
