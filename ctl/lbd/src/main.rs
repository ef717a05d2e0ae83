// SPDX-License-Identifier: Apache-2.0
//! lbd.

fn main() {}
