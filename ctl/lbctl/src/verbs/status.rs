// SPDX-License-Identifier: Apache-2.0
//! The cluster, settings, the NIC, and the link.

use crate::connect::Daemon;
use crate::failure::Failure;
use crate::show::{Out, Table, Value, alarm_if, bar, clean, duration, maybe, number, percent, rate, text};
use hashgate_api::v1::{
    Member, NicInfoReply, NicInfoRequest, OccupancyRequest, ParamsRequest, StatusReply, StatusRequest,
};

/// Shows the cluster.
pub async fn status(out: &mut Out, daemon: &Daemon) -> Result<(), Failure> {
    let status = daemon.answer(daemon.client().status(StatusRequest {})).await?;
    if out.json {
        return out.object(&status);
    }
    for problem in &status.problems {
        out.alarm(&clean(&format!("! {problem}")))?;
    }
    if !status.problems.is_empty() {
        out.line("")?;
    }
    summary(&status).iter().try_for_each(|line| out.line(line))?;
    out.line("")?;
    let mut table = Table::new(&["id", "host", "state", "phase", "epoch", "cap", "heard", "missed", "draining"]);
    for member in &status.members {
        table.row(row(member));
    }
    if table.rows() > 0 {
        out.table(&mut table)?;
    }
    for member in &status.members {
        if let Some(reason) = &member.reason {
            out.alarm(&clean(&format!("{}: {reason}", named(member))))?;
        }
    }
    shares(out, &status)
}

/// Lines about this member and what it knows of the cluster.
pub fn summary(status: &StatusReply) -> Vec<String> {
    let mut lines = vec![
        format!("cluster   {} ({}, {})", status.cluster, status.mode, status.cluster_mac),
        format!(
            "host      {}, {}, up {}, version {}",
            status.host,
            status.phase,
            duration(status.uptime_seconds),
            status.version
        ),
    ];
    if let Some(excluded) = &status.excluded {
        lines.push(format!("left out  {excluded}"));
    }
    let converging =
        status.converging_seconds.map_or_else(String::new, |it| format!(", converging for {}", duration(it)));
    lines.push(format!("maps      epoch {}, digest {}{converging}", status.epoch, status.digest));
    let staged = status.staged_digest.as_ref().map_or_else(String::new, |it| format!(", staged {it}"));
    lines.push(format!("rules     digest {}{staged}", status.rules_digest));
    lines.push(match status.lease_seconds {
        Some(left) => format!("lease     {} left", duration(left)),
        None => "lease     none: takes no VIP traffic".into(),
    });
    if let Some(default) = &status.default_host {
        lines.push(format!("default   {default} takes what no rule covers"));
    }
    lines.iter().map(|line| clean(line)).collect()
}

/// A member's name, or number.
pub fn named(member: &Member) -> String {
    if member.name.is_empty() { format!("({})", member.id) } else { member.name.clone() }
}

fn row(member: &Member) -> Vec<Value> {
    let well = ["self", "member"].contains(&member.state.as_str());
    vec![
        number(member.id),
        text(named(member)),
        alarm_if(&member.state, !well),
        text(member.phase.as_deref().unwrap_or("-")),
        maybe(member.epoch),
        number(member.capacity.map_or_else(|| "-".into(), |it| format!("{it} %"))),
        number(member.heard_seconds.map_or_else(|| "-".into(), duration)),
        number(member.heartbeats_missed),
        alarm_if(if member.draining { "all" } else { "-" }, member.draining),
    ]
}

/// Buckets by rule and host, and the dedicated addresses.
fn shares(out: &mut Out, status: &StatusReply) -> Result<(), Failure> {
    let mut table = Table::new(&["host", "rule", "buckets", "share", "state"]);
    for member in &status.members {
        for share in &member.shares {
            let state = match (share.disabled, share.draining) {
                (true, _) => "disabled",
                (false, true) => "draining",
                (false, false) => "",
            };
            let part = percent(share.buckets.into(), 4096.0);
            table.row(vec![
                text(named(member)),
                text(&share.rule),
                number(share.buckets),
                number(part),
                alarm_if(state, true),
            ]);
        }
    }
    if table.rows() > 0 {
        out.line("")?;
        out.table(&mut table)?;
    }
    let mut table = Table::new(&["host", "dedicated addresses"]);
    for member in status.members.iter().filter(|it| !it.dedicated.is_empty()) {
        table.row(vec![text(named(member)), text(member.dedicated.join(", "))]);
    }
    if table.rows() > 0 {
        out.line("")?;
        out.table(&mut table)?;
    }
    Ok(())
}

