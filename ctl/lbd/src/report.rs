// SPDX-License-Identifier: Apache-2.0
//! What the NIC does and has counted, for people and programs.

use crate::dataplane::{BINDING_TABLES, DEFAULT, Dataplane};
use crate::events::wall_ns;
use crate::filter::{BindingFilter, binding};
use crate::status::rule_names;
use anyhow::Result;
use hashgate_api::v1;
use hashgate_config::{Config, MAX_HOSTS, Sharing};
use hashgate_hostpath::{Lent, Stats};
use hashgate_nic::{BindingTable, Count};
use hashgate_regs::defs::{Action, BindingState};
use hashgate_tables::{KeyMask, NOBODY};

/// Words of the definitions, as people write them.
pub fn dashed(name: &str) -> String {
    name.replace('_', "-")
}

/// Counters of NIC and host path. Reads only what there is.
pub fn counters(dataplane: &mut Dataplane, lent: &Lent) -> Result<v1::CountersReply> {
    let config = dataplane.config().clone();
    let stats = lent.stats()?;
    let rules: Vec<(String, u8)> = numbered_rules(dataplane, &config);
    let nic = dataplane.nic();
    let reasons = nic.read_reason_counters()?.into_iter().filter(|(_, _, count)| count.packets > 0);
    let reasons = reasons
        .map(|(verdict, reason, count)| v1::ReasonCount {
            verdict: dashed(verdict.name()),
            reason: dashed(reason.name()),
            packets: count.packets,
            bytes: count.bytes,
        })
        .collect();
    let counts = nic.read_rule_counters()?;
    let of = |counts: &[Count], number: usize| counts.get(number).copied().unwrap_or_default();
    let rules = rules.into_iter().map(|(name, number)| named(name, of(&counts, number.into()))).collect();
    let counts = nic.read_target_counters(MAX_HOSTS as u16 + 1)?;
    let target = |host: &hashgate_config::Host| named(host.name.clone(), of(&counts, host.target().into()));
    let targets = config.hosts.iter().map(target).collect();
    let ports = (0..nic.info().ports)
        .map(|port| {
            let count = nic.port_counters(port);
            v1::PortCount {
                port: port.into(),
                sent_packets: count.tx.packets,
                sent_bytes: count.tx.bytes,
                overrun: count.rx_overrun,
            }
        })
        .collect();
    let sent = nic.host_tx_counters();
    let host_path = host_path(&stats, (sent.masked, sent.arp, sent.neighbour));
    Ok(v1::CountersReply { time: wall_ns(), reasons, rules, targets, ports, host_path: Some(host_path) })
}

fn numbered_rules(dataplane: &Dataplane, config: &Config) -> Vec<(String, u8)> {
    let names = rule_names(config);
    let number = |place: usize| if place == config.rules.len() { Some(DEFAULT) } else { dataplane.rule_number(place) };
    names.into_iter().enumerate().filter_map(|(place, name)| Some((name, number(place)?))).collect()
}

fn named(name: String, count: Count) -> v1::NamedCount {
    v1::NamedCount { name, packets: count.packets, bytes: count.bytes }
}

fn host_path(stats: &Stats, (masked, arp_rewritten, nd_rewritten): (u64, u64, u64)) -> v1::HostPathCount {
    let (rx, nic, control) = (&stats.rx, &stats.nic, &stats.control);
    v1::HostPathCount {
        to_kernel: rx.frames,
        from_kernel: stats.tx.frames,
        ring_drops: nic.full + nic.down + nic.long + nic.host_down,
        tap_drops: rx.tap_full + rx.tap_down + rx.tap_refused,
        heartbeats_heard: control.heard,
        heartbeats_sent: control.sent,
        masked,
        arp_rewritten,
        nd_rewritten,
    }
}

