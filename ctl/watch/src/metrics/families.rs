// SPDX-License-Identifier: Apache-2.0
//! The families, and where their values come from.

use super::{Family, Page, Sample, Value};
use prometheus_client::metrics::MetricType;

/// Phases of a member (`StatusReply.phase`).
const PHASES: &[&str] = &["listening", "converging", "idle", "ready", "stable", "excluded", "suspended"];
/// What a member is to this one (`Member.state`).
const MEMBERS: &[&str] = &["self", "member", "heard", "left-out", "silent"];
/// What a rule can be here (`Rule.state`).
const RULES: &[&str] = &["enabled", "draining", "disabled"];

const fn family(name: &'static str, kind: MetricType, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    family(name, MetricType::Gauge, labels, help)
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    family(name, MetricType::Counter, labels, help)
}

/// All families, in the order of the page.
pub const FAMILIES: &[Family] = &[
    family("build", MetricType::Info, &["version", "cluster", "host", "mode"], "Version of the daemon, and who it is"),
    gauge("uptime_seconds", &[], "Time since the daemon started"),
    gauge("problems", &[], "Problems that a person should look at; lbctl status says which"),
    gauge("phase", &["state"], "1 for the phase of this member, 0 for the others"),
    gauge(
        "members",
        &["state"],
        "Hosts of the configuration and others that are heard, by what they are to this member",
    ),
    gauge("member_up", &["peer"], "1 for members of the view, this one included"),
    gauge("member_heard_seconds", &["peer"], "Time since the last heartbeat of a peer"),
    gauge("member_capacity_ratio", &["peer"], "Share of its weight that a member takes"),
    gauge("member_buckets", &["peer", "rule"], "Buckets that a member owns, of 4096"),
    gauge("default_host", &[], "1 if this member takes what no rule covers"),
    gauge("epoch", &[], "Epoch of the maps in force"),
    gauge("lease_seconds", &[], "Time left of the lease; 0: none, the NIC takes no VIP traffic"),
    gauge("converging_seconds", &[], "Time since the present convergence began; 0: none goes on"),
    gauge("convergence_last_seconds", &[], "How long the last convergence took"),
    counter("convergences", &[], "Convergences that came to their end"),
    counter("buckets_moved", &[], "Buckets whose owner changed"),
    counter("heartbeats_missed", &["peer"], "Heartbeats of a peer that did not come"),
    counter("heartbeats_heard", &[], "Heartbeats that came from the NIC"),
    counter("heartbeats_sent", &[], "Heartbeats sent"),
    counter(
        "refused_frames",
        &["channel", "reason"],
        "Heartbeats (channel frames) and datagrams (channel control) not taken",
    ),
    gauge("rule_state", &["rule", "state"], "1 for the state of a rule at this member, 0 for the others"),
    gauge("rule_buckets", &["rule"], "Buckets that this member owns, of 4096"),
    counter("packets", &["verdict", "reason"], "Frames that the NIC received, by what it did with them and why"),
    counter("bytes", &["verdict", "reason"], "Bytes of those frames, without FCS"),
    counter("rule_packets", &["rule"], "Frames of a rule"),
    counter("rule_bytes", &["rule"], "Bytes of those frames, without FCS"),
    counter("target_packets", &["target"], "Frames of a target"),
    counter("target_bytes", &["target"], "Bytes of those frames, without FCS"),
    counter("port_sent_packets", &["port"], "Frames sent on a wire port"),
    counter("port_sent_bytes", &["port"], "Bytes of those frames, without FCS"),
    counter("port_overrun_packets", &["port"], "Frames of a wire port lost before the pipeline"),
    counter("hostpath_to_kernel_packets", &[], "Frames given to the kernel"),
    counter("hostpath_from_kernel_packets", &[], "Frames taken from the kernel"),
    counter("hostpath_ring_drops", &[], "Frames for the host that found no buffer or no ring"),
    counter("hostpath_tap_drops", &[], "Frames that the TAP device did not take"),
    counter(
        "hostpath_rewritten_packets",
        &["reason"],
        "Frames of the kernel that the NIC changed: mask (source MAC), arp, nd",
    ),
    gauge("bindings", &["table", "state"], "Bindings of this NIC"),
    gauge("bindings_used", &["table"], "Bindings of a table, of all states"),
    gauge("bindings_capacity", &["table"], "Bindings that a table has room for"),
    counter("bindings_created", &["table"], "Bindings made"),
    counter("bindings_removed", &["table"], "Bindings ended"),
    counter("bindings_refused", &["table"], "Bindings that found no room"),
    gauge("occupancy_ratio", &["peer"], "Share of the link taken by frames that are other hosts'"),
    gauge("occupancy_warning", &["peer"], "1 if that share is worth a warning"),
    gauge("occupancy_threshold_ratio", &[], "Share from which it is"),
    gauge("link_bytes_per_second", &[], "Speed of the link, as configured"),
    gauge("monitor_healthy", &["rule", "check"], "1 while an application monitor leaves its rule enabled"),
    counter("monitor_checks", &["rule", "check"], "Checks of an application monitor"),
    gauge("nic_link", &["port"], "1 while a wire port of the NIC has a link"),
    counter("nic_parity_errors", &[], "Words of the NIC's tables with wrong parity"),
    counter("nic_scrub_errors", &[], "Maps of the NIC that differ from what was committed"),
    gauge("series_left_out", &[], "Series not shown, by the limit of a family or for want of a number"),
];

