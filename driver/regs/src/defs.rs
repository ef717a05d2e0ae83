// SPDX-License-Identifier: Apache-2.0
//! Verdicts, reasons, tables and entry layouts. Made by `hw/defs/generate.py` from `hw/defs/hashgate.toml`; do not edit.

use std::fmt;

/// A number that a definition does not know, for example from a newer NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} has no value {value}: driver and NIC were built from different definitions, update the older one")]
pub struct UnknownValue {
    /// Type that was asked for.
    pub kind: &'static str,
    /// The number.
    pub value: u8,
}

const fn mask(width: u32) -> u32 {
    u32::MAX >> (32 - width)
}

const fn put(value: u32, lsb: u32, width: u32) -> u32 {
    (value & mask(width)) << lsb
}

const fn get(word: u32, lsb: u32, width: u32) -> u32 {
    (word >> lsb) & mask(width)
}

/// What the NIC does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// Dropped by the NIC.
    Discard = 0,
    /// To the host, on a receive queue or the control queue.
    Host = 1,
    /// Forwarded to a wire port.
    Port = 2,
}

impl Verdict {
    /// All values, in order of their numbers.
    pub const ALL: &[Verdict] = &[Verdict::Discard, Verdict::Host, Verdict::Port];

    /// Name as in the definitions, logs and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Discard => "discard",
            Verdict::Host => "host",
            Verdict::Port => "port",
        }
    }

    /// One sentence for people.
    pub const fn doc(self) -> &'static str {
        match self {
            Verdict::Discard => "Dropped by the NIC.",
            Verdict::Host => "To the host, on a receive queue or the control queue.",
            Verdict::Port => "Forwarded to a wire port.",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl TryFrom<u8> for Verdict {
    type Error = UnknownValue;

    fn try_from(value: u8) -> Result<Self, UnknownValue> {
        match value {
            0 => Ok(Verdict::Discard),
            1 => Ok(Verdict::Host),
            2 => Ok(Verdict::Port),
            _ => Err(UnknownValue { kind: "Verdict", value }),
        }
    }
}

/// Why the NIC did it; exactly one for each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Never counted.
    None = 0,
    /// A port rule and its bucket map decided.
    Map = 1,
    /// No port rule matched; the default rule's map decided.
    DefaultHost = 2,
    /// Later fragment with unknown ports; the default rule's map decided.
    FragmentUnknown = 3,
    /// Headers reach beyond the 128-byte window; the default rule's map decided.
    BeyondWindow = 4,
    /// ICMP error about a balanced connection; the connection's rule and map decided.
    IcmpError = 5,
    /// Other ICMP with icmp = owner; the default rule's map decided.
    IcmpOwner = 6,
    /// Destination is a dedicated IP of this host.
    Dedicated = 7,
    /// Heartbeat, ARP or neighbour discovery.
    Control = 8,
    /// Traffic that is not balanced passes to every host.
    Unfiltered = 9,
    /// A connection binding decided.
    Binding = 10,
    /// An affinity binding decided.
    Affinity = 11,
    /// Tables are initialising or the receive path is disabled.
    NotReady = 16,
    /// Destination MAC is not ours, the cluster's, broadcast or a joined multicast.
    NotMyMac = 17,
    /// Destination IP is not ours and other_ip = discard.
    NotMyIp = 18,
    /// The lease has run out; VIP traffic is withdrawn.
    LeaseExpired = 19,
    /// The rule has no valid entry.
    RuleInvalid = 20,
    /// The rule's mode is disabled (blocked).
    RuleDisabled = 21,
    /// The rule's map was never committed.
    MapInvalid = 22,
    /// Mid-stream packet of a connection that may live on another member.
    Handover = 23,
    /// The bucket has no owner at the moment.
    Nobody = 24,
    /// The owner has no valid target entry.
    TargetInvalid = 25,
    /// A table word that the frame needed had wrong parity.
    TableParity = 26,
    /// A new session of a rule that is draining, for a target that binds here.
    RuleDraining = 27,
    /// More than two VLAN tags.
    VlanTooDeep = 32,
    /// IPv4 EtherType, version field not 4.
    Ip4Version = 33,
    /// IPv4 IHL below 5.
    Ip4HeaderLength = 34,
    /// IPv4 total length shorter than the header.
    Ip4TotalLength = 35,
    /// IPv4 header checksum wrong.
    Ip4Checksum = 36,
    /// IPv6 EtherType, version field not 6.
    Ip6Version = 37,
    /// An IPv6 extension header does not fit the payload.
    Ip6Extension = 38,
    /// Payload shorter than the layer-4 header.
    L4Truncated = 39,
    /// TCP data offset below 5 or beyond the payload.
    TcpDataOffset = 40,
    /// TCP SYN and FIN together.
    TcpSynFin = 41,
    /// TCP SYN and RST together.
    TcpSynRst = 42,
    /// UDP length below 8 or beyond the payload.
    UdpLength = 43,
    /// The MAC marked the frame (FCS, coding).
    FrameError = 48,
    /// Shorter than 60 bytes without FCS.
    Runt = 49,
    /// Longer than 9022 bytes without FCS.
    Oversize = 50,
    /// The frame ends before the IP length.
    Truncated = 51,
    /// The buffer to the host has no room.
    HostFull = 56,
    /// The control buffer to the host has no room.
    ControlFull = 57,
    /// The buffer to the wire port has no room.
    PortFull = 58,
}

