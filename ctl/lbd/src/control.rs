// SPDX-License-Identifier: Apache-2.0
//! Commands for hosts: those of this one, and by control datagrams (UDP 2504) from and to others.

use crate::clock::machine_ns;
use crate::core::CoreHandle;
use crate::reload::Reloader;
use crate::status::phase_name;
use anyhow::{Context, Result};
use hashgate_api::v1;
use hashgate_cluster::api::{ALL_RULES, Command};
use hashgate_cluster::auth::{Auth, Keys};
use hashgate_cluster::control::{ControlClient, ControlServer, MAX_DATAGRAM, Outcome, PORT, Received, Request};
use hashgate_cluster::frame::Refusals;
use hashgate_cluster::message::{HostId, HostSet};
use hashgate_config::Config;
use hashgate_config::daemon::read_key;
use socket2::SockRef;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks whether the daemon ends.
const LOOK: Duration = Duration::from_millis(200);
/// Between two sendings of the same datagram.
const AGAIN: Duration = Duration::from_millis(100);
/// Longest announced absence that the protocol takes, an hour.
const LONGEST_HOLD_MS: u32 = 3_600_000;
/// For the answers of others.
const PATIENCE: Duration = Duration::from_secs(2);

/// The key of control datagrams, which has the number 1.
pub fn auth(path: &Path) -> Result<Auth> {
    let key = read_key(path).map_err(|text| anyhow::anyhow!(text))?;
    Ok(Auth::Keys(Keys::new(1, [(1, &key[..])])?))
}

/// Rules by name as bits; "all" for all of them.
pub fn rule_bits(config: &Config, names: &[String]) -> Result<u128, String> {
    if names.is_empty() {
        return Err("no rule is named: name one, or \"all\"".into());
    }
    names.iter().try_fold(0, |bits, name| match name.as_str() {
        "all" => Ok(bits | ALL_RULES),
        "default" => Ok(bits | 1 << hashgate_cluster::message::MAX_RULES),
        name => match config.rules.iter().position(|rule| rule.name == name) {
            Some(place) => Ok(bits | 1 << place),
            None => {
                let known = config.rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>().join(", ");
                Err(format!("there is no rule \"{name}\" (known: {known}, default, all)"))
            }
        },
    })
}

/// A verb as a request.
pub fn request(from: &v1::CommandRequest, config: &Config) -> Result<Request, String> {
    let value = |limit: u32| match from.value {
        Some(value) if value <= limit => Ok(value),
        Some(value) => Err(format!("{} {value} is out of range: 0..{limit}", from.verb)),
        None => Err(format!("{} needs a value: 0..{limit}", from.verb)),
    };
    let rules = || rule_bits(config, &from.rules);
    Ok(match from.verb.as_str() {
        "query" => Request::Query { topic: 0, page: 0 },
        "start" => Request::Start,
        "stop" => Request::Stop,
        "drainstop" => Request::Drain,
        "undrain" => Request::Undrain,
        "suspend" => Request::Suspend,
        "resume" => Request::Resume,
        "enable" => Request::EnableRules(rules()?),
        "disable" => Request::DisableRules(rules()?),
        "drain" => Request::DrainRules(rules()?),
        "capacity" => Request::Capacity(value(1000)? as u16),
        "hold" => Request::Hold(value(LONGEST_HOLD_MS)?),
        verb => {
            return Err(format!(
                "there is no verb \"{verb}\": query, start, stop, drainstop, undrain, suspend, resume, enable, disable, drain, capacity, hold"
            ));
        }
    })
}

/// Carries a request out on this host.
pub fn execute(core: &CoreHandle, reloader: &Reloader, request: Request) -> (Outcome, String) {
    let gone = || (Outcome::Failed, "the daemon ends".to_owned());
    match request {
        Request::Query { .. } => core
            .blocking_call(|core| {
                let status = core.cluster().status();
                let epoch = status.committed.map_or(0, |it| it.epoch);
                let lease = if status.lease.is_some() { "serves" } else { "takes no VIP traffic" };
                let view = crate::events::host_names(core.config(), status.view);
                let text = format!("{} epoch {epoch}, {lease}, view: {view}", phase_name(status.phase));
                (Outcome::Done, text)
            })
            .unwrap_or_else(gone),
        Request::Stage(digest) => match reloader.stage(Some(digest).filter(|digest| *digest != 0)) {
            Ok(text) => (Outcome::Done, text),
            Err(text) => (Outcome::Failed, text),
        },
        request => match request.command() {
            Some(command) => {
                let text = done_text(&command);
                core.blocking_call(move |core| {
                    core.log("command", "info", text.clone());
                    core.command(command);
                    (Outcome::Done, text)
                })
                .unwrap_or_else(gone)
            }
            None => (Outcome::Unsupported, "this version does not know the command".into()),
        },
    }
}

