// SPDX-License-Identifier: Apache-2.0
//! A daemon with made-up answers, in which no field is what it is by default, and ways to run `lbctl` against it.

use hashgate_api::v1::hashgate_server::{Hashgate, HashgateServer};
use hashgate_api::v1::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::pin::Pin;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

/// What reaches no terminal: orders, also of eight bits, a line of one's own, text turned around.
pub const ORDERS: &str = "\x1b]0;title\x07\u{9b}31m\r\nfake\u{202e}";

#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    Answers,
    /// All texts have orders in them.
    Hostile,
    /// Nothing is ever answered.
    Silent,
    Refuses,
    /// Answers that one host failed.
    Fails,
    /// A table of many bindings.
    Many,
}

#[derive(Clone)]
pub struct Fake {
    manner: Manner,
    /// Names and fields of the requests.
    pub asked: Arc<Mutex<Vec<(String, Value)>>>,
}

/// A daemon on a socket in a directory of its own.
pub struct Daemon {
    pub fake: Fake,
    pub dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Daemon {
    pub fn new(manner: Manner) -> Daemon {
        let fake = Fake { manner, asked: Arc::default() };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let dir = tempfile::tempdir().expect("a directory");
        let socket = {
            let _inside = runtime.enter();
            tokio::net::UnixListener::bind(dir.path().join("s")).expect("a socket")
        };
        let incoming = tokio_stream::wrappers::UnixListenerStream::new(socket);
        let server = tonic::transport::Server::builder().add_service(HashgateServer::new(fake.clone()));
        runtime.spawn(server.serve_with_incoming(incoming));
        Daemon { fake, dir, runtime }
    }

    /// The same on TCP, for those who have a certificate of `ca` (PEM); its port.
    pub fn listen(&self, identity: tonic::transport::Identity, ca: &str) -> u16 {
        let _inside = self.runtime.enter();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
        let tls = tonic::transport::ServerTlsConfig::new()
            .identity(identity)
            .client_ca_root(tonic::transport::Certificate::from_pem(ca));
        let mut server = tonic::transport::Server::builder().tls_config(tls).expect("certificates");
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        self.runtime.spawn(server.add_service(HashgateServer::new(self.fake.clone())).serve_with_incoming(incoming));
        port
    }

    /// `lbctl` for this daemon.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = lbctl(arguments);
        command.arg("--socket").arg(self.dir.path().join("s"));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::new(&mut self.command(arguments))
    }

    /// Requests since the last call.
    pub fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.fake.asked.lock().expect("no panic"))
    }
}

/// `lbctl` with nothing in its environment that could matter.
pub fn lbctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lbctl"));
    command.args(arguments).env_remove("HASHGATE_SOCKET").env_remove("NO_COLOR").env("TZ", "UTC").stdin(Stdio::null());
    command
}

/// How it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn new(command: &mut Command) -> Ran {
        let Output { status, stdout, stderr } = command.output().expect("lbctl starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: status.code().expect("no signal"), out: text(stdout), err: text(stderr) }
    }
}

/// Every text with orders at its end.
fn spoiled(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text + ORDERS),
        Value::Array(all) => all.into_iter().map(spoiled).collect(),
        Value::Object(all) => all.into_iter().map(|(key, value)| (key, spoiled(value))).collect(),
        other => other,
    }
}

impl Fake {
    async fn reply<Q: Serialize, A: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        request: Request<Q>,
        answer: A,
    ) -> Result<A, Status> {
        let request = serde_json::to_value(request.into_inner()).expect("JSON");
        self.asked.lock().expect("no panic").push((name.to_owned(), request));
        match self.manner {
            Manner::Silent => std::future::pending().await,
            Manner::Refuses => Err(Status::failed_precondition(format!("not in this state{ORDERS}"))),
            Manner::Hostile => {
                let spoiled = spoiled(serde_json::to_value(answer).expect("JSON"));
                Ok(serde_json::from_value(spoiled).expect("of the same form"))
            }
            Manner::Answers | Manner::Fails | Manner::Many => Ok(answer),
        }
    }
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn streamed<T: Send + 'static>(all: Vec<T>) -> Response<Streamed<T>> {
    Response::new(Box::pin(tokio_stream::iter(all).map(Ok)))
}

/// The service: replies, and streams of messages.
macro_rules! answers {
    ($($method:ident $request:ident -> $reply:ident: $answer:expr;)* ; $($stream:ident $name:ident $asked:ident -> $item:ident: $all:expr;)*) => {
        #[tonic::async_trait]
        impl Hashgate for Fake {
            $(async fn $method(&self, request: Request<$request>) -> Result<Response<$reply>, Status> {
                let answer: fn(Manner) -> $reply = $answer;
                Ok(Response::new(self.reply(stringify!($method), request, answer(self.manner)).await?))
            })*
            $(type $name = Streamed<$item>;
            async fn $stream(&self, request: Request<$asked>) -> Result<Response<Self::$name>, Status> {
                let all: fn(Manner) -> Vec<$item> = $all;
                Ok(streamed(self.reply(stringify!($stream), request, all(self.manner)).await?))
            })*
        }
    };
}

