// SPDX-License-Identifier: Apache-2.0
//! Sockets of the daemon, and what it does beside the protocol.

use crate::control::{Refused, rule_bits};
use crate::core::Core;
use crate::occupancy::Occupancy;
use crate::service::Service;
use crate::setup::{self, Places};
use anyhow::{Context, Result, bail};
use hashgate_api::v1::StatusReply;
use hashgate_api::v1::hashgate_server::HashgateServer;
use hashgate_cluster::api::Command;
use hashgate_config::{Config, Host};
use hashgate_watch::BoxFuture;
use hashgate_watch::metrics::{self, Sample};
use hashgate_watch::monitor::{self, MonitorConfig, Monitors, Verb};
use hashgate_watch::notify::{Change, Notifier, State};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::Signal;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

/// Between two looks at the state for the notify script.
const LOOK: Duration = Duration::from_millis(200);
/// For the notify script when the daemon ends.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Between two samples for occupancy.
const SAMPLE: Duration = Duration::from_secs(2);
/// Longest message that is taken.
const MAX_MESSAGE: usize = 64 * 1024;

/// What threads share.
#[derive(Clone, Default)]
pub struct Shared {
    /// Control datagrams that were refused.
    pub refused: Refused,
    /// Bytes of others.
    pub occupancy: Arc<Mutex<Occupancy>>,
    /// The daemon ends because something failed.
    pub failed: Arc<AtomicBool>,
}

/// What runs beside the protocol.
pub struct Serving {
    monitors: Arc<Monitors>,
    /// Ends when the notify script has been told of the end.
    told: JoinHandle<()>,
}

impl Serving {
    /// Behind the end of the core: gives the notify script some time.
    pub fn end(self, runtime: &tokio::runtime::Runtime) {
        let told = runtime.block_on(async { tokio::time::timeout(LAST_WORDS, self.told).await });
        if told.is_err() {
            tracing::warn!("the notify script did not end within {} s", LAST_WORDS.as_secs());
        }
        drop(self.monitors);
    }
}

