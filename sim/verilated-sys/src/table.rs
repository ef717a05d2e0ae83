// SPDX-License-Identifier: Apache-2.0
//! The binding table, Verilated.

use crate::ffi;
pub use ffi::{hgt_in as TableIn, hgt_out as TableOut};
use std::ffi::CStr;
use std::ptr::NonNull;

/// Words of a key.
pub const KEY_WORDS: usize = ffi::HGT_KEY_WORDS as usize;

/// A Verilated binding table, after reset and being cleared ([`TableOut::busy`]).
pub struct TableModel {
    table: NonNull<ffi::hg_table>,
    sessions: u32,
}

// SAFETY: as for `Model`: all state is the table's own, and what the shim keeps per thread is set anew at each call.
unsafe impl Send for TableModel {}

/// A memory of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableMemory {
    /// Slots of a way, 0 .. 3: words {parity, valid, second, session, key} by row.
    Slots(u8),
    /// Records that packets read: {parity, record} by session.
    Records,
    /// Records that sweep, mover and host read: {parity, used, record} by session.
    OtherRecords,
}

impl TableModel {
    /// Sizes that are compiled in.
    pub const SIZES: [u32; 2] = [512, 65536];

    /// Makes a table with that many sessions, one of [`Self::SIZES`]; `None` for another size. Registers and memories start as zeros if
    /// `seed` is 0, else with values drawn from it.
    pub fn new(sessions: u32, seed: u32, secret: [u32; 4]) -> Option<TableModel> {
        // SAFETY: `secret` points to four words; the call gives a table that only this struct knows, or null.
        let table = unsafe { ffi::hgt_new(sessions, seed, secret.as_ptr()) };
        NonNull::new(table).map(|table| TableModel { table, sessions })
    }

    /// Sessions.
    pub fn sessions(&self) -> u32 {
        self.sessions
    }

    /// One clock cycle for each of the inputs; the outputs of each are put into `output`.
    ///
    /// # Errors
    /// An assertion of the RTL failed: which, and in which cycle of the batch. The model is dead from then on.
    ///
    /// # Panics
    /// If there are fewer outputs than inputs.
    pub fn run(&mut self, input: &[TableIn], output: &mut [TableOut]) -> Result<(), (usize, String)> {
        assert!(output.len() >= input.len(), "an output for each cycle");
        let cycles = u32::try_from(input.len()).expect("a batch is short");
        // SAFETY: `table` is alive until `drop`; both arrays have `cycles` elements, of the structs that bindgen made from table.h.
        let passed = unsafe { ffi::hgt_run(self.table.as_ptr(), cycles, input.as_ptr(), output.as_mut_ptr()) };
        if passed == cycles { Ok(()) } else { Err((passed as usize, self.failure())) }
    }

    /// Flips a bit of a memory, as a particle does.
    ///
    /// # Panics
    /// If there is no such memory, word or bit.
    pub fn upset(&mut self, memory: TableMemory, word: u32, bit: u32) {
        let number = match memory {
            TableMemory::Slots(way @ 0..=3) => way.into(),
            TableMemory::Slots(way) => panic!("a table has no way {way}"),
            TableMemory::Records => ffi::HGT_RECORDS,
            TableMemory::OtherRecords => ffi::HGT_OTHER_RECORDS,
        };
        // SAFETY: `table` is alive until `drop`; the call checks its operands.
        let failed = unsafe { ffi::hgt_upset(self.table.as_ptr(), number, word, bit) };
        assert!(failed == 0, "{memory:?} has no word {word} with a bit {bit}");
    }

    /// The session whose key is in a slot; `None` if it is empty, or there is no such slot.
    pub fn slot(&self, way: u8, row: u32) -> Option<u32> {
        // SAFETY: `table` is alive until `drop`; the call checks its operands and changes nothing.
        let session = unsafe { ffi::hgt_slot(self.table.as_ptr(), way.into(), row) };
        (session != u32::MAX).then_some(session)
    }

    #[cold]
    fn failure(&self) -> String {
        // SAFETY: `table` is alive until `drop`.
        let text = unsafe { ffi::hgt_failure(self.table.as_ptr()) };
        if text.is_null() {
            return "no reason given".into();
        }
        // SAFETY: it is not null, ends with a zero byte and lives as long as `table`; it is copied here.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

impl Drop for TableModel {
    fn drop(&mut self) {
        // SAFETY: `table` came from `hgt_new`, is freed only here, and nobody else has it.
        unsafe { ffi::hgt_free(self.table.as_ptr()) }
    }
}
