// SPDX-License-Identifier: Apache-2.0
//! Remembered sessions and clients.

use crate::cli::{BindingsVerb, Connection, Filter};
use crate::connect::Daemon;
use crate::failure::Failure;
use crate::show::{Out, Table, Value, clean, count, duration, endpoint, number, patiently, percent, text, time};
use hashgate_api::v1::{Binding, BindingsRequest, CountBindingsReply, DeleteBindingsRequest};
use std::io::{IsTerminal, Write};
use tonic::Streaming;

/// Rows of a table are drawn together: columns as wide as needed, memory bounded.
const ROWS: usize = 500;

/// Does what the verb says.
pub async fn run(out: &mut Out, verb: BindingsVerb, connection: &Connection) -> Result<(), Failure> {
    let (filter, limit) = match &verb {
        BindingsVerb::Dump { filter, limit } => (filter, *limit),
        BindingsVerb::Watch { filter } | BindingsVerb::Count { filter } => (filter, 0),
        BindingsVerb::Delete { filter, all, .. } => {
            let empty = request(filter, 0) == BindingsRequest::default();
            match (empty, all) {
                (true, false) => {
                    return Err(Failure::usage("which bindings? Choose by options such as --rule, or write --all"));
                }
                (false, true) => {
                    return Err(Failure::usage(
                        "--all means every binding: leave out the options that choose, or --all",
                    ));
                }
                _ => (filter, 0),
            }
        }
    };
    let request = request(filter, limit);
    let daemon = Daemon::connect(connection).await?;
    daemon.check_rules(&filter.rule).await?;
    if let Some(target) = &filter.target {
        daemon.check_target(target).await?;
    }
    match verb {
        BindingsVerb::Dump { .. } => dump(out, &daemon, request).await,
        BindingsVerb::Watch { .. } => watch(out, &daemon, request).await,
        BindingsVerb::Count { .. } => show_count(out, &daemon, request).await,
        BindingsVerb::Delete { all, yes, .. } => delete(out, &daemon, request, all, yes).await,
    }
}

fn request(filter: &Filter, limit: u32) -> BindingsRequest {
    let Filter { table, src, dst, sport, dport, proto, rule, target, state, bucket } = filter;
    let or_empty = |it: &Option<String>| it.clone().unwrap_or_default();
    BindingsRequest {
        table: or_empty(table),
        source: or_empty(src),
        destination: or_empty(dst),
        source_port: sport.map(u32::from),
        destination_port: dport.map(u32::from),
        protocol: or_empty(proto),
        rule: or_empty(rule),
        target: or_empty(target),
        state: or_empty(state),
        bucket: *bucket,
        limit,
    }
}

async fn dump(out: &mut Out, daemon: &Daemon, request: BindingsRequest) -> Result<(), Failure> {
    let call = daemon.answer(async { daemon.client().bindings(request).await });
    let mut stream = patiently("reading bindings", call).await?;
    let mut table = Table::new(&["proto", "source", "destination", "state", "rule", "target", "bucket", "ends in"]);
    let mut total = 0u64;
    loop {
        let part = patiently("reading bindings", part(daemon, &mut stream)).await?;
        let last = part.len() < ROWS;
        total += part.len() as u64;
        for binding in part {
            if out.json {
                out.object(&binding)?;
            } else {
                table.row(row(&binding));
            }
        }
        if table.rows() > 0 {
            out.table(&mut table)?;
            out.flush()?;
        }
        if last {
            break;
        }
    }
    if total == 0 && !out.json {
        out.line("no bindings")?;
    }
    Ok(())
}

async fn part(daemon: &Daemon, stream: &mut Streaming<Binding>) -> Result<Vec<Binding>, Failure> {
    let mut part = Vec::new();
    while part.len() < ROWS {
        match daemon.next(stream).await? {
            Some(binding) => part.push(binding),
            None => break,
        }
    }
    Ok(part)
}

fn row(binding: &Binding) -> Vec<Value> {
    vec![
        text(&binding.protocol),
        text(endpoint(&binding.source, binding.source_port)),
        text(endpoint(&binding.destination, binding.destination_port)),
        text(&binding.state),
        text(&binding.rule),
        text(&binding.target),
        number(binding.bucket),
        number(binding.expires_seconds.map_or_else(|| "-".into(), duration)),
    ]
}

/// A binding on one line.
pub fn line(binding: &Binding) -> String {
    let (from, to) =
        (endpoint(&binding.source, binding.source_port), endpoint(&binding.destination, binding.destination_port));
    let Binding { protocol, state, rule, target, bucket, .. } = binding;
    clean(&format!("{protocol} {from} > {to} {state}, rule {rule}, target {target}, bucket {bucket}"))
}

async fn watch(out: &mut Out, daemon: &Daemon, request: BindingsRequest) -> Result<(), Failure> {
    let mut stream = daemon.answer(async { daemon.client().watch_bindings(request).await }).await?;
    // Between events any time may pass.
    while let Some(event) = stream.message().await.map_err(|status| Failure::status(&status))? {
        if out.json {
            out.object(&event)?;
            continue;
        }
        if event.lost > 0 {
            out.alarm(&format!("{} events were lost here: they come faster than they can be told", event.lost))?;
        }
        let binding = event.binding.as_ref().map_or_else(String::new, line);
        out.line(format!("{}  {:<8} {binding}", time(event.time), clean(&event.kind)))?;
        out.flush()?;
    }
    Ok(())
}

async fn counted(daemon: &Daemon, request: BindingsRequest) -> Result<CountBindingsReply, Failure> {
    let call = daemon.answer(async { daemon.client().count_bindings(request).await });
    patiently("counting bindings", call).await
}

async fn show_count(out: &mut Out, daemon: &Daemon, request: BindingsRequest) -> Result<(), Failure> {
    let reply = counted(daemon, request).await?;
    if out.json {
        return out.object(&reply);
    }
    let mut table = Table::new(&["table", "used", "full", "created", "removed", "refused", "states"]);
    for it in &reply.tables {
        let states: Vec<_> = it.states.iter().map(|it| format!("{} {}", it.state, it.count)).collect();
        table.row(vec![
            text(&it.table),
            count(it.used.into()),
            number(percent(it.used.into(), it.capacity.into())),
            count(it.created),
            count(it.removed),
            count(it.refused),
            text(states.join(", ")),
        ]);
    }
    out.line(format!("{} bindings match", reply.matching))?;
    if table.rows() > 0 { out.table(&mut table) } else { Ok(()) }
}

async fn delete(out: &mut Out, daemon: &Daemon, filter: BindingsRequest, all: bool, yes: bool) -> Result<(), Failure> {
    let asks = !yes && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if asks && !agreed(counted(daemon, filter.clone()).await?.matching)? {
        return out.line("nothing was deleted");
    }
    let request = DeleteBindingsRequest { filter: Some(filter), all };
    let call = daemon.answer(async { daemon.client().delete_bindings(request).await });
    let reply = patiently("deleting bindings", call).await?;
    if out.json { out.object(&reply) } else { out.line(format!("{} bindings deleted", reply.deleted)) }
}

fn agreed(matching: u64) -> Result<bool, Failure> {
    eprint!("Delete {matching} bindings? Their sessions may break. [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