/// All values of a sample.
pub(super) fn page(sample: &Sample) -> Page {
    let mut page = Page::default();
    cluster(sample, &mut page);
    traffic(sample, &mut page);
    host(sample, &mut page);
    let left_out = Value::Whole(page.left_out);
    page.put("series_left_out", &[], left_out);
    page
}

fn flag(is: bool) -> Value {
    Value::Whole(is.into())
}

fn cluster(sample: &Sample, page: &mut Page) {
    let status = &sample.status;
    page.put("build", &[&status.version, &status.cluster, &status.host, &status.mode], Value::Whole(1));
    page.put("uptime_seconds", &[], Value::Real(status.uptime_seconds));
    page.put("problems", &[], Value::Whole(status.problems.len() as u64));
    for phase in PHASES {
        page.put("phase", &[phase], flag(status.phase == *phase));
    }
    for state in MEMBERS {
        let count = status.members.iter().filter(|member| member.state == *state).count();
        page.put("members", &[state], Value::Whole(count as u64));
    }
    for member in &status.members {
        let nameless = format!("host-{}", member.id);
        let peer = if member.name.is_empty() { &nameless } else { &member.name };
        page.put("member_up", &[peer], flag(matches!(member.state.as_str(), "self" | "member")));
        if let Some(seconds) = member.heard_seconds {
            page.put("member_heard_seconds", &[peer], Value::Real(seconds));
        }
        if let Some(percent) = member.capacity {
            page.put("member_capacity_ratio", &[peer], Value::Real(f64::from(percent) / 100.0));
        }
        for share in &member.shares {
            page.put("member_buckets", &[peer, &share.rule], Value::Whole(share.buckets.into()));
        }
        if member.state != "self" {
            page.put("heartbeats_missed", &[peer], Value::Whole(member.heartbeats_missed));
        }
    }
    let default = status.default_host.as_ref().is_some_and(|host| *host == status.host);
    page.put("default_host", &[], flag(default));
    page.put("epoch", &[], Value::Whole(status.epoch));
    page.put("lease_seconds", &[], Value::Real(status.lease_seconds.unwrap_or(0.0)));
    page.put("converging_seconds", &[], Value::Real(status.converging_seconds.unwrap_or(0.0)));
    if let Some(seconds) = sample.converging_seconds_last {
        page.put("convergence_last_seconds", &[], Value::Real(seconds));
    }
    page.put("convergences", &[], Value::Whole(sample.convergences));
    page.put("buckets_moved", &[], Value::Whole(sample.buckets_moved));
    for refused in &sample.refused {
        page.put("refused_frames", &[&refused.channel, &refused.reason], Value::Whole(refused.count));
    }
}

