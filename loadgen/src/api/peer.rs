// SPDX-License-Identifier: Apache-2.0
//! What our figures are held against, measured in the same run on the same machine.

pub mod bytes;
pub mod disk;
pub mod etcd;
