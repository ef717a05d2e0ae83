// SPDX-License-Identifier: Apache-2.0
//! The NIC, Verilated from `hw/rtl` and compiled in: its core alone, or with the host side behind a PCIe bridge.
//!
//! [`Model`] is the RTL and nothing else: struct in, struct out, one call a clock cycle. `hashgate-sim` makes a NIC
//! with frames and registers of it. This is the only crate of the project with `unsafe` code.

#[allow(missing_docs, non_camel_case_types, dead_code)]
mod ffi {
    include!(concat!(env!("OUT_DIR"), "/shim.rs"));
}

mod host;
mod table;

pub use host::{HostIn, HostModel, HostOut};
pub use table::{KEY_WORDS, TableIn, TableMemory, TableModel, TableOut};

pub use ffi::{hg_beat as Beat, hg_in as In, hg_memory_in as MemoryIn, hg_memory_out as MemoryOut, hg_out as Out};

use std::ffi::{CStr, CString, c_int};
use std::fmt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

/// Wire ports that [`In`] and [`Out`] have room for.
pub const MAX_PORTS: usize = ffi::HG_PORTS as usize;
/// Bytes of a beat that [`Beat`] has room for.
pub const MAX_BEAT_BYTES: usize = ffi::HG_BEAT_BYTES as usize;

/// A memory of the core that can be upset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NicMemory {
    /// Bank 0 of the bucket maps. Word: 2048 x map + bucket / 2; bits 0..10: the even bucket's owner, 10..20 the odd one's, 20 the parity.
    MapBank0,
    /// Bank 1 of the bucket maps.
    MapBank1,
    /// What the binding stage knows of owners. Word: 1024 x bank + target; bit 0: draining, 1: binds, 2: the parity.
    OwnerFlags,
    /// The same of targets in the affinity table.
    AffinityFlags,
    /// Records that packets of the connection table read: {parity, record} by session.
    ConnectionRecords,
}

/// A build of the core: a set of parameters in `hw/rtl/config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Build {
    /// 512-bit streams, one wire port (100GbE class).
    B512,
    /// 64-bit streams, two wire ports (10GbE class).
    B64,
}

impl Build {
    /// All builds.
    pub const ALL: &[Build] = &[Build::B512, Build::B64];

    /// Bits in a beat; also the name of the build's folder in `hw/rtl/config`.
    pub const fn bits(self) -> usize {
        match self {
            Build::B512 => 512,
            Build::B64 => 64,
        }
    }
    /// Bytes in a beat.
    pub const fn beat_bytes(self) -> usize {
        self.bits() / 8
    }
    /// Wire ports.
    pub const fn ports(self) -> usize {
        match self {
            Build::B512 => 1,
            Build::B64 => 2,
        }
    }
    /// Whether this library was compiled with the core of the build.
    pub const fn is_compiled_in(self) -> bool {
        match self {
            Build::B512 => cfg!(hashgate_build_512),
            Build::B64 => cfg!(hashgate_build_64),
        }
    }
    /// Whether this library was compiled with the whole NIC of the build.
    pub const fn is_compiled_in_with_host(self) -> bool {
        match self {
            Build::B512 => cfg!(hashgate_build_nic512),
            Build::B64 => cfg!(hashgate_build_nic64),
        }
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bits())
    }
}

/// Why a model cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The library was compiled without this build.
    #[error(
        "the {0}-bit NIC is not compiled in: it was left out by HASHGATE_BUILDS when the simulator was built; build again \
         without that variable or with {0} in it"
    )]
    NotCompiledIn(Build),
    /// The library was compiled without the host side of this build.
    #[error(
        "the {0}-bit NIC with its host side is not compiled in: build the simulator again with nic{0} among HASHGATE_BUILDS (by default it has {default})",
        default = "512,64,nic64"
    )]
    HostNotCompiledIn(Build),
    /// An assertion of the RTL failed, or the RTL stopped by itself. The model is dead from then on.
    #[error("the RTL stopped: {0}")]
    Stopped(String),
    /// The waveform cannot be written.
    #[error("cannot write the waveform {0}: check that its folder exists and may be written")]
    Trace(PathBuf),
}

/// A Verilated NIC.
///
/// It starts with its clock low: hold [`In::rst`] for a few cycles first. Assertions are off while that is set.
pub struct Model {
    nic: NonNull<ffi::hg_nic>,
    build: Build,
}

// SAFETY: a core keeps all its state in its own context and classes. What the shim keeps per thread (the core at work,
// text printed) is set anew at each call. So it may move to another thread between calls; `&mut self` keeps calls apart.
unsafe impl Send for Model {}