answers! {
    status StatusRequest -> StatusReply: |_| status();
    command CommandRequest -> CommandReply: commanded;
    reload ReloadRequest -> CommandReply: commanded;
    params ParamsRequest -> ParamsReply: |_| params();
    rules RulesRequest -> RulesReply: |_| rules();
    targets TargetsRequest -> TargetsReply: |_| targets();
    map MapRequest -> MapReply: |_| map();
    count_bindings BindingsRequest -> CountBindingsReply: |_| count();
    delete_bindings DeleteBindingsRequest -> DeleteBindingsReply: |_| DeleteBindingsReply { deleted: 77 };
    counters CountersRequest -> CountersReply: |_| counters();
    nic_info NicInfoRequest -> NicInfoReply: |_| nic_info();
    explain ExplainRequest -> ExplainReply: |_| explain();
    occupancy OccupancyRequest -> OccupancyReply: |_| occupancy();
    ;
    bindings BindingsStream BindingsRequest -> Binding: |manner| match manner {
        Manner::Many => vec![binding(); 20_000],
        _ => bindings(),
    };
    watch_bindings WatchBindingsStream BindingsRequest -> BindingEvent: |_| binding_events();
    events EventsStream EventsRequest -> Event: |_| events();
}

fn member(id: u32, name: &str, state: &str) -> Member {
    Member {
        id,
        name: name.into(),
        state: state.into(),
        reason: (state == "left-out").then(|| "its rules are others".into()),
        phase: Some("stable".into()),
        epoch: Some(41),
        rules_digest: Some("00112233aabbccdd".into()),
        capacity: Some(75),
        draining: id == 2,
        heartbeats_missed: 3,
        heard_seconds: Some(0.125),
        shares: vec![
            RuleShare { rule: "web".into(), buckets: 512 * id, draining: true, disabled: false },
            RuleShare { rule: "mail".into(), buckets: 4096 - 512 * id, draining: false, disabled: true },
        ],
        dedicated: vec![format!("10.9.0.{id}"), "2001:db8::1".into()],
    }
}

pub fn status() -> StatusReply {
    StatusReply {
        cluster: "10.9.0.100".into(),
        mode: "multicast".into(),
        cluster_mac: "03-BF-0A-09-00-64".into(),
        host: "alpha".into(),
        phase: "converging".into(),
        excluded: Some("beta has other rules".into()),
        epoch: 41,
        digest: "0123456789abcdef".into(),
        rules_digest: "00112233aabbccdd".into(),
        staged_digest: Some("ffeeddccbbaa9988".into()),
        default_host: Some("alpha".into()),
        lease_seconds: Some(0.25),
        converging_seconds: Some(1.5),
        uptime_seconds: 5000.5,
        version: "0.1.0".into(),
        members: vec![member(1, "alpha", "self"), member(2, "beta", "left-out"), member(7, "", "heard")],
        problems: vec!["beta has other rules than this host".into(), "gamma is silent".into()],
    }
}

pub fn commanded(manner: Manner) -> CommandReply {
    let answer = |id, name: &str, outcome: &str, text: &str| HostAnswer {
        id,
        name: name.into(),
        outcome: outcome.into(),
        text: text.into(),
    };
    let other = if manner == Manner::Fails { ("no-answer", "within 2 s") } else { ("done", "takes part\nsince now") };
    CommandReply { answers: vec![answer(1, "alpha", "done", "takes part"), answer(2, "beta", other.0, other.1)] }
}

pub fn params() -> ParamsReply {
    let param = |name: &str, value: &str| Param { name: name.into(), value: value.into() };
    let params = vec![param("cluster.primary_ip", "10.9.0.100"), param("cluster.period_ms", "80")];
    ParamsReply { config_file: "/etc/hashgate/cluster.toml".into(), params }
}

pub fn rules() -> RulesReply {
    let rule = |number, name: &str, vip: &str, ports: &str, protocol: &str| Rule {
        number,
        name: name.into(),
        vip: vip.into(),
        ports: ports.into(),
        protocol: protocol.into(),
        mode: "multiple".into(),
        affinity: "single".into(),
        state: "draining".into(),
        weights: vec![Weight { host: "alpha".into(), value: 100 }, Weight { host: "beta".into(), value: 50 }],
        buckets: 1024,
        packets: 1_234_567,
        bytes: u64::MAX,
    };
    RulesReply { rules: vec![rule(1, "web", "all", "80, 443", "tcp"), rule(2, "mail", "10.9.0.101", "25", "both")] }
}

pub fn targets() -> TargetsReply {
    let target = |id, name: &str, action: &str| Target {
        id,
        name: name.into(),
        action: action.into(),
        bind: true,
        buckets: 2048,
        packets: 9_876_543,
        bytes: 11,
    };
    TargetsReply { targets: vec![target(1, "alpha", "deliver"), target(2, "beta", "discard")] }
}

