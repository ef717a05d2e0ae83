// SPDX-License-Identifier: Apache-2.0
use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

fn config(rule: &str, check: Check) -> MonitorConfig {
    MonitorConfig {
        rule: rule.into(),
        check,
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
        on_failure: OnFailure::Drain,
    }
}

fn named(rule: &str, name: &str) -> MonitorConfig {
    config(rule, Check::Command { argv: vec![name.into()] })
}

/// Outcomes of probes by the name of their command, which a test changes; a tenth of a second each.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<BTreeMap<String, Outcome>>>);

impl Fake {
    fn set(&self, name: &str, outcome: Outcome) {
        self.0.lock().unwrap().insert(name.into(), outcome);
    }

    fn probe(&self) -> Arc<Probe> {
        let fake = self.clone();
        Arc::new(move |config| {
            let fake = fake.clone();
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let Check::Command { argv } = config.check else { panic!("a command") };
                (fake.0.lock().unwrap().get(&argv[0]).copied().unwrap_or(Outcome::Healthy), "said so".into())
            })
        })
    }
}

type Acts = UnboundedReceiver<(Instant, String, Verb)>;

/// Monitors, what they do, what they report.
fn begin(configs: Vec<MonitorConfig>, told: Told, probe: Arc<Probe>) -> (Monitors, Acts, UnboundedReceiver<Report>) {
    let (acts, done) = unbounded_channel();
    let (reports, reported) = unbounded_channel();
    let act = move |rule, verb| -> BoxFuture<Result<(), String>> {
        acts.send((Instant::now(), rule, verb)).unwrap();
        Box::pin(async { Ok(()) })
    };
    let report = move |report| reports.send(report).unwrap();
    (Monitors::with_probe(configs, told, Box::new(act), Box::new(report), probe), done, reported)
}

async fn next(acts: &mut Acts) -> (String, Verb) {
    let (_, rule, verb) = timeout(Duration::from_secs(60), acts.recv()).await.expect("something done").unwrap();
    (rule, verb)
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn takes_out_and_brings_back() {
    let fake = Fake::default();
    let (monitors, mut acts, mut reports) = begin(vec![named("web", "a")], Told::default(), fake.probe());
    seconds(20).await;
    assert!(acts.try_recv().is_err(), "nothing is said while all is well");
    assert!((9..=10).contains(&monitors.statuses()[0].checks), "{:?}", monitors.statuses());

    fake.set("a", Outcome::Unhealthy);
    let from = Instant::now();
    let (at, rule, verb) = acts.recv().await.unwrap();
    assert_eq!((rule.as_str(), verb), ("web", Verb::Drain));
    // Three bad checks, two seconds apart, of which the first is under way or begins within two seconds.
    assert!((Duration::from_secs(4)..=Duration::from_millis(6100)).contains(&(at - from)), "{:?}", at - from);
    assert_eq!(reports.recv().await.unwrap().text, "rule web: drain by command a: said so");
    let status = monitors.statuses().remove(0);
    assert_eq!((status.last, status.wants, status.text.as_str()), (Some(Outcome::Unhealthy), Verb::Drain, "said so"));
    // tokio's timers go by whole milliseconds.
    assert!((100..=102).contains(&status.took.as_millis()), "{:?}", status.took);

    seconds(20).await;
    assert!(acts.try_recv().is_err(), "said once");
    fake.set("a", Outcome::Healthy);
    assert_eq!(next(&mut acts).await, ("web".into(), Verb::Enable));
    assert_eq!(reports.recv().await.unwrap().wants, Verb::Enable);
    monitors.stop().await;
}

#[tokio::test(start_paused = true)]
async fn strictest_of_a_rule() {
    let fake = Fake::default();
    let configs = vec![named("web", "a"), named("web", "b"), named("dns", "c")];
    let (monitors, mut acts, _reports) = begin(configs, Told::default(), fake.probe());
    fake.set("a", Outcome::Drain);
    assert_eq!(next(&mut acts).await, ("web".into(), Verb::Drain));
    fake.set("b", Outcome::Disable);
    assert_eq!(next(&mut acts).await, ("web".into(), Verb::Disable));
    fake.set("a", Outcome::Healthy);
    seconds(20).await;
    assert!(acts.try_recv().is_err(), "b still wants it disabled");
    fake.set("b", Outcome::Healthy);
    assert_eq!(next(&mut acts).await, ("web".into(), Verb::Enable));
    fake.set("c", Outcome::Disable);
    assert_eq!(next(&mut acts).await, ("dns".into(), Verb::Disable));
    monitors.stop().await;
}

#[tokio::test(start_paused = true)]
async fn never_two_at_once() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, highest) = (running.clone(), most.clone());
    let probe: Arc<Probe> = Arc::new(move |_| {
        let (now, highest) = (now.clone(), highest.clone());
        Box::pin(async move {
            highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            seconds(5).await;
            now.fetch_sub(1, Ordering::SeqCst);
            (Outcome::Healthy, String::new())
        })
    });
    let (monitors, _acts, _reports) = begin(vec![named("web", "a")], Told::default(), probe);
    seconds(61).await;
    assert_eq!(most.load(Ordering::SeqCst), 1);
    // A check of five seconds every two seconds: the next one begins at the next multiple of two, so every six.
    assert!((9..=10).contains(&monitors.statuses()[0].checks), "{:?}", monitors.statuses());
    monitors.stop().await;
}

