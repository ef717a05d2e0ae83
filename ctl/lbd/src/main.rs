// SPDX-License-Identifier: Apache-2.0
//! `lbd`: the daemon of a member. It drives the NIC by the host path ([`setup`]), runs the cluster protocol on it ([`core`], [`worker`]) and serves people and programs
//! ([`service`], [`control`]).
//!
//! Exit codes: 0, ended by SIGTERM or SIGINT; 1, it could not go on; 2, it could not start, and nothing was left behind; 3, the NIC is gone.
#![forbid(unsafe_code)]

mod bell;
mod clock;
mod control;
mod core;
mod dataplane;
mod events;
mod explain;
mod filter;
mod keys;
mod occupancy;
mod reload;
mod report;
mod serve;
mod service;
mod setup;
mod status;
mod worker;

use crate::bell::Bell;
use crate::core::{Core, Parts};
use crate::dataplane::Dataplane;
use crate::setup::Places;
use crate::worker::Worker;
use anyhow::{Context, Result, anyhow};
use clap::Parser;
use hashgate_api::RUN_DIR;
use hashgate_cluster::message::HostId;
use hashgate_config::{Config, Host};
use hashgate_regs::Registers;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The daemon of a member of a Hashgate cluster: drives its NIC, agrees with the other members, and is controlled by lbctl.
///
/// SIGHUP takes a changed configuration file, whole or not at all. SIGTERM leaves the cluster; after `lbctl hold` it ends for a restart, and the NIC goes on meanwhile.
#[derive(Parser, Debug)]
#[command(version, about)]
struct Cli {
    /// The configuration of the cluster, the same on all hosts.
    #[arg(long, value_name = "FILE", default_value = "/etc/hashgate/cluster.toml")]
    config: PathBuf,
    /// Which of its hosts this is [default: the one with the machine's host name].
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Directory of sockets and of what the next daemon has to know.
    #[arg(long, value_name = "PATH", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// Only checks the configuration.
    #[arg(long)]
    check_config: bool,
    /// Becomes the host path of this host instead: for a service of its own.
    #[arg(long)]
    exec_host_path: bool,
    /// Logs JSON, an object a line.
    #[arg(long)]
    json_log: bool,
}

/// Why it ended, with the exit code.
struct Failure {
    code: u8,
    error: anyhow::Error,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, error }) => {
            eprintln!("lbd: {error:#}");
            ExitCode::from(code)
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let refused = |error| Failure { code: 2, error };
    let (config, host) = configuration(cli).map_err(refused)?;
    if cli.check_config {
        println!(
            "{}: {} hosts, {} rules, digest {:016x}; this is {}",
            cli.config.display(),
            config.hosts.len(),
            config.rules.len(),
            config.digest(),
            host.name
        );
        return Ok(());
    }
    let places = Places::new(&cli.run_dir).map_err(refused)?;
    if cli.exec_host_path {
        let mut command = setup::host_path_command(&host, &places).map_err(refused)?;
        // It does not come back, unless it fails.
        let error = command.exec();
        return Err(refused(anyhow!("hashgate-hostpath cannot be started: {error}: install it beside lbd or on PATH")));
    }
    start_log(cli.json_log).map_err(refused)?;
    daemon(cli, config, host, &places)
}

/// Reads and checks the file; which host this is.
fn configuration(cli: &Cli) -> Result<(Arc<Config>, Host)> {
    let config = Config::load(&cli.config)?;
    let name = match &cli.host {
        Some(name) => name.clone(),
        None => {
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            name.split('.').next().unwrap_or_default().to_owned()
        }
    };
    let host = config.hosts.iter().find(|host| host.name == name).cloned().ok_or_else(|| {
        let known = config.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(", ");
        anyhow!(
            "{}: there is no host \"{name}\" (known: {known}): say which one this is with --host",
            cli.config.display()
        )
    })?;
    if host.device.is_none() {
        return Err(anyhow!(
            "{}: host \"{name}\" has no device: give it one, such as device = \"vfio:0000:03:00.0\"",
            cli.config.display()
        ));
    }
    core::settings(&config, &host, 1).with_context(|| format!("{}", cli.config.display()))?;
    keys::auth(&config).with_context(|| format!("{}", cli.config.display()))?;
    if let Some(script) = &config.daemon.notify {
        hashgate_watch::notify::check_script(script).with_context(|| format!("{}", cli.config.display()))?;
    }
    if let Some(key) = &config.daemon.control_key {
        control::auth(key).with_context(|| format!("{}: [control]", cli.config.display()))?;
    }
    Ok((Arc::new(config), host))
}

