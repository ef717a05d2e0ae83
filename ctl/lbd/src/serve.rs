// SPDX-License-Identifier: Apache-2.0
//! Sockets of the daemon, and what it does beside the protocol.

use crate::control::Refused;
use crate::core::Core;
use crate::occupancy::Occupancy;
use crate::report::received;
use crate::service::{HashgateServer, Service};
use crate::setup::{self, Places};
use anyhow::{Context, Result, bail};
use hashgate_config::Config;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

/// Between two looks whether a signal has come.
const LOOK: Duration = Duration::from_millis(200);
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
}

/// Sockets that others come to.
pub struct Listeners {
    unix: UnixListener,
    grpc: Option<TcpListener>,
    /// For metrics.
    pub metrics: Option<TcpListener>,
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
    shared: &Shared,
    reload: Arc<AtomicBool>,
) -> Result<()> {
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
    runtime.spawn(sample(service.clone(), shared.clone()));
    runtime.spawn(reload_on_signal(service, reload));
    Ok(())
}

/// Byte counters for occupancy.
async fn sample(service: Service, shared: Shared) {
    loop {
        let counts = service.worker.call(|dataplane| received(dataplane.nic())).await;
        if let Some(Ok((all, foreign))) = counts {
            shared.occupancy.lock().unwrap_or_else(PoisonError::into_inner).add(Instant::now(), all, foreign);
        }
        tokio::time::sleep(SAMPLE).await;
    }
}

/// SIGHUP.
async fn reload_on_signal(service: Service, reload: Arc<AtomicBool>) {
    loop {
        tokio::time::sleep(LOOK).await;
        if !reload.swap(false, Ordering::Relaxed) {
            continue;
        }
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

/// What the core does every second beside the protocol: the watchdog of the service manager, and addresses when other rules have become active.
pub fn on_slow(runtime: tokio::runtime::Handle, _shared: Shared, config: Arc<Config>) -> Box<dyn FnMut(&Core) + Send> {
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
