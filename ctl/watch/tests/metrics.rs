// SPDX-License-Identifier: Apache-2.0
//! The page of metrics, read back.
#![forbid(unsafe_code)]

mod support;

use hashgate_api::v1::{NamedCount, OccupancyHost};
use hashgate_watch::metrics::{FAMILIES, MAX_LABEL, MAX_SERIES, Refused, Sample, render};
use support::{full, read};

#[test]
fn values() {
    let page = read(&render(&full()).unwrap()).unwrap();
    for (name, labels, value) in [
        (
            "hashgate_build_info",
            &[("version", "0.1.0"), ("cluster", "10.9.0.100"), ("host", "a"), ("mode", "unicast")][..],
            1.0,
        ),
        ("hashgate_uptime_seconds", &[], 12.5),
        ("hashgate_problems", &[], 1.0),
        ("hashgate_phase", &[("state", "stable")], 1.0),
        ("hashgate_phase", &[("state", "converging")], 0.0),
        ("hashgate_members", &[("state", "member")], 1.0),
        ("hashgate_members", &[("state", "heard")], 0.0),
        ("hashgate_member_up", &[("peer", "a")], 1.0),
        ("hashgate_member_up", &[("peer", "c")], 0.0),
        ("hashgate_member_up", &[("peer", "host-4")], 0.0),
        ("hashgate_member_heard_seconds", &[("peer", "b")], 0.04),
        ("hashgate_member_capacity_ratio", &[("peer", "b")], 0.5),
        ("hashgate_member_buckets", &[("peer", "b"), ("rule", "web")], 2048.0),
        ("hashgate_default_host", &[], 1.0),
        ("hashgate_epoch", &[], 7.0),
        ("hashgate_lease_seconds", &[], 0.35),
        ("hashgate_converging_seconds", &[], 0.0),
        ("hashgate_convergence_last_seconds", &[], 0.21),
        ("hashgate_convergences_total", &[], 4.0),
        ("hashgate_buckets_moved_total", &[], 4096.0),
        ("hashgate_heartbeats_missed_total", &[("peer", "b")], 20.0),
        ("hashgate_heartbeats_heard_total", &[], 5.0),
        ("hashgate_heartbeats_sent_total", &[], 6.0),
        ("hashgate_refused_frames_total", &[("channel", "frames"), ("reason", "wrong-key")], 11.0),
        ("hashgate_refused_frames_total", &[("channel", "control"), ("reason", "replayed")], 12.0),
        ("hashgate_rule_state", &[("rule", "dns"), ("state", "draining")], 1.0),
        ("hashgate_rule_state", &[("rule", "dns"), ("state", "enabled")], 0.0),
        ("hashgate_rule_buckets", &[("rule", "web")], 2048.0),
        ("hashgate_packets_total", &[("verdict", "discard"), ("reason", "map")], 3000.0),
        ("hashgate_bytes_total", &[("verdict", "host"), ("reason", "map")], 100_000.0),
        ("hashgate_rule_packets_total", &[("rule", "default")], 1.0),
        ("hashgate_rule_bytes_total", &[("rule", "web")], 400_000.0),
        ("hashgate_target_packets_total", &[("target", "b")], 3000.0),
        ("hashgate_target_bytes_total", &[("target", "a")], 100_000.0),
        ("hashgate_port_sent_packets_total", &[("port", "0")], 5.0),
        ("hashgate_port_sent_bytes_total", &[("port", "0")], 500.0),
        ("hashgate_port_overrun_packets_total", &[("port", "0")], 1.0),
        ("hashgate_hostpath_to_kernel_packets_total", &[], 1.0),
        ("hashgate_hostpath_from_kernel_packets_total", &[], 2.0),
        ("hashgate_hostpath_ring_drops_total", &[], 3.0),
        ("hashgate_hostpath_tap_drops_total", &[], 4.0),
        ("hashgate_hostpath_rewritten_packets_total", &[("reason", "mask")], 7.0),
        ("hashgate_hostpath_rewritten_packets_total", &[("reason", "arp")], 8.0),
        ("hashgate_hostpath_rewritten_packets_total", &[("reason", "nd")], 9.0),
        ("hashgate_bindings", &[("table", "affinity"), ("state", "half-open")], 1.0),
        ("hashgate_bindings_used", &[("table", "connection")], 3.0),
        ("hashgate_bindings_capacity", &[("table", "connection")], 65_536.0),
        ("hashgate_bindings_created_total", &[("table", "connection")], 10.0),
        ("hashgate_bindings_removed_total", &[("table", "connection")], 7.0),
        ("hashgate_bindings_refused_total", &[("table", "connection")], 2.0),
        ("hashgate_occupancy_ratio", &[("peer", "a")], 0.013),
        ("hashgate_occupancy_warning", &[("peer", "a")], 0.0),
        ("hashgate_occupancy_threshold_ratio", &[], 0.02),
        ("hashgate_link_bytes_per_second", &[], 1.25e9),
        ("hashgate_monitor_healthy", &[("rule", "web"), ("check", "tcp 10.9.0.1:80")], 1.0),
        ("hashgate_monitor_checks_total", &[("rule", "web"), ("check", "tcp 10.9.0.1:80")], 99.0),
        ("hashgate_nic_link", &[("port", "0")], 1.0),
        ("hashgate_nic_link", &[("port", "1")], 0.0),
        ("hashgate_nic_parity_errors_total", &[], 1.0),
        ("hashgate_nic_scrub_errors_total", &[], 2.0),
        ("hashgate_series_left_out", &[], 0.0),
    ] {
        assert_eq!(page.value(name, labels), Some(value), "{name} {labels:?}");
    }
    // Every family is in the full sample, and nothing else.
    let families: std::collections::BTreeSet<String> = FAMILIES.iter().map(|family| family.series_name()).collect();
    assert_eq!(page.names(), families);
    assert_eq!(families.len(), FAMILIES.len());
}