impl Reason {
    /// All values, in order of their numbers.
    pub const ALL: &[Reason] = &[
        Reason::None,
        Reason::Map,
        Reason::DefaultHost,
        Reason::FragmentUnknown,
        Reason::BeyondWindow,
        Reason::IcmpError,
        Reason::IcmpOwner,
        Reason::Dedicated,
        Reason::Control,
        Reason::Unfiltered,
        Reason::Binding,
        Reason::Affinity,
        Reason::NotReady,
        Reason::NotMyMac,
        Reason::NotMyIp,
        Reason::LeaseExpired,
        Reason::RuleInvalid,
        Reason::RuleDisabled,
        Reason::MapInvalid,
        Reason::Handover,
        Reason::Nobody,
        Reason::TargetInvalid,
        Reason::TableParity,
        Reason::RuleDraining,
        Reason::VlanTooDeep,
        Reason::Ip4Version,
        Reason::Ip4HeaderLength,
        Reason::Ip4TotalLength,
        Reason::Ip4Checksum,
        Reason::Ip6Version,
        Reason::Ip6Extension,
        Reason::L4Truncated,
        Reason::TcpDataOffset,
        Reason::TcpSynFin,
        Reason::TcpSynRst,
        Reason::UdpLength,
        Reason::FrameError,
        Reason::Runt,
        Reason::Oversize,
        Reason::Truncated,
        Reason::HostFull,
        Reason::ControlFull,
        Reason::PortFull,
    ];

    /// Name as in the definitions, logs and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::None => "none",
            Reason::Map => "map",
            Reason::DefaultHost => "default-host",
            Reason::FragmentUnknown => "fragment-unknown",
            Reason::BeyondWindow => "beyond-window",
            Reason::IcmpError => "icmp-error",
            Reason::IcmpOwner => "icmp-owner",
            Reason::Dedicated => "dedicated",
            Reason::Control => "control",
            Reason::Unfiltered => "unfiltered",
            Reason::Binding => "binding",
            Reason::Affinity => "affinity",
            Reason::NotReady => "not-ready",
            Reason::NotMyMac => "not-my-mac",
            Reason::NotMyIp => "not-my-ip",
            Reason::LeaseExpired => "lease-expired",
            Reason::RuleInvalid => "rule-invalid",
            Reason::RuleDisabled => "rule-disabled",
            Reason::MapInvalid => "map-invalid",
            Reason::Handover => "handover",
            Reason::Nobody => "nobody",
            Reason::TargetInvalid => "target-invalid",
            Reason::TableParity => "table-parity",
            Reason::RuleDraining => "rule-draining",
            Reason::VlanTooDeep => "vlan-too-deep",
            Reason::Ip4Version => "ip4-version",
            Reason::Ip4HeaderLength => "ip4-header-length",
            Reason::Ip4TotalLength => "ip4-total-length",
            Reason::Ip4Checksum => "ip4-checksum",
            Reason::Ip6Version => "ip6-version",
            Reason::Ip6Extension => "ip6-extension",
            Reason::L4Truncated => "l4-truncated",
            Reason::TcpDataOffset => "tcp-data-offset",
            Reason::TcpSynFin => "tcp-syn-fin",
            Reason::TcpSynRst => "tcp-syn-rst",
            Reason::UdpLength => "udp-length",
            Reason::FrameError => "frame-error",
            Reason::Runt => "runt",
            Reason::Oversize => "oversize",
            Reason::Truncated => "truncated",
            Reason::HostFull => "host-full",
            Reason::ControlFull => "control-full",
            Reason::PortFull => "port-full",
        }
    }

    /// One sentence for people.
    pub const fn doc(self) -> &'static str {
        match self {
            Reason::None => "Never counted.",
            Reason::Map => "A port rule and its bucket map decided.",
            Reason::DefaultHost => "No port rule matched; the default rule's map decided.",
            Reason::FragmentUnknown => "Later fragment with unknown ports; the default rule's map decided.",
            Reason::BeyondWindow => "Headers reach beyond the 128-byte window; the default rule's map decided.",
            Reason::IcmpError => "ICMP error about a balanced connection; the connection's rule and map decided.",
            Reason::IcmpOwner => "Other ICMP with icmp = owner; the default rule's map decided.",
            Reason::Dedicated => "Destination is a dedicated IP of this host.",
            Reason::Control => "Heartbeat, ARP or neighbour discovery.",
            Reason::Unfiltered => "Traffic that is not balanced passes to every host.",
            Reason::Binding => "A connection binding decided.",
            Reason::Affinity => "An affinity binding decided.",
            Reason::NotReady => "Tables are initialising or the receive path is disabled.",
            Reason::NotMyMac => "Destination MAC is not ours, the cluster's, broadcast or a joined multicast.",
            Reason::NotMyIp => "Destination IP is not ours and other_ip = discard.",
            Reason::LeaseExpired => "The lease has run out; VIP traffic is withdrawn.",
            Reason::RuleInvalid => "The rule has no valid entry.",
            Reason::RuleDisabled => "The rule's mode is disabled (blocked).",
            Reason::MapInvalid => "The rule's map was never committed.",
            Reason::Handover => "Mid-stream packet of a connection that may live on another member.",
            Reason::Nobody => "The bucket has no owner at the moment.",
            Reason::TargetInvalid => "The owner has no valid target entry.",
            Reason::TableParity => "A table word that the frame needed had wrong parity.",
            Reason::RuleDraining => "A new session of a rule that is draining, for a target that binds here.",
            Reason::VlanTooDeep => "More than two VLAN tags.",
            Reason::Ip4Version => "IPv4 EtherType, version field not 4.",
            Reason::Ip4HeaderLength => "IPv4 IHL below 5.",
            Reason::Ip4TotalLength => "IPv4 total length shorter than the header.",
            Reason::Ip4Checksum => "IPv4 header checksum wrong.",
            Reason::Ip6Version => "IPv6 EtherType, version field not 6.",
            Reason::Ip6Extension => "An IPv6 extension header does not fit the payload.",
            Reason::L4Truncated => "Payload shorter than the layer-4 header.",
            Reason::TcpDataOffset => "TCP data offset below 5 or beyond the payload.",
            Reason::TcpSynFin => "TCP SYN and FIN together.",
            Reason::TcpSynRst => "TCP SYN and RST together.",
            Reason::UdpLength => "UDP length below 8 or beyond the payload.",
            Reason::FrameError => "The MAC marked the frame (FCS, coding).",
            Reason::Runt => "Shorter than 60 bytes without FCS.",
            Reason::Oversize => "Longer than 9022 bytes without FCS.",
            Reason::Truncated => "The frame ends before the IP length.",
            Reason::HostFull => "The buffer to the host has no room.",
            Reason::ControlFull => "The control buffer to the host has no room.",
            Reason::PortFull => "The buffer to the wire port has no room.",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl TryFrom<u8> for Reason {
    type Error = UnknownValue;

    fn try_from(value: u8) -> Result<Self, UnknownValue> {
        match value {
            0 => Ok(Reason::None),
            1 => Ok(Reason::Map),
            2 => Ok(Reason::DefaultHost),
            3 => Ok(Reason::FragmentUnknown),
            4 => Ok(Reason::BeyondWindow),
            5 => Ok(Reason::IcmpError),
            6 => Ok(Reason::IcmpOwner),
            7 => Ok(Reason::Dedicated),
            8 => Ok(Reason::Control),
            9 => Ok(Reason::Unfiltered),
            10 => Ok(Reason::Binding),
            11 => Ok(Reason::Affinity),
            16 => Ok(Reason::NotReady),
            17 => Ok(Reason::NotMyMac),
            18 => Ok(Reason::NotMyIp),
            19 => Ok(Reason::LeaseExpired),
            20 => Ok(Reason::RuleInvalid),
            21 => Ok(Reason::RuleDisabled),
            22 => Ok(Reason::MapInvalid),
            23 => Ok(Reason::Handover),
            24 => Ok(Reason::Nobody),
            25 => Ok(Reason::TargetInvalid),
            26 => Ok(Reason::TableParity),
            27 => Ok(Reason::RuleDraining),
            32 => Ok(Reason::VlanTooDeep),
            33 => Ok(Reason::Ip4Version),
            34 => Ok(Reason::Ip4HeaderLength),
            35 => Ok(Reason::Ip4TotalLength),
            36 => Ok(Reason::Ip4Checksum),
            37 => Ok(Reason::Ip6Version),
            38 => Ok(Reason::Ip6Extension),
            39 => Ok(Reason::L4Truncated),
            40 => Ok(Reason::TcpDataOffset),
            41 => Ok(Reason::TcpSynFin),
            42 => Ok(Reason::TcpSynRst),
            43 => Ok(Reason::UdpLength),
            48 => Ok(Reason::FrameError),
            49 => Ok(Reason::Runt),
            50 => Ok(Reason::Oversize),
            51 => Ok(Reason::Truncated),
            56 => Ok(Reason::HostFull),
            57 => Ok(Reason::ControlFull),
            58 => Ok(Reason::PortFull),
            _ => Err(UnknownValue { kind: "Reason", value }),
        }
    }
}

/// Values of the field `kind` of `vip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum VipKind {
    /// Value 1.
    Vip = 1,
    /// Value 2.
    Dedicated = 2,
}

