// SPDX-License-Identifier: Apache-2.0
//! A program that is started with a time-out: without a shell, without the daemon's environment, in a process group of its own.

use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// Bytes of the output that are kept.
pub const OUTPUT: usize = 200;
/// Where programs look for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// For the rest of the output once the program has ended: a child of it may hold the pipe for ever.
const REST: Duration = Duration::from_millis(100);

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Exit code; `None`: by a signal.
    Code(Option<i32>),
    /// Killed, with its group.
    TimedOut,
}

/// How it ended, and the first [`OUTPUT`] bytes of what it printed, in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    pub end: End,
    pub output: String,
}

/// What becomes of processes that a program left behind when it ended in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    Kill,
    Keep,
}

/// Its process group, killed when dropped: by the time-out, or because the task that waits is.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nobody left in it is as good.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs `program` to its end, or for `timeout`. Dropping the future kills it.
///
/// # Errors
/// A line, if it could not be started.
pub async fn run<A: AsRef<OsStr>>(
    program: &Path,
    args: &[A],
    env: &[(&str, String)],
    timeout: Duration,
    leftovers: Leftovers,
) -> Result<Ran, String> {
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", PATH)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
    // Its number cannot be another's yet: the child is not waited for. Afterwards, numbers of groups that have members are not given out again, and others only after all the rest.
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let ended = tokio::time::timeout(timeout, async {
        let mut reading = std::pin::pin!(async {
            tokio::join!(keep(stdout, &mut first), keep(stderr, &mut second));
        });
        let status = tokio::select! {
            status = child.wait() => status,
            () = &mut reading => return child.wait().await,
        };
        if leftovers == Leftovers::Kill {
            drop(std::mem::replace(&mut group, Group(None)));
        }
        let _ = tokio::time::timeout(REST, reading).await;
        status
    })
    .await;
    let end = match ended {
        Ok(Ok(status)) => End::Code(status.code()),
        Ok(Err(error)) => return Err(format!("{}: {error}", program.display())),
        Err(_) => {
            drop(std::mem::replace(&mut group, Group(None)));
            // SIGKILL is not to be refused; a process in the kernel's uninterruptible sleep is left to the runtime, which reaps it.
            let _ = tokio::time::timeout(Duration::from_secs(1), child.wait()).await;
            End::TimedOut
        }
    };
    if leftovers == Leftovers::Keep {
        group.0 = None;
    }
    Ok(Ran { end, output: line(first, &second) })
}

/// Reads to the end; keeps the beginning, so that a program that prints much is not held up.
async fn keep(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        let room = OUTPUT - kept.len();
        kept.extend_from_slice(&piece[..length.min(room)]);
    }
}

/// Both outputs, standard output first, as one line of at most [`OUTPUT`] bytes of theirs.
fn line(mut first: Vec<u8>, second: &[u8]) -> String {
    first.extend_from_slice(second);
    first.truncate(OUTPUT);
    let text: String = String::from_utf8_lossy(&first).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(60);

    async fn sh(script: &str, timeout: Duration, leftovers: Leftovers) -> Ran {
        let env = [("HASHGATE_RULE", "web $(id) \"".to_owned())];
        run(Path::new("/bin/sh"), &["-c", script], &env, timeout, leftovers).await.unwrap()
    }

    #[tokio::test]
    async fn code_and_output() {
        let ran = sh("echo good; echo bad >&2; exit 3", LONG, Leftovers::Kill).await;
        assert_eq!(ran, Ran { end: End::Code(Some(3)), output: "good bad".into() });
        assert_eq!(sh("kill -9 $$", LONG, Leftovers::Kill).await.end, End::Code(None));
    }

    #[tokio::test]
    async fn environment_is_only_what_it_is_given() {
        let ran = sh("/usr/bin/env | /usr/bin/sort | tr '\\n' ';'; pwd", LONG, Leftovers::Kill).await;
        assert!(ran.output.contains("HASHGATE_RULE=web $(id) \";"), "{}", ran.output);
        assert!(!ran.output.contains("CARGO"), "{}", ran.output);
        assert!(ran.output.ends_with('/'), "{}", ran.output);
    }

    #[tokio::test]
    async fn much_output_is_cut() {
        let ran =
            sh("head -c 1000000 /dev/zero | tr '\\0' x; printf '\\033[31m\\377' >&2", LONG, Leftovers::Kill).await;
        assert_eq!(ran, Ran { end: End::Code(Some(0)), output: "x".repeat(OUTPUT) });
        let ran = sh("printf 'a\\033[31m\\377'", LONG, Leftovers::Kill).await;
        assert_eq!(ran.output, "a [31m\u{fffd}");
    }

    #[tokio::test]
    async fn missing_program() {
        let error = run::<&str>(Path::new("/nowhere/program"), &[], &[], LONG, Leftovers::Kill).await.unwrap_err();
        assert!(error.starts_with("/nowhere/program cannot be started: "), "{error}");
    }

    /// Whether a process is there and is no zombie.
    fn lives(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Waits, by its end of a FIFO, until all who hold the other one are gone.
    async fn child_of(script: &str, timeout: Duration, leftovers: Leftovers) -> (Ran, String) {
        let ran = sh(script, timeout, leftovers).await;
        let pid = ran.output.clone();
        assert!(pid.parse::<u32>().is_ok(), "{pid}");
        (ran, pid)
    }

    async fn gone(pid: &str) {
        let patience = Instant::now();
        while lives(pid) {
            assert!(patience.elapsed() < Duration::from_secs(20), "process {pid} lives on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn time_out_kills_the_whole_group() {
        let start = Instant::now();
        let (ran, pid) = child_of("sleep 300 & echo $!; wait", Duration::from_millis(300), Leftovers::Keep).await;
        assert_eq!(ran.end, End::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(20));
        gone(&pid).await;
    }

    #[tokio::test]
    async fn leftovers() {
        let (ran, pid) = child_of("sleep 300 & echo $!", LONG, Leftovers::Kill).await;
        assert_eq!(ran.end, End::Code(Some(0)));
        gone(&pid).await;
        let (ran, pid) = child_of("sleep 300 & echo $!", LONG, Leftovers::Keep).await;
        assert_eq!(ran.end, End::Code(Some(0)));
        assert!(lives(&pid));
        kill_process_group_of(&pid);
        gone(&pid).await;
    }

    fn kill_process_group_of(pid: &str) {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn dropping_kills() {
        let name = format!("/tmp/hashgate-run-{}", std::process::id());
        let script = format!("echo $$ >{name}; sleep 300");
        let task = tokio::spawn(async move { sh(&script, LONG, Leftovers::Keep).await });
        let patience = Instant::now();
        let pid = loop {
            match std::fs::read_to_string(&name) {
                Ok(pid) if pid.ends_with('\n') => break pid.trim().to_owned(),
                _ => assert!(patience.elapsed() < Duration::from_secs(20)),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        std::fs::remove_file(&name).unwrap();
        assert!(lives(&pid));
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        gone(&pid).await;
    }
}
