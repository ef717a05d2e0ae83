// SPDX-License-Identifier: Apache-2.0
//! The way to a cluster without a daemon of one's own: control datagrams (`docs/heartbeat.md`). Bounded: in time, and in pages of answers.

use crate::cli::Connection;
use crate::connect;
use crate::failure::Failure;
use hashgate_api::v1::HostAnswer;
use hashgate_cluster::auth::{Auth, Keys};
use hashgate_cluster::control::{Answer, ControlClient, MAX_DATAGRAM, Outcome, Request};
use hashgate_cluster::message::{HostId, HostSet, MAX_HOSTS, MAX_RULES};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Datagrams are repeated after this time.
const REPEAT: Duration = Duration::from_millis(100);
/// Of the time, the part after which nobody else is expected: the others shall not wait in vain for one that is silent.
const HELLO_PART: f64 = 0.5;
/// The same if whoever is there is asked, when it always passes.
const WHOEVER_PART: f64 = 0.25;
/// Pages of an answer.
const MAX_PAGES: u8 = 16;
/// Longest key file: 128 digits and what editors add.
const MAX_KEY_FILE: u64 = 256;

/// Asks hosts (numbers, or "all") for something; the answers, and "no-answer" for those asked by number that gave none.
pub async fn ask(options: &Connection, hosts: &[String], request: Request) -> Result<Vec<HostAnswer>, Failure> {
    let (primary, port) = options.udp.ok_or_else(|| Failure::usage("--udp names no cluster"))?;
    let auth = options.password_file.as_deref().map_or(Ok(Auth::None), key)?;
    let all = hosts.iter().any(|it| it == "all");
    let asked = if all { HostSet(u32::MAX) } else { numbers(hosts)? };
    let timeout = connect::timeout(options, TIMEOUT);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .await
        .map_err(|error| Failure::host(format!("no UDP socket: {error}")))?;
    let mut exchange = Exchange { socket, to: (primary, port), auth, timeout, until: Instant::now() + timeout };
    let mut answers: BTreeMap<HostId, (Outcome, String)> = BTreeMap::new();
    let (mut left, mut request, mut silent) = (asked, request, HostSet(0));
    for page in 0..MAX_PAGES {
        if let Request::Query { page: at, .. } = &mut request {
            *at = page;
        }
        let client = exchange.run(left, all && page == 0, request).await?;
        for (host, answer) in client.answers() {
            let (outcome, text) = answers.entry(*host).or_insert((answer.outcome, String::new()));
            *outcome = answer.outcome;
            text.push_str(&answer.text);
        }
        let expected = if all && page == 0 { client.present() } else { left };
        silent.0 |= expected.iter().filter(|host| !client.answers().contains_key(host)).collect::<HostSet>().0;
        left =
            client.answers().iter().filter(|(_, answer): &(_, &Answer)| answer.more).map(|(host, _)| *host).collect();
        if left.0 == 0 {
            break;
        }
    }
    if answers.is_empty() && silent.0 == 0 {
        let text = "the address, the key, and that [control] remote is on there and no firewall is in between";
        return Err(Failure::host(format!(
            "nobody answers at {primary}:{port} within {} s: check {text}",
            timeout.as_secs_f64()
        )));
    }
    for host in silent.iter() {
        answers.insert(host, (Outcome::Unknown, String::new()));
    }
    let answer = |(host, (outcome, text)): (HostId, (Outcome, String))| {
        let (outcome, text) = match outcome {
            _ if silent.contains(host) => ("no-answer", format!("within {} s", timeout.as_secs_f64())),
            Outcome::Done => ("done", text),
            Outcome::Failed | Outcome::Stale | Outcome::Busy => ("failed", text),
            Outcome::Unsupported => ("unsupported", text),
            Outcome::Unknown => ("unknown", text),
        };
        HostAnswer { id: host.get().into(), name: String::new(), outcome: outcome.into(), text }
    };
    Ok(answers.into_iter().map(answer).collect())
}

struct Exchange {
    socket: UdpSocket,
    to: (Ipv4Addr, u16),
    auth: Auth,
    timeout: Duration,
    until: Instant,
}