fn traffic(sample: &Sample, page: &mut Page) {
    for rule in &sample.rules.rules {
        for state in RULES {
            page.put("rule_state", &[&rule.name, state], flag(rule.state == *state));
        }
        page.put("rule_buckets", &[&rule.name], Value::Whole(rule.buckets.into()));
    }
    let counters = &sample.counters;
    for it in &counters.reasons {
        page.put("packets", &[&it.verdict, &it.reason], Value::Whole(it.packets));
        page.put("bytes", &[&it.verdict, &it.reason], Value::Whole(it.bytes));
    }
    for it in &counters.rules {
        page.put("rule_packets", &[&it.name], Value::Whole(it.packets));
        page.put("rule_bytes", &[&it.name], Value::Whole(it.bytes));
    }
    for it in &counters.targets {
        page.put("target_packets", &[&it.name], Value::Whole(it.packets));
        page.put("target_bytes", &[&it.name], Value::Whole(it.bytes));
    }
    for it in &counters.ports {
        let port = it.port.to_string();
        page.put("port_sent_packets", &[&port], Value::Whole(it.sent_packets));
        page.put("port_sent_bytes", &[&port], Value::Whole(it.sent_bytes));
        page.put("port_overrun_packets", &[&port], Value::Whole(it.overrun));
    }
    for it in &sample.bindings.tables {
        for state in &it.states {
            page.put("bindings", &[&it.table, &state.state], Value::Whole(state.count));
        }
        page.put("bindings_used", &[&it.table], Value::Whole(it.used.into()));
        page.put("bindings_capacity", &[&it.table], Value::Whole(it.capacity.into()));
        page.put("bindings_created", &[&it.table], Value::Whole(it.created));
        page.put("bindings_removed", &[&it.table], Value::Whole(it.removed));
        page.put("bindings_refused", &[&it.table], Value::Whole(it.refused));
    }
    let occupancy = &sample.occupancy;
    for it in &occupancy.hosts {
        page.put("occupancy_ratio", &[&it.host], Value::Real(it.share));
        page.put("occupancy_warning", &[&it.host], flag(it.warning));
    }
    if occupancy.link_bits_per_second > 0 {
        page.put("occupancy_threshold_ratio", &[], Value::Real(occupancy.threshold));
        page.put("link_bytes_per_second", &[], Value::Real(occupancy.link_bits_per_second as f64 / 8.0));
    }
}

fn host(sample: &Sample, page: &mut Page) {
    if let Some(it) = &sample.counters.host_path {
        page.put("heartbeats_heard", &[], Value::Whole(it.heartbeats_heard));
        page.put("heartbeats_sent", &[], Value::Whole(it.heartbeats_sent));
        page.put("hostpath_to_kernel_packets", &[], Value::Whole(it.to_kernel));
        page.put("hostpath_from_kernel_packets", &[], Value::Whole(it.from_kernel));
        page.put("hostpath_ring_drops", &[], Value::Whole(it.ring_drops));
        page.put("hostpath_tap_drops", &[], Value::Whole(it.tap_drops));
        for (reason, count) in [("mask", it.masked), ("arp", it.arp_rewritten), ("nd", it.nd_rewritten)] {
            page.put("hostpath_rewritten_packets", &[reason], Value::Whole(count));
        }
    }
    for it in &sample.monitors {
        page.put("monitor_healthy", &[&it.rule, &it.check], flag(it.wants == crate::monitor::Verb::Enable));
        page.put("monitor_checks", &[&it.rule, &it.check], Value::Whole(it.checks));
    }
    if let Some(nic) = &sample.nic {
        for (port, link) in nic.links.iter().enumerate() {
            page.put("nic_link", &[&port.to_string()], Value::Whole((*link).into()));
        }
        page.put("nic_parity_errors", &[], Value::Whole(nic.parity_errors.into()));
        page.put("nic_scrub_errors", &[], Value::Whole(nic.scrub_errors.into()));
    }
}
