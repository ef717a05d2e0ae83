// SPDX-License-Identifier: Apache-2.0
//! Takes a changed configuration file: whole, or not at all.

use crate::core::{CoreHandle, settings};
use crate::keys;
use crate::setup;
use crate::worker::Worker;
use hashgate_cluster::api::Command;
use hashgate_config::{Config, Host};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Knows where the file is and who takes it.
#[derive(Clone)]
pub struct Reloader {
    file: PathBuf,
    core: CoreHandle,
    worker: Worker,
    runtime: tokio::runtime::Handle,
}

/// What cannot change while the daemon runs.
fn fixed(config: &Config, host: &Host) -> Vec<(&'static str, String)> {
    let daemon = &config.daemon;
    vec![
        ("primary_ip", config.primary_ip.to_string()),
        ("mode", format!("{:?}", config.mode)),
        ("name of this host", host.name.clone()),
        ("device", format!("{:?}", host.device)),
        ("tap", host.tap.clone()),
        ("wire_port", host.wire_port.to_string()),
        ("period_ms", format!("{:?}", daemon.period)),
        ("tolerance", daemon.tolerance.to_string()),
        ("lease_ms", format!("{:?}", daemon.lease)),
        ("quorum", format!("{:?}", daemon.quorum)),
        ("[control]", format!("{:?} {:?}", daemon.control_key, daemon.grpc)),
        ("[metrics] listen", format!("{:?}", daemon.metrics)),
        ("[notify]", format!("{:?}", daemon.notify)),
        ("[[monitor]]", format!("{:?}", daemon.monitors)),
    ]
}

impl Reloader {
    /// For this file.
    pub fn new(file: &Path, core: CoreHandle, worker: Worker, runtime: tokio::runtime::Handle) -> Reloader {
        Reloader { file: file.to_owned(), core, worker, runtime }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Reads and checks the file; if its rules are those in force, what else has changed is taken at once; other rules are staged: they become active when all members have
    /// them and one of them says so. `wanted`: refuse rules with another digest. Not for the threads of the runtime.
    ///
    /// # Errors
    /// One line; nothing has changed then.
    pub fn stage(&self, wanted: Option<u64>) -> Result<String, String> {
        let new = Arc::new(Config::load(&self.file).map_err(|error| error.to_string())?);
        let gone = || "the daemon ends".to_owned();
        let (old, own) =
            self.core.blocking_call(|core| (core.config().clone(), core.host().clone())).ok_or_else(gone)?;
        let host = new.hosts.iter().find(|host| host.priority == own.priority).cloned().ok_or_else(|| {
            format!("{}: there is no host with priority {}, which this one is", self.file.display(), own.priority)
        })?;
        for ((what, was), (_, is)) in fixed(&old, &own).into_iter().zip(fixed(&new, &host)) {
            if was != is {
                return Err(format!(
                    "{}: {what} has changed, which needs a restart of lbd (lbctl hold, then systemctl restart lbd): nothing was taken",
                    self.file.display()
                ));
            }
        }
        settings(&new, &host, 1).map_err(|error| error.to_string())?;
        let auth = keys::auth(&new).map_err(|error| error.to_string())?;
        let digest = new.digest();
        if let Some(wanted) = wanted.filter(|wanted| *wanted != digest) {
            return Err(format!(
                "{} has rules with digest {digest:016x}, wanted are those with {wanted:016x}: copy the file to all hosts",
                self.file.display()
            ));
        }
        if digest == old.digest() {
            let config = new.clone();
            let done = self.runtime.block_on(self.worker.call(move |dataplane| dataplane.reconfigure(config)));
            done.ok_or_else(gone)?.map_err(|error| format!("{error:#}"))?;
            self.runtime.block_on(setup::tap(&new, &host)).map_err(|error| format!("{error:#}"))?;
            self.core.blocking_call(move |core| core.replace_config(new, auth)).ok_or_else(gone)?;
            return Ok(format!("taken; the rules are the same (digest {digest:016x})"));
        }
        self.core.blocking_call(move |core| core.stage(new)).ok_or_else(gone)??;
        Ok(format!("rules with digest {digest:016x} are staged"))
    }

    /// Activates what is staged as soon as all members have it.
    ///
    /// # Errors
    /// If the daemon ends.
    pub fn activate(&self) -> Result<(), String> {
        let active = self.core.blocking_call(|core| {
            if core.staged().is_some() {
                core.command(Command::Activate);
            }
        });
        active.ok_or_else(|| "the daemon ends".to_owned())
    }
}