pub fn map() -> MapReply {
    let owners = (0..4096).map(|it| if it == 4095 { 1023 } else { 1 + it % 2 }).collect();
    let share = |id, name: &str, buckets| Share { id, name: name.into(), buckets };
    let shares = vec![share(1, "alpha", 2048), share(2, "beta", 2047)];
    MapReply { maps: vec![RuleMap { rule: "web".into(), owners, handover: vec![3, 64], shares }] }
}

pub fn binding() -> Binding {
    Binding {
        table: "connection".into(),
        source: "192.0.2.7".into(),
        source_port: 40000,
        destination: "10.9.0.100".into(),
        destination_port: 80,
        protocol: "tcp".into(),
        state: "established".into(),
        rule: "web".into(),
        target: "alpha".into(),
        bucket: 4095,
        expires_seconds: Some(3599.5),
        zone: 3,
    }
}

pub fn bindings() -> Vec<Binding> {
    let source = "2001:db8::7".to_owned();
    vec![binding(), Binding { source, destination: "2001:db8::100".into(), expires_seconds: Some(12.0), ..binding() }]
}

pub fn binding_events() -> Vec<BindingEvent> {
    let event = |kind: &str, lost| BindingEvent {
        kind: kind.into(),
        time: 1_700_000_000_123_456_789,
        binding: Some(binding()),
        lost,
    };
    vec![event("created", 4), event("removed", 5)]
}

pub fn count() -> CountBindingsReply {
    let states = vec![StateCount { state: "established".into(), count: 12 }];
    let table = |table: &str| BindingTableCount {
        table: table.into(),
        used: 13,
        capacity: 1 << 20,
        created: 1000,
        removed: 987,
        refused: 5,
        states: states.clone(),
    };
    CountBindingsReply { matching: 12, tables: vec![table("connection"), table("affinity")] }
}

pub fn counters() -> CountersReply {
    let named = |name: &str, packets, bytes| NamedCount { name: name.into(), packets, bytes };
    let reason = |verdict: &str, reason: &str| ReasonCount {
        verdict: verdict.into(),
        reason: reason.into(),
        packets: 1_000_001,
        bytes: 64_000_064,
    };
    CountersReply {
        time: 1_700_000_000_123_456_789,
        reasons: vec![reason("host", "owner"), reason("discard", "not-owner")],
        rules: vec![named("web", 5, 320), named("idle-rule", 0, 0)],
        targets: vec![named("alpha", 7, 448)],
        ports: vec![PortCount { port: 1, sent_packets: 8, sent_bytes: 512, overrun: 2 }],
        host_path: Some(HostPathCount {
            to_kernel: 101,
            from_kernel: 102,
            ring_drops: 103,
            tap_drops: 104,
            heartbeats_heard: 105,
            heartbeats_sent: 106,
            masked: 107,
            arp_rewritten: 108,
            nd_rewritten: 109,
        }),
    }
}

pub fn events() -> Vec<Event> {
    let event = |number, kind: &str, text: &str, severity: &str| Event {
        number,
        time: 1_700_000_000_123_456_789,
        host: "alpha".into(),
        epoch: 41,
        kind: kind.into(),
        text: text.into(),
        severity: severity.into(),
    };
    vec![event(17, "joined", "beta takes part", "info"), event(18, "left-out", "beta has other rules", "warning")]
}

pub fn nic_info() -> NicInfoReply {
    NicInfoReply {
        device: "vfio:0000:03:00.0".into(),
        tap: "hg0".into(),
        version: "1.2".into(),
        ports: 2,
        beat_bits: 512,
        clock_khz: 322_266,
        latency_cycles: 41,
        rules: 64,
        maps: 65,
        vips: 512,
        targets: 96,
        bindings: 1 << 20,
        station_mac: "02:00:00:00:00:01".into(),
        cluster_mac: "03:bf:0a:09:00:64".into(),
        mask_mac: "02:01:0a:09:00:64".into(),
        enabled: true,
        generation: 43,
        time_seconds: 99.5,
        lease_enabled: true,
        lease_expired: true,
        parity_errors: 1,
        scrub_errors: 2,
        controllers: 3,
        links: vec![true, false],
    }
}

pub fn explain() -> ExplainReply {
    let host = |host: &str, verdict: &str, binding| ExplainHost {
        host: host.into(),
        verdict: verdict.into(),
        reason: "owner".into(),
        binding,
        text: "bucket 4095 is its own".into(),
    };
    let hosts = vec![host("alpha", "host", Some(binding())), host("beta", "discard", None)];
    ExplainReply { rule: "web".into(), bucket: Some(4095), owner: Some("alpha".into()), handover: true, hosts }
}

pub fn occupancy() -> OccupancyReply {
    let host = OccupancyHost {
        host: "alpha".into(),
        seconds: 10.0,
        received_bytes: 5_000_000,
        foreign_bytes: 2_500_000,
        share: 0.25,
        warning: true,
    };
    OccupancyReply { link_bits_per_second: 10_000_000_000, threshold: 0.02, hosts: vec![host] }
}