#[test]
fn exactly_one_phase() {
    for phase in ["listening", "converging", "idle", "ready", "stable", "excluded", "suspended"] {
        let mut sample = full();
        sample.status.phase = phase.into();
        let page = read(&render(&sample).unwrap()).unwrap();
        let on: Vec<f64> =
            page.series.iter().filter(|((name, _), _)| name == "hashgate_phase").map(|(_, v)| *v).collect();
        assert_eq!((on.len(), on.iter().sum::<f64>()), (7, 1.0), "{phase}");
        assert_eq!(page.value("hashgate_phase", &[("state", phase)]), Some(1.0));
    }
}

/// A daemon that has only begun.
#[test]
fn empty() {
    let page = read(&render(&Sample::default()).unwrap()).unwrap();
    assert_eq!(page.value("hashgate_lease_seconds", &[]), Some(0.0));
    assert_eq!(page.value("hashgate_default_host", &[]), Some(0.0));
    for name in ["hashgate_convergence_last_seconds", "hashgate_occupancy_threshold_ratio", "hashgate_packets_total"] {
        assert!(!page.names().contains(name), "{name}");
    }
}

#[test]
fn hostile_names_and_numbers() {
    let long = "é".repeat(1000);
    let evil = ["a\"} 1\nhashgate_epoch 666", "back\\slash", "\u{0}\r\u{7f}\u{85}", "", "{}=,# EOF", &long];
    let mut sample = full();
    let named = |name: &&str| NamedCount { name: (*name).into(), packets: 2, bytes: u64::MAX };
    sample.counters.rules = evil.iter().map(named).collect();
    sample.counters.targets = evil.iter().chain(&evil).map(named).collect();
    sample.status.host = evil[0].into();
    for (member, name) in sample.status.members.iter_mut().zip(evil) {
        member.name = name.into();
    }
    sample.status.uptime_seconds = f64::NAN;
    sample.occupancy.hosts = vec![OccupancyHost { share: f64::INFINITY, ..Default::default() }];
    sample.refused = vec![Refused { channel: evil[0].into(), reason: evil[1].into(), count: 1 }];
    let page = read(&render(&sample).unwrap()).unwrap();
    assert_eq!(page.value("hashgate_epoch", &[]), Some(7.0));
    let shown = "a\"} 1\u{fffd}hashgate_epoch 666";
    assert_eq!(page.value("hashgate_rule_packets_total", &[("rule", shown)]), Some(2.0));
    assert_eq!(page.value("hashgate_rule_packets_total", &[("rule", "back\\slash")]), Some(2.0));
    let cut = format!("{}…", "é".repeat(MAX_LABEL - 1));
    // The same name twice is one series with the sum, which does not overflow.
    assert_eq!(page.value("hashgate_target_packets_total", &[("target", &cut)]), Some(4.0));
    assert_eq!(page.value("hashgate_target_bytes_total", &[("target", "")]), Some(u64::MAX as f64));
    // Uptime and occupancy are no numbers.
    assert_eq!(page.value("hashgate_series_left_out", &[]), Some(2.0));
    assert_eq!(page.value("hashgate_uptime_seconds", &[]), None);
}

