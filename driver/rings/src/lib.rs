// SPDX-License-Identifier: Apache-2.0
//! Rings between driver and NIC in host memory.
#![forbid(unsafe_code)]
