// SPDX-License-Identifier: Apache-2.0
//! The host interface, Verilated.

use crate::ffi;
pub use ffi::{hgh_in as HostIn, hgh_out as HostOut};
use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr::NonNull;

/// A Verilated host interface (`hw/rtl/host/host_interface.sv`), whatever builds of the core are compiled in.
pub struct HostModel {
    host: NonNull<ffi::hg_host>,
}

// SAFETY: as for `Model`: all state is the model's own, and what the shim keeps per thread is set anew at each call.
unsafe impl Send for HostModel {}

impl HostModel {
    /// Bits of a beat that are compiled in.
    pub const WIDTHS: [u32; 2] = [512, 64];

    /// Makes one with beats of that many bits, one of [`Self::WIDTHS`]; `None` for another width. It is in reset until the first step
    /// without. Registers and memories start as zeros if `seed` is 0, else with values drawn from it.
    pub fn new(bits: u32, seed: u32) -> Option<HostModel> {
        // SAFETY: the call has no preconditions; it gives a model that only this struct knows, or null.
        let host = unsafe { ffi::hgh_new(bits, seed) };
        NonNull::new(host).map(|host| HostModel { host })
    }

    /// One clock cycle: applies the inputs, gives the outputs as they are with these inputs, then the rising edge.
    ///
    /// # Errors
    /// An assertion of the RTL failed: which. The model is dead from then on.
    pub fn step(&mut self, input: &HostIn, output: &mut HostOut) -> Result<(), String> {
        // SAFETY: `host` is alive until `drop`; both references are valid for the call, and C sees the same structs because bindgen made
        // them from host.h.
        let failed = unsafe { ffi::hgh_step(self.host.as_ptr(), input, output) };
        if failed == 0 { Ok(()) } else { Err(self.failure()) }
    }

    /// Starts writing a waveform (FST); one cycle is two units of time. It is complete when the model is dropped.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn trace_open(&mut self, path: &Path) -> Result<(), String> {
        let fail = || format!("cannot write the waveform {}", path.display());
        let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| fail())?;
        // SAFETY: `host` is alive until `drop`; the name ends with a zero byte and is not kept.
        let failed = unsafe { ffi::hgh_trace_open(self.host.as_ptr(), name.as_ptr()) };
        if failed == 0 { Ok(()) } else { Err(fail()) }
    }

    #[cold]
    fn failure(&self) -> String {
        // SAFETY: `host` is alive until `drop`.
        let text = unsafe { ffi::hgh_failure(self.host.as_ptr()) };
        if text.is_null() {
            return "no reason given".into();
        }
        // SAFETY: it is not null, ends with a zero byte and lives as long as `host`; it is copied here.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

impl Drop for HostModel {
    fn drop(&mut self) {
        // SAFETY: `host` came from `hgh_new`, is freed only here, and nobody else has it.
        unsafe { ffi::hgh_free(self.host.as_ptr()) }
    }
}
