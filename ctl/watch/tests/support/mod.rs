// SPDX-License-Identifier: Apache-2.0
//! A strict reader of OpenMetrics text, and a sample with a value for every family.
#![allow(dead_code, reason = "each test program uses a part of it")]

use hashgate_api::v1::*;
use hashgate_watch::metrics::{Refused, Sample};
use hashgate_watch::monitor::{MonitorStatus, Outcome, Verb};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Series by name and labels.
pub type Series = BTreeMap<(String, BTreeMap<String, String>), f64>;

#[derive(Debug, Default)]
pub struct Read {
    pub series: Series,
    /// Type by family.
    pub families: BTreeMap<String, String>,
}

impl Read {
    /// The value of a series; labels in any order.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.series.get(&(name.to_owned(), labels)).copied()
    }

    pub fn names(&self) -> BTreeSet<String> {
        self.series.keys().map(|(name, _)| name.clone()).collect()
    }

    pub fn labels(&self, name: &str) -> BTreeSet<String> {
        self.series.keys().filter(|(of, _)| of == name).flat_map(|(_, labels)| labels.keys().cloned()).collect()
    }
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Reads a page: HELP and TYPE once for each family and before its series, families in one piece, names with the suffix of their type, no series twice, labels escaped, `# EOF` at the end.
pub fn read(page: &str) -> Result<Read, String> {
    let body = page.strip_suffix("# EOF\n").ok_or("no # EOF at the end")?;
    let mut read = Read::default();
    let mut helps = BTreeSet::new();
    let mut current = (String::new(), String::new());
    for line in body.split_terminator('\n') {
        let fail = |what: &str| Err(format!("{what}: {line}"));
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (Some(what), Some(family), Some(text)) = (words.next(), words.next(), words.next()) else {
                return fail("comment");
            };
            if !is_name(family) || text.is_empty() {
                return fail("family");
            }
            match what {
                "HELP" if helps.insert(family.to_owned()) => {}
                "TYPE" if ["counter", "gauge", "info"].contains(&text) && helps.contains(family) => {
                    if read.families.insert(family.to_owned(), text.to_owned()).is_some() {
                        return fail("TYPE twice");
                    }
                    current = (family.to_owned(), text.to_owned());
                }
                _ => return fail("HELP or TYPE"),
            }
            continue;
        }
        let end = line.find(['{', ' ']).ok_or("no value")?;
        let (name, mut rest) = line.split_at(end);
        let suffix = match current.1.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        if !is_name(name) || name != format!("{}{suffix}", current.0) {
            return fail("series outside of its family, or wrong suffix");
        }
        let mut labels = BTreeMap::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            loop {
                let (label, after) = rest.split_once("=\"").ok_or(format!("label: {line}"))?;
                let mut value = String::new();
                let mut chars = after.char_indices();
                let end = loop {
                    match chars.next() {
                        Some((end, '"')) => break end,
                        Some((_, '\\')) => match chars.next() {
                            Some((_, 'n')) => value.push('\n'),
                            Some((_, c @ ('\\' | '"'))) => value.push(c),
                            _ => return fail("escape"),
                        },
                        Some((_, c)) if c.is_control() => return fail("control character"),
                        Some((_, c)) => value.push(c),
                        None => return fail("open label"),
                    }
                };
                if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
                    return fail("name of a label, or twice");
                }
                rest = &after[end + 1..];
                match rest.split_at_checked(1) {
                    Some((",", more)) => rest = more,
                    Some(("}", more)) => {
                        rest = more;
                        break;
                    }
                    _ => return fail("labels"),
                }
            }
        }
        let number = rest.strip_prefix(' ').ok_or(format!("value: {line}"))?;
        let value: f64 = number.parse().map_err(|_| format!("number: {line}"))?;
        if !value.is_finite() || (current.1 == "counter" && value < 0.0) {
            return fail("number");
        }
        if read.series.insert((name.to_owned(), labels), value).is_some() {
            return fail("series twice");
        }
    }
    match helps.iter().find(|family| !read.families.contains_key(*family)) {
        Some(family) => Err(format!("{family} has no TYPE")),
        None => Ok(read),
    }
}