impl VipKind {
    /// All values, in order of their numbers.
    pub const ALL: &[VipKind] = &[VipKind::Vip, VipKind::Dedicated];

    /// Name as in the definitions, logs and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            VipKind::Vip => "vip",
            VipKind::Dedicated => "dedicated",
        }
    }
}

impl fmt::Display for VipKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl TryFrom<u8> for VipKind {
    type Error = UnknownValue;

    fn try_from(value: u8) -> Result<Self, UnknownValue> {
        match value {
            1 => Ok(VipKind::Vip),
            2 => Ok(VipKind::Dedicated),
            _ => Err(UnknownValue { kind: "VipKind", value }),
        }
    }
}

/// Values of the field `mode` of `rule`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Mode {
    /// Value 0.
    Disabled = 0,
    /// Value 1.
    Multiple = 1,
    /// Value 2.
    Single = 2,
}

impl Mode {
    /// All values, in order of their numbers.
    pub const ALL: &[Mode] = &[Mode::Disabled, Mode::Multiple, Mode::Single];

    /// Name as in the definitions, logs and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Disabled => "disabled",
            Mode::Multiple => "multiple",
            Mode::Single => "single",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl TryFrom<u8> for Mode {
    type Error = UnknownValue;

    fn try_from(value: u8) -> Result<Self, UnknownValue> {
        match value {
            0 => Ok(Mode::Disabled),
            1 => Ok(Mode::Multiple),
            2 => Ok(Mode::Single),
            _ => Err(UnknownValue { kind: "Mode", value }),
        }
    }
}

/// Values of the field `track` of `rule`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Track {
    /// Value 0.
    Never = 0,
    /// Value 1.
    Flagged = 1,
    /// Value 2.
    Always = 2,
}

