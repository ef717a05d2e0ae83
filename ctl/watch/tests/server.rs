// SPDX-License-Identifier: Apache-2.0
//! The HTTP server of the metrics over loopback.
#![forbid(unsafe_code)]

mod support;

use hashgate_watch::BoxFuture;
use hashgate_watch::metrics::{CONNECTIONS, CONTENT_TYPE, Sample, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);

struct Server {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(sample: impl Fn() -> BoxFuture<Result<Sample, String>> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, sample, async { stopped.await.unwrap() }));
        Server { addr, stop, task }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(LONG, self.task).await.expect("it ends").unwrap();
        assert!(TcpStream::connect(self.addr).await.is_err(), "nobody listens any more");
    }

    async fn open(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Status, head, body.
    async fn ask(&self, request: &str) -> (u16, String, String) {
        rest(self.open(request).await).await
    }

    async fn get(&self, path: &str) -> (u16, String, String) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
    }
}

async fn rest(mut stream: TcpStream) -> (u16, String, String) {
    let mut answer = Vec::new();
    timeout(LONG, stream.read_to_end(&mut answer)).await.expect("the server closes").unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.split(' ').nth(1).unwrap_or("0").parse().unwrap(), head.to_lowercase(), body.to_owned())
}

fn sample(phase: &'static str) -> impl Fn() -> BoxFuture<Result<Sample, String>> + Send + Sync + 'static {
    move || {
        let mut sample = support::full();
        sample.status.phase = phase.into();
        Box::pin(async { Ok(sample) })
    }
}

#[tokio::test]
async fn pages() {
    let server = Server::start(sample("stable")).await;
    let (code, head, page) = server.get("/metrics").await;
    assert_eq!(code, 200);
    assert!(head.contains(&format!("content-type: {CONTENT_TYPE}")), "{head}");
    let page = support::read(&page).unwrap();
    assert_eq!(page.value("hashgate_epoch", &[]), Some(7.0));
    let (code, _, body) = server.get("/healthz").await;
    assert_eq!((code, body.as_str()), (200, "stable\n"));
    for path in ["/", "/metrics/", "/metrics2", "/healthz/x", "/%2e%2e/etc/passwd"] {
        assert_eq!(server.get(path).await.0, 404, "{path}");
    }
    let (code, _, body) = server.ask("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!((code, body.as_str()), (405, ""));
    let (code, _, body) = server.ask("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!((code, body.as_str()), (200, ""));
    server.stop().await;
}

#[tokio::test]
async fn health_follows_the_phase() {
    for phase in ["listening", "converging", "idle", "ready", "excluded", "suspended"] {
        let server = Server::start(sample(phase)).await;
        let (code, _, body) = server.get("/healthz").await;
        assert_eq!((code, body), (503, format!("{phase}\n")));
        server.stop().await;
    }
}

#[tokio::test]
async fn no_sample() {
    let server = Server::start(|| Box::pin(async { Err("the NIC is gone".into()) })).await;
    for path in ["/metrics", "/healthz"] {
        let (code, _, body) = server.get(path).await;
        assert_eq!((code, body.as_str()), (503, "the NIC is gone\n"));
    }
    server.stop().await;
    let server = Server::start(|| Box::pin(std::future::pending())).await;
    let (code, _, body) = server.get("/metrics").await;
    assert_eq!((code, body.as_str()), (503, "the daemon did not answer within 5 s\n"));
    server.stop().await;
}

#[tokio::test]
async fn requests_are_limited() {
    let server = Server::start(sample("stable")).await;
    let long = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(9000));
    assert_eq!(server.ask(&long[..8192]).await.0, 431);
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(33));
    assert_eq!(server.ask(&many).await.0, 431);
    assert_eq!(server.ask("SSH-2.0-OpenSSH\r\n\r\n").await.0, 400);
    // A body is neither waited for nor read.
    let (code, _, _) = server.ask("GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n").await;
    assert_eq!(code, 200);
    // One request a connection.
    let twice = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    assert_eq!(server.ask(&twice).await.2, "stable\n");
    server.stop().await;
}

#[tokio::test]
async fn slow_clients_are_dropped() {
    let server = Server::start(sample("stable")).await;
    let start = Instant::now();
    let (code, _, body) = rest(server.open("GET /metrics HTTP/1.1\r\nHo").await).await;
    assert!(matches!(code, 0 | 408), "{code}");
    assert_eq!(body, "");
    assert!(start.elapsed() >= Duration::from_millis(1500), "{:?}", start.elapsed());
    server.stop().await;
}

/// Sixteen are served at once; the seventeenth is when one of them has ended.
#[tokio::test]
async fn connections_are_limited() {
    let gate = Arc::new(Semaphore::new(0));
    let arrived = Arc::new(Semaphore::new(0));
    let inside = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (entry, bell, now, highest) = (gate.clone(), arrived.clone(), inside.clone(), most.clone());
    let server = Server::start(move || {
        let (entry, bell, now, highest) = (entry.clone(), bell.clone(), now.clone(), highest.clone());
        Box::pin(async move {
            highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            bell.add_permits(1);
            entry.acquire().await.unwrap().forget();
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(support::full())
        })
    })
    .await;
    const ALL: usize = 3 * CONNECTIONS;
    let mut streams = Vec::new();
    for _ in 0..ALL {
        streams.push(server.open("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await);
    }
    timeout(LONG, arrived.acquire_many(CONNECTIONS as u32)).await.expect("sixteen").unwrap().forget();
    gate.add_permits(ALL);
    for stream in streams {
        assert_eq!(rest(stream).await.0, 200);
    }
    assert_eq!(most.load(Ordering::SeqCst), CONNECTIONS);
    server.stop().await;
}

#[tokio::test]
async fn shutdown_ends_connections() {
    let server = Server::start(|| Box::pin(std::future::pending())).await;
    let mut stream = server.open("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let start = Instant::now();
    server.stop().await;
    let mut answer = Vec::new();
    // Closed or reset, and no answer.
    let _ = timeout(LONG, stream.read_to_end(&mut answer)).await.expect("closed");
    assert_eq!(answer, b"");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}