fn done_text(command: &Command) -> String {
    match command {
        Command::Start => "takes part".into(),
        Command::Stop => "has left".into(),
        Command::Drain => "takes no new sessions, and stops when the last one has ended".into(),
        Command::Undrain => "takes new sessions again".into(),
        Command::Suspend => "is suspended until resume".into(),
        Command::Resume => "may start again".into(),
        Command::EnableRules(_) => "rules are enabled".into(),
        Command::DrainRules(_) => "rules take no new sessions".into(),
        Command::DisableRules(_) => "rules take no packets".into(),
        Command::Capacity(percent) => format!("capacity is {percent} %"),
        Command::Stage(_) | Command::Activate => "activates the staged rules as soon as all have them".into(),
        Command::AbortStage => "staged rules are forgotten".into(),
        Command::Hold(ms) => format!("others wait {ms} ms for it"),
    }
}

/// What others sent and was refused.
pub type Refused = Arc<Mutex<Refusals>>;

/// Takes control datagrams until `stop`: at the primary IP, and as broadcasts of other members.
///
/// # Errors
/// If the port is in use, or the key cannot be read.
pub fn listen(
    config: &Config,
    host: HostId,
    incarnation: u64,
    core: CoreHandle,
    reloader: Reloader,
    refused: Refused,
    stop: Arc<AtomicBool>,
) -> Result<Vec<JoinHandle<()>>> {
    let Some(key) = &config.daemon.control_key else { return Ok(Vec::new()) };
    let server = ControlServer::new(config.primary_ip, auth(key)?, host, incarnation, true);
    let server = Arc::new(Mutex::new(server));
    // Answers go out by the address that was asked.
    [config.primary_ip, Ipv4Addr::BROADCAST]
        .into_iter()
        .map(|addr| {
            let at = SocketAddr::from((addr, PORT));
            let socket =
                UdpSocket::bind(at).with_context(|| format!("control at UDP {at}: is another lbd running?"))?;
            socket.set_read_timeout(Some(LOOK))?;
            let (server, core, reloader) = (server.clone(), core.clone(), reloader.clone());
            let (refused, stop) = (refused.clone(), stop.clone());
            let work = move || serve(&socket, &server, &core, &reloader, &refused, &stop);
            Ok(std::thread::Builder::new().name("control".into()).spawn(work)?)
        })
        .collect()
}

fn serve(
    socket: &UdpSocket,
    server: &Mutex<ControlServer>,
    core: &CoreHandle,
    reloader: &Reloader,
    refused: &Mutex<Refusals>,
    stop: &AtomicBool,
) {
    let lock = || server.lock().unwrap_or_else(PoisonError::into_inner);
    let mut buffer = vec![0; MAX_DATAGRAM + 1];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let received = lock().receive(machine_ns(), &buffer[..length]);
        let reply = match received {
            Ok(Received::Reply(reply)) => Some(reply),
            Ok(Received::Execute(ticket, request)) => {
                let (outcome, text) = execute(core, reloader, request);
                lock().answer(ticket, outcome, &text, false)
            }
            Ok(Received::Pending) => None,
            Err(refusal) => {
                refused.lock().unwrap_or_else(PoisonError::into_inner).add(refusal);
                None
            }
        };
        if let Some(reply) = reply {
            // Who asks and does not get it asks again.
            let _ = socket.send_to(&reply, from);
        }
    }
}

/// Asks other hosts, by broadcast on the network of the TAP device. Gives answers by host; hosts that do not answer are missing.
///
/// # Errors
/// One line if there is no way to ask.
pub fn ask(config: &Config, tap: &str, hosts: HostSet, request: Request) -> Result<Vec<(HostId, Outcome, String)>> {
    let key = config.daemon.control_key.as_ref().context(
        "remote control is off, so other hosts cannot be asked: set remote = true and key_file in [control] on all of them",
    )?;
    let mut client = ControlClient::new(config.primary_ip, auth(key)?, rand::random(), hosts, request)?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_broadcast(true)?;
    SockRef::from(&socket).bind_device(Some(tap.as_bytes())).context("binding to the TAP device")?;
    socket.set_read_timeout(Some(AGAIN))?;
    let end = Instant::now() + PATIENCE;
    let mut buffer = vec![0; MAX_DATAGRAM + 1];
    let mut send_at = Instant::now();
    while Instant::now() < end && (client.present() != hosts || !client.waiting().is_empty()) {
        if Instant::now() >= send_at {
            send_at = Instant::now() + AGAIN;
            let mut datagrams = Vec::new();
            if client.present() != hosts {
                datagrams.push(client.hello());
            }
            datagrams.extend(client.request());
            for datagram in datagrams {
                socket.send_to(&datagram, (Ipv4Addr::BROADCAST, PORT)).context("sending to the other hosts")?;
            }
        }
        if let Ok((length, _)) = socket.recv_from(&mut buffer) {
            let before = client.present();
            // What is no answer to this is ignored.
            if client.receive(&buffer[..length]).is_ok() && client.present() != before {
                send_at = Instant::now();
            }
        }
    }
    Ok(client.answers().iter().map(|(host, answer)| (*host, answer.outcome, answer.text.clone())).collect())
}