impl Track {
    /// All values, in order of their numbers.
    pub const ALL: &[Track] = &[Track::Never, Track::Flagged, Track::Always];

    /// Name as in the definitions, logs and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Track::Never => "never",
            Track::Flagged => "flagged",
            Track::Always => "always",
        }
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl TryFrom<u8> for Track {
    type Error = UnknownValue;

    fn try_from(value: u8) -> Result<Self, UnknownValue> {
        match value {
            0 => Ok(Track::Never),
            1 => Ok(Track::Flagged),
            2 => Ok(Track::Always),
            _ => Err(UnknownValue { kind: "Track", value }),
        }
    }
}

/// Values of the field `action` of `target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Action {
    /// Value 0.
    Discard = 0,
    /// Value 1.
    Deliver = 1,
    /// Value 2.
    Forward = 2,
}

impl Action {
    /// All values, in order of their numbers.
    pub const ALL: &[Action] = &[Action::Discard, Action::Deliver, Action::Forward];

    /// Name as in the definitions, logs and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Discard => "discard",
            Action::Deliver => "deliver",
            Action::Forward => "forward",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl TryFrom<u8> for Action {
    type Error = UnknownValue;

    fn try_from(value: u8) -> Result<Self, UnknownValue> {
        match value {
            0 => Ok(Action::Discard),
            1 => Ok(Action::Deliver),
            2 => Ok(Action::Forward),
            _ => Err(UnknownValue { kind: "Action", value }),
        }
    }
}

/// State of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum BindingState {
    /// Value 0.
    Free = 0,
    /// Value 1.
    HalfOpen = 1,
    /// Value 2.
    Established = 2,
    /// Value 3.
    Closing = 3,
    /// Value 4.
    Reset = 4,
    /// Value 5.
    Flow = 5,
}

impl BindingState {
    /// All values, in order of their numbers.
    pub const ALL: &[BindingState] = &[
        BindingState::Free,
        BindingState::HalfOpen,
        BindingState::Established,
        BindingState::Closing,
        BindingState::Reset,
        BindingState::Flow,
    ];

    /// Name as in the definitions, logs and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            BindingState::Free => "free",
            BindingState::HalfOpen => "half_open",
            BindingState::Established => "established",
            BindingState::Closing => "closing",
            BindingState::Reset => "reset",
            BindingState::Flow => "flow",
        }
    }
}

impl fmt::Display for BindingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl TryFrom<u8> for BindingState {
    type Error = UnknownValue;

    fn try_from(value: u8) -> Result<Self, UnknownValue> {
        match value {
            0 => Ok(BindingState::Free),
            1 => Ok(BindingState::HalfOpen),
            2 => Ok(BindingState::Established),
            3 => Ok(BindingState::Closing),
            4 => Ok(BindingState::Reset),
            5 => Ok(BindingState::Flow),
            _ => Err(UnknownValue { kind: "BindingState", value }),
        }
    }
}

/// Tables behind `TABLE_SELECT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Index = 4096 x port + VLAN.
    Zone = 0,
    /// Index = 256 x way + row.
    Mac = 1,
    /// Index = 256 x way + row.
    Vip = 2,
    /// Index = slot.
    Match = 3,
    /// Index = rule; the default rule has index RULES.
    Rule = 4,
    /// Index = target id.
    Target = 5,
    /// Index = 2048 x map + bucket / 2.
    Map = 6,
    /// Index = 256 x map + bucket / 16; bit 2i HANDOVER, bit 2i+1 TRACK of bucket 16 x (index mod 256) + i.
    Flags = 7,
    /// Index = 64 x verdict + reason; read only.
    CountReason = 8,
    /// Index = rule; read only.
    CountRule = 9,
    /// Index = target id; read only.
    CountTarget = 10,
    /// Index = bucket; read only; filled by BIND_CENSUS.
    CountLive = 11,
    /// Index = 4096 x (0 connection, 1 affinity) + bucket; read only.
    CountRefused = 12,
}

impl Table {
    /// All values, in order of their numbers.
    pub const ALL: &[Table] = &[
        Table::Zone,
        Table::Mac,
        Table::Vip,
        Table::Match,
        Table::Rule,
        Table::Target,
        Table::Map,
        Table::Flags,
        Table::CountReason,
        Table::CountRule,
        Table::CountTarget,
        Table::CountLive,
        Table::CountRefused,
    ];