#[test]
fn series_are_limited() {
    let mut sample = full();
    let named = |number: usize| NamedCount { name: number.to_string(), packets: 1, bytes: 1 };
    sample.counters.targets = (0..MAX_SERIES + 10).map(named).collect();
    let page = read(&render(&sample).unwrap()).unwrap();
    let targets = page.series.keys().filter(|(name, _)| name == "hashgate_target_packets_total").count();
    assert_eq!(targets, MAX_SERIES);
    assert_eq!(page.value("hashgate_series_left_out", &[]), Some(20.0));
}

/// The reader that the other tests trust does refuse.
#[test]
fn reader_is_strict() {
    let good = "# HELP hashgate_a b.\n# TYPE hashgate_a counter\nhashgate_a_total{x=\"1\\n\\\"\"} 1\n# EOF\n";
    assert_eq!(read(good).unwrap().value("hashgate_a_total", &[("x", "1\n\"")]), Some(1.0));
    for (what, from, to) in [
        ("no end", "# EOF\n", ""),
        ("TYPE twice", "# TYPE hashgate_a counter\n", "# TYPE hashgate_a counter\n# TYPE hashgate_a counter\n"),
        ("HELP twice", "# HELP hashgate_a b.\n", "# HELP hashgate_a b.\n# HELP hashgate_a b.\n"),
        ("no TYPE", "# TYPE hashgate_a counter\n", ""),
        ("suffix", "hashgate_a_total", "hashgate_a"),
        ("other family", "hashgate_a_total", "hashgate_b_total"),
        ("twice", "# EOF", "hashgate_a_total{x=\"1\\n\\\"\"} 2\n# EOF"),
        ("escape", "\\n", "\\t"),
        ("quote", "\\\"", "\""),
        ("label", "x=", "X="),
        ("number", "} 1", "} one"),
        ("NaN", "} 1", "} NaN"),
        ("negative", "} 1", "} -1"),
        ("blank line", "# EOF", "\n# EOF"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{what}");
        assert!(read(&bad).is_err(), "{what}: {bad}");
    }
}

/// Every family is explained.
#[test]
fn documented() {
    let docs = include_str!("../../../docs/monitoring.md");
    for family in FAMILIES {
        let labels = if family.labels.is_empty() { "-".to_owned() } else { family.labels.join(", ") };
        let row = format!("| `{}` | {} | {labels} |", family.series_name(), family.kind.as_str());
        assert!(docs.contains(&row), "docs/monitoring.md has no row that begins with {row}");
    }
}
