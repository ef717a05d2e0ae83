// SPDX-License-Identifier: Apache-2.0
//! One check of an application.

use super::Outcome;
use crate::run::{self, End, Leftovers};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;

/// Bytes of the head of an answer that are read at most.
const HEAD_BYTES: usize = 16 * 1024;
/// Header fields of an answer.
const HEAD_FIELDS: usize = 64;

/// What a monitor looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A connection can be opened; it is closed at once.
    Tcp {
        /// Where.
        addr: SocketAddr,
    },
    /// A GET over HTTP/1.1, without redirections, is answered with this status. The body is not read.
    Http {
        /// Where; also the `Host` of the request.
        addr: SocketAddr,
        /// Begins with `/`.
        path: String,
        /// Status.
        expect: u16,
    },
    /// A program with its arguments, without a shell: exit code 0 healthy, 1 unhealthy, 2 drain, 3 disable; all else is unhealthy.
    Command {
        /// The program, an absolute path, and its arguments.
        argv: Vec<String>,
    },
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Check::Tcp { addr } => write!(f, "tcp {addr}"),
            Check::Http { addr, path, expect } => write!(f, "http {addr}{path} {expect}"),
            Check::Command { argv } => write!(f, "command {}", argv.join(" ")),
        }
    }
}

/// Does it once. Dropping the future ends it.
pub(super) async fn check(check: &Check, rule: &str, host: &str, timeout: Duration) -> (Outcome, String) {
    let late = || format!("no answer within {} ms", timeout.as_millis());
    match check {
        Check::Command { argv } => command(argv, rule, host, timeout).await,
        Check::Tcp { addr } => match tokio::time::timeout(timeout, TcpStream::connect(addr)).await {
            Ok(Ok(_)) => (Outcome::Healthy, "connected".into()),
            Ok(Err(error)) => (Outcome::Unhealthy, error.to_string()),
            Err(_) => (Outcome::Unhealthy, late()),
        },
        Check::Http { addr, path, expect } => match tokio::time::timeout(timeout, get(*addr, path)).await {
            Ok(Ok(status)) if status == *expect => (Outcome::Healthy, format!("status {status}")),
            Ok(Ok(status)) => (Outcome::Unhealthy, format!("status {status}, not {expect}")),
            Ok(Err(error)) => (Outcome::Unhealthy, error),
            Err(_) => (Outcome::Unhealthy, late()),
        },
    }
}

async fn get(addr: SocketAddr, path: &str) -> Result<u16, String> {
    let stream = TcpStream::connect(addr).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let uri: Uri = path.parse().map_err(|error| format!("path {path}: {error}"))?;
    let request = Request::get(uri)
        .header(header::HOST, addr.to_string())
        .header(header::USER_AGENT, "hashgate-monitor")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    // The connection is no task of its own, so that it ends with this future.
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(sender.send_request(request));
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // Its end hands the reason to the request.
        _ = &mut connection => answer.await,
    };
    answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
}

async fn command(argv: &[String], rule: &str, host: &str, timeout: Duration) -> (Outcome, String) {
    let Some((program, args)) = argv.split_first() else {
        return (Outcome::Unhealthy, "the command is empty".into());
    };
    let env = [("HASHGATE_RULE", rule.to_owned()), ("HASHGATE_HOST", host.to_owned())];
    let ran = match run::run(Path::new(program), args, &env, timeout, Leftovers::Kill).await {
        Ok(ran) => ran,
        Err(error) => return (Outcome::Unhealthy, error),
    };
    let (outcome, text) = match ran.end {
        End::Code(Some(0)) => (Outcome::Healthy, "exit code 0".into()),
        End::Code(Some(2)) => (Outcome::Drain, "exit code 2".into()),
        End::Code(Some(3)) => (Outcome::Disable, "exit code 3".into()),
        End::Code(Some(code)) => (Outcome::Unhealthy, format!("exit code {code}")),
        End::Code(None) => (Outcome::Unhealthy, "ended by a signal".into()),
        End::TimedOut => (Outcome::Unhealthy, format!("killed after {} ms", timeout.as_millis())),
    };
    (outcome, if ran.output.is_empty() { text } else { format!("{text}: {}", ran.output) })
}
