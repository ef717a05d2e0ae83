// SPDX-License-Identifier: Apache-2.0
//! Counters of the NIC, and rates between two samples.

use crate::connect::Daemon;
use crate::failure::Failure;
use crate::show::{Out, Table, Value, alarm, clean, count, number, rate, text, time};
use hashgate_api::v1::{CountersReply, CountersRequest, HostPathCount};
use std::collections::HashMap;
use std::time::Duration;

/// Packets and bytes by name, in the order of the reply.
type Counts = Vec<(String, u64, u64)>;

/// Shows them, once or again and again.
pub async fn run(out: &mut Out, daemon: &Daemon, watch: Option<f64>, all: bool) -> Result<(), Failure> {
    let mut before: Option<CountersReply> = None;
    loop {
        let now = daemon.answer(daemon.client().counters(CountersRequest {})).await?;
        if out.json {
            out.object(&now)?;
        } else if watch.is_none() || before.is_some() {
            show(out, &now, before.as_ref(), all)?;
        }
        out.flush()?;
        let Some(seconds) = watch else {
            return Ok(());
        };
        before = Some(now);
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }
}

fn show(out: &mut Out, now: &CountersReply, before: Option<&CountersReply>, all: bool) -> Result<(), Failure> {
    let seconds = before.map(|before| now.time.saturating_sub(before.time) as f64 / 1e9);
    out.line(time(now.time))?;
    for (what, of) in [
        ("verdict and reason", reasons as fn(&CountersReply) -> Counts),
        ("rule", rules),
        ("target", targets),
        ("sent on", ports),
    ] {
        let then: HashMap<_, _> =
            before.map(of).into_iter().flatten().map(|(name, packets, bytes)| (name, (packets, bytes))).collect();
        let mut table = match seconds {
            Some(_) => Table::new(&["", "packets", "bytes", "packets/s", "bits/s"]),
            None => Table::new(&["", "packets", "bytes"]),
        };
        for (name, packets, bytes) in of(now) {
            if packets == 0 && bytes == 0 && !all {
                continue;
            }
            let mut row = vec![text(&name), count(packets), count(bytes)];
            if let Some(seconds) = seconds {
                let (packets_then, bytes_then) = then.get(&name).copied().unwrap_or((0, 0));
                row.push(number(rate(per_second(packets, packets_then, seconds))));
                row.push(number(rate(8.0 * per_second(bytes, bytes_then, seconds))));
            }
            table.row(row);
        }
        if table.rows() > 0 {
            out.line(format!("\n{what}"))?;
            out.table(&mut table)?;
        }
    }
    if let Some(path) = &now.host_path {
        host_path(out, path, all)?;
    }
    overruns(out, now)?;
    match before {
        Some(_) => out.line(""),
        None => Ok(()),
    }
}

/// A counter that is lower than before was reset: then nothing is known.
pub fn per_second(now: u64, before: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { now.saturating_sub(before) as f64 / seconds } else { 0.0 }
}

fn reasons(reply: &CountersReply) -> Counts {
    reply.reasons.iter().map(|it| (format!("{} {}", it.verdict, it.reason), it.packets, it.bytes)).collect()
}

fn rules(reply: &CountersReply) -> Counts {
    reply.rules.iter().map(|it| (it.name.clone(), it.packets, it.bytes)).collect()
}

fn targets(reply: &CountersReply) -> Counts {
    reply.targets.iter().map(|it| (it.name.clone(), it.packets, it.bytes)).collect()
}

fn ports(reply: &CountersReply) -> Counts {
    reply.ports.iter().map(|it| (format!("port {}", it.port), it.sent_packets, it.sent_bytes)).collect()
}

fn host_path(out: &mut Out, path: &HostPathCount, all: bool) -> Result<(), Failure> {
    let HostPathCount { to_kernel, from_kernel, ring_drops, tap_drops, heartbeats_heard, heartbeats_sent, .. } = *path;
    let HostPathCount { masked, arp_rewritten, nd_rewritten, .. } = *path;
    let rows = [
        ("frames to the kernel", to_kernel, false),
        ("frames from the kernel", from_kernel, false),
        ("dropped: no buffer or ring", ring_drops, true),
        ("dropped: TAP device", tap_drops, true),
        ("heartbeats heard", heartbeats_heard, false),
        ("heartbeats sent", heartbeats_sent, false),
        ("source MAC masked", masked, false),
        ("ARP rewritten", arp_rewritten, false),
        ("neighbour discovery rewritten", nd_rewritten, false),
    ];
    let mut table = Table::new(&["", "frames"]);
    for (name, frames, loss) in rows.into_iter().filter(|(_, frames, _)| *frames > 0 || all) {
        let name: Value = if loss && frames > 0 { alarm(name) } else { text(name) };
        table.row(vec![name, count(frames)]);
    }
    if table.rows() == 0 {
        return Ok(());
    }
    out.line("\nhost path")?;
    out.table(&mut table)
}

fn overruns(out: &mut Out, now: &CountersReply) -> Result<(), Failure> {
    for (at, port) in now.ports.iter().filter(|it| it.overrun > 0).enumerate() {
        if at == 0 {
            out.line("")?;
        }
        out.alarm(&clean(&format!(
            "port {}: {} frames were lost because they came too fast",
            port.port, port.overrun
        )))?;
    }
    Ok(())
}