impl Exchange {
    /// One request: to all that say within a part of the time that they are there, until they have answered or the time is over.
    async fn run(&mut self, hosts: HostSet, whoever: bool, request: Request) -> Result<ControlClient, Failure> {
        let bad = |error| Failure::usage(format!("this cannot be asked: {error}"));
        let mut client =
            ControlClient::new(self.to.0, self.auth.clone(), rand::random(), hosts, request).map_err(bad)?;
        let part = if whoever { WHOEVER_PART } else { HELLO_PART };
        let hello_until = self.until.min(Instant::now() + self.timeout.mul_f64(part));
        while client.present() != hosts && Instant::now() < hello_until {
            self.step(&mut client, |client| Some(client.hello()), hello_until, |client| client.present() == hosts)
                .await?;
        }
        while client.waiting().0 != 0 && Instant::now() < self.until {
            self.step(&mut client, ControlClient::request, self.until, |client| client.waiting().0 == 0).await?;
        }
        Ok(client)
    }

    /// Sends, and listens until it is time to repeat that, or `enough`.
    async fn step(
        &self,
        client: &mut ControlClient,
        what: impl Fn(&ControlClient) -> Option<Vec<u8>>,
        until: Instant,
        enough: impl Fn(&ControlClient) -> bool,
    ) -> Result<(), Failure> {
        if let Some(datagram) = what(client) {
            let (ip, port) = self.to;
            let unreachable = |error| Failure::host(format!("cannot send to {ip}:{port}: {error}"));
            self.socket.send_to(&datagram, self.to).await.map_err(unreachable)?;
        }
        let until = until.min(Instant::now() + REPEAT);
        let mut buffer = [0; MAX_DATAGRAM + 1];
        while !enough(client) {
            match timeout_at(until, self.socket.recv_from(&mut buffer)).await {
                Err(_) => break,
                // Answers come from the hosts' own addresses; what says that they are answers is the id, and the code. What is refused is
                // counted by the client; there is nothing else to do about it.
                Ok(Ok((length, _))) => drop(client.receive(&buffer[..length])),
                Ok(Err(error)) => return Err(Failure::host(format!("cannot receive: {error}"))),
            }
        }
        Ok(())
    }
}

fn numbers(hosts: &[String]) -> Result<HostSet, Failure> {
    if hosts.is_empty() {
        return Err(Failure::usage(
            "over --udp there is no host that is this one: name them, as in --host 1,3 or --host all",
        ));
    }
    let number = |text: &String| {
        let host = text.parse().ok().and_then(HostId::new);
        host.ok_or_else(|| {
            Failure::usage(format!("host \"{text}\": over --udp hosts have numbers 1 to {MAX_HOSTS}, or all"))
        })
    };
    hosts.iter().map(number).collect()
}

/// Rules by number, as bits.
pub fn rule_bits(rules: &[String]) -> Result<u128, Failure> {
    let mut bits = 0;
    for rule in rules {
        bits |= match rule.parse::<usize>() {
            _ if rule == "all" => (1 << (MAX_RULES + 1)) - 1,
            Ok(number) if number <= MAX_RULES => 1 << number,
            _ => {
                let text = "over --udp rules have numbers, from 0 in the order of the configuration";
                return Err(Failure::usage(format!(
                    "rule \"{rule}\": {text}; {MAX_RULES} is the default rule; or all"
                )));
            }
        };
    }
    Ok(bits)
}

/// The key of a file, which must be nobody else's to read.
fn key(path: &Path) -> Result<Auth, Failure> {
    let bad = |text: String| Failure::usage(format!("{}: {text}", path.display()));
    let about = std::fs::metadata(path).map_err(|error| bad(error.to_string()))?;
    if about.permissions().mode() & 0o007 != 0 {
        return Err(bad("others may use this key: chmod o= it".into()));
    }
    if about.len() > MAX_KEY_FILE {
        return Err(bad("too long: a key has 32 to 128 hexadecimal digits".into()));
    }
    let digits = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let digits = digits.trim().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let hexadecimal = digits.iter().all(u8::is_ascii_hexdigit) && digits.len().is_multiple_of(2);
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    let bytes = bytes
        .filter(|_| hexadecimal)
        .ok_or_else(|| bad("a key has 32 to 128 hexadecimal digits, two for each byte".into()))?;
    Keys::new(1, [(1, bytes.as_slice())]).map(Auth::Keys).map_err(|error| bad(error.to_string()))
}
