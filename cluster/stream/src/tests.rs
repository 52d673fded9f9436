// SPDX-License-Identifier: Apache-2.0
//! Whole sessions, against clients that are written by hand here or by others.

mod abuse;
mod attached;
mod forwarded;
mod kit;
mod load;
