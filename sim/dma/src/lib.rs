// SPDX-License-Identifier: Apache-2.0
//! The Verilated host interface alone, against memory that checks what it does.
#![forbid(unsafe_code)]
