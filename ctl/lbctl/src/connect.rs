// SPDX-License-Identifier: Apache-2.0
//! The way to a daemon: gRPC over its Unix socket, or over TCP with mutual TLS. Nothing waits for ever.

use crate::cli::Connection;
use crate::failure::Failure;
use hashgate_api::v1::hashgate_client::HashgateClient;
use hashgate_api::v1::{RulesRequest, StatusRequest, TargetsRequest};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic::{Response, Status, Streaming};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest PEM file.
const MAX_PEM: u64 = 1 << 20;

/// A daemon that was reached.
#[derive(Debug)]
pub struct Daemon {
    client: HashgateClient<Channel>,
    timeout: Duration,
}

/// Options that do not go together, told before anything is done.
pub fn check(options: &Connection) -> Result<(), Failure> {
    let tls = [&options.ca, &options.cert, &options.key];
    match (&options.remote, options.udp) {
        (Some(_), Some(_)) => Err(Failure::usage("--remote and --udp are two ways to a cluster: choose one")),
        (Some(_), None) if tls.iter().any(|it| it.is_none()) => {
            Err(Failure::usage("--remote needs --ca, --cert and --key: the daemon takes known certificates only"))
        }
        (None, _) if tls.iter().any(|it| it.is_some()) => {
            Err(Failure::usage("--ca, --cert and --key are for --remote"))
        }
        (_, None) if options.password_file.is_some() => Err(Failure::usage("--password-file is for --udp")),
        _ => Ok(()),
    }
}

/// How long to wait for an answer.
pub fn timeout(options: &Connection, default: Duration) -> Duration {
    options.timeout.map_or(default, Duration::from_secs_f64)
}

impl Daemon {
    /// Reaches the daemon that the options name.
    pub async fn connect(options: &Connection) -> Result<Daemon, Failure> {
        if options.udp.is_some() {
            let text = "this verb needs the daemon itself: over --udp there are query, start, stop, drainstop, suspend, resume, enable, disable, drain, capacity and hold";
            return Err(Failure::usage(text));
        }
        let timeout = timeout(options, TIMEOUT);
        let default = || Path::new(hashgate_api::RUN_DIR).join(hashgate_api::SOCKET);
        let (connected, place) = match &options.remote {
            Some(url) => (tokio::time::timeout(timeout, remote(url, options)?.connect()).await, url.clone()),
            None => {
                let path = options.socket.clone().unwrap_or_else(default);
                let place = path.display().to_string();
                (tokio::time::timeout(timeout, local(path)).await, place)
            }
        };
        match connected {
            Ok(Ok(channel)) => Ok(Daemon { client: HashgateClient::new(channel), timeout }),
            Ok(Err(error)) => Err(absent(&place, options.remote.is_some(), &error)),
            Err(_) => Err(Failure::no_daemon(format!("{place} took no connection within {} s", timeout.as_secs_f64()))),
        }
    }

    /// The same, with another time for answers unless the user gave one.
    pub fn patient(mut self, options: &Connection, default: Duration) -> Daemon {
        self.timeout = timeout(options, default);
        self
    }

    /// For one call.
    pub fn client(&self) -> HashgateClient<Channel> {
        self.client.clone()
    }

