// SPDX-License-Identifier: Apache-2.0
//! What the NIC of a host is told.

use crate::{ClusterMode, Config, Host, Sharing};
use hashgate_tables::{
    KeyMask, Mac, MatchSlot, Mode, Rule as RuleEntry, Settings, Tables, Target, Timeouts, Track, Vip as VipEntry,
    VipKind,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

impl Config {
    /// The tables of the NIC of `host` with these maps (owners by bucket, by number of the map), without flags. Only settings, own addresses and targets
    /// differ from host to host.
    pub fn tables(&self, host: &Host, maps: BTreeMap<u8, Vec<u16>>) -> Tables {
        let config = self;
        let mut tables = Tables { settings: settings(config, host), zones: config.zones.clone(), ..Tables::default() };
        for vip in &config.vips {
            tables.vips.push(VipEntry { zone: vip.zone, addr: vip.addr, kind: VipKind::Vip, id: vip.id });
        }
        for addr in &host.dedicated {
            tables.vips.push(VipEntry { zone: host.zone, addr: *addr, kind: VipKind::Dedicated, id: 0 });
        }
        tables.multicast = multicast(tables.vips.iter().map(|vip| vip.addr));
        for (number, rule) in config.rules.iter().enumerate() {
            let number = number as u8;
            let ids: Vec<Option<u16>> = match &rule.vips {
                None => vec![None],
                Some(ids) => ids.iter().map(|id| Some(*id)).collect(),
            };
            for vip in ids {
                for &ports in &rule.ports {
                    // Later fragments have no ports, so only a slot that needs none may take them.
                    let fragment = ports == (0, u16::MAX) && !rule.bucket.uses_ports();
                    let slot = MatchSlot { vip, tcp: rule.tcp, udp: rule.udp, ports, fragment, rule: number };
                    tables.slots.push(Some(slot));
                }
            }
            let mode = match rule.sharing {
                Sharing::Disabled => Mode::Disabled,
                Sharing::Multiple(_) => Mode::Multiple,
                Sharing::Single(_) => Mode::Single,
            };
            let (bucket, binding, group) = (rule.bucket, rule.binding, rule.group);
            let entry = RuleEntry {
                mode,
                draining: false,
                affinity: rule.sticky,
                timeouts: rule.timeouts,
                track: rule.track,
                map: number,
                group,
                bucket,
                binding,
            };
            tables.rules.insert(number, entry);
        }
        let default = config.limits().rules;
        let entry = RuleEntry {
            mode: Mode::Single,
            draining: false,
            affinity: false,
            timeouts: Timeouts::default(),
            track: Track::Never,
            map: default,
            group: default,
            bucket: KeyMask::SOURCE,
            binding: KeyMask::SOURCE,
        };
        tables.rules.insert(default, entry);
        tables.maps = maps;
        for other in &config.hosts {
            let own = other.priority == host.priority;
            tables.targets.insert(other.target(), if own { Target::deliver(0) } else { Target::discard() });
        }
        for forward in &config.forwards {
            let own = forward.host == host.priority;
            let target = if own { Target::forward(forward.port) } else { Target::discard() };
            tables.targets.insert(forward.target, target);
        }
        tables
    }
}

fn settings(config: &Config, host: &Host) -> Settings {
    let mask_mac = match config.mode {
        ClusterMode::Unicast => Mac::masked_source(config.primary_ip, host.priority),
        ClusterMode::Multicast | ClusterMode::Igmp => host.station_mac,
    };
    Settings {
        station_mac: host.station_mac,
        cluster_mac: config.cluster_mac(),
        mask_mac,
        mask_source: config.mask_source,
        icmp_owner: config.icmp_owner,
        other_ip: config.other_ip,
        promiscuous: false,
        all_multicast: false,
        hash_key: config.hash_key,
    }
}

/// Multicast MACs that a host with these addresses listens to; the cluster MAC has its own register.
pub(crate) fn multicast(addrs: impl Iterator<Item = IpAddr>) -> BTreeSet<Mac> {
    // All hosts of the subnet, RFC 1112 and RFC 4291.
    let mut macs = BTreeSet::from([Mac([0x01, 0, 0x5e, 0, 0, 1]), Mac([0x33, 0x33, 0, 0, 0, 1])]);
    // Solicited-node multicast, RFC 4291 2.7.1 and RFC 2464 7.
    macs.extend(addrs.filter_map(|addr| match addr {
        IpAddr::V4(_) => None,
        IpAddr::V6(addr) => {
            let [.., a, b, c] = addr.octets();
            Some(Mac([0x33, 0x33, 0xff, a, b, c]))
        }
    }));
    macs
}