    /// Name as in the definitions, logs and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Zone => "zone",
            Table::Mac => "mac",
            Table::Vip => "vip",
            Table::Match => "match",
            Table::Rule => "rule",
            Table::Target => "target",
            Table::Map => "map",
            Table::Flags => "flags",
            Table::CountReason => "count_reason",
            Table::CountRule => "count_rule",
            Table::CountTarget => "count_target",
            Table::CountLive => "count_live",
            Table::CountRefused => "count_refused",
        }
    }

    /// 32-bit words per entry in the address space; a power of two.
    pub const fn stride(self) -> u32 {
        match self {
            Table::Zone => 1,
            Table::Mac => 2,
            Table::Vip => 8,
            Table::Match => 2,
            Table::Rule => 8,
            Table::Target => 2,
            Table::Map => 1,
            Table::Flags => 1,
            Table::CountReason => 4,
            Table::CountRule => 4,
            Table::CountTarget => 4,
            Table::CountLive => 1,
            Table::CountRefused => 1,
        }
    }

    /// Words an entry really has; the others read 0.
    pub const fn words(self) -> u32 {
        match self {
            Table::Zone => 1,
            Table::Mac => 2,
            Table::Vip => 5,
            Table::Match => 2,
            Table::Rule => 6,
            Table::Target => 2,
            Table::Map => 1,
            Table::Flags => 1,
            Table::CountReason => 4,
            Table::CountRule => 4,
            Table::CountTarget => 4,
            Table::CountLive => 1,
            Table::CountRefused => 1,
        }
    }

    /// Whether the table has an active and a shadow bank.
    pub const fn shadowed(self) -> bool {
        matches!(self, Table::Zone | Table::Mac | Table::Vip | Table::Match | Table::Rule | Table::Target | Table::Map)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl TryFrom<u8> for Table {
    type Error = UnknownValue;

    fn try_from(value: u8) -> Result<Self, UnknownValue> {
        match value {
            0 => Ok(Table::Zone),
            1 => Ok(Table::Mac),
            2 => Ok(Table::Vip),
            3 => Ok(Table::Match),
            4 => Ok(Table::Rule),
            5 => Ok(Table::Target),
            6 => Ok(Table::Map),
            7 => Ok(Table::Flags),
            8 => Ok(Table::CountReason),
            9 => Ok(Table::CountRule),
            10 => Ok(Table::CountTarget),
            11 => Ok(Table::CountLive),
            12 => Ok(Table::CountRefused),
            _ => Err(UnknownValue { kind: "Table", value }),
        }
    }
}

/// Entry of the `zone` table: index = 4096 x port + VLAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneEntry {
    /// Zone of frames received on the port with the VLAN. Word 0, bits 0..=7.
    pub zone: u8,
}

impl ZoneEntry {
    /// 32-bit words of an entry.
    pub const WORDS: usize = 1;

    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut.
    pub fn pack(&self) -> [u32; Self::WORDS] {
        [put(u32::from(self.zone), 0, 8)]
    }

    /// Reads an entry from its words; reserved bits are ignored.
    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {
        Self { zone: get(words[0], 0, 8) as u8 }
    }
}

/// Entry of the `mac` table: index = 256 x way + row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MacEntry {
    /// MAC address as a 48-bit number (first wire byte most significant), low part. Word 0, bits 0..=31.
    pub mac_low: u32,
    /// The same, high part. Word 1, bits 0..=15.
    pub mac_high: u16,
    /// The slot holds an address. Word 1, bit 31.
    pub valid: bool,
}

impl MacEntry {
    /// 32-bit words of an entry.
    pub const WORDS: usize = 2;

    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut.
    pub fn pack(&self) -> [u32; Self::WORDS] {
        [put(self.mac_low, 0, 32), put(u32::from(self.mac_high), 0, 16) | put(u32::from(self.valid), 31, 1)]
    }

    /// Reads an entry from its words; reserved bits are ignored.
    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {
        Self { mac_low: get(words[0], 0, 32), mac_high: get(words[1], 0, 16) as u16, valid: get(words[1], 31, 1) != 0 }
    }
}

/// Entry of the `vip` table: index = 256 x way + row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VipEntry {
    /// VIP id that match slots refer to. Word 0, bits 0..=8.
    pub id: u16,
    /// Zone in which the address is known. Word 0, bits 20..=27.
    pub zone: u8,
    /// The address is IPv6. Word 0, bit 28.
    pub v6: bool,
    /// Balanced or dedicated. Word 0, bits 29..=30; a [`VipKind`].
    pub kind: u8,
    /// The slot holds an address. Word 0, bit 31.
    pub valid: bool,
    /// Address bits 31:0; all of an IPv4 address. Word 1, bits 0..=31.
    pub addr0: u32,
    /// Address bits 63:32. Word 2, bits 0..=31.
    pub addr1: u32,
    /// Address bits 95:64. Word 3, bits 0..=31.
    pub addr2: u32,
    /// Address bits 127:96. Word 4, bits 0..=31.
    pub addr3: u32,
}

impl VipEntry {
    /// 32-bit words of an entry.
    pub const WORDS: usize = 5;

    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut.
    pub fn pack(&self) -> [u32; Self::WORDS] {
        [
            put(u32::from(self.id), 0, 9)
                | put(u32::from(self.zone), 20, 8)
                | put(u32::from(self.v6), 28, 1)
                | put(u32::from(self.kind), 29, 2)
                | put(u32::from(self.valid), 31, 1),
            put(self.addr0, 0, 32),
            put(self.addr1, 0, 32),
            put(self.addr2, 0, 32),
            put(self.addr3, 0, 32),
        ]
    }

    /// Reads an entry from its words; reserved bits are ignored.
    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {
        Self {
            id: get(words[0], 0, 9) as u16,
            zone: get(words[0], 20, 8) as u8,
            v6: get(words[0], 28, 1) != 0,
            kind: get(words[0], 29, 2) as u8,
            valid: get(words[0], 31, 1) != 0,
            addr0: get(words[1], 0, 32),
            addr1: get(words[2], 0, 32),
            addr2: get(words[3], 0, 32),
            addr3: get(words[4], 0, 32),
        }
    }
}

