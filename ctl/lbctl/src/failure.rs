// SPDX-License-Identifier: Apache-2.0
//! Why a call did not end well, and its exit code.

use crate::show::clean;
use std::io;
use std::process::ExitCode;

/// An exit code, and what to say; nothing if everything is said.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// A host failed or did not answer.
    pub fn host(text: impl Into<String>) -> Failure {
        Failure { code: 1, text: text.into() }
    }

    /// Wrong usage or input.
    pub fn usage(text: impl Into<String>) -> Failure {
        Failure { code: 2, text: text.into() }
    }

    /// There is no daemon.
    pub fn no_daemon(text: impl Into<String>) -> Failure {
        Failure { code: 3, text: text.into() }
    }

    /// The daemon's answer to a request that it did not carry out.
    pub fn status(status: &tonic::Status) -> Failure {
        use tonic::Code::{Cancelled, DataLoss, DeadlineExceeded, Internal, Unavailable, Unknown};
        match status.code() {
            Unavailable | Unknown | Internal | Cancelled | DataLoss | DeadlineExceeded => {
                Failure::host(format!("the daemon failed or went away: {}", status.message()))
            }
            _ => Failure { code: 4, text: format!("refused by the daemon: {}", status.message()) },
        }
    }

    /// What there is to say.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Says it, on one line.
    pub fn end(self) -> ExitCode {
        if !self.text.is_empty() {
            eprintln!("lbctl: {}", clean(&self.text));
        }
        ExitCode::from(self.code)
    }
}

/// Output that cannot be written. Who closed the pipe has read enough.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure { code: 0, text: String::new() },
            _ => Failure::host(format!("cannot write: {error}")),
        }
    }
}
