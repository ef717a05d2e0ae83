// SPDX-License-Identifier: Apache-2.0
//! The host side of the NIC as plain Rust: rings, mover, interrupts.
#![forbid(unsafe_code)]
