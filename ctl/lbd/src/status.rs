// SPDX-License-Identifier: Apache-2.0
//! The cluster as this member sees it, for people and programs.

use crate::core::Core;
use crate::events::{exclusion, host_names};
use hashgate_api::v1;
use hashgate_cluster::api::{ALL_RULES, Exclusion};
use hashgate_cluster::message::{HostId, HostSet, MAX_RULES, Phase};
use hashgate_config::{ClusterMode, Config};
use std::collections::BTreeSet;

/// Name of a phase.
pub fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Listening => "listening",
        Phase::Converging => "converging",
        Phase::Idle => "idle",
        Phase::Ready => "ready",
        Phase::Stable => "stable",
        Phase::Excluded => "excluded",
        Phase::Suspended => "suspended",
    }
}

/// Name of a mode.
pub fn mode_name(mode: ClusterMode) -> &'static str {
    match mode {
        ClusterMode::Unicast => "unicast",
        ClusterMode::Multicast => "multicast",
        ClusterMode::Igmp => "igmp",
    }
}

/// Names of the rules by their places, then that of the default rule.
pub fn rule_names(config: &Config) -> Vec<String> {
    config.rules.iter().map(|rule| rule.name.clone()).chain(["default".to_owned()]).collect()
}

/// Bit of the rule at a place of a set of so many rules and the default.
pub fn rule_bit(place: usize, rules: usize) -> u128 {
    1 << if place == rules { MAX_RULES } else { place }
}

/// All of it.
pub fn status(core: &mut Core) -> v1::StatusReply {
    let now = core.now();
    let core = &*core;
    let (config, host) = (core.config(), core.host());
    let status = core.cluster().status();
    let seconds = |ns: u64| ns as f64 / 1e9;
    let committed = status.committed;
    let default = status.maps.maps.last().and_then(|(_, map)| map.owners().first().copied());
    v1::StatusReply {
        cluster: config.primary_ip.to_string(),
        mode: mode_name(config.mode).into(),
        cluster_mac: config.cluster_mac().to_string(),
        host: host.name.clone(),
        phase: phase_name(status.phase).into(),
        excluded: status.excluded.map(|cause| exclusion(config, cause)),
        epoch: committed.map_or(0, |it| it.epoch),
        digest: format!("{:016x}", committed.map_or(0, |it| it.digest)),
        rules_digest: format!("{:016x}", config.digest()),
        staged_digest: core.staged().map(|staged| format!("{:016x}", staged.digest())),
        default_host: default.and_then(|target| config.target_name(target)).map(str::to_owned),
        lease_seconds: status.lease.and_then(|until| until.checked_sub(now)).map(seconds),
        converging_seconds: core.converging_since().map(|since| seconds(now.saturating_sub(since))),
        uptime_seconds: seconds(now.saturating_sub(core.started())),
        version: env!("CARGO_PKG_VERSION").into(),
        members: members(core, now),
        problems: problems(core, now),
    }
}

fn members(core: &Core, now: u64) -> Vec<v1::Member> {
    let (config, own) = (core.config(), core.host());
    let status = core.cluster().status();
    let left_out = core.cluster().left_out();
    let known = config.hosts.iter().filter_map(|host| HostId::new(host.priority));
    let all: BTreeSet<HostId> = known.chain(status.heard.iter()).collect();
    let names = rule_names(config);
    let (capacity, draining, disabled) = core.own_state();
    let member = |id: HostId| {
        let me = id.get() == own.priority;
        let peer = core.peers.get(&id);
        let last = peer.map(|peer| &peer.last).filter(|_| !me && status.heard.contains(id));
        let state = match () {
            () if me => "self",
            () if left_out.contains_key(&id) => "left-out",
            () if status.view.contains(id) => "member",
            () if status.heard.contains(id) => "heard",
            () => "silent",
        };
        let (drains, off) =
            if me { (draining, disabled) } else { last.map_or((0, 0), |it| (it.draining, it.disabled)) };
        let share = |(place, name): (usize, &String)| {
            let map = status.maps.maps.get(place).map(|(_, map)| map);
            let bit = rule_bit(place, names.len() - 1);
            let buckets = map.map_or(0, |map| map.count(id.get().into())) as u32;
            v1::RuleShare { rule: name.clone(), buckets, draining: drains & bit != 0, disabled: off & bit != 0 }
        };
        let configured = config.hosts.iter().find(|host| host.priority == id.get());
        v1::Member {
            id: id.get().into(),
            name: configured.map_or(String::new(), |host| host.name.clone()),
            state: state.into(),
            reason: left_out.get(&id).map(|cause| exclusion(config, *cause)),
            phase: if me { Some(phase_name(status.phase).into()) } else { last.map(|it| phase_name(it.phase).into()) },
            epoch: if me {
                status.committed.map(|it| it.epoch)
            } else {
                last.and_then(|it| it.committed.map(|it| it.epoch))
            },
            rules_digest: if me {
                Some(format!("{:016x}", config.digest()))
            } else {
                last.map(|it| format!("{:016x}", it.rules))
            },
            capacity: if me { Some(capacity.into()) } else { last.map(|it| it.capacity.into()) },
            draining: drains & ALL_RULES == ALL_RULES,
            heartbeats_missed: peer.map_or(0, |peer| peer.missed),
            heard_seconds: peer.filter(|_| !me).map(|peer| now.saturating_sub(peer.heard) as f64 / 1e9),
            shares: names.iter().enumerate().map(share).collect(),
            dedicated: configured.map_or(Vec::new(), |host| host.dedicated.iter().map(ToString::to_string).collect()),
        }
    };
    all.into_iter().map(member).collect()
}

/// What a person should look at.
fn problems(core: &Core, now: u64) -> Vec<String> {
    let config = core.config();
    let status = core.cluster().status();
    let mut found = Vec::new();
    if let Some(cause) = status.excluded {
        found.push(format!("this host is left out: {}", exclusion(config, cause)));
    }
    if !core.has_link() {
        found.push(format!("wire port {} has no link: this host takes no VIP traffic", core.host().wire_port));
    }
    for (host, cause) in core.cluster().left_out() {
        found.push(format!("{} is left out: {}", core.name(*host), exclusion(config, *cause)));
    }
    for (host, addrs) in core.duplicates(now) {
        let addrs = addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        let priority = host.get();
        found.push(format!("{addrs} have the same priority {priority} ({}): give every host its own", core.name(host)));
    }
    let own = config.digest();
    for (host, peer) in &core.peers {
        let differs = status.heard.contains(*host) && peer.last.rules != own;
        if differs && !core.cluster().left_out().contains_key(host) {
            let cause = Exclusion::RuleSet { theirs: peer.last.rules };
            found.push(format!("{}: {}", core.name(*host), exclusion(config, cause)));
        }
        if status.heard.contains(*host) && !config.hosts.iter().any(|known| known.priority == host.get()) {
            found.push(format!("host {} is heard and is not in the configuration", host.get()));
        }
    }
    let silent: HostSet = config
        .hosts
        .iter()
        .filter_map(|host| HostId::new(host.priority))
        .filter(|id| id.get() != core.host().priority && !status.heard.contains(*id))
        .collect();
    if !silent.is_empty() {
        found.push(format!("not heard: {}", host_names(config, silent)));
    }
    if status.lease.is_none() && !matches!(status.phase, Phase::Suspended | Phase::Listening) {
        found.push("no lease: this host takes no VIP traffic".into());
    }
    if core.tally.unsent > 0 {
        found.push(format!("{} frames could not be sent: the host path is too slow or gone", core.tally.unsent));
    }
    found
}
