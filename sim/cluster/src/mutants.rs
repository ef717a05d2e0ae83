// SPDX-License-Identifier: Apache-2.0
//! Which deliberate bug of the protocol the threads of a batch or of the checker have.

use hashgate_cluster::{Mutation, set_mutation};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Scenarios that a mutant may take to be caught.
pub const SCENARIOS: u64 = 400;

/// Place in [`Mutation::ALL`], beyond its end for none.
static SELECTED: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Selects one, for all threads that [`prepare`] themselves.
pub fn select(number: Option<usize>) {
    SELECTED.store(number.unwrap_or(usize::MAX), Ordering::SeqCst);
}

/// Gives this thread the one that is selected.
pub fn prepare() {
    set_mutation(Mutation::ALL.get(SELECTED.load(Ordering::SeqCst)).copied());
}
