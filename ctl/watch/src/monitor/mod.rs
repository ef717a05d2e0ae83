// SPDX-License-Identifier: Apache-2.0
//! Application monitors (requirement N16): checks on a schedule that take a rule out when the application behind it fails, and bring it back.
//!
//! One task for each monitor; a check is over before the next one begins. Of several monitors of a rule the strictest counts: it is enabled when all want it to be. A daemon that begins takes its rules for enabled and
//! says nothing until a monitor wants something else, so a person's own `drain` is not undone by a healthy application; it is by one that failed and recovered.

mod check;
mod judge;

pub use check::Check;
pub use judge::{Judge, Outcome};

use crate::BoxFuture;
use hashgate_config::daemon;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Shortest time between two checks; shorter ones become this.
pub const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// For the daemon to do what a monitor wants.
const ACT: Duration = Duration::from_secs(10);

/// What is done to a rule at this member, in the order of strictness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// New and old sessions.
    #[default]
    Enable,
    /// Old sessions only.
    Drain,
    /// None.
    Disable,
}

impl Verb {
    /// As in `CommandRequest.verb` of the API.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Enable => "enable",
            Verb::Drain => "drain",
            Verb::Disable => "disable",
        }
    }
}

/// What a failure leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Old sessions go on.
    Drain,
    /// Nothing goes on.
    Disable,
}

/// A monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorConfig {
    /// Name of its rule.
    pub rule: String,
    /// What it looks at.
    pub check: Check,
    /// Between the beginnings of two checks; a check that takes longer leaves the next ones out.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
    /// Good checks in a row that bring the rule back.
    pub rise: u32,
    /// Bad checks in a row that take it out.
    pub fall: u32,
    /// How.
    pub on_failure: OnFailure,
}

impl MonitorConfig {
    /// A monitor of the configuration. `own` is the first dedicated address of this host, which addresses without a host mean; without one it is 127.0.0.1.
    pub fn new(monitor: &daemon::Monitor, own: Option<IpAddr>) -> MonitorConfig {
        let own = own.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let at = |addr: SocketAddr| if addr.ip().is_unspecified() { SocketAddr::new(own, addr.port()) } else { addr };
        MonitorConfig {
            rule: monitor.rule.clone(),
            check: match &monitor.check {
                daemon::Check::Tcp(addr) => Check::Tcp { addr: at(*addr) },
                daemon::Check::Http { addr, path, expect } => {
                    Check::Http { addr: at(*addr), path: path.clone(), expect: *expect }
                }
                daemon::Check::Command(argv) => Check::Command { argv: argv.clone() },
            },
            interval: monitor.interval,
            timeout: monitor.timeout,
            rise: monitor.rise,
            fall: monitor.fall,
            on_failure: if monitor.disable { OnFailure::Disable } else { OnFailure::Drain },
        }
    }
}

/// A monitor, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorStatus {
    /// Name of its rule.
    pub rule: String,
    /// What it looks at, in words.
    pub check: String,
    /// What it wants of its rule.
    pub wants: Verb,
    /// Result of the last check; `None`: there was none.
    pub last: Option<Outcome>,
    /// The same in words, with the first 200 bytes of a command's output.
    pub text: String,
    /// How long it took.
    pub took: Duration,
    /// Checks done.
    pub checks: u64,
}

/// Something that is worth an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Name of the rule.
    pub rule: String,
    /// What is wanted of it.
    pub wants: Verb,
    /// What happened, in words.
    pub text: String,
    /// The daemon did not do what is wanted; it is tried again after the next check.
    pub failed: bool,
}

/// What the daemon was told of each rule, for monitors that take over ([`Monitors::stop`], [`Monitors::start`]).
#[derive(Clone, Debug, Default)]
pub struct Told(BTreeMap<String, Last>);

#[derive(Clone, Copy, Debug, Default)]
struct Last {
    verb: Verb,
    /// It is not known to be done.
    open: bool,
    /// That it failed has been reported.
    failed: bool,
}

type Act = dyn Fn(String, Verb) -> BoxFuture<Result<(), String>> + Send + Sync;
type Probe = dyn Fn(MonitorConfig) -> BoxFuture<(Outcome, String)> + Send + Sync;

/// Running monitors. Dropping them ends them, with the commands that run.
pub struct Monitors {
    board: Arc<Board>,
    tasks: JoinSet<()>,
}

struct Board {
    statuses: Mutex<Vec<MonitorStatus>>,
    /// Held while the daemon acts: one thing at a time.
    told: tokio::sync::Mutex<Told>,
    act: Box<Act>,
    report: Box<dyn Fn(Report) + Send + Sync>,
}

