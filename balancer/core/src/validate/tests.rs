// SPDX-License-Identifier: Apache-2.0
//! Every fault is found, and named by its path.
