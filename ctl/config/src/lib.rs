// SPDX-License-Identifier: Apache-2.0
//! The configuration of a cluster: one TOML file, the same for all members.
//!
//! [`Config::parse`] reads and checks it; every refusal is a [`ConfigError`] that names file, line, value and limit.
//! [`State`] is the cluster at one moment (who is up, with which weights and maps); it makes the [`Tables`] of every NIC
//! and goes on to the next moment by a [`Step`]. All keys: `docs/configuration.md`.
//!
//! [`Tables`]: hashgate_tables::Tables
#![forbid(unsafe_code)]

mod check;
pub mod daemon;
mod error;
mod protocol;
mod raw;
mod state;
mod tables;

pub use error::ConfigError;
pub use state::State;

use crate::daemon::{Daemon, Device};
use hashgate_tables::{KeyMask, Limits, Mac, OtherIp, Timeouts, Track};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// Hosts in a cluster, and the highest priority.
pub const MAX_HOSTS: usize = 32;
/// Highest load weight of a host.
pub const MAX_WEIGHT: u32 = 100;
/// Lowest and highest core clock in Hz: time counts at most 255 ns a cycle.
pub const CLOCK_HZ: std::ops::RangeInclusive<u64> = 4_000_000..=1_000_000_000;
/// Target id of the first forward target; below are the hosts, whose target id is their priority.
pub const FIRST_FORWARD: u16 = 64;
/// Forward targets in a configuration.
pub const MAX_FORWARDS: usize = 64;

/// How the shared address reaches all hosts (requirement N9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterMode {
    /// Cluster MAC 02-BF-w-x-y-z, outgoing source MAC masked to 02-h-w-x-y-z.
    Unicast,
    /// Cluster MAC 03-BF-w-x-y-z, the station address stays.
    Multicast,
    /// Cluster MAC 01-00-5E-7F-y-z.
    Igmp,
}

/// Width of the NIC's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// 512 bit a beat, one wire port: 100GbE class.
    B512,
    /// 64 bit a beat, two wire ports: 10GbE class.
    B64,
}

impl Build {
    /// Wire ports of the build.
    pub fn ports(self) -> u8 {
        match self {
            Build::B512 => 1,
            Build::B64 => 2,
        }
    }

    /// Clock of the build unless the configuration sets another, in Hz.
    pub fn clock_hz(self) -> u64 {
        match self {
            Build::B512 => 322_266_000,
            Build::B64 => 156_250_000,
        }
    }

    /// Sizes of its tables.
    pub fn limits(self) -> Limits {
        Limits { ports: self.ports(), ..Limits::default() }
    }
}

/// A virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vip {
    /// The address.
    pub addr: IpAddr,
    /// Its zone.
    pub zone: u8,
    /// Id that rules refer to: one per address, so the same address in two zones shares its rules.
    pub id: u16,
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name in this file.
    pub name: String,
    /// 1..=32, unique; also its target id. The live host with the lowest is the default host.
    pub priority: u8,
    /// Addresses that are never balanced.
    pub dedicated: Vec<IpAddr>,
    /// Zone of the dedicated addresses.
    pub zone: u8,
    /// MAC address of its adapter.
    pub station_mac: Mac,
    /// Load weight in rules that give it none, 0..=100.
    pub weight: u32,
    /// How its NIC is reached; a daemon needs it.
    pub device: Option<Device>,
    /// Name of its TAP device.
    pub tap: String,
    /// Wire port that its kernel's frames go out by.
    pub wire_port: u8,
}

impl Host {
    /// Target id that owns the host's buckets.
    pub fn target(&self) -> u16 {
        self.priority.into()
    }
}

/// A target that is not a host: its frames leave on a wire port of one host's NIC, unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Its name in this file.
    pub name: String,
    /// Wire port.
    pub port: u8,
    /// Priority of the host whose NIC forwards; all others discard.
    pub host: u8,
    /// Target id.
    pub target: u16,
}

/// How a rule shares out its buckets. Keys are target ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Blocked.
    Disabled,
    /// By load weight, 0..=100.
    Multiple(BTreeMap<u16, u32>),
    /// All to the live member with the lowest handling priority, 1..=32.
    Single(BTreeMap<u16, u8>),
}

