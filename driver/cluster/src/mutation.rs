// SPDX-License-Identifier: Apache-2.0
//! Deliberate bugs, for tests that must find them. Without the feature `mutants` no rule can be broken.

/// A rule of the protocol that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// Buckets are claimed before everybody has released the proposal.
    ClaimWithoutRelease,
    /// Buckets of former members are claimed before their leases have ended.
    ClaimBeforeLeaseEnds,
    /// The map in which moving buckets are nobody's is left out.
    NoIdleMap,
    /// The lease is renewed from heartbeats sent instead of echoed.
    LeaseFromSent,
    /// One echo is enough for the lease instead of a majority.
    LeaseFromOneEcho,
    /// HANDOVER is set only where the last proposal moved a bucket.
    HandoverClearedOnSecondMove,
    /// The base is chosen by its epoch only.
    BaseByEpochOnly,
    /// A start of a host counts without having echoed mine.
    ReplayAfterRestart,
    /// A starting member does not listen first.
    NoListening,
    /// Somebody whom another member does not hear any more is removed at once.
    RemoveOnHearsay,
    /// An expired lease is armed again without a new proposal.
    RearmWithoutRejoin,
    /// A member of the view that has not reported the proposal does not hold it up.
    AgreeWithoutAll,
    /// Releases are believed however old they are.
    OldReleases,
    /// Buckets are claimed although a member outside the view claims.
    ClaimBesideOutsiders,
    /// Buckets are released although a member outside the view claims.
    ReleaseBesideOutsiders,
    /// What is claimed is kept while the rules change.
    ClaimAcrossRules,
    /// Buckets are claimed although somebody is heard of whom it is not known yet whether it lives.
    IgnoreCandidates,
    /// Buckets are claimed before those outside the view have heard of it.
    ClaimUntold,
    /// Of two parts of the cluster that meet both go on with all rules until they have agreed.
    BothSidesGoOn,
    /// Who has slept does not listen before it claims.
    ClaimAfterSleep,
    /// A member without a link goes on as if all others had failed.
    ClaimWithoutLink,
    /// Of two that miss each other in a view the one that came last is dropped instead of the highest.
    TieByArrival,
}

impl Mutation {
    /// All of them.
    pub const ALL: &[Mutation] = &[
        Mutation::ClaimWithoutRelease,
        Mutation::ClaimBeforeLeaseEnds,
        Mutation::NoIdleMap,
        Mutation::LeaseFromSent,
        Mutation::LeaseFromOneEcho,
        Mutation::HandoverClearedOnSecondMove,
        Mutation::BaseByEpochOnly,
        Mutation::ReplayAfterRestart,
        Mutation::NoListening,
        Mutation::RemoveOnHearsay,
        Mutation::RearmWithoutRejoin,
        Mutation::AgreeWithoutAll,
        Mutation::OldReleases,
        Mutation::ClaimBesideOutsiders,
        Mutation::ReleaseBesideOutsiders,
        Mutation::ClaimAcrossRules,
        Mutation::IgnoreCandidates,
        Mutation::ClaimUntold,
        Mutation::BothSidesGoOn,
        Mutation::ClaimAfterSleep,
        Mutation::ClaimWithoutLink,
        Mutation::TieByArrival,
    ];
}

#[cfg(feature = "mutants")]
mod active {
    use super::Mutation;
    use std::cell::Cell;

    thread_local! {
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Breaks a rule for all members of this thread, or none.
    pub fn set_mutation(mutation: Option<Mutation>) {
        ACTIVE.set(mutation);
    }

    pub(crate) fn mutated(mutation: Mutation) -> bool {
        ACTIVE.get() == Some(mutation)
    }
}

#[cfg(feature = "mutants")]
pub(crate) use active::mutated;
#[cfg(feature = "mutants")]
pub use active::set_mutation;

/// Whether this rule is broken.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn mutated(_: Mutation) -> bool {
    false
}
