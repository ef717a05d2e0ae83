// SPDX-License-Identifier: Apache-2.0
use super::*;
use hashgate_api::v1::{Member, RuleShare};
use std::io::Write;
use std::process::{Command, Stdio};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const LONG: Duration = Duration::from_secs(60);

/// A folder with a script.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("hashgate-notify-{}-{test}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Folder(path)
    }

    /// Written by another process: if this one did, a program that another test starts meanwhile would have the file open for writing, and it could not be called.
    fn script(&self, text: &str) -> PathBuf {
        let path = self.0.join("notify");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "cat >\"$0\"; chmod 755 \"$0\""]).arg(&path).stdin(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        shell.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{text}\n").as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
        path
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.0.join("log")).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn start(script: &Path, timeout: Duration) -> (Notifier, UnboundedReceiver<Report>) {
    let (reports, reported) = unbounded_channel();
    let report = move |report| reports.send(report).unwrap();
    let instance = Ipv4Addr::new(10, 9, 0, 100);
    (Notifier::with_timeout(script, instance, 7, report, timeout).unwrap(), reported)
}

fn status(phase: &str, default: &str) -> StatusReply {
    let share = |rule: &str, buckets| RuleShare { rule: rule.into(), buckets, ..Default::default() };
    let own = Member {
        name: "a".into(),
        state: "self".into(),
        shares: vec![share("web", 2048), share("idle", 0), share("two\nlines", 1)],
        ..Default::default()
    };
    let other =
        Member { name: "b".into(), state: "member".into(), shares: vec![share("dns", 4096)], ..Default::default() };
    StatusReply {
        host: "a".into(),
        phase: phase.into(),
        default_host: Some(default.into()),
        lease_seconds: Some(0.3),
        epoch: 42,
        members: vec![own, other],
        ..Default::default()
    }
}

fn change(state: State) -> Change {
    Change { state, phase: "stable".into(), epoch: 1, rules: Vec::new() }
}

async fn next(reports: &mut UnboundedReceiver<Report>) -> Report {
    tokio::time::timeout(LONG, reports.recv()).await.expect("a report").unwrap()
}

#[test]
fn states() {
    let without = |phase| StatusReply { lease_seconds: None, ..status(phase, "a") };
    for (status, before, state) in [
        (status("stable", "a"), None, Some(State::Master)),
        (status("stable", "b"), None, Some(State::Backup)),
        (StatusReply { default_host: None, ..status("stable", "a") }, None, Some(State::Backup)),
        (without("stable"), None, Some(State::Fault)),
        (status("excluded", "a"), Some(State::Master), Some(State::Fault)),
        (status("suspended", "a"), None, Some(State::Stop)),
        (without("listening"), None, None),
        (without("converging"), Some(State::Stop), None),
        (without("converging"), Some(State::Backup), Some(State::Fault)),
        (without("idle"), Some(State::Master), Some(State::Fault)),
        (status("idle", "a"), Some(State::Backup), None),
        (status("ready", "b"), Some(State::Master), None),
    ] {
        assert_eq!(State::of(&status, before), state, "{} after {before:?}", status.phase);
    }
}

#[tokio::test]
async fn arguments_and_environment() {
    let folder = Folder::new("arguments");
    let script = folder.script("cd \"${0%/*}\"; { echo \"$@\"; echo $#; env | grep ^HASHGATE_ ; } >log; echo told");
    let (mut notifier, mut reports) = start(&script, LONG);
    notifier.status(&status("converging", "a"));
    notifier.status(&status("stable", "a"));
    let report = next(&mut reports).await;
    assert_eq!(report, Report { state: State::Master, done: true, text: "MASTER told: told".into() });
    let log = folder.log();
    let mut lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[..2], ["INSTANCE 10.9.0.100 MASTER 7", "4"]);
    lines[2..].sort();
    // grep shows the first line of the rules only.
    assert_eq!(lines[2..], ["HASHGATE_EPOCH=42", "HASHGATE_PHASE=stable", "HASHGATE_RULES=web"]);
    let made = Change::to(State::Master, &status("stable", "a"));
    assert_eq!(made.rules, ["web", "two\nlines"]);
    notifier.close().await;
}

#[tokio::test]
async fn hostile_rule_names_stay_one_line() {
    let folder = Folder::new("lines");
    let script = folder.script("printf '%s' \"$HASHGATE_RULES\" >\"${0%/*}/log\"");
    let (mut notifier, mut reports) = start(&script, LONG);
    notifier.tell(Change { rules: vec!["web".into(), "a\nb\0c".into(), "$(reboot)".into()], ..change(State::Backup) });
    assert!(next(&mut reports).await.done);
    assert_eq!(folder.log(), "web\na?b?c\n$(reboot)");
    notifier.close().await;
}

