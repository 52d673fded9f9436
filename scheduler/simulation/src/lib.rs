// SPDX-License-Identifier: Apache-2.0
//! Random clusters for the engine.
//!
//! A [`Scenario`] follows from a seed; a [`World`] makes it into steps; a [`Pair`] takes each step to the engine and to the
//! naive scheduler and compares what they say; [`run`] does all of it and, where they differ, leaves only the steps that it takes.
#![forbid(unsafe_code)]

mod books;
mod claims;
mod coverage;
pub mod fuzz;
mod nodes;
mod pair;
mod profiles;
mod rng;
mod run;
mod scenario;
mod specs;
mod step;
mod storage;
mod terms;
mod twins;
mod world;

pub use books::Books;
pub use coverage::Coverage;
pub use pair::{Difference, Pair, Placed};
pub use rng::Rng;
pub use run::{Failure, first_difference, replay, run, run_in};
pub use scenario::{Feature, Scenario, Turn};
pub use step::{Question, Step};
pub use twins::Twins;
pub use world::{PodClass, World};
