// SPDX-License-Identifier: Apache-2.0
//! Rules, targets, and which rules take a port.

use crate::connect::Daemon;
use crate::failure::Failure;
use crate::show::{Out, Table, alarm_if, clean, count, number, text};
use hashgate_api::v1::{Rule, RulesReply, RulesRequest, TargetsRequest};
use std::net::IpAddr;

/// Shows the rules.
pub async fn rules(out: &mut Out, daemon: &Daemon) -> Result<(), Failure> {
    let reply = daemon.answer(daemon.client().rules(RulesRequest {})).await?;
    if out.json { out.object(&reply) } else { table(out, &reply) }
}

fn table(out: &mut Out, reply: &RulesReply) -> Result<(), Failure> {
    let mut table =
        Table::new(&["#", "rule", "state", "mode", "proto", "ports", "affinity", "buckets", "packets", "bytes"]);
    for rule in &reply.rules {
        table.row(vec![
            number(rule.number),
            text(&rule.name),
            alarm_if(&rule.state, rule.state != "enabled"),
            text(&rule.mode),
            text(&rule.protocol),
            text(&rule.ports),
            text(&rule.affinity),
            number(rule.buckets),
            count(rule.packets),
            count(rule.bytes),
        ]);
    }
    if table.rows() > 0 {
        out.table(&mut table)?;
        out.line("")?;
    }
    let mut table = Table::new(&["rule", "addresses", "weights (mode single: priorities)"]);
    for rule in &reply.rules {
        let weights: Vec<_> = rule.weights.iter().map(|it| format!("{} {}", it.host, it.value)).collect();
        table.row(vec![text(&rule.name), text(&rule.vip), text(weights.join(", "))]);
    }
    if table.rows() == 0 {
        return out.line("no rules: the default takes everything");
    }
    out.table(&mut table)
}

/// Shows the targets.
pub async fn targets(out: &mut Out, daemon: &Daemon) -> Result<(), Failure> {
    let reply = daemon.answer(daemon.client().targets(TargetsRequest {})).await?;
    if out.json {
        return out.object(&reply);
    }
    let mut table = Table::new(&["id", "target", "action", "bindings", "buckets", "packets", "bytes"]);
    for target in &reply.targets {
        table.row(vec![
            number(target.id),
            text(&target.name),
            text(&target.action),
            text(if target.bind { "yes" } else { "no" }),
            number(target.buckets),
            count(target.packets),
            count(target.bytes),
        ]);
    }
    if table.rows() == 0 { out.line("no targets") } else { out.table(&mut table) }
}

/// What a rule is looked for by.
#[derive(Debug)]
pub struct Wanted {
    /// Port.
    pub port: u16,
    /// tcp or udp, or either.
    pub protocol: Option<String>,
    /// Only for this address.
    pub vip: Option<IpAddr>,
}

/// Shows the rules that take a port.
pub async fn queryport(out: &mut Out, daemon: &Daemon, wanted: &Wanted) -> Result<(), Failure> {
    let rules = daemon.answer(daemon.client().rules(RulesRequest {})).await?.rules;
    let reply = RulesReply { rules: taking(rules, wanted) };
    if out.json {
        return out.object(&reply);
    }
    let what = match &wanted.protocol {
        Some(protocol) => format!("{}/{protocol}", wanted.port),
        None => format!("port {}", wanted.port),
    };
    if reply.rules.is_empty() {
        return out.line(format!("no rule takes {what}: the default host does"));
    }
    for rule in &reply.rules {
        let text = format!(
            "{what}: rule \"{}\" ({}, ports {}, {}, {})",
            rule.name, rule.vip, rule.ports, rule.protocol, rule.mode
        );
        let text = clean(&format!("{text}, {}", rule.state));
        if rule.state == "enabled" { out.line(text)? } else { out.alarm(&text)? }
    }
    Ok(())
}

/// A rule for an address beats one for all addresses, for each protocol by itself.
fn taking(rules: Vec<Rule>, wanted: &Wanted) -> Vec<Rule> {
    let mut fitting = rules;
    fitting.retain(|rule| has_port(&rule.ports, wanted.port));
    fitting.retain(|rule| wanted.protocol.as_ref().is_none_or(|protocol| has_protocol(rule, protocol)));
    let Some(vip) = wanted.vip else {
        return fitting;
    };
    fitting.retain(|rule| rule.vip == "all" || has_address(rule, vip));
    let wanted: Vec<_> =
        ["tcp", "udp"].into_iter().filter(|it| wanted.protocol.as_deref().is_none_or(|one| one == *it)).collect();
    let own = |protocol: &str| fitting.iter().any(|rule| rule.vip != "all" && has_protocol(rule, protocol));
    let open: Vec<_> = wanted.into_iter().filter(|protocol| !own(protocol)).collect();
    let for_all = |rule: &Rule| open.iter().any(|protocol| has_protocol(rule, protocol));
    fitting.iter().filter(|rule| rule.vip != "all" || for_all(rule)).cloned().collect()
}

fn has_port(ports: &str, port: u16) -> bool {
    ports.split(',').map(str::trim).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bounds = first.trim().parse::<u16>().and_then(|first| Ok((first, last.trim().parse::<u16>()?)));
        range == "all" || bounds.is_ok_and(|(first, last)| (first..=last).contains(&port))
    })
}

fn has_protocol(rule: &Rule, protocol: &str) -> bool {
    rule.protocol == "both" || rule.protocol == protocol
}

fn has_address(rule: &Rule, vip: IpAddr) -> bool {
    rule.vip.split(',').any(|it| it.trim().parse() == Ok(vip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, vip: &str, ports: &str, protocol: &str) -> Rule {
        Rule { name: name.into(), vip: vip.into(), ports: ports.into(), protocol: protocol.into(), ..Rule::default() }
    }

    #[test]
    fn ports_by_rule() {
        let rules = [
            rule("web", "all", "80, 8000-8010", "both"),
            rule("own", "10.9.0.100, 2001:db8::1", "80", "tcp"),
            rule("rest", "10.9.0.101", "all", "udp"),
        ];
        let names = |port, protocol: Option<&str>, vip: Option<&str>| -> Vec<String> {
            let vip = vip.map(|it| it.parse().expect("an address"));
            let wanted = Wanted { port, protocol: protocol.map(str::to_owned), vip };
            taking(rules.to_vec(), &wanted).into_iter().map(|it| it.name).collect()
        };
        assert_eq!(names(80, None, None), ["web", "own", "rest"]);
        assert_eq!(names(8010, Some("tcp"), None), ["web"]);
        assert_eq!(names(8011, Some("tcp"), None), Vec::<String>::new());
        assert_eq!(names(80, Some("tcp"), Some("10.9.0.100")), ["own"]);
        assert_eq!(names(80, Some("udp"), Some("10.9.0.100")), ["web"]);
        assert_eq!(names(80, None, Some("2001:db8::1")), ["web", "own"], "each for one of the protocols");
        assert_eq!(names(80, Some("tcp"), Some("10.9.0.101")), ["web"]);
        assert_eq!(names(80, Some("udp"), Some("10.9.0.101")), ["rest"]);
        assert_eq!(names(1, None, Some("10.9.0.100")), Vec::<String>::new());
    }
}