/// The script waits until it is let go on, by a FIFO.
#[tokio::test]
async fn one_at_a_time_and_only_the_newest() {
    let folder = Folder::new("newest");
    let script = folder.script("cd \"${0%/*}\"; echo begin $3 >>log; cat gate >/dev/null; echo end $3 >>log");
    let gate = folder.0.join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let (mut notifier, mut reports) = start(&script, LONG);
    notifier.status(&status("stable", "a"));
    // Opening the FIFO for writing succeeds when the script reads it: the first call runs.
    let open =
        |gate: PathBuf| tokio::task::spawn_blocking(move || std::fs::File::options().write(true).open(gate).unwrap());
    let held = open(gate.clone()).await.unwrap();
    notifier.status(&status("stable", "b"));
    notifier.status(&status("excluded", "b"));
    notifier.status(&status("stable", "b"));
    assert_eq!(folder.log(), "begin MASTER\n");
    drop(held);
    assert_eq!(next(&mut reports).await.state, State::Master);
    drop(open(gate.clone()).await.unwrap());
    assert_eq!(next(&mut reports).await.state, State::Backup);
    assert_eq!(folder.log(), "begin MASTER\nend MASTER\nbegin BACKUP\nend BACKUP\n");
    // The same again is no change.
    notifier.status(&status("stable", "b"));
    notifier.tell(change(State::Backup));
    notifier.close().await;
    assert_eq!(reports.recv().await, None);
}

#[tokio::test]
async fn killed_after_the_time_out() {
    let folder = Folder::new("late");
    let script = folder.script("echo begun; sleep 300");
    let (mut notifier, mut reports) = start(&script, Duration::from_millis(300));
    notifier.tell(change(State::Fault));
    let report = next(&mut reports).await;
    assert_eq!((report.done, report.text.as_str()), (false, "FAULT: killed after 300 ms: begun"));
    notifier.close().await;
}

#[tokio::test]
async fn failures_are_reported_and_the_end_is_told() {
    let folder = Folder::new("failure");
    let script = folder.script("echo \"no way\" >&2; exit 5");
    let (mut notifier, mut reports) = start(&script, LONG);
    notifier.tell(change(State::Fault));
    assert_eq!(next(&mut reports).await.text, "FAULT: exit code 5: no way");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o644)).unwrap();
    notifier.tell(change(State::Backup));
    let text = next(&mut reports).await.text;
    assert!(text.ends_with("mode 0644 is not executable: chmod 0755"), "{text}");
    folder.script("echo $3 >\"${0%/*}/log\"");
    notifier.tell(change(State::Stop));
    notifier.close().await;
    assert_eq!(folder.log(), "STOP\n", "close waits for it");
}

#[test]
fn refused_scripts() {
    let folder = Folder::new("refused");
    let script = folder.script("");
    let refused = |path: &Path| check_script(path).expect_err("refused").to_string();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(check_script(&script).unwrap(), script.canonicalize().unwrap());
    assert_eq!(refused(Path::new("notify")), "notify script notify: not an absolute path");
    assert!(refused(&folder.0.join("nothing")).contains("No such file"));
    assert!(refused(&folder.0).ends_with("not a file"));
    mode(&script, 0o644);
    assert!(refused(&script).contains("mode 0644 is not executable"));
    mode(&script, 0o757);
    assert!(refused(&script).contains("mode 0757 of") && refused(&script).contains("lets others change it"));
    mode(&script, 0o755);
    mode(&folder.0, 0o777);
    assert!(refused(&script).contains(&format!("mode 0777 of {} lets", folder.0.display())));
    mode(&folder.0, 0o755);
    // A link in a folder that everybody can change, to a script that nobody can.
    let open = folder.0.join("open");
    std::fs::create_dir(&open).unwrap();
    mode(&open, 0o777);
    let link = open.join("link");
    std::os::unix::fs::symlink(&script, &link).unwrap();
    assert!(refused(&link).contains(&format!("mode 0777 of {} lets", open.display())));
    mode(&open, 0o755);
    assert_eq!(check_script(&link).unwrap(), script.canonicalize().unwrap());
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&script, Some(12345), None).unwrap();
        assert!(refused(&script).contains("belongs to user 12345"));
    } else {
        println!("skipped: only root can give a file to another user");
    }
}