impl Model {
    /// Makes a core alone. Registers and memories start as zeros if `seed` is 0, as in an FPGA, else with values drawn from
    /// the seed, which shows what a reset forgets.
    ///
    /// # Errors
    /// [`ModelError::NotCompiledIn`].
    pub fn new(build: Build, seed: u32) -> Result<Model, ModelError> {
        Model::make(build, false, seed).ok_or(ModelError::NotCompiledIn(build))
    }

    /// Makes a whole NIC: instead of the streams of the host it has an AXI4 master and interrupts, and 8 KiB of registers.
    ///
    /// # Errors
    /// [`ModelError::HostNotCompiledIn`].
    pub fn with_host(build: Build, seed: u32) -> Result<Model, ModelError> {
        Model::make(build, true, seed).ok_or(ModelError::HostNotCompiledIn(build))
    }

    fn make(build: Build, with_host: bool, seed: u32) -> Option<Model> {
        // SAFETY: the call has no preconditions; it gives a NIC that only this struct knows, or null.
        let nic = unsafe { ffi::hg_new(build.bits() as c_int, with_host.into(), seed) };
        NonNull::new(nic).map(|nic| Model { nic, build })
    }

    /// The build it was made for.
    pub fn build(&self) -> Build {
        self.build
    }

    /// One clock cycle: applies the inputs, gives the outputs as they are with these inputs, then the rising edge.
    ///
    /// # Errors
    /// [`ModelError::Stopped`] if an assertion of the RTL failed; and again, without a step, at every later call.
    pub fn step(&mut self, input: &In, output: &mut Out) -> Result<(), ModelError> {
        // SAFETY: `nic` is alive until `drop`; both references are valid for the call, and C sees the same structs
        // because bindgen made them from shim.h.
        let stopped = unsafe { ffi::hg_step(self.nic.as_ptr(), input, output) };
        if stopped == 0 { Ok(()) } else { Err(self.failure()) }
    }

    #[cold]
    fn failure(&self) -> ModelError {
        // SAFETY: `nic` is alive until `drop`.
        let text = unsafe { ffi::hg_failure(self.nic.as_ptr()) };
        if text.is_null() {
            return ModelError::Stopped("no reason given".into());
        }
        // SAFETY: it is not null, ends with a zero byte and lives as long as `nic`; it is copied here.
        let text = unsafe { CStr::from_ptr(text) };
        ModelError::Stopped(text.to_string_lossy().into_owned())
    }

    /// Flips bits of a word of a memory, as a particle does, without the NIC noticing.
    ///
    /// # Panics
    /// If there is no such word or bit.
    pub fn upset(&mut self, memory: NicMemory, word: u32, bits: u64) {
        let number = match memory {
            NicMemory::MapBank0 => ffi::HG_MAP_BANK_0,
            NicMemory::MapBank1 => ffi::HG_MAP_BANK_1,
            NicMemory::OwnerFlags => ffi::HG_OWNER_FLAGS,
            NicMemory::AffinityFlags => ffi::HG_AFFINITY_FLAGS,
            NicMemory::ConnectionRecords => ffi::HG_CONNECTION_RECORDS,
        };
        // SAFETY: `nic` is alive until `drop`; the call checks its operands.
        let failed = unsafe { ffi::hg_upset(self.nic.as_ptr(), number, word, bits) };
        assert!(failed == 0, "{memory:?} has no word {word} with bits {bits:#x}");
    }

    /// Puts the time base of a whole NIC forward, as if it had had nothing to do for so long: what depends on time ends, no cycle passes.
    pub fn skip_time(&mut self, nanoseconds: u64) {
        // SAFETY: `nic` is alive until `drop`.
        unsafe { ffi::hg_skip_time(self.nic.as_ptr(), nanoseconds) }
    }

    /// Starts writing a waveform (FST, for GTKWave or Surfer); one cycle is two units of time. A waveform that was
    /// being written is completed first.
    ///
    /// # Errors
    /// [`ModelError::Trace`] if the file cannot be made.
    pub fn trace_open(&mut self, path: &Path) -> Result<(), ModelError> {
        let fail = || ModelError::Trace(path.to_owned());
        let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| fail())?;
        // SAFETY: `nic` is alive until `drop`; the name ends with a zero byte and is not kept.
        let failed = unsafe { ffi::hg_trace_open(self.nic.as_ptr(), name.as_ptr()) };
        if failed == 0 { Ok(()) } else { Err(fail()) }
    }

    /// Completes the waveform; nothing happens if there is none. Dropping the model does the same.
    pub fn trace_close(&mut self) {
        // SAFETY: `nic` is alive until `drop`.
        unsafe { ffi::hg_trace_close(self.nic.as_ptr()) }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: `nic` came from `hg_new`, is freed only here, and nobody else has it.
        unsafe { ffi::hg_free(self.nic.as_ptr()) }
    }
}
