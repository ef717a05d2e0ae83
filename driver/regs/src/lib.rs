// SPDX-License-Identifier: Apache-2.0
//! What driver and NIC agree on, generated from the definitions the RTL is generated from.
//!
//! * [`defs`]: verdicts, reasons, tables and entry layouts (`hw/defs/hashgate.toml`).
#![forbid(unsafe_code)]

pub mod defs;