impl Monitors {
    /// Starts them; each begins at a random time within its interval. To be called in a tokio runtime.
    ///
    /// `host` is the name of this member. `told` is what [`Monitors::stop`] of the former ones returned, or the default: a rule that they took out stays so until its new monitors have seen it rise, and is enabled if none of them is left.
    /// `act` does something to a rule at this member; it has ten seconds, and is asked again after the next check if it fails. `report` must not block.
    pub fn start(
        configs: Vec<MonitorConfig>,
        host: &str,
        told: Told,
        act: impl Fn(String, Verb) -> BoxFuture<Result<(), String>> + Send + Sync + 'static,
        report: impl Fn(Report) + Send + Sync + 'static,
    ) -> Monitors {
        let host: Arc<str> = host.into();
        let probe = move |config: MonitorConfig| -> BoxFuture<(Outcome, String)> {
            let host = host.clone();
            Box::pin(async move { check::check(&config.check, &config.rule, &host, config.timeout).await })
        };
        Monitors::with_probe(configs, told, Box::new(act), Box::new(report), Arc::new(probe))
    }

    fn with_probe(
        configs: Vec<MonitorConfig>,
        told: Told,
        act: Box<Act>,
        report: Box<dyn Fn(Report) + Send + Sync>,
        probe: Arc<Probe>,
    ) -> Monitors {
        let wants = |rule: &str| told.0.get(rule).map_or(Verb::Enable, |last| last.verb);
        let status = |config: &MonitorConfig| MonitorStatus {
            rule: config.rule.clone(),
            check: config.check.to_string(),
            wants: wants(&config.rule),
            last: None,
            text: String::new(),
            took: Duration::ZERO,
            checks: 0,
        };
        let statuses: Vec<MonitorStatus> = configs.iter().map(status).collect();
        let watched = |rule: &String| configs.iter().any(|config| config.rule == *rule);
        let abandoned: Vec<String> = told.0.keys().filter(|rule| !watched(rule)).cloned().collect();
        let judges: Vec<Judge> =
            configs.iter().map(|it| Judge::new(it.rise, it.fall, it.on_failure, wants(&it.rule))).collect();
        let told = tokio::sync::Mutex::new(told);
        let board = Arc::new(Board { statuses: Mutex::new(statuses), told, act, report });
        let mut tasks = JoinSet::new();
        for (index, (config, judge)) in configs.into_iter().zip(judges).enumerate() {
            tasks.spawn(watch(index, config, judge, board.clone(), probe.clone()));
        }
        if !abandoned.is_empty() {
            let board = board.clone();
            tasks.spawn(async move {
                for rule in abandoned {
                    board.settle(&rule).await;
                    board.told.lock().await.0.remove(&rule);
                }
            });
        }
        Monitors { board, tasks }
    }

    /// All of them with their last results, in the order of the configuration.
    pub fn statuses(&self) -> Vec<MonitorStatus> {
        self.board.statuses().clone()
    }

    /// Ends them, and kills commands that run. What they did to rules stays.
    pub async fn stop(mut self) -> Told {
        self.tasks.shutdown().await;
        self.board.told.lock().await.clone()
    }
}

impl Board {
    fn statuses(&self) -> std::sync::MutexGuard<'_, Vec<MonitorStatus>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the daemon do what the monitors of a rule want, unless it is done.
    async fn settle(&self, rule: &str) {
        let mut told = self.told.lock().await;
        let wants = self.statuses().iter().filter(|it| it.rule == rule).map(|it| it.wants).max().unwrap_or_default();
        let last = told.0.get(rule).copied().unwrap_or_default();
        if last.verb == wants && !last.open {
            return;
        }
        // Open before it is tried: this may be ended in between, and then nobody knows whether it was done.
        told.0.insert(rule.to_owned(), Last { verb: wants, open: true, failed: last.failed });
        let done = match timeout(ACT, (self.act)(rule.to_owned(), wants)).await {
            Ok(done) => done,
            Err(_) => Err(format!("not done within {} s", ACT.as_secs())),
        };
        told.0.insert(rule.to_owned(), Last { verb: wants, open: done.is_err(), failed: done.is_err() });
        if let (Err(error), false) = (done, last.failed) {
            let text = format!("rule {rule}: {} failed: {error}", wants.name());
            (self.report)(Report { rule: rule.to_owned(), wants, text, failed: true });
        }
    }
}

async fn watch(index: usize, config: MonitorConfig, mut judge: Judge, board: Arc<Board>, probe: Arc<Probe>) {
    let interval = config.interval.max(SHORTEST_INTERVAL);
    let mut next = Instant::now() + interval.mul_f64(rand::random_range(0.0..1.0));
    loop {
        sleep_until(next).await;
        let began = Instant::now();
        let (outcome, text) = probe(config.clone()).await;
        let took = began.elapsed();
        // On the schedule whatever a check takes: an application that hangs is not checked all the time.
        let missed = (next.elapsed().as_nanos() / interval.as_nanos()).try_into().unwrap_or(u32::MAX - 1);
        next += interval * (missed + 1);
        let before = judge.wants();
        let wants = judge.take(outcome);
        if wants != before {
            let text = format!("rule {}: {} by {}: {text}", config.rule, wants.name(), config.check);
            (board.report)(Report { rule: config.rule.clone(), wants, text, failed: false });
        }
        {
            let mut statuses = board.statuses();
            let status = &mut statuses[index];
            (status.wants, status.last, status.text, status.took) = (wants, Some(outcome), text, took);
            status.checks += 1;
        }
        board.settle(&config.rule).await;
    }
}

#[cfg(test)]
mod tests;
