// SPDX-License-Identifier: Apache-2.0
//! A script that is told when this member becomes another, by the convention of keepalived: `SCRIPT INSTANCE <primary IP> <STATE> <priority>`.
//!
//! One call at a time. Who is told while the script runs is told the newest state afterwards, those in between are left out. A call has ten seconds, then it is killed with all that it started; what a call that ends in
//! time has left running in the background stays.

use crate::run::{self, End, Leftovers};
use hashgate_api::v1::StatusReply;
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// For one call.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// What a member is to the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Stable, and the default host.
    Master,
    /// Stable, another is the default host.
    Backup,
    /// Excluded, without a lease, or without its NIC.
    Fault,
    /// Suspended, or its daemon ends.
    Stop,
}

impl State {
    /// As the script gets it.
    pub fn name(self) -> &'static str {
        match self {
            State::Master => "MASTER",
            State::Backup => "BACKUP",
            State::Fault => "FAULT",
            State::Stop => "STOP",
        }
    }

    /// State of a member. `None`: it is on its way to another one (listening, converging, idle, ready), and what it was still holds.
    ///
    /// `before` tells the loss of a lease from a start, which has none yet.
    pub fn of(status: &StatusReply, before: Option<State>) -> Option<State> {
        let served = matches!(before, Some(State::Master | State::Backup));
        match status.phase.as_str() {
            "suspended" => Some(State::Stop),
            "excluded" => Some(State::Fault),
            "stable" if status.lease_seconds.is_none() => Some(State::Fault),
            "stable" if status.default_host.as_ref() == Some(&status.host) => Some(State::Master),
            "stable" => Some(State::Backup),
            _ if served && status.lease_seconds.is_none() => Some(State::Fault),
            _ => None,
        }
    }
}

/// What the script is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Third argument.
    pub state: State,
    /// `HASHGATE_PHASE`: phase of the API.
    pub phase: String,
    /// `HASHGATE_EPOCH`: of the maps in force.
    pub epoch: u64,
    /// `HASHGATE_RULES`: rules of which this member owns buckets, a line each.
    pub rules: Vec<String>,
}

impl Change {
    /// The change to `state` with the rest of a status.
    pub fn to(state: State, status: &StatusReply) -> Change {
        let own = status.members.iter().filter(|member| member.state == "self");
        let owned = own.flat_map(|member| &member.shares).filter(|share| share.buckets > 0);
        Change {
            state,
            phase: status.phase.clone(),
            epoch: status.epoch,
            rules: owned.map(|share| share.rule.clone()).collect(),
        }
    }
}

/// Why a script is not called.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// It could be another one elsewhere.
    #[error("notify script {}: not an absolute path", .0.display())]
    Relative(PathBuf),
    /// It cannot be looked at.
    #[error("notify script {}: {error}", path.display())]
    Read {
        /// The script.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A folder or something else.
    #[error("notify script {}: not a file", .0.display())]
    NoFile(PathBuf),
    /// Its mode has no x.
    #[error("notify script {}: mode {mode:04o} is not executable: chmod 0755", path.display())]
    NotExecutable {
        /// The script.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Everybody could have this daemon do anything.
    #[error("notify script: mode {mode:04o} of {} lets others change it: chmod o-w", path.display())]
    Writable {
        /// The script or a folder above it.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// As before.
    #[error("notify script {}: belongs to user {owner}: chown it to root or to the user of the daemon", path.display())]
    Owner {
        /// The script.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
}

/// Looks at a script as before each call; returns its path without symbolic links, which is what is called.
///
/// # Errors
/// It is not an absolute path of an executable file that belongs to root or the daemon's user and that others can change neither itself nor by a folder above it (folders with the sticky bit do).
pub fn check_script(path: &Path) -> Result<PathBuf, NotifyError> {
    if !path.is_absolute() {
        return Err(NotifyError::Relative(path.to_owned()));
    }
    let read = |error| NotifyError::Read { path: path.to_owned(), error };
    let real = path.canonicalize().map_err(read)?;
    let metadata = real.metadata().map_err(read)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_file() {
        return Err(NotifyError::NoFile(real));
    }
    if mode & 0o111 == 0 {
        return Err(NotifyError::NotExecutable { path: real, mode });
    }
    if mode & 0o002 != 0 {
        return Err(NotifyError::Writable { path: real, mode });
    }
    if metadata.uid() != 0 && metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(NotifyError::Owner { path: real, owner: metadata.uid() });
    }
    for folder in real.ancestors().skip(1).chain(path.ancestors().skip(1)) {
        let mode = folder.metadata().map_err(read)?.permissions().mode() & 0o7777;
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Err(NotifyError::Writable { path: folder.to_owned(), mode });
        }
    }
    Ok(real)
}

/// How a call went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was told.
    pub state: State,
    /// The script ended with exit code 0.
    pub done: bool,
    /// In words, with the first 200 bytes of its output.
    pub text: String,
}