/// A member that has everything.
pub fn full() -> Sample {
    let share = |rule: &str, buckets| RuleShare { rule: rule.into(), buckets, ..Default::default() };
    let member = |id, name: &str, state: &str, buckets| Member {
        id,
        name: name.into(),
        state: state.into(),
        capacity: Some(50),
        heartbeats_missed: u64::from(id) * 10,
        heard_seconds: (state != "self").then_some(0.04),
        shares: vec![share("web", buckets), share("dns", 4096 - buckets)],
        ..Default::default()
    };
    let reason = |verdict: &str, reason: &str, packets| ReasonCount {
        verdict: verdict.into(),
        reason: reason.into(),
        packets,
        bytes: packets * 100,
    };
    let named = |name: &str, packets| NamedCount { name: name.into(), packets, bytes: packets * 100 };
    let table = |table: &str| BindingTableCount {
        table: table.into(),
        used: 3,
        capacity: 65_536,
        created: 10,
        removed: 7,
        refused: 2,
        states: vec![
            StateCount { state: "established".into(), count: 2 },
            StateCount { state: "half-open".into(), count: 1 },
        ],
    };
    let rule =
        |name: &str, state: &str| Rule { name: name.into(), state: state.into(), buckets: 2048, ..Default::default() };
    Sample {
        status: StatusReply {
            cluster: "10.9.0.100".into(),
            mode: "unicast".into(),
            host: "a".into(),
            phase: "stable".into(),
            epoch: 7,
            default_host: Some("a".into()),
            lease_seconds: Some(0.35),
            uptime_seconds: 12.5,
            version: "0.1.0".into(),
            members: vec![
                member(1, "a", "self", 2048),
                member(2, "b", "member", 2048),
                member(3, "c", "silent", 0),
                member(4, "", "left-out", 0),
            ],
            problems: vec!["c is silent".into()],
            ..Default::default()
        },
        counters: CountersReply {
            reasons: vec![reason("host", "map", 1000), reason("discard", "map", 3000), reason("host", "control", 50)],
            rules: vec![named("web", 4000), named("default", 1)],
            targets: vec![named("a", 1000), named("b", 3000)],
            ports: vec![PortCount { port: 0, sent_packets: 5, sent_bytes: 500, overrun: 1 }],
            host_path: Some(HostPathCount {
                to_kernel: 1,
                from_kernel: 2,
                ring_drops: 3,
                tap_drops: 4,
                heartbeats_heard: 5,
                heartbeats_sent: 6,
                masked: 7,
                arp_rewritten: 8,
                nd_rewritten: 9,
            }),
            ..Default::default()
        },
        bindings: CountBindingsReply { matching: 6, tables: vec![table("connection"), table("affinity")] },
        rules: RulesReply { rules: vec![rule("web", "enabled"), rule("dns", "draining")] },
        occupancy: OccupancyReply {
            link_bits_per_second: 10_000_000_000,
            threshold: 0.02,
            hosts: vec![OccupancyHost { host: "a".into(), share: 0.013, ..Default::default() }],
        },
        nic: Some(NicInfoReply { parity_errors: 1, scrub_errors: 2, links: vec![true, false], ..Default::default() }),
        converging_seconds_last: Some(0.21),
        convergences: 4,
        buckets_moved: 4096,
        refused: vec![
            Refused { channel: "frames".into(), reason: "wrong-key".into(), count: 11 },
            Refused { channel: "control".into(), reason: "replayed".into(), count: 12 },
        ],
        monitors: vec![MonitorStatus {
            rule: "web".into(),
            check: "tcp 10.9.0.1:80".into(),
            wants: Verb::Enable,
            last: Some(Outcome::Healthy),
            text: "connected".into(),
            took: Duration::from_millis(1),
            checks: 99,
        }],
    }
}
