// SPDX-License-Identifier: Apache-2.0
//! What a worker chooses, and what it remembers.