/// Sockets that others come to.
pub struct Listeners {
    unix: UnixListener,
    grpc: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

impl Listeners {
    /// All that the configuration wants.
    pub async fn bind(config: &Config, places: &Places) -> Result<Listeners> {
        let path = places.socket();
        if UnixStream::connect(&path).is_ok() {
            bail!("another lbd answers at {}: end that one first", path.display());
        }
        // One that nobody answers at is left from before.
        let _ = std::fs::remove_file(&path);
        let unix = UnixListener::bind(&path).with_context(|| format!("socket {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660))?;
        let tcp = async |what: &str, at: Option<std::net::SocketAddr>| -> Result<Option<TcpListener>> {
            let Some(at) = at else { return Ok(None) };
            let listener = TcpListener::bind(at).await;
            Ok(Some(listener.with_context(|| format!("{what} at {at}: choose another address or port"))?))
        };
        let bound = async {
            let grpc = tcp("gRPC", config.daemon.grpc.as_ref().map(|grpc| grpc.listen)).await?;
            let metrics = tcp("metrics", config.daemon.metrics).await?;
            anyhow::Ok((grpc, metrics))
        };
        match bound.await {
            Ok((grpc, metrics)) => Ok(Listeners { unix, grpc, metrics }),
            Err(error) => {
                // Nothing is left behind.
                let _ = std::fs::remove_file(&path);
                Err(error)
            }
        }
    }
}

/// Starts everything that is served.
pub fn start(
    runtime: &tokio::runtime::Runtime,
    listeners: Listeners,
    service: Service,
    config: &Config,
    own: &Host,
    shared: &Shared,
    reload: Signal,
) -> Result<Serving> {
    let server = || HashgateServer::new(service.clone()).max_decoding_message_size(MAX_MESSAGE);
    let unix = Server::builder().add_service(server());
    runtime.spawn(async move {
        if let Err(error) = unix.serve_with_incoming(UnixListenerStream::new(listeners.unix)).await {
            tracing::error!("the socket is not served any more: {error}");
        }
    });
    if let (Some(listener), Some(grpc)) = (listeners.grpc, &config.daemon.grpc) {
        let read = |path: &std::path::Path| std::fs::read(path).with_context(|| format!("{}", path.display()));
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(read(&grpc.certificate)?, read(&grpc.key)?))
            .client_ca_root(Certificate::from_pem(read(&grpc.client_ca)?));
        let server = Server::builder().tls_config(tls).context("gRPC")?.add_service(server());
        runtime.spawn(async move {
            if let Err(error) = server.serve_with_incoming(TcpListenerStream::new(listener)).await {
                tracing::error!("gRPC is not served any more: {error}");
            }
        });
    }
    let _entered = runtime.enter();
    let monitors = Arc::new(monitors(&service, config, own));
    if let Some(listener) = listeners.metrics {
        let (service, shared, monitors) = (service.clone(), shared.clone(), monitors.clone());
        let sample = move || -> BoxFuture<Result<Sample, String>> {
            let (service, shared, monitors) = (service.clone(), shared.clone(), monitors.clone());
            Box::pin(async move {
                let sample = service.sample(&shared.refused, monitors.statuses()).await;
                sample.map_err(|refusal| refusal.message().to_owned())
            })
        };
        runtime.spawn(metrics::serve(listener, sample, std::future::pending()));
    }
    let notifier = config.daemon.notify.as_ref().map(|script| {
        let events = service.clone();
        Notifier::start(script, config.primary_ip, own.priority, move |report| {
            let severity = if report.done { "info" } else { "warning" };
            events.events.add("", 0, "notify", severity, format!("{}: {}", report.state.name(), report.text));
        })
    });
    let notifier = notifier.transpose().context("[notify] script")?;
    let told = runtime.spawn(look(service.clone(), shared.clone(), notifier));
    runtime.spawn(reload_on_signal(service, reload));
    Ok(Serving { monitors, told })
}

/// Application monitors, whose verdicts are commands for rules.
fn monitors(service: &Service, config: &Config, own: &Host) -> Monitors {
    let first = own.dedicated.first().copied();
    let configs = config.daemon.monitors.iter().map(|monitor| MonitorConfig::new(monitor, first)).collect();
    let act = {
        let service = service.clone();
        move |rule: String, verb: Verb| -> BoxFuture<Result<(), String>> {
            let service = service.clone();
            Box::pin(async move {
                let done = service.core.call(move |core| {
                    let bits = rule_bits(core.config(), &[rule])?;
                    core.command(match verb {
                        Verb::Enable => Command::EnableRules(bits),
                        Verb::Drain => Command::DrainRules(bits),
                        Verb::Disable => Command::DisableRules(bits),
                    });
                    Ok(())
                });
                done.await.unwrap_or_else(|| Err("the daemon ends".into()))
            })
        }
    };
    let report = {
        let (events, host) = (service.events.clone(), own.name.clone());
        move |report: monitor::Report| {
            let severity = if report.failed || report.wants != Verb::Enable { "warning" } else { "info" };
            let text = format!("rule {}: {} ({})", report.rule, report.wants.name(), report.text);
            events.add(&host, 0, "monitor", severity, text);
        }
    };
    Monitors::start(configs, &own.name, monitor::Told::default(), act, report)
}

/// The state for the notify script.
async fn look(service: Service, shared: Shared, mut notifier: Option<Notifier>) {
    let sampler = tokio::spawn(sample(service.clone(), shared.clone()));
    let mut last = StatusReply::default();
    while let Ok(status) = service.status_now().await {
        if let Some(notifier) = &mut notifier {
            notifier.status(&status);
        }
        last = status;
        tokio::time::sleep(LOOK).await;
    }
    sampler.abort();
    let Some(mut notifier) = notifier else { return };
    let end = if shared.failed.load(Ordering::Relaxed) { State::Fault } else { State::Stop };
    if State::of(&last, None) != Some(end) {
        notifier.tell(Change::to(end, &last));
    }
    notifier.close().await;
}

/// Byte counters for occupancy.
async fn sample(service: Service, shared: Shared) {
    loop {
        if let Ok(counters) = service.counters_now().await {
            shared.occupancy.lock().unwrap_or_else(PoisonError::into_inner).add(&counters);
        }
        tokio::time::sleep(SAMPLE).await;
    }
}

/// SIGHUP.
async fn reload_on_signal(service: Service, mut reload: Signal) {
    while reload.recv().await.is_some() {
        let reloader = service.reloader.clone();
        let work = move || reloader.stage(None).and_then(|text| reloader.activate().map(|()| text));
        let result = tokio::task::spawn_blocking(work).await;
        let (severity, text) = match result {
            Ok(Ok(text)) => ("info", text),
            Ok(Err(text)) => ("error", format!("the old configuration stays: {text}")),
            Err(error) => ("error", error.to_string()),
        };
        let logged = service.core.call(move |core| core.log("reload", severity, text)).await;
        if logged.is_none() {
            return;
        }
    }
}

/// What the core does every half second beside the protocol: the watchdog of the service manager, and addresses when other rules have become active.
pub fn on_slow(runtime: tokio::runtime::Handle, config: Arc<Config>) -> Box<dyn FnMut(&Core) + Send> {
    let mut known = config;
    Box::new(move |core| {
        // Without a service manager there is nobody to tell.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        if !Arc::ptr_eq(&known, core.config()) {
            known = core.config().clone();
            let (config, host) = (known.clone(), core.host().clone());
            runtime.spawn(async move {
                if let Err(error) = setup::tap(&config, &host).await {
                    tracing::error!("{error:#}");
                }
            });
        }
    })
}