#[tokio::test(start_paused = true)]
async fn starts_are_spread() {
    let begun = Arc::new(Mutex::new(Vec::new()));
    let times = begun.clone();
    let probe: Arc<Probe> = Arc::new(move |_| {
        times.lock().unwrap().push(Instant::now());
        Box::pin(async { (Outcome::Healthy, String::new()) })
    });
    let start = Instant::now();
    let configs = (0..64).map(|number| named("web", &number.to_string())).collect();
    let (monitors, _acts, _reports) = begin(configs, Told::default(), probe);
    // The last one may be late by the millisecond of the timer.
    seconds(3).await;
    let first: Vec<Duration> = begun.lock().unwrap().iter().map(|time| *time - start).take(64).collect();
    assert_eq!(first.len(), 64);
    // 64 random times in 2 s are all in one half with probability 2^-63.
    assert!(first.iter().any(|time| *time < Duration::from_secs(1)), "{first:?}");
    assert!(first.iter().any(|time| *time > Duration::from_secs(1)), "{first:?}");
    monitors.stop().await;
}

#[tokio::test(start_paused = true)]
async fn failed_acts_are_tried_again_and_reported_once() {
    let (acts, mut done) = unbounded_channel();
    let (reports, mut reported) = unbounded_channel();
    let tries = AtomicUsize::new(0);
    let act = move |rule: String, verb| -> BoxFuture<Result<(), String>> {
        acts.send((Instant::now(), rule, verb)).unwrap();
        match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Box::pin(async { Err("no such rule".into()) }),
            1 => Box::pin(std::future::pending()),
            _ => Box::pin(async { Ok(()) }),
        }
    };
    let report = move |report| reports.send(report).unwrap();
    let fake = Fake::default();
    fake.set("a", Outcome::Disable);
    let monitors =
        Monitors::with_probe(vec![named("web", "a")], Told::default(), Box::new(act), Box::new(report), fake.probe());
    for _ in 0..3 {
        assert_eq!(next(&mut done).await, ("web".into(), Verb::Disable));
    }
    seconds(30).await;
    assert!(done.try_recv().is_err(), "done the third time");
    assert!(!reported.recv().await.unwrap().failed);
    let failure = reported.recv().await.unwrap();
    assert_eq!((failure.failed, failure.text.as_str()), (true, "rule web: disable failed: no such rule"));
    assert!(reported.try_recv().is_err(), "reported once");
    monitors.stop().await;
}

