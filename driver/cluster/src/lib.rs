// SPDX-License-Identifier: Apache-2.0
//! The cluster's side of a NIC: which member owns which hash bucket.
//!
//! [`map`] computes bucket maps. Every member computes them by itself from the same base and the same membership and
//! gets the same owners bit for bit, so members only compare digests.
#![forbid(unsafe_code)]

pub mod map;
