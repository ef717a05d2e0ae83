// SPDX-License-Identifier: Apache-2.0
//! Why bytes from elsewhere are refused, in names that can be counted; and why a message cannot be sent.

/// An enum of names: `Variant "name" "text"`, each with its documentation.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $text:literal $limit:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// For people and programs; never changes.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// What is allowed.
            pub const fn limit(self) -> &'static str {
                match self { $($name::$variant => $limit,)* }
            }

            const fn refusal(self) -> &'static str {
                match self { $($name::$variant => concat!("field_", $text),)* }
            }
        }
    };
}

named! {
    /// A field whose value can be out of range.
    Field {
        /// Sender.
        Host "host" "1..=32";
        /// Of a message.
        Sequence "sequence" "1..=2^40 - 1";
        /// Number of a key in a frame.
        Key "key" "0 without authentication, 1..=255 with it";
        /// Bytes without a meaning.
        Reserved "reserved" "0";
        /// Bits without a meaning.
        Flags "flags" "the documented bits";
        /// Of a heartbeat.
        Phase "phase" "0..=6";
        /// Of a heartbeat.
        Period "period_ms" "1..=65535 ms";
        /// Of a heartbeat.
        Tolerance "tolerance" "2..=255 periods";
        /// Of a heartbeat.
        Capacity "capacity" "0..=1000 percent";
        /// Of a heartbeat.
        CommittedView "committed_view_size" "1..=32; 0 if nothing is committed";
        /// Of a heartbeat.
        CommittedLowest "committed_lowest" "1..=32; 0 if nothing is committed";
        /// Of a heartbeat: values where nothing is committed.
        Committed "committed" "0 if nothing is committed";
        /// Rules, as bits.
        RuleMask "rule_mask" "bits 0..=64";
        /// Whom somebody has heard.
        EchoHost "echo_host" "1..=32, each at most twice";
        /// Newest sequence of a peer.
        EchoSequence "echo_sequence" "0..=2^40 - 1";
        /// Number of echoes.
        Echoes "echoes" "at most 64";
        /// Number of connection counts.
        Connections "connections" "at most 65";
        /// Kind of a question for maps.
        Fetch "fetch_kind" "0 (index), 1 (page)";
        /// Who shall answer.
        FetchFrom "fetch_from" "1..=32";
        /// First bucket of a page.
        FirstBucket "first_bucket" "0, 1024, 2048, 3072";
        /// Number of maps.
        Maps "maps" "1..=65";
        /// Number of buckets in a page.
        Owners "owners" "1024 of them";
        /// Owner of a bucket.
        Owner "owner" "0 (nobody)..=32";
        /// Weight of a member.
        Weight "weight" "1..=65535";
        /// Number of a rule.
        Rule "rule" "0..=64";
        /// Size of a set of buckets.
        Buckets "buckets" "512 bytes";
        /// What a control request wants.
        Argument "argument" "what the command takes";
        /// Hosts of a control datagram.
        Hosts "hosts" "1..=32, each once, at least one";
        /// How a control request ended.
        Outcome "outcome" "0..=5";
        /// Text of an answer.
        Text "text" "at most 1024 bytes of UTF-8, no control characters but line feed and tab";
    }
}

/// Why a frame or datagram is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It ends before what it announces.
    Truncated,
    /// It is longer than any legal one.
    TooLong,
    /// The Ethernet type is another.
    EtherType,
    /// The signature is another.
    Signature,
    /// A version that this one cannot read.
    Version,
    /// Another cluster's primary IP.
    ForeignCluster,
    /// No message authentication code, though there are keys here.
    MissingMac,
    /// A message authentication code, though there are no keys here.
    UnexpectedMac,
    /// Signed with a key that is not known here.
    UnknownKey,
    /// The message authentication code does not belong to these bytes and the key.
    WrongMac,
    /// Parts in the wrong order, twice, not at all, or of a type that is not ours.
    Structure,
    /// Nothing but parts of a later version.
    UnknownBody,
    /// A part has another length than what is in it.
    Length,
    /// More entries than allowed.
    TooMany,
    /// A field that is out of range.
    Field(Field),
    /// Control datagram of a kind that is not for this side, or unknown.
    Kind,
    /// Control datagram for other hosts.
    NotForMe,
    /// Control is disabled here.
    Disabled,
    /// Control request with a number that was never given out.
    Unasked,
}

