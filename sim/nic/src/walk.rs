// SPDX-License-Identifier: Apache-2.0
//! Words of bindings out of a core without the host interface, as its table mover would read them.

use crate::ready::{Ready, Throttle};
use hashgate_verilated_sys::{In, Out};

/// A walk over the bindings of a table, see `binding_reader` in the RTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Over the affinity table instead of the connection table.
    pub affinity: bool,
    /// Goes on where the walk before ended.
    pub go_on: bool,
    /// First session, if it does not.
    pub session: u16,
    /// Words that are read.
    pub words: usize,
    /// When they are asked for.
    pub reads: Ready,
}

/// A [`Walk`] in progress.
pub(crate) struct Walker {
    walk: Walk,
    throttle: Throttle,
    begun: bool,
    granted: usize,
    words: Vec<u32>,
}

impl Walker {
    pub fn new(walk: Walk) -> Walker {
        Walker { walk, throttle: Throttle::new(walk.reads), begun: false, granted: 0, words: Vec::new() }
    }

    /// What the core sees in the next cycle.
    pub fn offer(&mut self, input: &mut In) {
        input.walk_begin = (!self.begun).into();
        input.walk_affinity = self.walk.affinity.into();
        input.walk_go_on = self.walk.go_on.into();
        input.walk_session = self.walk.session;
        input.walk_read = (self.begun && self.granted < self.walk.words && self.throttle.next()).into();
        self.begun = true;
    }

    /// What the core gave.
    pub fn take(&mut self, input: &In, output: &Out) {
        self.granted += usize::from(input.walk_read != 0 && output.walk_grant != 0);
        // In the cycle of the beginning the last word of the walk before may come.
        if output.walk_valid != 0 && input.walk_begin == 0 {
            self.words.push(output.walk_data);
        }
    }

    /// All words, when they have come.
    pub fn done(&mut self) -> Option<Vec<u32>> {
        (self.words.len() == self.walk.words).then(|| std::mem::take(&mut self.words))
    }
}
