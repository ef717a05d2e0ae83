// SPDX-License-Identifier: Apache-2.0
//! The checks of a NIC that need nothing but its driver: the same on every backend.
#![forbid(unsafe_code)]
