// SPDX-License-Identifier: Apache-2.0
//! What goes into the state machine and what comes out: the contract between `Cluster` and whoever drives it.

use crate::message::{Body, HostId, HostSet, MAX_HOSTS, MAX_RULES, Message};
use crate::peers::DRIFT;
use hashgate_tables::BUCKETS;
use std::sync::Arc;

/// NIC time in nanoseconds.
pub type Time = u64;

/// Who takes the new sessions of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// By weight: (host, 0..=100).
    Multiple(Vec<(HostId, u32)>),
    /// The live host with the lowest handling priority: (host, 1..=32), unique.
    Single(Vec<(HostId, u8)>),
    /// Nobody.
    Disabled,
}

/// A rule as far as the protocol needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Identity across changes of the rule set, unique in it.
    pub key: u64,
    /// Who takes what.
    pub sharing: Sharing,
}

/// The rules of a cluster. The default host's map is not a rule of it: it follows them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleSet {
    /// Digest of everything that must be the same on all members, not 0.
    pub digest: u64,
    /// At most 64; the index is the number of rule and map.
    pub rules: Vec<Rule>,
}

/// A bit for every rule by its number, and bit 64 for the default host.
pub const ALL_RULES: u128 = (1 << (MAX_RULES + 1)) - 1;

impl RuleSet {
    /// Bits of rules (bit = number, bit 64 = default) of an older set as bits of this one: a rule is known by its key, and what has all has all new ones too.
    pub fn renumbered(&self, bits: u128, old: &RuleSet) -> u128 {
        if bits == ALL_RULES || self.digest == old.digest {
            return bits;
        }
        let had = |key: u64| old.rules.iter().position(|rule| rule.key == key).is_some_and(|n| bits >> n & 1 == 1);
        let kept = self.rules.iter().enumerate().filter(|(_, rule)| had(rule.key));
        kept.fold(bits & 1 << MAX_RULES, |bits, (number, _)| bits | 1 << number)
    }

    /// Whether maps can be made of it: at most 64 rules, digest and keys not 0, each key and each host of a rule once, weights of at most 100, handling
    /// priorities of 1..=32.
    pub fn is_good(&self) -> bool {
        let once = |hosts: Vec<HostId>| hosts.iter().copied().collect::<HostSet>().len() == hosts.len();
        let keys: std::collections::BTreeSet<u64> = self.rules.iter().map(|rule| rule.key).collect();
        let shares = |rule: &Rule| match &rule.sharing {
            Sharing::Multiple(weights) => {
                weights.iter().all(|(_, weight)| *weight <= 100)
                    && once(weights.iter().map(|(host, _)| *host).collect())
            }
            Sharing::Single(priorities) => {
                priorities.iter().all(|(_, priority)| (1..=32).contains(priority))
                    && once(priorities.iter().map(|(host, _)| *host).collect())
            }
            Sharing::Disabled => true,
        };
        let unique = keys.len() == self.rules.len() && !keys.contains(&0);
        self.digest != 0 && self.rules.len() <= MAX_RULES && unique && self.rules.iter().all(shares)
    }
}

/// Settings of one member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Who I am.
    pub host: HostId,
    /// Random at each start.
    pub incarnation: u64,
    /// Period of heartbeats, ns.
    pub period: Time,
    /// Periods without a heartbeat after which a peer is removed, 2..=255.
    pub tolerance: u8,
    /// Length of the lease, ns.
    pub lease: Time,
    /// Quorum, if there shall be one.
    pub quorum: Option<Quorum>,
    /// Rules at the start.
    pub rules: Arc<RuleSet>,
}

impl Settings {
    /// Time of silence after which a peer is removed.
    pub fn silence(&self) -> Time {
        self.period * Time::from(self.tolerance)
    }