/// Calls the script. Dropping it lets a call that runs, and the newest state, come to their end.
pub struct Notifier {
    newest: watch::Sender<Option<Change>>,
    state: Option<State>,
    task: JoinHandle<()>,
}

impl Notifier {
    /// Begins. To be called in a tokio runtime. `instance` is the primary IP of the cluster, `priority` that of this member; `report` gets the end of each call and must not block.
    ///
    /// # Errors
    /// Those of [`check_script`].
    pub fn start(
        script: &Path,
        instance: Ipv4Addr,
        priority: u8,
        report: impl Fn(Report) + Send + 'static,
    ) -> Result<Notifier, NotifyError> {
        Notifier::with_timeout(script, instance, priority, report, TIMEOUT)
    }

    fn with_timeout(
        script: &Path,
        instance: Ipv4Addr,
        priority: u8,
        report: impl Fn(Report) + Send + 'static,
        timeout: Duration,
    ) -> Result<Notifier, NotifyError> {
        check_script(script)?;
        let script = script.to_owned();
        let (newest, mut changes) = watch::channel(None::<Change>);
        let task = tokio::spawn(async move {
            let mut told = None;
            while changes.changed().await.is_ok() {
                let Some(change) = changes.borrow_and_update().clone() else { continue };
                if told.replace(change.state) == Some(change.state) {
                    continue;
                }
                let (done, text) = match call(&script, instance, priority, &change, timeout).await {
                    Ok(text) => (true, text),
                    Err(text) => (false, text),
                };
                report(Report { state: change.state, done, text });
            }
        });
        Ok(Notifier { newest, state: None, task })
    }

    /// Takes a status; the script is called if it makes another [`State`]. Never waits.
    pub fn status(&mut self, status: &StatusReply) {
        if let Some(state) = State::of(status, self.state).filter(|state| self.state != Some(*state)) {
            self.tell(Change::to(state, status));
        }
    }

    /// Tells a state that no status shows: [`State::Fault`] when the NIC is gone, [`State::Stop`] at the end. Never waits.
    pub fn tell(&mut self, change: Change) {
        self.state = Some(change.state);
        self.newest.send_replace(Some(change));
    }

    /// Ends when the newest state has been told: after two calls, twenty seconds, at most.
    pub async fn close(self) {
        drop(self.newest);
        // It does not panic unless `report` does, and then there is nothing to wait for.
        let _ = self.task.await;
    }
}

async fn call(
    script: &Path,
    instance: Ipv4Addr,
    priority: u8,
    change: &Change,
    timeout: Duration,
) -> Result<String, String> {
    let script = check_script(script).map_err(|error| error.to_string())?;
    let args = ["INSTANCE".to_owned(), instance.to_string(), change.state.name().to_owned(), priority.to_string()];
    // A name is one line whatever is in it.
    let rule = |rule: &String| rule.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>();
    let rules: Vec<String> = change.rules.iter().map(rule).collect();
    let env = [
        ("HASHGATE_PHASE", change.phase.clone()),
        ("HASHGATE_EPOCH", change.epoch.to_string()),
        ("HASHGATE_RULES", rules.join("\n")),
    ];
    let ran = run::run(&script, &args, &env, timeout, Leftovers::Keep).await?;
    let said = if ran.output.is_empty() { String::new() } else { format!(": {}", ran.output) };
    let name = change.state.name();
    match ran.end {
        End::Code(Some(0)) => Ok(format!("{name} told{said}")),
        End::Code(Some(code)) => Err(format!("{name}: exit code {code}{said}")),
        End::Code(None) => Err(format!("{name}: ended by a signal{said}")),
        End::TimedOut => Err(format!("{name}: killed after {} ms{said}", timeout.as_millis())),
    }
}

#[cfg(test)]
mod tests;
