// SPDX-License-Identifier: Apache-2.0
//! Commands to hosts, by the daemon or by control datagrams, and reload.

use crate::cli::{Connection, Hosts, OfRules, Verb};
use crate::connect::Daemon;
use crate::failure::Failure;
use crate::show::{Out, Table, alarm_if, number, patiently, text};
use crate::udp;
use hashgate_api::v1::{CommandReply, CommandRequest, ReloadRequest};
use hashgate_cluster::control::Request;
use std::time::Duration;

/// How long a reload of all members may take.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// A command to hosts.
#[derive(Debug)]
pub struct Wanted {
    verb: &'static str,
    hosts: Vec<String>,
    rules: Vec<String>,
    value: Option<u32>,
}

/// The command that a verb is, if it is one.
pub fn wanted(verb: &Verb) -> Option<Wanted> {
    let plain = |verb, hosts: &Hosts, value| Wanted { verb, hosts: hosts.host.clone(), rules: Vec::new(), value };
    let of_rules =
        |verb, of: &OfRules| Wanted { verb, hosts: of.hosts.host.clone(), rules: of.rules.clone(), value: None };
    Some(match verb {
        Verb::Query(hosts) => plain("query", hosts, None),
        Verb::Start(hosts) => plain("start", hosts, None),
        Verb::Stop(hosts) => plain("stop", hosts, None),
        Verb::Drainstop(hosts) => plain("drainstop", hosts, None),
        Verb::Undrain(hosts) => plain("undrain", hosts, None),
        Verb::Suspend(hosts) => plain("suspend", hosts, None),
        Verb::Resume(hosts) => plain("resume", hosts, None),
        Verb::Enable(of) => of_rules("enable", of),
        Verb::Disable(of) => of_rules("disable", of),
        Verb::Drain(of) => of_rules("drain", of),
        Verb::Capacity { percent, hosts } => plain("capacity", hosts, Some(*percent)),
        Verb::Hold { ms, hosts } => plain("hold", hosts, Some(*ms)),
        _ => return None,
    })
}

/// Carries it out and shows the answers.
pub async fn run(out: &mut Out, connection: &Connection, wanted: Wanted) -> Result<(), Failure> {
    let answers = if connection.udp.is_some() {
        let request = datagram(&wanted)?;
        patiently("waiting for the cluster", udp::ask(connection, &wanted.hosts, request)).await?
    } else {
        patiently("waiting for the daemon", by_daemon(&Daemon::connect(connection).await?, &wanted)).await?
    };
    show(out, &CommandReply { answers })
}

async fn by_daemon(daemon: &Daemon, wanted: &Wanted) -> Result<Vec<hashgate_api::v1::HostAnswer>, Failure> {
    let all = wanted.hosts.iter().any(|it| it == "all");
    // One call for this host (""), or all; else one for each, and none of them if a name is wrong.
    let hosts = match wanted.hosts.as_slice() {
        _ if all => vec!["all".to_owned()],
        [] => vec![String::new()],
        hosts => {
            daemon.check_hosts(hosts).await?;
            hosts.to_vec()
        }
    };
    let all_rules = wanted.rules.iter().any(|it| it == "all");
    let rules = if all_rules { vec!["all".to_owned()] } else { wanted.rules.clone() };
    if !all_rules {
        daemon.check_rules(&rules).await?;
    }
    let mut answers = Vec::new();
    for host in hosts {
        let request = CommandRequest { host, verb: wanted.verb.into(), rules: rules.clone(), value: wanted.value };
        answers.extend(daemon.answer(daemon.client().command(request)).await?.answers);
    }
    Ok(answers)
}

fn datagram(wanted: &Wanted) -> Result<Request, Failure> {
    let value = wanted.value.unwrap_or(0);
    Ok(match wanted.verb {
        "query" => Request::Query { topic: 0, page: 0 },
        "start" => Request::Start,
        "stop" => Request::Stop,
        "drainstop" => Request::Drain,
        "undrain" => Request::Undrain,
        "suspend" => Request::Suspend,
        "resume" => Request::Resume,
        "enable" => Request::EnableRules(udp::rule_bits(&wanted.rules)?),
        "disable" => Request::DisableRules(udp::rule_bits(&wanted.rules)?),
        "drain" => Request::DrainRules(udp::rule_bits(&wanted.rules)?),
        "capacity" => Request::Capacity(u16::try_from(value).map_err(|_| Failure::usage("capacity is 0 to 1000"))?),
        "hold" => Request::Hold(value),
        verb => return Err(Failure::usage(format!("{verb} cannot be asked by datagrams"))),
    })
}

/// The changed configuration.
pub async fn reload(
    out: &mut Out,
    daemon: Daemon,
    connection: &Connection,
    all: bool,
    abort: bool,
) -> Result<(), Failure> {
    let daemon = if all { daemon.patient(connection, RELOAD_TIMEOUT) } else { daemon };
    let call = daemon.answer(async { daemon.client().reload(ReloadRequest { all, abort }).await });
    let reply = patiently("waiting for all members", call).await?;
    show(out, &reply)
}

fn show(out: &mut Out, reply: &CommandReply) -> Result<(), Failure> {
    if out.json {
        out.object(reply)?;
    } else {
        let mut table = Table::new(&["id", "host", "outcome", "text"]);
        for answer in &reply.answers {
            // Texts of a query may have lines; those after the first get rows of their own.
            let mut lines = answer.text.lines();
            let outcome = alarm_if(&answer.outcome, answer.outcome != "done");
            table.row(vec![number(answer.id), text(&answer.name), outcome, text(lines.next().unwrap_or(""))]);
            for line in lines {
                table.row(vec![number(""), text(""), text(""), text(line)]);
            }
        }
        if table.rows() > 0 {
            out.table(&mut table)?;
        }
    }
    out.flush()?;
    match reply.answers.iter().filter(|it| it.outcome != "done").count() {
        0 if reply.answers.is_empty() => Err(Failure::host("no host answered")),
        0 => Ok(()),
        failed => Err(Failure::host(format!("not done by {failed} of {} hosts", reply.answers.len()))),
    }
}