/// How many bindings there are, and how many of them `filter` takes.
pub fn count_bindings(dataplane: &mut Dataplane, filter: &BindingFilter) -> Result<v1::CountBindingsReply> {
    let mut matching = 0;
    let mut tables = Vec::new();
    for table in BINDING_TABLES {
        let found = dataplane.bindings(table)?;
        matching += found.iter().filter(|it| filter.takes(table, it, dataplane)).count() as u64;
        let count = dataplane.nic().binding_counters(table);
        let states = BindingState::ALL.iter().filter(|state| **state != BindingState::Free);
        let states = states.map(|state| v1::StateCount {
            state: dashed(state.name()),
            count: found.iter().filter(|it| it.record.state == *state).count() as u64,
        });
        tables.push(v1::BindingTableCount {
            table: table_name(table).into(),
            used: count.used,
            capacity: dataplane.nic().info().bindings,
            created: count.created,
            removed: count.removed,
            refused: count.refused,
            states: states.filter(|it| it.count > 0).collect(),
        });
    }
    Ok(v1::CountBindingsReply { matching, tables })
}

/// Name of a binding table.
pub fn table_name(table: BindingTable) -> &'static str {
    match table {
        BindingTable::Connection => "connection",
        BindingTable::Affinity => "affinity",
    }
}

/// Bindings that `filter` takes, at most `limit` of them.
pub fn bindings(dataplane: &mut Dataplane, filter: &BindingFilter, limit: usize) -> Result<Vec<v1::Binding>> {
    let mut all = Vec::new();
    for table in BINDING_TABLES {
        let found = dataplane.bindings(table)?;
        let clocks = dataplane.nic().binding_clocks();
        let taken = found.iter().filter(|it| filter.takes(table, it, dataplane));
        all.extend(taken.take(limit - all.len()).map(|it| binding(table, it, &clocks, dataplane)));
    }
    Ok(all)
}

fn mask_text(mask: KeyMask) -> String {
    match mask {
        KeyMask::ALL => "none".into(),
        KeyMask::SOURCE => "single".into(),
        KeyMask::CLASS_C => "class-c".into(),
        KeyMask { src4, src6, .. } => format!("/{src4}, /{src6}"),
    }
}

