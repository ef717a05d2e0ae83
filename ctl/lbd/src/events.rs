// SPDX-License-Identifier: Apache-2.0
//! What happened, for people and programs: kept, logged, and told to whoever follows.

use hashgate_api::v1;
use hashgate_cluster::api::{Exclusion, Log};
use hashgate_cluster::message::{HostId, HostSet};
use hashgate_config::Config;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast;

/// Events that are kept.
const KEPT: usize = 1024;

/// All events of this daemon.
#[derive(Clone)]
pub struct Events {
    kept: Arc<Mutex<VecDeque<v1::Event>>>,
    tell: broadcast::Sender<v1::Event>,
}

impl Default for Events {
    fn default() -> Events {
        Events { kept: Arc::default(), tell: broadcast::Sender::new(KEPT) }
    }
}

impl Events {
    /// Adds one.
    pub fn add(&self, host: &str, epoch: u64, kind: &str, severity: &str, text: String) {
        match severity {
            "error" => tracing::error!(epoch, kind, "{text}"),
            "warning" => tracing::warn!(epoch, kind, "{text}"),
            _ => tracing::info!(epoch, kind, "{text}"),
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = kept.back().map_or(1, |last| last.number + 1);
        let (host, kind, severity) = (host.to_owned(), kind.to_owned(), severity.to_owned());
        let event = v1::Event { number, time: wall_ns(), host, epoch, kind, text, severity };
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        // Nobody may follow.
        let _ = self.tell.send(event);
    }

    /// The last `count` events (0: all that are kept), and those to come.
    pub fn follow(&self, count: usize) -> (Vec<v1::Event>, broadcast::Receiver<v1::Event>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = if count == 0 { 0 } else { kept.len().saturating_sub(count) };
        (kept.iter().skip(skip).cloned().collect(), self.tell.subscribe())
    }
}

/// Nanoseconds since 1970.
pub fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Name of a host, with its number.
pub fn host_name(config: &Config, host: HostId) -> String {
    match config.hosts.iter().find(|known| known.priority == host.get()) {
        Some(known) => known.name.clone(),
        None => format!("host {} (not in the configuration)", host.get()),
    }
}

/// Names of hosts.
pub fn host_names(config: &Config, hosts: HostSet) -> String {
    let names: Vec<String> = hosts.iter().map(|host| host_name(config, host)).collect();
    if names.is_empty() { "nobody".into() } else { names.join(", ") }
}

/// Why somebody is left out, in words; `own`: the digest of the rules here.
pub fn exclusion(config: &Config, cause: Exclusion) -> String {
    match cause {
        Exclusion::OneWay(host) => format!("it and {} do not hear each other", host_name(config, host)),
        Exclusion::RuleSet { theirs } => {
            format!("its rules differ (digest {theirs:016x}): compare the configuration files")
        }
        Exclusion::DuplicateHost => "another host has its priority: give every host its own".into(),
        Exclusion::HeldDown => "it joined and left too often, so it has to wait".into(),
        Exclusion::Suspended => "it is stopped or suspended".into(),
    }
}

/// Kind, severity and text of what the protocol reports.
pub fn describe(config: &Config, log: &Log) -> (&'static str, &'static str, String) {
    let name = |host: &HostId| host_name(config, *host);
    match log {
        Log::PeerHeard(host) => ("peer-heard", "info", format!("{} is heard", name(host))),
        Log::PeerLost(host) => ("peer-lost", "warning", format!("{} has been silent for too long", name(host))),
        Log::PeerExcluded { host, cause } => {
            ("peer-excluded", "warning", format!("{} is left out: {}", name(host), exclusion(config, *cause)))
        }
        Log::Excluded(cause) => ("excluded", "error", format!("this host is left out: {}", exclusion(config, *cause))),
        Log::View(view) => ("view", "info", format!("members are {}", host_names(config, *view))),
        Log::Proposed { epoch, proposal } => {
            ("proposed", "info", format!("epoch {epoch} is proposed ({proposal:016x})"))
        }
        Log::Committed { epoch, owned, moved } => {
            ("committed", "info", format!("epoch {epoch}: {owned} buckets are this host's, {moved} have moved"))
        }
        Log::Stable { epoch } => ("stable", "info", format!("all members have committed epoch {epoch}")),
        Log::DefaultHost(host) => {
            let name = host.as_ref().map_or("nobody".into(), name);
            ("default-host", "info", format!("the default host is {name}"))
        }
        Log::Healed { lost } => {
            ("healed", "warning", format!("two parts of the cluster have met; this one gave up rules {lost:#x}"))
        }
        Log::Link(true) => ("link", "info", "the wire port has a link again".into()),
        Log::Link(false) => {
            ("link", "error", "the wire port has no link: nobody is heard, and this host takes no VIP traffic".into())
        }
        Log::LeaseExpired => ("lease-expired", "error", "the lease has ended: this host takes no VIP traffic".into()),
        Log::StageRefused { digest } => (
            "stage-refused",
            "warning",
            format!(
                "rules with digest {digest:016x} were not staged: others are being activated, or they are not sound"
            ),
        ),
        Log::NoQuorum(view) => (
            "no-quorum",
            "error",
            format!("{} are too few for the quorum: nobody is served here", host_names(config, *view)),
        ),
    }
}