/// Shows the settings in force.
pub async fn params(out: &mut Out, daemon: &Daemon) -> Result<(), Failure> {
    let reply = daemon.answer(daemon.client().params(ParamsRequest {})).await?;
    if out.json {
        return out.object(&reply);
    }
    out.line(format!("from {}", clean(&reply.config_file)))?;
    let mut table = Table::new(&[]);
    for param in &reply.params {
        table.row(vec![text(&param.name), text(&param.value)]);
    }
    if table.rows() > 0 { out.table(&mut table) } else { Ok(()) }
}

/// Shows the NIC.
pub async fn nic_info(out: &mut Out, daemon: &Daemon) -> Result<(), Failure> {
    let nic = daemon.answer(daemon.client().nic_info(NicInfoRequest {})).await?;
    if out.json {
        return out.object(&nic);
    }
    let mut table = Table::new(&[]);
    for (name, value, wrong) in nic_rows(&nic) {
        table.row(vec![text(name), alarm_if(value, wrong)]);
    }
    out.table(&mut table)
}

/// Name, value, and whether that is a reason to look.
fn nic_rows(nic: &NicInfoReply) -> Vec<(&'static str, String, bool)> {
    let yes = |it: bool| if it { "yes" } else { "no" }.to_owned();
    let (mhz, ns) =
        (f64::from(nic.clock_khz) / 1e3, f64::from(nic.latency_cycles) * 1e6 / f64::from(nic.clock_khz.max(1)));
    let links: Vec<_> = nic.links.iter().map(|link| if *link { "up" } else { "down" }).collect();
    let links = links.join(", ");
    let lease = match (nic.lease_enabled, nic.lease_expired) {
        (false, _) => "not in use",
        (true, false) => "runs",
        (true, true) => "expired: no VIP traffic",
    };
    vec![
        ("device", nic.device.clone(), false),
        ("TAP device", nic.tap.clone(), false),
        ("register interface", nic.version.clone(), false),
        ("wire ports", nic.ports.to_string(), false),
        ("links", links, nic.links.contains(&false)),
        ("bits in a beat", nic.beat_bits.to_string(), false),
        ("clock", format!("{mhz:.3} MHz"), false),
        ("latency", format!("{} cycles ({ns:.0} ns)", nic.latency_cycles), false),
        ("room for rules", nic.rules.to_string(), false),
        ("room for maps", nic.maps.to_string(), false),
        ("room for addresses", nic.vips.to_string(), false),
        ("room for targets", nic.targets.to_string(), false),
        ("room for bindings", nic.bindings.to_string(), false),
        ("station MAC", nic.station_mac.clone(), false),
        ("cluster MAC", nic.cluster_mac.clone(), false),
        ("source MAC shown", nic.mask_mac.clone(), false),
        ("enabled", yes(nic.enabled), !nic.enabled),
        ("commits", nic.generation.to_string(), false),
        ("runs since", duration(nic.time_seconds), false),
        ("lease", lease.into(), nic.lease_enabled && nic.lease_expired),
        ("parity errors", nic.parity_errors.to_string(), nic.parity_errors > 0),
        ("errors found by scrubbing", nic.scrub_errors.to_string(), nic.scrub_errors > 0),
        ("taken over by daemons", nic.controllers.to_string(), false),
    ]
}

/// Shows what frames for others take of the link.
pub async fn occupancy(out: &mut Out, daemon: &Daemon) -> Result<(), Failure> {
    let reply = daemon.answer(daemon.client().occupancy(OccupancyRequest {})).await?;
    if out.json {
        return out.object(&reply);
    }
    let link = rate(reply.link_bits_per_second as f64);
    out.line(format!("link {link}bit/s; a warning from {} of it on", percent(reply.threshold, 1.0)))?;
    let mut table = Table::new(&["host", "foreign", "", "received", "over", "foreign bytes"]);
    for host in &reply.hosts {
        table.row(vec![
            text(&host.host),
            if host.warning { Value::Alarm(percent(host.share, 1.0)) } else { number(percent(host.share, 1.0)) },
            text(bar(host.share, 20)),
            number(format!("{}B", rate(host.received_bytes as f64))),
            number(duration(host.seconds)),
            number(format!("{}B", rate(host.foreign_bytes as f64))),
        ]);
    }
    if table.rows() > 0 { out.table(&mut table) } else { Ok(()) }
}
