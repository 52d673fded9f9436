// SPDX-License-Identifier: Apache-2.0
//! The memory of the cluster: revisions, transactions, ordered watch; in memory, on disk, in etcd.
#![forbid(unsafe_code)]