/// Entry of the `match` table: index = slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MatchEntry {
    /// First destination port. Word 0, bits 0..=15.
    pub port_low: u16,
    /// Last destination port. Word 0, bits 16..=31.
    pub port_high: u16,
    /// Rule of what matches. Word 1, bits 0..=6.
    pub rule: u8,
    /// VIP id, unless any_vip. Word 1, bits 16..=24.
    pub vip: u16,
    /// Takes later fragments of its protocols, whatever the ports. Word 1, bit 27.
    pub fragment: bool,
    /// Matches UDP (and ESP, AH as port 500). Word 1, bit 28.
    pub udp: bool,
    /// Matches TCP (and GRE as port 1723). Word 1, bit 29.
    pub tcp: bool,
    /// Matches every VIP; a slot that names one comes first. Word 1, bit 30.
    pub any_vip: bool,
    /// The slot is in use. Word 1, bit 31.
    pub valid: bool,
}

impl MatchEntry {
    /// 32-bit words of an entry.
    pub const WORDS: usize = 2;

    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut.
    pub fn pack(&self) -> [u32; Self::WORDS] {
        [
            put(u32::from(self.port_low), 0, 16) | put(u32::from(self.port_high), 16, 16),
            put(u32::from(self.rule), 0, 7)
                | put(u32::from(self.vip), 16, 9)
                | put(u32::from(self.fragment), 27, 1)
                | put(u32::from(self.udp), 28, 1)
                | put(u32::from(self.tcp), 29, 1)
                | put(u32::from(self.any_vip), 30, 1)
                | put(u32::from(self.valid), 31, 1),
        ]
    }

    /// Reads an entry from its words; reserved bits are ignored.
    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {
        Self {
            port_low: get(words[0], 0, 16) as u16,
            port_high: get(words[0], 16, 16) as u16,
            rule: get(words[1], 0, 7) as u8,
            vip: get(words[1], 16, 9) as u16,
            fragment: get(words[1], 27, 1) != 0,
            udp: get(words[1], 28, 1) != 0,
            tcp: get(words[1], 29, 1) != 0,
            any_vip: get(words[1], 30, 1) != 0,
            valid: get(words[1], 31, 1) != 0,
        }
    }
}

/// Entry of the `rule` table: index = rule; the default rule has index RULES.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleEntry {
    /// Disabled discards. Word 0, bits 0..=1; a [`Mode`].
    pub mode: u8,
    /// No new sessions for targets that bind here. Word 0, bit 2.
    pub draining: bool,
    /// Which sessions get a connection binding. Word 0, bits 4..=5; a [`Track`].
    pub track: u8,
    /// Sessions also get an affinity binding under the binding key. Word 0, bit 6.
    pub affinity: bool,
    /// Bucket map. Word 0, bits 8..=14.
    pub map: u8,
    /// Binding group: the protocol in binding keys, so that rules can share affinity bindings. Word 0, bits 16..=23.
    pub group: u8,
    /// The rule is in use. Word 0, bit 31.
    pub valid: bool,
    /// Leading bits of an IPv4 source address in the bucket key, 0..32. Word 1, bits 0..=5.
    pub bucket_src4: u8,
    /// Leading bits of an IPv6 source address in the bucket key, 0..128. Word 1, bits 8..=15.
    pub bucket_src6: u8,
    /// Destination address in the bucket key. Word 1, bit 16.
    pub bucket_dst: bool,
    /// Source port in the bucket key. Word 1, bit 17.
    pub bucket_sport: bool,
    /// Destination port in the bucket key. Word 1, bit 18.
    pub bucket_dport: bool,
    /// Leading bits of an IPv4 source address in the binding key, 0..32. Word 2, bits 0..=5.
    pub binding_src4: u8,
    /// Leading bits of an IPv6 source address in the binding key, 0..128. Word 2, bits 8..=15.
    pub binding_src6: u8,
    /// Destination address in the binding key. Word 2, bit 16.
    pub binding_dst: bool,
    /// Source port in the binding key. Word 2, bit 17.
    pub binding_sport: bool,
    /// Destination port in the binding key. Word 2, bit 18.
    pub binding_dport: bool,
    /// Time-out of a half-open connection, in fast ticks, 1..32767. Word 3, bits 0..=15.
    pub time_half_open: u16,
    /// Time-out of a connection after RST, in fast ticks, 1..32767. Word 3, bits 16..=31.
    pub time_reset: u16,
    /// Time-out of an established connection, in slow ticks, 1..32767. Word 4, bits 0..=15.
    pub time_established: u16,
    /// Time-out of a connection after FIN, in slow ticks, 1..32767. Word 4, bits 16..=31.
    pub time_closing: u16,
    /// Time-out of a binding of UDP, GRE, ESP or AH, in slow ticks, 1..32767. Word 5, bits 0..=15.
    pub time_flow: u16,
    /// Time-out of an affinity binding, in slow ticks, 1..32767. Word 5, bits 16..=31.
    pub time_affinity: u16,
}