    /// Checks them.
    ///
    /// # Errors
    /// [`SettingsError`] names the field and its limit.
    pub fn check(&self) -> Result<(), SettingsError> {
        let silence = self.silence();
        if !(2..=255).contains(&self.tolerance) {
            return Err(SettingsError::Tolerance(self.tolerance));
        }
        if !(5_000_000..=10_000_000_000).contains(&self.period) {
            return Err(SettingsError::Period(self.period));
        }
        // A tick of the NIC is below a microsecond.
        if self.lease + self.lease / DRIFT + 1_000 >= silence - silence / DRIFT || self.lease < self.period {
            return Err(SettingsError::Lease { lease: self.lease, silence });
        }
        if !self.rules.is_good() {
            return Err(SettingsError::Rules(self.rules.rules.len()));
        }
        if let Some(Quorum { expected_hosts, witness }) = self.quorum
            && (expected_hosts < 2
                || usize::from(expected_hosts) > MAX_HOSTS
                || (expected_hosts == 2 && witness.is_none()))
        {
            return Err(SettingsError::Quorum(expected_hosts));
        }
        Ok(())
    }
}

/// What is wrong with settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Too few periods.
    #[error("tolerance {0}: 2 to 255 periods are possible")]
    Tolerance(u8),
    /// Too short or too long.
    #[error("period {0} ns: 5 ms to 10 s are possible")]
    Period(Time),
    /// Does not fit between period and silence.
    #[error("lease {lease} ns: it must be a period at least, and end with all drift before {silence} ns of silence")]
    Lease {
        /// The lease.
        lease: Time,
        /// Period x tolerance.
        silence: Time,
    },
    /// Too many rules, or no digest.
    #[error(
        "{0} rules: at most 64, with a digest and keys that are not 0, each key and host once, weights of at most 100, priorities of 1..=32"
    )]
    Rules(usize),
    /// No majority without a witness.
    #[error("quorum of {0} hosts: 2 to 32, and two hosts need a witness")]
    Quorum(u8),
}

/// Who may serve alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quorum {
    /// Hosts that there are.
    pub expected_hosts: u8,
    /// With exactly half of them, the half that has this one.
    pub witness: Option<HostId>,
}

/// What a restarted daemon finds in its NIC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Adopted {
    /// From the scratch registers.
    pub committed: crate::message::Committed,
    /// Read back from the NIC, checked against the digest; one for each rule and the default.
    pub maps: Arc<crate::maps::MapSet>,
    /// Until when it takes traffic by the lease of before, if that has not ended.
    pub lease: Option<Time>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// `Cluster::deadline` was reached (or anything else: a tick too many does no harm).
    Tick,
    /// An authenticated message of this cluster came in.
    Message(Message),
    /// The NIC has committed what [`Action::Commit`] with this number asked for.
    Committed(u64),
    /// Bindings of the buckets that I gave up are at their new owners ([`Action::HandBindings`]).
    BindingsHanded(u64),
    /// What the NIC holds in buckets that are not its own: for each rule and the default a bit per bucket (empty: none). Asked for by [`Action::CountHoldings`].
    Holdings {
        /// The proposal of the question.
        proposal: u64,
        /// By rule.
        rules: Vec<Vec<u8>>,
    },
    /// Sessions opened since the maps of the last proposal were committed, by number of map; given from time to time (each second is enough).
    Connections(Vec<u32>),
    /// The NIC says that the lease has ended, though it should run: it was renewed too late.
    LeaseLost,
    /// Whether the port that heartbeats go by has a link, which it is taken to have until told otherwise.
    Link(bool),
    /// A person or a program wants something.
    Command(Command),
}

/// What can be asked of a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Take part (again). No effect while suspended.
    Start,
    /// Leave at once.
    Stop,
    /// Take no new sessions, then stop when none is left: the driver sends `Stop`.
    Drain,
    /// Take part again after `Drain`.
    Undrain,
    /// Leave and do not take part until `Resume`, whatever else is asked.
    Suspend,
    /// Ends `Suspend`; then as after `Stop`.
    Resume,
    /// Rules (bit = number in the active set, bit 64 = default; a change of rules keeps it with the rule): take new sessions, none, or no packet.
    EnableRules(u128),
    /// No new sessions.
    DrainRules(u128),
    /// No packet.
    DisableRules(u128),
    /// Percent of the weights, 0..=1000.
    Capacity(u16),
    /// Stage a rule set.
    Stage(Arc<RuleSet>),
    /// Activate the staged set as soon as all have it.
    Activate,
    /// Forget the staged set.
    AbortStage,
    /// A restart of so many ms is planned.
    Hold(u32),
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send to all members. The time that counts for the lease was read before.
    Send(Body, u64),
    /// Load maps and flags into the NIC and commit; answer with [`Event::Committed`].
    Commit(Commit),
    /// Set the flags of buckets: rule and bit per bucket (512 bytes). No answer.
    Handover(Vec<(u8, Vec<u8>)>),
    /// Start the lease until this time; only with a commit before it in the same list or an earlier one.
    ArmLease(Time),
    /// Move the end of the running lease.
    RenewLease(Time),
    /// Take no VIP traffic, at once (the lease ends now).
    Withdraw,
    /// Hand bindings that do not depend on a TCP state (masked, UDP) of buckets that I gave up to their owners in the commit; answer with [`Event::BindingsHanded`].
    HandBindings(u64),
    /// Count bindings in buckets that are not mine; answer with [`Event::Holdings`].
    CountHoldings(u64),
    /// Rules that are disabled here, by their numbers, have changed.
    DisableRules(u128),
    /// The staged rule set is active from the commit that follows.
    ActivateRules(Arc<RuleSet>),
    /// For the log.
    Log(Log),
}