    /// The answer of a call, in time.
    pub async fn answer<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Failure::status(&status)),
            Err(_) => Err(self.late()),
        }
    }

    /// The next message of a stream, in time; `None` at its end.
    pub async fn next<T>(&self, stream: &mut Streaming<T>) -> Result<Option<T>, Failure> {
        match tokio::time::timeout(self.timeout, stream.message()).await {
            Ok(message) => message.map_err(|status| Failure::status(&status)),
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> Failure {
        let seconds = self.timeout.as_secs_f64();
        Failure::host(format!(
            "the daemon did not answer within {seconds} s: see its log, or wait longer with --timeout"
        ))
    }

    /// Refuses names that are no rules.
    pub async fn check_rules<'a>(&self, rules: impl IntoIterator<Item = &'a String>) -> Result<(), Failure> {
        let rules: Vec<_> = rules.into_iter().collect();
        if rules.is_empty() {
            return Ok(());
        }
        let known = self.answer(self.client().rules(RulesRequest {})).await?.rules;
        let known: Vec<String> = known.into_iter().map(|it| it.name).chain(["default".into()]).collect();
        rules.iter().try_for_each(|rule| check_name("rule", rule, &known))
    }

    /// Refuses names that are no hosts, and numbers that no host has.
    pub async fn check_hosts(&self, hosts: &[String]) -> Result<(), Failure> {
        if hosts.is_empty() {
            return Ok(());
        }
        let members = self.answer(self.client().status(StatusRequest {})).await?.members;
        let ids: Vec<String> = members.iter().map(|it| it.id.to_string()).collect();
        let names: Vec<String> = members.into_iter().map(|it| it.name).filter(|it| !it.is_empty()).collect();
        hosts.iter().filter(|host| !ids.contains(host)).try_for_each(|host| check_name("host", host, &names))
    }

    /// Refuses a name that is no target.
    pub async fn check_target(&self, target: &str) -> Result<(), Failure> {
        let known = self.answer(self.client().targets(TargetsRequest {})).await?.targets;
        let known: Vec<String> = known.into_iter().map(|it| it.name).collect();
        check_name("target", target, &known)
    }
}

/// Refuses a name that is not known, and says which one may have been meant.
fn check_name(what: &str, name: &str, known: &[String]) -> Result<(), Failure> {
    if known.iter().any(|it| it == name) {
        return Ok(());
    }
    let like = known
        .iter()
        .map(|it| (strsim::normalized_damerau_levenshtein(it, name), it))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match like {
        Some((likeness, it)) if likeness > 0.6 => format!("did you mean \"{it}\"?"),
        Some(_) => format!("there are {}", known.join(", ")),
        None => "there are none".into(),
    };
    Err(Failure::usage(format!("there is no {what} \"{name}\": {hint}")))
}

async fn local(path: PathBuf) -> Result<Channel, tonic::transport::Error> {
    // The address is not used, but has to be one.
    let endpoint = Endpoint::from_static("http://daemon");
    let connect = move |_: Uri| {
        let path = path.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(tokio::net::UnixStream::connect(path).await?)) }
    };
    endpoint.connect_with_connector(tower::service_fn(connect)).await
}

fn remote(url: &str, options: &Connection) -> Result<Endpoint, Failure> {
    if !url.starts_with("https://") {
        return Err(Failure::usage(format!("--remote {url} is not secured: write https://HOST:PORT")));
    }
    let read = |path: &Option<PathBuf>| pem(path.as_deref().unwrap_or(Path::new("")));
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&options.ca)?))
        .identity(Identity::from_pem(read(&options.cert)?, read(&options.key)?));
    let endpoint = Endpoint::from_shared(url.to_owned()).and_then(|it| it.tls_config(tls));
    endpoint.map_err(|error| Failure::usage(format!("--remote {url} cannot be used: {}", causes(&error))))
}

fn pem(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = std::fs::metadata(path).and_then(|it| match it.len() {
        0..=MAX_PEM => std::fs::read(path),
        _ => Err(io::Error::other("longer than 1 MiB: that is no certificate")),
    });
    read.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Why nobody was reached, and what to do.
fn absent(place: &str, remote: bool, error: &tonic::transport::Error) -> Failure {
    let cause = causes(error);
    if remote {
        let text = "look whether it runs there, and has this address as [control] grpc in its configuration";
        return Failure::no_daemon(format!("no daemon at {place} ({cause}): {text}"));
    }
    let io = chain(error).filter_map(|it| it.downcast_ref::<io::Error>()).last();
    if io.is_some_and(|it| it.kind() == io::ErrorKind::PermissionDenied) {
        return Failure::no_daemon(format!("no access to {place}: be root, or a member of the group of this socket"));
    }
    let text = "start it by `systemctl start lbd` or `lbd --config FILE`, or name its socket with --socket";
    Failure::no_daemon(format!("no daemon at {place} ({cause}): {text}"))
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |it: &&'a (dyn Error + 'static)| (*it).source())
}

/// The innermost cause: the outer ones say "transport error".
fn causes(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map_or_else(String::new, ToString::to_string)
}