#[tokio::test(start_paused = true)]
async fn successors_go_on() {
    let fake = Fake::default();
    fake.set("a", Outcome::Drain);
    fake.set("b", Outcome::Disable);
    let configs = vec![named("web", "a"), named("dns", "b")];
    let (monitors, mut acts, _reports) = begin(configs, Told::default(), fake.probe());
    let mut both = [next(&mut acts).await, next(&mut acts).await];
    both.sort();
    assert_eq!(both, [("dns".into(), Verb::Disable), ("web".into(), Verb::Drain)]);
    let told = monitors.stop().await;

    // dns has no monitor any more: enabled. web stays out until it has risen.
    fake.set("a", Outcome::Healthy);
    let (monitors, mut acts, _reports) = begin(vec![named("web", "a")], told, fake.probe());
    assert_eq!(monitors.statuses()[0].wants, Verb::Drain);
    let start = Instant::now();
    assert_eq!(next(&mut acts).await, ("dns".into(), Verb::Enable));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(next(&mut acts).await, ("web".into(), Verb::Enable));
    assert!(start.elapsed() >= Duration::from_secs(2), "two good checks");
    assert!(!monitors.stop().await.0.contains_key("dns"));
}

#[tokio::test(start_paused = true)]
async fn what_was_interrupted_is_done_again() {
    let fake = Fake::default();
    fake.set("a", Outcome::Drain);
    let (acts, mut done) = unbounded_channel();
    let act = move |rule: String, verb| -> BoxFuture<Result<(), String>> {
        acts.send((Instant::now(), rule, verb)).unwrap();
        Box::pin(std::future::pending())
    };
    let monitors =
        Monitors::with_probe(vec![named("web", "a")], Told::default(), Box::new(act), Box::new(|_| ()), fake.probe());
    assert_eq!(next(&mut done).await, ("web".into(), Verb::Drain));
    let told = monitors.stop().await;
    let (monitors, mut acts, _reports) = begin(vec![named("web", "a")], told, fake.probe());
    assert_eq!(next(&mut acts).await, ("web".into(), Verb::Drain));
    monitors.stop().await;
}

async fn once(check: Check, limit: Duration) -> (Outcome, String) {
    check::check(&check, "web", "a", limit).await
}

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(200);