/// The rules, with what they have counted. `state`: draining and disabled rules by their places.
///
/// # Errors
/// If the table mover fails.
pub fn rules(dataplane: &mut Dataplane, (draining, disabled): (u128, u128), owned: &[u32]) -> Result<v1::RulesReply> {
    let config = dataplane.config().clone();
    let counts = dataplane.nic().read_rule_counters()?;
    let numbered = numbered_rules(dataplane, &config);
    let rule = |(place, rule): (usize, &hashgate_config::Rule)| {
        let number = numbered.iter().find(|(name, _)| *name == rule.name).map_or(DEFAULT, |(_, number)| *number);
        let count = counts.get(usize::from(number)).copied().unwrap_or_default();
        let vip = match &rule.vips {
            None => "all".into(),
            Some(ids) => {
                let of = |id: &u16| config.vips.iter().find(|vip| vip.id == *id).map(|vip| vip.addr.to_string());
                ids.iter().filter_map(of).collect::<Vec<_>>().join(", ")
            }
        };
        let range = |range: &(u16, u16)| match *range {
            (0, u16::MAX) => "all".into(),
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        let weight =
            |target: u16, value: u32| v1::Weight { host: config.target_name(target).unwrap_or("?").into(), value };
        let (mode, weights) = match &rule.sharing {
            Sharing::Disabled => ("disabled", Vec::new()),
            Sharing::Multiple(shares) => ("multiple", shares.iter().map(|(t, w)| weight(*t, *w)).collect()),
            Sharing::Single(order) => ("single", order.iter().map(|(t, p)| weight(*t, (*p).into())).collect()),
        };
        let is = |bits: u128| bits >> place & 1 == 1;
        let state = if is(disabled) {
            "disabled"
        } else if is(draining) {
            "draining"
        } else {
            "enabled"
        };
        v1::Rule {
            number: place as u32,
            name: rule.name.clone(),
            vip,
            ports: rule.ports.iter().map(range).collect::<Vec<String>>().join(", "),
            protocol: match (rule.tcp, rule.udp) {
                (true, false) => "tcp",
                (false, true) => "udp",
                _ => "both",
            }
            .into(),
            mode: mode.into(),
            affinity: mask_text(rule.bucket),
            state: state.into(),
            weights,
            buckets: owned.get(place).copied().unwrap_or(0),
            packets: count.packets,
            bytes: count.bytes,
        }
    };
    Ok(v1::RulesReply { rules: config.rules.iter().enumerate().map(rule).collect() })
}

/// The targets, with what they have counted.
pub fn targets(dataplane: &mut Dataplane) -> Result<v1::TargetsReply> {
    let mut tables = dataplane.current_tables()?;
    // The map of control datagrams is none of the cluster's.
    let places = dataplane.places();
    tables.maps.retain(|number, _| places.iter().any(|(known, _)| *known == Some(*number)));
    let config = dataplane.config().clone();
    let target = |(id, entry): (&u16, &hashgate_tables::Target)| {
        let count = dataplane.nic().target_counter(*id);
        let buckets = tables.maps.values().flatten().filter(|owner| *owner == id).count() as u32;
        let action = match entry.action {
            Action::Deliver => "deliver",
            Action::Discard => "discard",
            Action::Forward => "forward",
        };
        v1::Target {
            id: (*id).into(),
            name: config.target_name(*id).unwrap_or("?").into(),
            action: action.into(),
            bind: entry.bind,
            buckets,
            packets: count.packets,
            bytes: count.bytes,
        }
    };
    Ok(v1::TargetsReply { targets: tables.targets.iter().map(target).collect() })
}

/// Owners of the maps of some rules, by place.
pub fn maps(dataplane: &mut Dataplane, wanted: impl Fn(&str) -> bool) -> Result<v1::MapReply> {
    let tables = dataplane.current_tables()?;
    let config = dataplane.config().clone();
    let mut maps = Vec::new();
    for (place, name) in rule_names(&config).into_iter().enumerate().filter(|(_, name)| wanted(name)) {
        let number = if place == config.rules.len() { Some(DEFAULT) } else { dataplane.rule_number(place) };
        let Some(owners) = number.and_then(|number| tables.maps.get(&number)) else { continue };
        let flags = dataplane.handover_of(place);
        let flagged = |bucket: &u32| flags.get(*bucket as usize / 8).is_some_and(|byte| byte >> (bucket % 8) & 1 == 1);
        let count = |id: u16| owners.iter().filter(|owner| **owner == id).count() as u32;
        let share = |id: u16, name: &str| v1::Share { id: id.into(), name: name.into(), buckets: count(id) };
        let mut shares: Vec<v1::Share> = config.hosts.iter().map(|host| share(host.target(), &host.name)).collect();
        if count(NOBODY) > 0 {
            shares.push(share(NOBODY, "nobody"));
        }
        maps.push(v1::RuleMap {
            rule: name,
            owners: owners.iter().map(|owner| (*owner).into()).collect(),
            handover: (0..owners.len() as u32).filter(flagged).collect(),
            shares,
        });
    }
    Ok(v1::MapReply { maps })
}

/// Who the NIC is.
pub fn nic_info(dataplane: &mut Dataplane, lent: &Lent, device: &str, tap: &str) -> Result<v1::NicInfoReply> {
    let controllers = lent.stats()?.control.controllers;
    let nic = dataplane.nic();
    let (info, settings, lease, faults) = (nic.info().clone(), nic.settings(), nic.lease(), nic.faults());
    Ok(v1::NicInfoReply {
        device: device.into(),
        tap: tap.into(),
        version: format!("{}.{}", info.version.0, info.version.1),
        ports: info.ports.into(),
        beat_bits: u32::from(info.beat_bytes) * 8,
        clock_khz: info.clock_khz,
        latency_cycles: info.latency.into(),
        rules: info.limits.rules.into(),
        maps: info.limits.maps.into(),
        vips: info.limits.vips.into(),
        targets: info.limits.targets.into(),
        bindings: info.bindings,
        station_mac: settings.station_mac.to_string(),
        cluster_mac: settings.cluster_mac.to_string(),
        mask_mac: settings.mask_mac.to_string(),
        enabled: nic.is_enabled(),
        generation: nic.registers().generation(),
        time_seconds: nic.time_ns() as f64 / 1e9,
        lease_enabled: lease.enabled,
        lease_expired: lease.expired,
        parity_errors: faults.parity_errors,
        scrub_errors: faults.scrub_errors,
        controllers,
        links: (0..info.ports).map(|port| nic.has_link(port)).collect(),
    })
}