fn start_log(json: bool) -> Result<()> {
    use tracing_subscriber::prelude::*;
    let level = tracing_subscriber::EnvFilter::try_from_env("HASHGATE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(level);
    if json {
        registry.with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr)).try_init()?;
    } else if std::env::var_os("JOURNAL_STREAM").is_some() {
        registry.with(tracing_journald::layer().context("the journal")?).try_init()?;
    } else {
        registry.with(tracing_subscriber::fmt::layer().with_target(false).with_writer(std::io::stderr)).try_init()?;
    }
    Ok(())
}

fn daemon(cli: &Cli, config: Arc<Config>, host: Host, places: &Places) -> Result<(), Failure> {
    let refused = |error| Failure { code: 2, error };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, stop.clone()).map_err(|error| refused(error.into()))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| refused(error.into()))?;
    let reload = {
        let _entered = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).map_err(|error| refused(error.into()))?
    };
    // Before the NIC, so that a port that is in use leaves nothing behind.
    let listeners = runtime.block_on(serve::Listeners::bind(&config, places)).map_err(refused)?;
    let refused = |error| {
        // Nobody answers at it.
        let _ = std::fs::remove_file(places.socket());
        Failure { code: 2, error }
    };
    let start = || -> Result<_> {
        let (lent, started) = setup::nic(&host, places)?;
        runtime.block_on(setup::tap(&config, &host))?;
        let (dataplane, adopted) = Dataplane::open(&lent, config.clone(), host.clone(), places.kept())?;
        Ok((lent, started, dataplane, adopted))
    };
    let (lent, started, mut dataplane, adopted) = start().map_err(refused)?;
    let registers = Registers::new(dataplane.nic().registers().io().clone());
    let bell = Bell::new().map_err(|error| refused(error.into()))?;
    let (worker, worker_thread) = Worker::start(dataplane, bell.clone()).map_err(|error| refused(error.into()))?;
    let incarnation = rand::random::<u64>().max(1);
    let events = events::Events::default();
    let shared = serve::Shared::default();
    let parts = Parts {
        config: config.clone(),
        host: host.clone(),
        auth: keys::auth(&config).map_err(refused)?,
        lent: lent.clone(),
        registers,
        worker: worker.clone(),
        bell,
        adopted,
        incarnation,
        events: events.clone(),
        on_slow: serve::on_slow(runtime.handle().clone(), config.clone()),
    };
    let (mut core, handle) = Core::new(parts).map_err(refused)?;
    let reloader = reload::Reloader::new(&cli.config, handle.clone(), worker.clone(), runtime.handle().clone());
    let id = HostId::new(host.priority).ok_or_else(|| refused(anyhow!("host priority {}", host.priority)))?;
    let control = control::listen(
        &config,
        id,
        incarnation,
        handle.clone(),
        reloader.clone(),
        shared.refused.clone(),
        stop.clone(),
    )
    .map_err(refused)?;
    let service = service::Service {
        core: handle,
        worker: worker.clone(),
        lent: lent.clone(),
        events,
        reloader,
        occupancy: shared.occupancy.clone(),
        watching: Arc::default(),
    };
    let serving = serve::start(&runtime, listeners, service, &config, &host, &shared, reload).map_err(refused)?;
    started.keep();
    // Without a service manager there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let result = core.run(&stop);
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    stop.store(true, Ordering::Relaxed);
    shared.failed.store(result.is_err(), Ordering::Relaxed);
    drop(core);
    serving.end(&runtime);
    worker.end();
    for thread in control.into_iter().chain([worker_thread]) {
        if thread.join().is_err() {
            tracing::error!("a thread has panicked");
        }
    }
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    // The socket is of no use to others any more.
    let _ = std::fs::remove_file(places.socket());
    result.map_err(|error| {
        let gone = lent.stats().is_err();
        Failure { code: if gone { 3 } else { 1 }, error }
    })
}
