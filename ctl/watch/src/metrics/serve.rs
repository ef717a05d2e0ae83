// SPDX-License-Identifier: Apache-2.0
//! The HTTP server of the metrics. It has no secrets and no access control: bind it to an address that only the monitoring reaches.

use super::{CONTENT_TYPE, Sample, render};
use crate::BoxFuture;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE as TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections at once; others wait in the kernel's queue until one ends, at most [`CONNECTION`] later.
pub const CONNECTIONS: usize = 16;
/// For the head of a request.
const HEAD: Duration = Duration::from_secs(2);
/// For a sample.
const SAMPLE: Duration = Duration::from_secs(5);
/// For a connection with all of it: one request each.
const CONNECTION: Duration = Duration::from_secs(10);
/// Bytes of the head of a request.
const HEAD_BYTES: usize = 8192;
/// Header fields of a request.
const HEAD_FIELDS: usize = 32;

/// Serves `GET /metrics` (a page) and `GET /healthz` (200 while this member is stable, else 503 and the phase) until `shutdown`, which ends open connections.
///
/// `sample` is called for each request, by [`CONNECTIONS`] of them at once at most. An error of it, or none within five seconds, is a 503 with the reason. Bodies of requests are not read.
pub async fn serve<S>(listener: TcpListener, sample: S, shutdown: impl Future<Output = ()>)
where
    S: Fn() -> BoxFuture<Result<Sample, String>> + Send + Sync + 'static,
{
    let sample: Source = Arc::new(sample);
    let router = Router::new()
        .route(
            "/metrics",
            get({
                let sample = sample.clone();
                move || page(sample)
            }),
        )
        .route("/healthz", get(move || health(sample)));
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (slot, accepted) = next => match accepted {
                Ok((stream, _)) => {
                    let service = TowerToHyperService::new(router.clone());
                    connections.spawn(async move {
                        let connection = http1::Builder::new()
                            .timer(TokioTimer::new())
                            .header_read_timeout(HEAD)
                            .max_buf_size(HEAD_BYTES)
                            .max_headers(HEAD_FIELDS)
                            .keep_alive(false)
                            .serve_connection(TokioIo::new(stream), service);
                        // A client that breaks off or is too slow is nobody's loss but its own.
                        let _ = tokio::time::timeout(CONNECTION, connection).await;
                        drop(slot);
                    });
                }
                // Out of descriptors, most likely: wait for some to be free.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
    connections.shutdown().await;
}

type Source = Arc<dyn Fn() -> BoxFuture<Result<Sample, String>> + Send + Sync>;

async fn take(source: Source) -> Result<Sample, String> {
    match tokio::time::timeout(SAMPLE, source()).await {
        Ok(sample) => sample,
        Err(_) => Err(format!("the daemon did not answer within {} s", SAMPLE.as_secs())),
    }
}

async fn page(source: Source) -> Response {
    match take(source).await.and_then(|sample| render(&sample).map_err(|error| error.to_string())) {
        Ok(page) => ([(TYPE, CONTENT_TYPE)], page).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn health(source: Source) -> Response {
    let (code, text) = match take(source).await {
        Ok(sample) if sample.status.phase == "stable" => (StatusCode::OK, sample.status.phase),
        Ok(sample) => (StatusCode::SERVICE_UNAVAILABLE, sample.status.phase),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error),
    };
    (code, format!("{text}\n")).into_response()
}