/// Maps for the NIC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Commit {
    /// Number for the answer.
    pub number: u64,
    /// Epoch, digest and id for the scratch registers.
    pub epoch: u64,
    /// Digest of the whole map set if this is the final one, else 0.
    pub digest: u64,
    /// Proposal.
    pub proposal: u64,
    /// Owner by bucket for each rule, then the default.
    pub maps: Arc<crate::maps::MapSet>,
    /// Buckets (bit per bucket, 512 bytes; empty: none) with HANDOVER, for each rule and the default.
    pub handover: Vec<Vec<u8>>,
}

/// Something that a person should know; the driver adds host and wall time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Log {
    /// A peer is heard for the first time.
    PeerHeard(HostId),
    /// A peer has been silent for D.
    PeerLost(HostId),
    /// A peer is left out.
    PeerExcluded {
        /// Who.
        host: HostId,
        /// Why.
        cause: Exclusion,
    },
    /// I am left out.
    Excluded(Exclusion),
    /// Another view.
    View(HostSet),
    /// A proposal was made.
    Proposed {
        /// Its epoch.
        epoch: u64,
        /// Its id.
        proposal: u64,
    },
    /// Maps were committed.
    Committed {
        /// Their epoch.
        epoch: u64,
        /// Buckets of all maps that are mine.
        owned: usize,
        /// Buckets of all maps that moved.
        moved: usize,
    },
    /// All members have committed.
    Stable {
        /// Their epoch.
        epoch: u64,
    },
    /// The default host is another one.
    DefaultHost(Option<HostId>),
    /// Two sides met; rules in which this side lost.
    Healed {
        /// Rules.
        lost: u128,
    },
    /// The lease has ended.
    LeaseExpired,
    /// The port that heartbeats go by has a link again, or no more.
    Link(bool),
    /// A rule set was not staged: it is not sound ([`RuleSet::is_good`]), or another one is being activated.
    StageRefused {
        /// Its digest.
        digest: u64,
    },
    /// The view is smaller than the quorum: it serves nobody.
    NoQuorum(HostSet),
}

/// Why somebody is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exclusion {
    /// Does not hear, or is not heard by, this one.
    OneWay(HostId),
    /// Another rule set.
    RuleSet {
        /// Its digest.
        theirs: u64,
    },
    /// Somebody else has this host id.
    DuplicateHost,
    /// Joined and left too often.
    HeldDown,
    /// By command.
    Suspended,
}

/// What a member is, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is about.
    pub phase: crate::message::Phase,
    /// Why it is left out, if it is.
    pub excluded: Option<Exclusion>,
    /// Whom it hears.
    pub heard: HostSet,
    /// Its view with itself; empty if there is none.
    pub view: HostSet,
    /// What it has committed last.
    pub committed: Option<crate::message::Committed>,
    /// The proposal that it works on (0: none) and its epoch.
    pub proposal: (u64, u64),
    /// Until when the NIC takes traffic.
    pub lease: Option<Time>,
    /// What the NIC was told last; while a commit is under way that of before.
    pub maps: Arc<crate::maps::MapSet>,
}

/// Bytes of a bit per bucket.
pub const BITMAP: usize = BUCKETS / 8;
