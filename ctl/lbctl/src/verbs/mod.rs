// SPDX-License-Identifier: Apache-2.0
//! What is done about each verb.

pub mod bindings;
pub mod command;
pub mod counters;
pub mod events;
pub mod explain;
pub mod ip2mac;
pub mod local;
pub mod map;
pub mod rules;
pub mod status;
pub mod top;

use crate::cli::{Cli, MapVerb, NicVerb, Verb};
use crate::connect::{self, Daemon};
use crate::failure::Failure;
use crate::show::Out;

/// Does what the command line says.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { connection, json, verb } = cli;
    connect::check(&connection)?;
    let mut out = Out::new(json);
    if let Some(wanted) = command::wanted(&verb) {
        command::run(&mut out, &connection, wanted).await?;
        return out.flush();
    }
    let out = &mut out;
    let daemon = || Daemon::connect(&connection);
    match verb {
        Verb::Schema { verb } => local::schema(out, &verb)?,
        Verb::Completions { shell } => local::completions(out, shell)?,
        Verb::Man { dir } => local::man(&dir)?,
        Verb::Ip2mac { ip: Some(ip) } => ip2mac::run(out, ip, None)?,
        Verb::Ip2mac { ip: None } => ip2mac::of_cluster(out, &daemon().await?).await?,
        Verb::Reload { host, abort } => {
            let daemon = daemon().await?;
            command::reload(out, daemon, &connection, host.is_some(), abort).await?;
        }
        Verb::Status => status::status(out, &daemon().await?).await?,
        Verb::Params => status::params(out, &daemon().await?).await?,
        Verb::Nic(NicVerb::Info) => status::nic_info(out, &daemon().await?).await?,
        Verb::Occupancy => status::occupancy(out, &daemon().await?).await?,
        Verb::Top => top::run(out, &daemon().await?).await?,
        Verb::Rules => rules::rules(out, &daemon().await?).await?,
        Verb::Targets => rules::targets(out, &daemon().await?).await?,
        Verb::Queryport { port: (port, protocol), vip } => {
            rules::queryport(out, &daemon().await?, &rules::Wanted { port, protocol, vip }).await?;
        }
        Verb::Map(MapVerb::Show { rule, owners }) => map::show(out, &daemon().await?, rule, owners).await?,
        Verb::Bindings(verb) => bindings::run(out, verb, &connection).await?,
        Verb::Counters { watch, all } => counters::run(out, &daemon().await?, watch, all).await?,
        Verb::Events { last, follow } => events::run(out, &daemon().await?, last, follow).await?,
        Verb::Explain { source, destination, protocol, syn } => {
            let request = explain::request(&source, &destination, &protocol, syn)?;
            explain::run(out, &daemon().await?, request).await?;
        }
        _ => unreachable!("all others are commands"),
    }
    out.flush()
}