/// A port rule. Its number is its place in [`Config::rules`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name in this file.
    pub name: String,
    /// VIP ids, or `None` for all.
    pub vips: Option<BTreeSet<u16>>,
    /// Port ranges, each first and last.
    pub ports: Vec<(u16, u16)>,
    /// Takes TCP.
    pub tcp: bool,
    /// Takes UDP.
    pub udp: bool,
    /// Who takes what.
    pub sharing: Sharing,
    /// Key of the bucket: the affinity.
    pub bucket: KeyMask,
    /// Key of a binding.
    pub binding: KeyMask,
    /// Binding group: the rule's own number, or that of the first VPN rule.
    pub group: u8,
    /// Which connections are remembered.
    pub track: Track,
    /// Clients are remembered, by the binding key, until [`Timeouts::affinity`] after their last packet.
    pub sticky: bool,
    /// When bindings end, in ticks of the default length.
    pub timeouts: Timeouts,
}

/// A change of the cluster during a simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Takes place after this many packets.
    pub after: u64,
    /// Priorities of the hosts that leave.
    pub down: BTreeSet<u8>,
    /// Priorities of the hosts that join.
    pub up: BTreeSet<u8>,
    /// New load weights by (rule number, target id).
    pub weights: BTreeMap<(u8, u16), u32>,
}

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The primary IP; the cluster MAC follows from it. It is always a VIP.
    pub primary_ip: Ipv4Addr,
    /// Unicast, multicast or IGMP.
    pub mode: ClusterMode,
    /// Replace the cluster MAC as a source on transmit.
    pub mask_source: bool,
    /// ICMP that cannot be keyed goes to the default host instead of every host.
    pub icmp_owner: bool,
    /// Unicast IP traffic for addresses that are not in the VIP table.
    pub other_ip: OtherIp,
    /// Toeplitz key.
    pub hash_key: [u8; 52],
    /// Width of the stream.
    pub build: Build,
    /// Core clock in Hz.
    pub clock_hz: u64,
    /// Zone of (port, VLAN).
    pub zones: BTreeMap<(u8, u16), u8>,
    /// Virtual addresses.
    pub vips: Vec<Vip>,
    /// Members, in the order of the file.
    pub hosts: Vec<Host>,
    /// Forward targets.
    pub forwards: Vec<Forward>,
    /// Port rules by number.
    pub rules: Vec<Rule>,
    /// Changes during a simulation, in order.
    pub steps: Vec<Step>,
    /// Settings of the daemons.
    pub daemon: Daemon,
}

impl Config {
    /// Reads and checks the text of a configuration; `file` is its name in messages.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with the first thing that is wrong and its line.
    pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
        check::check(text, file)
    }

    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// As [`Config::parse`], and [`ConfigError::Read`] if the file cannot be read.
    pub fn load(path: &std::path::Path) -> Result<Config, ConfigError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { file: file.clone(), source })?;
        Config::parse(&text, &file)
    }

    /// The MAC address that all hosts accept.
    pub fn cluster_mac(&self) -> Mac {
        match self.mode {
            ClusterMode::Unicast => Mac::unicast_cluster(self.primary_ip),
            ClusterMode::Multicast => Mac::multicast_cluster(self.primary_ip),
            ClusterMode::Igmp => Mac::igmp_cluster(self.primary_ip),
        }
    }

    /// Sizes of the NICs' tables.
    pub fn limits(&self) -> Limits {
        self.build.limits()
    }

    /// Name of a target: a host's or a forward target's. `None` if no target has the id.
    pub fn target_name(&self, target: u16) -> Option<&str> {
        let host = self.hosts.iter().find(|h| h.target() == target).map(|h| h.name.as_str());
        host.or_else(|| self.forwards.iter().find(|f| f.target == target).map(|f| f.name.as_str()))
    }

    /// Name of a rule by its number; the default rule is "default".
    pub fn rule_name(&self, rule: u8) -> Option<&str> {
        if rule == self.limits().rules {
            Some("default")
        } else {
            self.rules.get(usize::from(rule)).map(|r| r.name.as_str())
        }
    }
}
