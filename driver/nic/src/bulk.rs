// SPDX-License-Identifier: Apache-2.0
//! Moving many words of a table at once.

use hashgate_regs::defs::Table;
use std::error::Error;

/// Why words could not be moved.
pub type BulkError = Box<dyn Error + Send + Sync>;

/// Something that moves words between host memory and tables faster than register accesses do: the table mover of the host interface.
///
/// It only moves: what is loaded wants a check and a commit like words that are written by register.
pub trait BulkMover: Send + Sync {
    /// Writes `words` to a table (its shadow, if it has one) from word `first` on.
    ///
    /// # Errors
    /// If not all of them are known to be there; some may be.
    fn load(&mut self, table: Table, first: u32, words: &[u32]) -> Result<(), BulkError>;

    /// Reads `words` from a table from word `first` on: from its active bank, or from the shadow.
    ///
    /// # Errors
    /// If not all of them were read as they are there.
    fn dump(&mut self, table: Table, active: bool, first: u32, words: &mut [u32]) -> Result<(), BulkError>;

    /// Reads live bindings of the connection or (`affinity`) the affinity table, 16 words each, in order of their sessions from the first one on, or
    /// (`go_on`) from where the call before ended; zeros behind the last one. `words` is a multiple of 16 long.
    ///
    /// # Errors
    /// As [`BulkMover::dump`].
    fn walk_bindings(&mut self, affinity: bool, go_on: bool, words: &mut [u32]) -> Result<(), BulkError>;
}
