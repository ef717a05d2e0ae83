// SPDX-License-Identifier: Apache-2.0
//! What results of checks mean for a rule: a state machine without clock.

use super::{OnFailure, Verb};

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The application serves.
    Healthy,
    /// It does not, or not in time.
    Unhealthy,
    /// A command asks for it (exit code 2): no new sessions.
    Drain,
    /// A command asks for it (exit code 3): nothing.
    Disable,
}

/// Counts rises and falls. A failure is believed after `fall` bad checks in a row, a recovery after `rise` good ones; what a command asks for is done at once.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    rise: u32,
    fall: u32,
    on_failure: Verb,
    wants: Verb,
    good: u32,
    bad: u32,
}

impl Judge {
    /// Begins with what the rule is now.
    pub fn new(rise: u32, fall: u32, on_failure: OnFailure, wants: Verb) -> Judge {
        let on_failure = match on_failure {
            OnFailure::Drain => Verb::Drain,
            OnFailure::Disable => Verb::Disable,
        };
        Judge { rise, fall, on_failure, wants, good: 0, bad: 0 }
    }

    /// What it wants now.
    pub fn wants(&self) -> Verb {
        self.wants
    }

    /// Takes a result and says what it wants then. A failure never loosens what a command asked for.
    pub fn take(&mut self, outcome: Outcome) -> Verb {
        let (good, bad) = match outcome {
            Outcome::Healthy => (self.good.saturating_add(1), 0),
            Outcome::Unhealthy => (0, self.bad.saturating_add(1)),
            Outcome::Drain | Outcome::Disable => (0, 0),
        };
        (self.good, self.bad) = (good, bad);
        self.wants = match outcome {
            Outcome::Healthy if good >= self.rise => Verb::Enable,
            Outcome::Unhealthy if bad >= self.fall => self.wants.max(self.on_failure),
            Outcome::Drain => Verb::Drain,
            Outcome::Disable => Verb::Disable,
            Outcome::Healthy | Outcome::Unhealthy => self.wants,
        };
        self.wants
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Disable as X, Drain as D, Healthy as H, Unhealthy as U};
    use super::*;

    fn wants(rise: u32, fall: u32, on_failure: OnFailure, outcomes: &[Outcome]) -> String {
        let mut judge = Judge::new(rise, fall, on_failure, Verb::Enable);
        let letter = |verb| match verb {
            Verb::Enable => 'e',
            Verb::Drain => 'd',
            Verb::Disable => 'x',
        };
        outcomes.iter().map(|outcome| letter(judge.take(*outcome))).collect()
    }

    #[test]
    fn falls_and_rises() {
        assert_eq!(wants(2, 3, OnFailure::Drain, &[U, U, U, U, H, H, H]), "eedddee");
        assert_eq!(wants(2, 3, OnFailure::Disable, &[U, U, U, H, H]), "eexxe");
        assert_eq!(wants(1, 1, OnFailure::Drain, &[U, H, U, H]), "dede");
    }

    #[test]
    fn must_be_in_a_row() {
        assert_eq!(wants(2, 2, OnFailure::Drain, &[U, H, U, H, U, U]), "eeeeed");
        assert_eq!(wants(2, 2, OnFailure::Drain, &[U, U, H, U, H, U, H, H]), "edddddde");
    }

    #[test]
    fn commands_decide_at_once() {
        assert_eq!(wants(2, 3, OnFailure::Drain, &[D, H, H, X, H, H]), "ddexxe");
        assert_eq!(wants(2, 2, OnFailure::Drain, &[X, D, X]), "xdx");
        assert_eq!(wants(2, 2, OnFailure::Drain, &[U, D, U, U]), "eddd");
    }

    #[test]
    fn a_failure_loosens_nothing() {
        assert_eq!(wants(2, 2, OnFailure::Drain, &[X, U, U, U]), "xxxx");
        assert_eq!(wants(2, 2, OnFailure::Disable, &[D, U, U]), "ddx");
    }

    #[test]
    fn goes_on_where_its_predecessor_was() {
        let mut judge = Judge::new(2, 3, OnFailure::Drain, Verb::Drain);
        assert_eq!(
            [judge.take(H), judge.take(U), judge.take(H), judge.take(H)],
            [Verb::Drain, Verb::Drain, Verb::Drain, Verb::Enable]
        );
    }

    #[test]
    fn counts_do_not_overflow() {
        let mut judge = Judge { good: u32::MAX, ..Judge::new(u32::MAX, 1, OnFailure::Drain, Verb::Drain) };
        assert_eq!(judge.take(H), Verb::Enable);
        assert_eq!(judge.good, u32::MAX);
    }
}