mod checks {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        (listener, addr)
    }

    /// Answers one request with these bytes, and says what it was.
    async fn http(answer: Vec<u8>, path: &str, expect: u16, limit: Duration) -> ((Outcome, String), String) {
        let (listener, addr) = listener().await;
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).await.unwrap();
                request.extend_from_slice(&byte);
            }
            // The client may be gone before all is written.
            let _ = stream.write_all(&answer).await;
            let held: TcpStream = stream;
            (held, String::from_utf8(request).unwrap())
        };
        let client = once(Check::Http { addr, path: path.into(), expect }, limit);
        let (result, (_held, request)) = tokio::join!(client, server);
        (result, request.replace(&addr.to_string(), "ADDR"))
    }

    #[tokio::test]
    async fn tcp() {
        let (listener, addr) = listener().await;
        assert_eq!(once(Check::Tcp { addr }, LONG).await, (Outcome::Healthy, "connected".into()));
        drop(listener);
        let (outcome, text) = once(Check::Tcp { addr }, LONG).await;
        assert_eq!(outcome, Outcome::Unhealthy);
        assert!(text.contains("refused"), "{text}");
    }

    #[tokio::test]
    async fn http_status() {
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".to_vec();
        let (result, request) = http(ok, "/health?full=1", 200, LONG).await;
        assert_eq!(result, (Outcome::Healthy, "status 200".into()));
        let mut lines: Vec<&str> = request.trim_end().split("\r\n").collect();
        lines.sort();
        let wanted = ["GET /health?full=1 HTTP/1.1", "connection: close", "host: ADDR", "user-agent: hashgate-monitor"];
        assert_eq!(lines, wanted);
        let moved = b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_vec();
        assert_eq!(http(moved.clone(), "/", 200, LONG).await.0, (Outcome::Unhealthy, "status 301, not 200".into()));
        assert_eq!(http(moved, "/", 301, LONG).await.0.0, Outcome::Healthy);
    }

    #[tokio::test]
    async fn http_hostile() {
        let long = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat();
        let many = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(65), b"\r\n".to_vec()].concat();
        for answer in [long, many, b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()] {
            let (outcome, text) = http(answer, "/", 200, LONG).await.0;
            assert_eq!(outcome, Outcome::Unhealthy);
            assert!(!text.contains("within"), "refused at once: {text}");
        }
        let silent = http(b"HTTP/1.1 200".to_vec(), "/", 200, SHORT).await.0;
        assert_eq!(silent, (Outcome::Unhealthy, "no answer within 200 ms".into()));
    }

    #[tokio::test]
    async fn http_bad_path() {
        let (_listener, addr) = listener().await;
        let (outcome, text) = once(Check::Http { addr, path: "/a b".into(), expect: 200 }, LONG).await;
        assert_eq!(outcome, Outcome::Unhealthy);
        assert!(text.starts_with("path /a b: "), "{text}");
    }

    async fn sh(script: &str, limit: Duration) -> (Outcome, String) {
        once(Check::Command { argv: vec!["/bin/sh".into(), "-c".into(), script.into()] }, limit).await
    }

    #[tokio::test]
    async fn commands() {
        for (script, outcome, text) in [
            ("exit 0", Outcome::Healthy, "exit code 0"),
            ("echo down; exit 1", Outcome::Unhealthy, "exit code 1: down"),
            ("exit 2", Outcome::Drain, "exit code 2"),
            ("exit 3", Outcome::Disable, "exit code 3"),
            ("exit 4", Outcome::Unhealthy, "exit code 4"),
            ("kill $$", Outcome::Unhealthy, "ended by a signal"),
            ("echo $HASHGATE_RULE $HASHGATE_HOST", Outcome::Healthy, "exit code 0: web a"),
        ] {
            assert_eq!(sh(script, LONG).await, (outcome, text.into()), "{script}");
        }
        assert_eq!(sh("sleep 300", SHORT).await, (Outcome::Unhealthy, "killed after 200 ms".into()));
        let (outcome, text) = once(Check::Command { argv: vec!["/nowhere".into()] }, LONG).await;
        assert_eq!(outcome, Outcome::Unhealthy);
        assert!(text.starts_with("/nowhere cannot be started"), "{text}");
        assert_eq!(once(Check::Command { argv: vec![] }, LONG).await.0, Outcome::Unhealthy);
    }

    /// Real time, a real server: the whole way once.
    #[tokio::test]
    async fn end_to_end() {
        let (listener, addr) = listener().await;
        let mut config = config("web", Check::Tcp { addr });
        (config.interval, config.rise, config.fall) = (SHORTEST_INTERVAL, 1, 1);
        let (acts, mut done) = unbounded_channel();
        let act = move |rule, verb| -> BoxFuture<Result<(), String>> {
            acts.send((Instant::now(), rule, verb)).unwrap();
            Box::pin(async { Ok(()) })
        };
        let monitors = Monitors::start(vec![config], "a", Told::default(), act, |_| ());
        drop(listener);
        assert_eq!(next(&mut done).await, ("web".into(), Verb::Drain));
        let _listener = TcpListener::bind(addr).await.unwrap();
        assert_eq!(next(&mut done).await, ("web".into(), Verb::Enable));
        assert_eq!(monitors.statuses()[0].last, Some(Outcome::Healthy));
        monitors.stop().await;
    }
}

#[test]
fn from_configuration() {
    let monitor = daemon::Monitor {
        rule: "web".into(),
        check: daemon::Check::Http { addr: "0.0.0.0:80".parse().unwrap(), path: "/".into(), expect: 204 },
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(3),
        rise: 4,
        fall: 6,
        disable: true,
    };
    let made = MonitorConfig::new(&monitor, Some("10.9.0.7".parse().unwrap()));
    assert_eq!(made.check.to_string(), "http 10.9.0.7:80/ 204");
    assert_eq!((made.interval, made.timeout, made.rise, made.fall), (monitor.interval, monitor.timeout, 4, 6));
    assert_eq!(made.on_failure, OnFailure::Disable);
    assert_eq!(MonitorConfig::new(&monitor, None).check.to_string(), "http 127.0.0.1:80/ 204");
    let tcp = daemon::Monitor { check: daemon::Check::Tcp("10.1.2.3:80".parse().unwrap()), disable: false, ..monitor };
    let made = MonitorConfig::new(&tcp, None);
    assert_eq!((made.check.to_string().as_str(), made.on_failure), ("tcp 10.1.2.3:80", OnFailure::Drain));
}