impl RuleEntry {
    /// 32-bit words of an entry.
    pub const WORDS: usize = 6;

    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut.
    pub fn pack(&self) -> [u32; Self::WORDS] {
        [
            put(u32::from(self.mode), 0, 2)
                | put(u32::from(self.draining), 2, 1)
                | put(u32::from(self.track), 4, 2)
                | put(u32::from(self.affinity), 6, 1)
                | put(u32::from(self.map), 8, 7)
                | put(u32::from(self.group), 16, 8)
                | put(u32::from(self.valid), 31, 1),
            put(u32::from(self.bucket_src4), 0, 6)
                | put(u32::from(self.bucket_src6), 8, 8)
                | put(u32::from(self.bucket_dst), 16, 1)
                | put(u32::from(self.bucket_sport), 17, 1)
                | put(u32::from(self.bucket_dport), 18, 1),
            put(u32::from(self.binding_src4), 0, 6)
                | put(u32::from(self.binding_src6), 8, 8)
                | put(u32::from(self.binding_dst), 16, 1)
                | put(u32::from(self.binding_sport), 17, 1)
                | put(u32::from(self.binding_dport), 18, 1),
            put(u32::from(self.time_half_open), 0, 16) | put(u32::from(self.time_reset), 16, 16),
            put(u32::from(self.time_established), 0, 16) | put(u32::from(self.time_closing), 16, 16),
            put(u32::from(self.time_flow), 0, 16) | put(u32::from(self.time_affinity), 16, 16),
        ]
    }

    /// Reads an entry from its words; reserved bits are ignored.
    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {
        Self {
            mode: get(words[0], 0, 2) as u8,
            draining: get(words[0], 2, 1) != 0,
            track: get(words[0], 4, 2) as u8,
            affinity: get(words[0], 6, 1) != 0,
            map: get(words[0], 8, 7) as u8,
            group: get(words[0], 16, 8) as u8,
            valid: get(words[0], 31, 1) != 0,
            bucket_src4: get(words[1], 0, 6) as u8,
            bucket_src6: get(words[1], 8, 8) as u8,
            bucket_dst: get(words[1], 16, 1) != 0,
            bucket_sport: get(words[1], 17, 1) != 0,
            bucket_dport: get(words[1], 18, 1) != 0,
            binding_src4: get(words[2], 0, 6) as u8,
            binding_src6: get(words[2], 8, 8) as u8,
            binding_dst: get(words[2], 16, 1) != 0,
            binding_sport: get(words[2], 17, 1) != 0,
            binding_dport: get(words[2], 18, 1) != 0,
            time_half_open: get(words[3], 0, 16) as u16,
            time_reset: get(words[3], 16, 16) as u16,
            time_established: get(words[4], 0, 16) as u16,
            time_closing: get(words[4], 16, 16) as u16,
            time_flow: get(words[5], 0, 16) as u16,
            time_affinity: get(words[5], 16, 16) as u16,
        }
    }
}

/// Entry of the `target` table: index = target id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetEntry {
    /// What ownership by this target means on this NIC. Word 0, bits 0..=1; a [`Action`].
    pub action: u8,
    /// Wire port of forward. Word 0, bit 4.
    pub port: bool,
    /// Receive queue of deliver. Word 0, bits 8..=15.
    pub host_queue: u8,
    /// Its sessions get a binding. Word 0, bit 16.
    pub bind: bool,
    /// Absent from the maps; its bindings live on, but new sessions leave it. Word 0, bit 17.
    pub draining: bool,
    /// Frames also go to clone_target (reserved). Word 0, bit 18.
    pub clone: bool,
    /// Frames are edited by edit_index (reserved). Word 0, bit 19.
    pub edit: bool,
    /// The target is in use. Word 0, bit 31.
    pub valid: bool,
    /// Edit record (reserved). Word 1, bits 0..=15.
    pub edit_index: u16,
    /// Second target (reserved). Word 1, bits 16..=25.
    pub clone_target: u16,
}

impl TargetEntry {
    /// 32-bit words of an entry.
    pub const WORDS: usize = 2;

    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut.
    pub fn pack(&self) -> [u32; Self::WORDS] {
        [
            put(u32::from(self.action), 0, 2)
                | put(u32::from(self.port), 4, 1)
                | put(u32::from(self.host_queue), 8, 8)
                | put(u32::from(self.bind), 16, 1)
                | put(u32::from(self.draining), 17, 1)
                | put(u32::from(self.clone), 18, 1)
                | put(u32::from(self.edit), 19, 1)
                | put(u32::from(self.valid), 31, 1),
            put(u32::from(self.edit_index), 0, 16) | put(u32::from(self.clone_target), 16, 10),
        ]
    }

    /// Reads an entry from its words; reserved bits are ignored.
    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {
        Self {
            action: get(words[0], 0, 2) as u8,
            port: get(words[0], 4, 1) != 0,
            host_queue: get(words[0], 8, 8) as u8,
            bind: get(words[0], 16, 1) != 0,
            draining: get(words[0], 17, 1) != 0,
            clone: get(words[0], 18, 1) != 0,
            edit: get(words[0], 19, 1) != 0,
            valid: get(words[0], 31, 1) != 0,
            edit_index: get(words[1], 0, 16) as u16,
            clone_target: get(words[1], 16, 10) as u16,
        }
    }
}

/// Entry of the `map` table: index = 2048 x map + bucket / 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapEntry {
    /// Target that owns the even bucket; 1023 is nobody. Word 0, bits 0..=9.
    pub owner_even: u16,
    /// Target that owns the odd bucket; 1023 is nobody. Word 0, bits 16..=25.
    pub owner_odd: u16,
}

impl MapEntry {
    /// 32-bit words of an entry.
    pub const WORDS: usize = 1;

    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut.
    pub fn pack(&self) -> [u32; Self::WORDS] {
        [put(u32::from(self.owner_even), 0, 10) | put(u32::from(self.owner_odd), 16, 10)]
    }

    /// Reads an entry from its words; reserved bits are ignored.
    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {
        Self { owner_even: get(words[0], 0, 10) as u16, owner_odd: get(words[0], 16, 10) as u16 }
    }
}