const PLAIN: [Refusal; 18] = [
    Refusal::Truncated,
    Refusal::TooLong,
    Refusal::EtherType,
    Refusal::Signature,
    Refusal::Version,
    Refusal::ForeignCluster,
    Refusal::MissingMac,
    Refusal::UnexpectedMac,
    Refusal::UnknownKey,
    Refusal::WrongMac,
    Refusal::Structure,
    Refusal::UnknownBody,
    Refusal::Length,
    Refusal::TooMany,
    Refusal::Kind,
    Refusal::NotForMe,
    Refusal::Disabled,
    Refusal::Unasked,
];

impl Refusal {
    /// Number of reasons.
    pub const COUNT: usize = PLAIN.len() + Field::ALL.len();

    /// All reasons, the one for each field among them; the place is [`Refusal::index`].
    pub const ALL: [Refusal; Refusal::COUNT] = {
        let mut all = [Refusal::Truncated; Refusal::COUNT];
        let mut n = 0;
        while n < Refusal::COUNT {
            all[n] = if n < PLAIN.len() { PLAIN[n] } else { Refusal::Field(Field::ALL[n - PLAIN.len()]) };
            n += 1;
        }
        all
    };

    /// Place in [`Refusal::ALL`].
    pub fn index(self) -> usize {
        match self {
            Refusal::Field(field) => PLAIN.len() + field as usize,
            plain => PLAIN.iter().position(|it| *it == plain).expect("all plain reasons are listed"),
        }
    }

    /// For people and programs; never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::Truncated => "truncated",
            Refusal::TooLong => "too_long",
            Refusal::EtherType => "ethertype",
            Refusal::Signature => "signature",
            Refusal::Version => "version",
            Refusal::ForeignCluster => "foreign_cluster",
            Refusal::MissingMac => "missing_mac",
            Refusal::UnexpectedMac => "unexpected_mac",
            Refusal::UnknownKey => "unknown_key",
            Refusal::WrongMac => "wrong_mac",
            Refusal::Structure => "structure",
            Refusal::UnknownBody => "unknown_body",
            Refusal::Length => "length",
            Refusal::TooMany => "too_many",
            Refusal::Field(field) => field.refusal(),
            Refusal::Kind => "kind",
            Refusal::NotForMe => "not_for_me",
            Refusal::Disabled => "disabled",
            Refusal::Unasked => "unasked",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.name())?;
        if let Refusal::Field(field) = self {
            write!(f, " (allowed: {})", field.limit())?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// How often each reason was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals([u64; Refusal::COUNT]);

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals([0; Refusal::COUNT])
    }
}

impl Refusals {
    /// Counts one.
    pub fn add(&mut self, reason: Refusal) {
        let count = &mut self.0[reason.index()];
        *count = count.saturating_add(1);
    }

    /// How often this one was met.
    pub fn get(&self, reason: Refusal) -> u64 {
        self.0[reason.index()]
    }

    /// All reasons with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.into_iter().zip(self.0)
    }
}

/// Why a message cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A field is beyond its limit.
    #[error("{} is {value}, which no frame carries: {} (docs/heartbeat.md)", field.name(), field.limit())]
    Field {
        /// Which.
        field: Field,
        /// Its value; of lists the number of entries.
        value: u128,
    },
    /// With the extension of a later version, see [`crate::frame::Codec::as_later`].
    #[error("the frame would have {0} bytes: {max} are the limit (docs/heartbeat.md)", max = crate::frame::MAX_FRAME)]
    TooLong(usize),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn reasons_have_names_and_places_of_their_own() {
        let names: BTreeSet<_> = Refusal::ALL.iter().map(|it| it.name()).collect();
        assert_eq!(names.len(), Refusal::COUNT);
        for (n, reason) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), n);
        }
    }

    #[test]
    fn counts_are_by_reason() {
        let mut counts = Refusals::default();
        counts.add(Refusal::WrongMac);
        counts.add(Refusal::Field(Field::Text));
        counts.add(Refusal::WrongMac);
        let met: Vec<_> = counts.iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(met, [(Refusal::WrongMac, 2), (Refusal::Field(Field::Text), 1)]);
        assert_eq!(Refusal::Field(Field::Phase).to_string(), "field_phase (allowed: 0..=6)");
    }
}
