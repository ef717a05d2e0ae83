// SPDX-License-Identifier: Apache-2.0
//! Membership frames: any bytes.
#![no_main]

#[allow(dead_code, reason = "each target has one of the properties")]
#[path = "../../tests/wire/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // What is refused is fine; what is not, the property has checked.
    properties::membership(bytes).ok();
});