/// Entry of the `flags` table: index = 256 x map + bucket / 16; bit 2i HANDOVER, bit 2i+1 TRACK of bucket 16 x (index mod 256) + i.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlagsEntry {
    /// HANDOVER and TRACK of 16 buckets. Word 0, bits 0..=31.
    pub flags: u32,
}

impl FlagsEntry {
    /// 32-bit words of an entry.
    pub const WORDS: usize = 1;

    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut.
    pub fn pack(&self) -> [u32; Self::WORDS] {
        [put(self.flags, 0, 32)]
    }

    /// Reads an entry from its words; reserved bits are ignored.
    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {
        Self { flags: get(words[0], 0, 32) }
    }
}

/// Entry of the `count_reason` table: index = 64 x verdict + reason; read only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountReasonEntry {
    /// Packets, low part; reading it latches the other words. Word 0, bits 0..=31.
    pub packets_low: u32,
    /// Packets, high part. Word 1, bits 0..=31.
    pub packets_high: u32,
    /// Bytes without FCS, low part. Word 2, bits 0..=31.
    pub bytes_low: u32,
    /// Bytes without FCS, high part. Word 3, bits 0..=31.
    pub bytes_high: u32,
}

impl CountReasonEntry {
    /// 32-bit words of an entry.
    pub const WORDS: usize = 4;

    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut.
    pub fn pack(&self) -> [u32; Self::WORDS] {
        [
            put(self.packets_low, 0, 32),
            put(self.packets_high, 0, 32),
            put(self.bytes_low, 0, 32),
            put(self.bytes_high, 0, 32),
        ]
    }

    /// Reads an entry from its words; reserved bits are ignored.
    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {
        Self {
            packets_low: get(words[0], 0, 32),
            packets_high: get(words[1], 0, 32),
            bytes_low: get(words[2], 0, 32),
            bytes_high: get(words[3], 0, 32),
        }
    }
}

/// Entry of the `count_rule` table: index = rule; read only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountRuleEntry {
    /// Packets, low part; reading it latches the other words. Word 0, bits 0..=31.
    pub packets_low: u32,
    /// Packets, high part. Word 1, bits 0..=31.
    pub packets_high: u32,
    /// Bytes without FCS, low part. Word 2, bits 0..=31.
    pub bytes_low: u32,
    /// Bytes without FCS, high part. Word 3, bits 0..=31.
    pub bytes_high: u32,
}

impl CountRuleEntry {
    /// 32-bit words of an entry.
    pub const WORDS: usize = 4;

    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut.
    pub fn pack(&self) -> [u32; Self::WORDS] {
        [
            put(self.packets_low, 0, 32),
            put(self.packets_high, 0, 32),
            put(self.bytes_low, 0, 32),
            put(self.bytes_high, 0, 32),
        ]
    }

    /// Reads an entry from its words; reserved bits are ignored.
    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {
        Self {
            packets_low: get(words[0], 0, 32),
            packets_high: get(words[1], 0, 32),
            bytes_low: get(words[2], 0, 32),
            bytes_high: get(words[3], 0, 32),
        }
    }
}

/// Entry of the `count_target` table: index = target id; read only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountTargetEntry {
    /// Packets, low part; reading it latches the other words. Word 0, bits 0..=31.
    pub packets_low: u32,
    /// Packets, high part. Word 1, bits 0..=31.
    pub packets_high: u32,
    /// Bytes without FCS, low part. Word 2, bits 0..=31.
    pub bytes_low: u32,
    /// Bytes without FCS, high part. Word 3, bits 0..=31.
    pub bytes_high: u32,
}

impl CountTargetEntry {
    /// 32-bit words of an entry.
    pub const WORDS: usize = 4;

    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut.
    pub fn pack(&self) -> [u32; Self::WORDS] {
        [
            put(self.packets_low, 0, 32),
            put(self.packets_high, 0, 32),
            put(self.bytes_low, 0, 32),
            put(self.bytes_high, 0, 32),
        ]
    }

    /// Reads an entry from its words; reserved bits are ignored.
    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {
        Self {
            packets_low: get(words[0], 0, 32),
            packets_high: get(words[1], 0, 32),
            bytes_low: get(words[2], 0, 32),
            bytes_high: get(words[3], 0, 32),
        }
    }
}

/// Entry of the `count_live` table: index = bucket; read only; filled by BIND_CENSUS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountLiveEntry {
    /// Live bindings that the census found. Word 0, bits 0..=16.
    pub bindings: u32,
}

impl CountLiveEntry {
    /// 32-bit words of an entry.
    pub const WORDS: usize = 1;

    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut.
    pub fn pack(&self) -> [u32; Self::WORDS] {
        [put(self.bindings, 0, 17)]
    }

    /// Reads an entry from its words; reserved bits are ignored.
    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {
        Self { bindings: get(words[0], 0, 17) }
    }
}

/// Entry of the `count_refused` table: index = 4096 x (0 connection, 1 affinity) + bucket; read only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountRefusedEntry {
    /// Bindings that found no room; wraps. Word 0, bits 0..=31.
    pub bindings: u32,
}

impl CountRefusedEntry {
    /// 32-bit words of an entry.
    pub const WORDS: usize = 1;

    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut.
    pub fn pack(&self) -> [u32; Self::WORDS] {
        [put(self.bindings, 0, 32)]
    }

    /// Reads an entry from its words; reserved bits are ignored.
    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {
        Self { bindings: get(words[0], 0, 32) }
    }
}
