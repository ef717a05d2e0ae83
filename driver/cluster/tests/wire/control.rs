// SPDX-License-Identifier: Apache-2.0
//! Control datagrams: requests are carried out once, by those who were asked, for those who know the key.

use crate::golden::{Adder, Golden, bits};
use crate::samples::*;
use hashgate_cluster::api::{Command, Time};
use hashgate_cluster::auth::Auth;
use hashgate_cluster::control::{
    ControlClient, ControlServer, KEPT, MAX_DATAGRAM, MAX_TEXT, Outcome, Received, Request, TRIES, Ticket, WINDOW,
};
use hashgate_cluster::frame::{Field, FrameError, Refusal};
use hashgate_cluster::message::HostSet;
use rand::Rng;
use rand::seq::IndexedRandom;
use std::collections::BTreeMap;

const SECOND: Time = 1_000_000_000;
const EVERYBODY: HostSet = HostSet(u32::MAX);

fn server(id: u8) -> ControlServer {
    ControlServer::new(CLUSTER, auth(1), host(id), 0x1000 + u64::from(id), true)
}

fn client(id: u64, hosts: HostSet, request: Request) -> ControlClient {
    ControlClient::new(CLUSTER, auth(1), id, hosts, request).expect("the request is legal")
}

fn reply(received: Result<Received, Refusal>) -> Vec<u8> {
    match received {
        Ok(Received::Reply(datagram)) => datagram,
        other => panic!("no reply but {other:?}"),
    }
}

fn execute(received: Result<Received, Refusal>) -> (Ticket, Request) {
    match received {
        Ok(Received::Execute(ticket, request)) => (ticket, request),
        other => panic!("nothing to carry out but {other:?}"),
    }
}

/// Hello, challenge.
fn meet(client: &mut ControlClient, server: &mut ControlServer, now: Time) {
    let challenge = reply(server.receive(now, &client.hello()));
    client.receive(&challenge).expect("the challenge is good");
}

#[test]
fn all_hosts_are_asked_and_answer() {
    let mut servers: Vec<_> = [1, 5, 32].map(server).into();
    let mut client = client(1, EVERYBODY, Request::DrainRules(1 << 64 | 5));
    assert_eq!(client.request(), None, "nobody is known yet");
    for server in &mut servers {
        meet(&mut client, server, 0);
    }
    assert_eq!(client.waiting(), HostSet(1 << 31 | 1 << 4 | 1));
    let request = client.request().expect("there are hosts");
    for (n, server) in servers.iter_mut().enumerate() {
        let (ticket, asked) = execute(server.receive(1, &request));
        assert_eq!(asked.command(), Some(Command::DrainRules(1 << 64 | 5)));
        // While it is carried out, the same again is nothing new; afterwards it has the same answer.
        assert_eq!(server.receive(1, &request), Ok(Received::Pending));
        let outcome = [Outcome::Done, Outcome::Failed, Outcome::Unsupported][n];
        let answer = server.answer(ticket, outcome, &format!("answer {n}"), n == 1).expect("the ticket is good");
        assert_eq!(server.receive(2, &request), Ok(Received::Reply(answer.clone())));
        assert_eq!(server.answer(ticket, Outcome::Done, "", false), None);
        client.receive(&answer).unwrap();
        // Answers may come twice.
        client.receive(&answer).unwrap();
    }
    assert_eq!(client.waiting(), HostSet(0));
    assert_eq!(client.request(), None);
    let answers: Vec<_> =
        client.answers().iter().map(|(id, it)| (id.get(), it.outcome, &it.text[..], it.more)).collect();
    let expected = [
        (1, Outcome::Done, "answer 0", false),
        (5, Outcome::Failed, "answer 1", true),
        (32, Outcome::Unsupported, "answer 2", false),
    ];
    assert_eq!(answers, expected);
}

#[test]
fn only_who_is_asked_answers() {
    let mut client = client(1, HostSet(1 << 4), Request::Stop);
    let (mut asked, mut other) = (server(5), server(6));
    assert_eq!(other.receive(0, &client.hello()), Err(Refusal::NotForMe));
    meet(&mut client, &mut asked, 0);
    assert_eq!(other.receive(0, &client.request().unwrap()), Err(Refusal::NotForMe));
    assert_eq!(other.refused().get(Refusal::NotForMe), 2);

    // Nor is an answer taken from another, or to something else.
    let mut everybody = crate::control::client(1, EVERYBODY, Request::Stop);
    let challenge = reply(other.receive(0, &everybody.hello()));
    assert_eq!(client.receive(&challenge), Err(Refusal::NotForMe));
    everybody.receive(&challenge).unwrap();
    let mut later = crate::control::client(2, EVERYBODY, Request::Stop);
    assert_eq!(later.receive(&challenge), Err(Refusal::NotForMe));
    let (ticket, _) = execute(other.receive(0, &everybody.request().unwrap()));
    let answer = other.answer(ticket, Outcome::Done, "", false).unwrap();
    let mut early = crate::control::client(1, EVERYBODY, Request::Stop);
    assert_eq!(early.receive(&answer), Err(Refusal::Unasked));
    assert_eq!(early.refused().get(Refusal::Unasked), 1);
}

#[test]
fn what_was_recorded_is_worth_nothing() {
    let mut server = server(1);
    let mut client = client(1, EVERYBODY, Request::Stop);
    meet(&mut client, &mut server, 0);
    let recorded = client.request().unwrap();
    let (ticket, _) = execute(server.receive(0, &recorded));
    let answer = server.answer(ticket, Outcome::Done, "stopped", false).unwrap();

    // Soon, much later, after other requests: the same answer, or that nothing is known any more.
    assert_eq!(reply(server.receive(SECOND, &recorded)), answer);
    assert_eq!(reply(server.receive(1000 * SECOND, &recorded)), answer);
    for n in 0..2 * KEPT as u64 {
        let mut other = crate::control::client(2 + n, EVERYBODY, Request::Start);
        meet(&mut other, &mut server, SECOND);
        let (ticket, request) = execute(server.receive(SECOND, &other.request().unwrap()));
        assert_eq!(request, Request::Start);
        assert!(server.answer(ticket, Outcome::Done, "", false).is_some());
        client.receive(&reply(server.receive(SECOND, &recorded))).unwrap();
    }
    assert_eq!(client.answers()[&host(1)].text, "stopped");

    // A start of the daemon knows nothing of what was before.
    let mut anew = ControlServer::new(CLUSTER, auth(1), host(1), 0xabc, true);
    let mut late = crate::control::client(1, EVERYBODY, Request::Stop);
    late.receive(&{
        let mut old = crate::control::server(1);
        reply(old.receive(0, &late.hello()))
    })
    .unwrap();
    late.receive(&reply(anew.receive(0, &late.request().unwrap()))).unwrap();
    assert_eq!(late.answers()[&host(1)].outcome, Outcome::Unknown);
}

/// Somebody catches a request and delivers it when nobody thinks of it any more.
#[test]
fn what_was_held_back_is_worth_nothing() {
    let mut server = server(1);
    let mut client = client(1, EVERYBODY, Request::Stop);
    meet(&mut client, &mut server, 0);
    let held = client.request().unwrap();
    let hello = client.hello();
    let late = reply(server.receive(WINDOW + 1, &held));
    // A recorded hello does not open it again.
    let mut first = server;
    reply(first.receive(WINDOW + 2, &hello));
    reply(first.receive(WINDOW + 3, &held));
    // The client, if it is still there, learns the number that counts now, and can go on.
    client.receive(&late).unwrap();
    assert_eq!(client.waiting(), HostSet(1));
    assert_ne!(client.request().unwrap(), held);
    execute(first.receive(WINDOW + 4, &client.request().unwrap()));

    let mut in_time = crate::control::server(1);
    let mut client = crate::control::client(1, EVERYBODY, Request::Stop);
    meet(&mut client, &mut in_time, 5);
    execute(in_time.receive(WINDOW + 5, &client.request().unwrap()));
}

#[test]
fn clients_at_the_same_time_both_succeed() {
    let mut server = server(1);
    let mut a = client(1, EVERYBODY, Request::Start);
    let mut b = client(2, EVERYBODY, Request::Stop);
    meet(&mut a, &mut server, 0);
    meet(&mut b, &mut server, 0);
    let early = b.request().unwrap();
    let (ticket_a, _) = execute(server.receive(0, &a.request().unwrap()));
    let stale = reply(server.receive(0, &early));
    b.receive(&stale).unwrap();
    let (ticket_b, request) = execute(server.receive(0, &b.request().unwrap()));
    assert_eq!(request, Request::Stop);
    // A late copy of what was signed first changes nothing, on neither side.
    assert_eq!(server.receive(0, &early), Ok(Received::Pending));
    b.receive(&stale).unwrap();
    assert_eq!(server.receive(0, &b.request().unwrap()), Ok(Received::Pending));
    // Answers in the other order.
    b.receive(&server.answer(ticket_b, Outcome::Done, "b", false).unwrap()).unwrap();
    a.receive(&server.answer(ticket_a, Outcome::Done, "a", false).unwrap()).unwrap();
    assert_eq!((&a.answers()[&host(1)].text[..], &b.answers()[&host(1)].text[..]), ("a", "b"));
}

#[test]
fn a_client_that_is_always_too_slow_gives_up() {
    let mut server = server(1);
    let mut slow = client(1, EVERYBODY, Request::Stop);
    meet(&mut slow, &mut server, 0);
    for n in 0..TRIES {
        assert!(slow.answers().is_empty());
        let mut fast = client(100 + u64::from(n), EVERYBODY, Request::Start);
        meet(&mut fast, &mut server, 0);
        let (ticket, _) = execute(server.receive(0, &fast.request().unwrap()));
        assert!(server.answer(ticket, Outcome::Done, "", false).is_some());
        slow.receive(&reply(server.receive(0, &slow.request().unwrap()))).unwrap();
    }
    assert_eq!(slow.answers()[&host(1)].outcome, Outcome::Stale);
}

#[test]
fn too_many_requests_wait() {
    let mut server = server(1);
    let mut clients = Vec::new();
    let mut tickets = Vec::new();
    for n in 0..KEPT as u64 {
        let mut client = client(n, EVERYBODY, Request::Start);
        meet(&mut client, &mut server, 0);
        tickets.push(execute(server.receive(0, &client.request().unwrap())).0);
        clients.push(client);
    }
    let mut last = client(1000, EVERYBODY, Request::Stop);
    meet(&mut last, &mut server, 0);
    for _ in 0..3 {
        last.receive(&reply(server.receive(0, &last.request().unwrap()))).unwrap();
        assert_eq!(last.waiting(), HostSet(1), "busy is no answer");
    }
    // Room comes with the answer to the oldest.
    assert!(server.answer(tickets[1], Outcome::Done, "", false).is_some());
    last.receive(&reply(server.receive(0, &last.request().unwrap()))).unwrap();
    assert_eq!(last.waiting(), HostSet(1));
    assert!(server.answer(tickets[0], Outcome::Done, "", false).is_some());
    execute(server.receive(0, &last.request().unwrap()));
    // What is forgotten may have been done.
    let first = &mut clients[0];
    first.receive(&reply(server.receive(0, &first.request().unwrap()))).unwrap();
    assert_eq!(first.answers()[&host(1)].outcome, Outcome::Unknown);
}

/// Datagrams are lost, doubled, delayed, from several clients to several hosts: each host carries out each request at most once, and what a
/// client is told is what happened.
#[test]
fn nothing_is_done_twice() {
    let mut random = random();
    for _ in 0..500 {
        let mut servers: Vec<_> = [1, 2].map(server).into();
        let mut clients: Vec<_> = (0..4).map(|n| client(random.random(), EVERYBODY, Request::Hold(n))).collect();
        let mut now = 0;
        // What is under way, from clients and from hosts; nothing is ever taken out, so all of it may come again.
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let mut waiting: Vec<(usize, Ticket, u32)> = Vec::new();
        let mut done: BTreeMap<(usize, u32), usize> = BTreeMap::new();
        for _ in 0..400 {
            now += random.random_range(0..SECOND / 10);
            match random.random_range(0..6) {
                0 => up.push(clients.choose(&mut random).unwrap().hello()),
                1 => up.extend(clients.choose(&mut random).unwrap().request()),
                2 | 3 => {
                    let Some(datagram) = up.choose(&mut random) else { continue };
                    let n = random.random_range(0..servers.len());
                    match servers[n].receive(now, datagram) {
                        Ok(Received::Reply(datagram)) => down.push(datagram),
                        Ok(Received::Execute(ticket, Request::Hold(what))) => {
                            *done.entry((n, what)).or_default() += 1;
                            waiting.push((n, ticket, what));
                        }
                        Ok(Received::Execute(..)) => panic!("nobody asked for that"),
                        Ok(Received::Pending) | Err(Refusal::NotForMe) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                4 => {
                    if !waiting.is_empty() {
                        let (n, ticket, what) = waiting.swap_remove(random.random_range(0..waiting.len()));
                        down.extend(servers[n].answer(ticket, Outcome::Done, &what.to_string(), false));
                    }
                }
                _ => {
                    let Some(datagram) = down.choose(&mut random) else { continue };
                    for client in &mut clients {
                        match client.receive(datagram) {
                            Ok(()) | Err(Refusal::NotForMe | Refusal::Unasked) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            }
        }
        assert!(done.values().all(|times| *times == 1), "{done:?}");
        for (what, client) in clients.iter().enumerate() {
            for (id, answer) in client.answers() {
                let happened = done.contains_key(&(usize::from(id.get()) - 1, what as u32));
                match answer.outcome {
                    Outcome::Done => assert!(happened && answer.text == what.to_string()),
                    Outcome::Stale => assert!(!happened),
                    Outcome::Unknown => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn datagrams_of_others_are_refused() {
    let hello = client(1, EVERYBODY, Request::Stop).hello();
    let mut server = server(1);
    let mut with = |at: usize, byte: u8| {
        let mut datagram = hello.clone();
        datagram[at] = byte;
        server.receive(0, &datagram)
    };
    assert_eq!(with(0, 1), Err(Refusal::Signature));
    assert_eq!(with(4, 2), Err(Refusal::Version));
    assert_eq!(with(7, 9), Err(Refusal::UnknownKey));
    assert_eq!(with(7, 7), Err(Refusal::WrongMac));
    assert_eq!(with(7, 0), Err(Refusal::MissingMac));
    assert_eq!(with(8, 9), Err(Refusal::ForeignCluster));
    for (at, byte) in hello.iter().enumerate().skip(9) {
        let expected = if at < 12 { Refusal::ForeignCluster } else { Refusal::WrongMac };
        assert_eq!(with(at, !byte), Err(expected), "byte {at}");
    }
    for length in 0..hello.len() {
        assert!(server.receive(0, &hello[..length]).is_err(), "{length} bytes");
    }
    assert_eq!(server.receive(0, &vec![0; MAX_DATAGRAM + 1]), Err(Refusal::TooLong));
    assert_eq!(server.refused().get(Refusal::TooLong), 1);
    assert_eq!(server.refused().get(Refusal::Version), 1);

    let open = ControlClient::new(CLUSTER, Auth::None, 1, EVERYBODY, Request::Stop).unwrap();
    assert_eq!(server.receive(0, &open.hello()), Err(Refusal::MissingMac));
    let mut open_server = ControlServer::new(CLUSTER, Auth::None, host(1), 1, true);
    assert_eq!(open_server.receive(0, &hello), Err(Refusal::UnexpectedMac));
    assert!(open_server.receive(0, &open.hello()).is_ok());

    server.set_enabled(false);
    assert_eq!(server.receive(0, &hello), Err(Refusal::Disabled));
    server.set_enabled(true);
    let challenge = reply(server.receive(0, &hello));
    assert_eq!(server.receive(0, &challenge), Err(Refusal::Kind));
    assert_eq!(client(1, EVERYBODY, Request::Stop).receive(&hello), Err(Refusal::Kind));

    server.set_auth(auth(7));
    let mut other = client(1, EVERYBODY, Request::Stop);
    meet(&mut other, &mut server, 0);
    execute(server.receive(0, &other.request().unwrap()));
}

/// Fields behind the code, so without one.
#[test]
fn fields_are_checked() {
    let client = |request| ControlClient::new(CLUSTER, Auth::None, 1, EVERYBODY, request);
    let server = || ControlServer::new(CLUSTER, Auth::None, host(1), 1, true);
    let asked = |request| {
        let mut client = client(request).unwrap();
        meet(&mut client, &mut server(), 0);
        client.request().unwrap()
    };
    let with = |datagram: &[u8], at: usize, byte: u8| {
        let mut datagram = datagram.to_vec();
        datagram[at] = byte;
        let mut server = server();
        reply(server.receive(0, &client(Request::Stop).unwrap().hello()));
        server.receive(0, &datagram)
    };
    let field = |field| Err(Refusal::Field(field));
    let hello = client(Request::Stop).unwrap().hello();
    assert_eq!(with(&hello, 6, 0), Err(Refusal::Kind));
    assert_eq!(with(&hello, 6, 5), Err(Refusal::Kind));
    assert_eq!(with(&hello, 12, 1), field(Field::Host));
    assert_eq!(with(&hello, 13, 1), field(Field::Reserved));
    let mut none = hello.clone();
    none[24..].fill(0);
    assert_eq!(server().receive(0, &none), field(Field::Hosts));

    let request = asked(Request::Capacity(1000));
    execute(with(&request, 0, request[0]));
    assert_eq!(with(&request, 28, 0xe9), field(Field::Argument));
    assert_eq!(with(&request, 43, 1), field(Field::Argument));
    assert_eq!(with(&request, 26, 1), field(Field::Reserved));
    assert_eq!(with(&request, 25, 33), Err(Refusal::TooMany));
    assert_eq!(with(&request, 25, 2), Err(Refusal::Length));
    assert_eq!(with(&request, 44, 33), field(Field::Hosts));
    assert_eq!(with(&request, 44, 2), Err(Refusal::NotForMe));
    assert_eq!(with(&request, 53, 2), Err(Refusal::Unasked));
    for length in 0..request.len() {
        assert!(server().receive(0, &request[..length]).is_err(), "{length} bytes");
    }
    let mut twice = request.clone();
    twice[25] = 2;
    twice.extend_from_within(44..);
    assert_eq!(server().receive(0, &twice), field(Field::Hosts));
    let mut nobody = request[..44].to_vec();
    nobody[25] = 0;
    assert_eq!(server().receive(0, &nobody), field(Field::Hosts));
    // A number that was not given out, though it is the next one.
    assert_eq!(server().receive(0, &request), Err(Refusal::Unasked));

    for (request, largest) in [
        (Request::Query { topic: 255, page: 255 }, 0xffff_u128),
        (Request::Hold(u32::MAX), u32::MAX.into()),
        (Request::Stage(u64::MAX), u64::MAX.into()),
        (Request::EnableRules((1 << 65) - 1), (1 << 65) - 1),
        (Request::Suspend, 0),
    ] {
        let mut datagram = asked(request);
        assert_eq!(datagram[28..44], largest.to_le_bytes());
        assert_eq!(execute(with(&datagram, 0, datagram[0])).1, request);
        datagram[28..44].copy_from_slice(&(largest + 1).to_le_bytes());
        assert_eq!(with(&datagram, 0, datagram[0]), field(Field::Argument), "{request:?}");
    }
    for (request, value) in [(Request::Capacity(1001), 1001), (Request::DrainRules(1 << 65), 1 << 65)] {
        assert_eq!(client(request).err(), Some(FrameError::Field { field: Field::Argument, value }));
    }
    let nobody = ControlClient::new(CLUSTER, Auth::None, 1, HostSet(0), Request::Stop);
    assert_eq!(nobody.err(), Some(FrameError::Field { field: Field::Hosts, value: 0 }));

    // A command of a later version is answered.
    let mut later = asked(Request::Stop);
    later[24] = 99;
    let mut host_end = server();
    let mut client_end = client(Request::Stop).unwrap();
    meet(&mut client_end, &mut host_end, 0);
    client_end.receive(&reply(host_end.receive(0, &later))).unwrap();
    assert_eq!(client_end.answers()[&host(1)].outcome, Outcome::Unsupported);
}

#[test]
fn texts_are_harmless() {
    let ask = |text: &str| {
        let mut server = ControlServer::new(CLUSTER, Auth::None, host(1), 1, true);
        let mut client = ControlClient::new(CLUSTER, Auth::None, 1, EVERYBODY, Request::Stop).unwrap();
        meet(&mut client, &mut server, 0);
        let (ticket, _) = execute(server.receive(0, &client.request().unwrap()));
        let answer = server.answer(ticket, Outcome::Failed, text, true).unwrap();
        assert!(answer.len() <= MAX_DATAGRAM);
        (client, answer)
    };
    let (mut client, answer) = ask("two\nlines\tand \u{1b}[2J an order, \u{e9}");
    client.receive(&answer).unwrap();
    assert_eq!(client.answers()[&host(1)].text, "two\nlines\tand ?[2J an order, \u{e9}");
    let (mut client, answer) = ask(&"\u{20ac}".repeat(1000));
    client.receive(&answer).unwrap();
    assert_eq!(client.answers()[&host(1)].text, "\u{20ac}".repeat(MAX_TEXT / 3));

    let (mut client, answer) = ask("abc");
    let with = |at: usize, byte: u8| {
        let mut answer = answer.clone();
        answer[at] = byte;
        answer
    };
    assert_eq!(client.receive(&with(44, 0x1b)), Err(Refusal::Field(Field::Text)));
    assert_eq!(client.receive(&with(44, 0xff)), Err(Refusal::Field(Field::Text)));
    assert_eq!(client.receive(&with(42, 4)), Err(Refusal::Truncated));
    assert_eq!(client.receive(&with(42, 2)), Err(Refusal::Length));
    assert_eq!(client.receive(&with(43, 0xff)), Err(Refusal::Field(Field::Text)));
    assert_eq!(client.receive(&with(40, 6)), Err(Refusal::Field(Field::Outcome)));
    assert_eq!(client.receive(&with(41, 2)), Err(Refusal::Field(Field::Flags)));
    assert_eq!(client.receive(&with(12, 0)), Err(Refusal::Field(Field::Host)));
    assert_eq!(client.receive(&with(12, 33)), Err(Refusal::Field(Field::Host)));
    assert!(client.answers().is_empty());
}

/// Golden datagrams: a whole conversation, a query without authentication, and extremes.
pub fn datagrams() -> Vec<Golden> {
    let mut servers = [server(3), server(32)];
    let id = 0x0102_0304_0506_0708;
    let rules = 1 << 64 | 1 << 7 | 1;
    let mut all = client(id, HostSet(1 << 31 | 1 << 2), Request::DisableRules(rules));
    let mut out = Vec::new();

    let start = |kind: u8, key: u8, host: u8, id: u64, datagram: &[u8]| {
        let mut fields = Adder::new("hashgate_control");
        fields.hex("signature", 0xc0de_01e0_u32);
        fields.add("version.major", 1);
        fields.add("version.minor", 0);
        fields.add("kind", kind);
        fields.add("key", key);
        fields.add("cluster_ip", CLUSTER);
        fields.add("host", host);
        fields.hex("id", id);
        if key != 0 {
            fields.bytes("mac", &datagram[datagram.len() - 16..]);
        }
        fields
    };
    let place = |fields: &mut Adder, incarnation: u64, sequence: u64| {
        fields.hex("incarnation", incarnation);
        fields.add("sequence", sequence);
    };
    let target = |fields: &mut Adder, host: u8, incarnation: u64, sequence: u64| {
        fields.add("target.host", host);
        fields.hex("target.incarnation", incarnation);
        fields.add("target.sequence", sequence);
    };
    let mut add = |name, bytes: Vec<u8>, fields: Adder| out.push(Golden { name, bytes, fields: fields.fields });

    let hello = all.hello();
    let mut fields = start(1, 1, 0, id, &hello);
    fields.hex("hosts", 0x8000_0004_u32);
    fields.add("hosts_list", "3 32");
    add("control_hello", hello, fields);

    servers.iter_mut().for_each(|server| meet(&mut all, server, 0));
    let challenge = reply(servers[1].receive(0, &all.hello()));
    let mut fields = start(2, 1, 32, id, &challenge);
    place(&mut fields, 0x1020, 1);
    add("control_challenge", challenge, fields);

    let request = all.request().expect("two hosts are there");
    let mut fields = start(3, 1, 0, id, &request);
    fields.add("command", 10);
    fields.add("targets", 2);
    fields.bytes("argument", &rules.to_le_bytes());
    fields.add("rules", bits(rules, 0));
    target(&mut fields, 3, 0x1003, 1);
    target(&mut fields, 32, 0x1020, 1);
    add("control_request", request.clone(), fields);

    let answers = [(3, Outcome::Done, 0, "3 rules are disabled", false), (32, Outcome::Failed, 1, "", true)];
    for ((host, outcome, number, text, more), server) in answers.into_iter().zip(&mut servers) {
        let (ticket, _) = execute(server.receive(1, &request));
        let answer = server.answer(ticket, outcome, text, more).expect("the ticket is new");
        let mut fields = start(4, 1, host, id, &answer);
        place(&mut fields, 0x1000 + u64::from(host), 1);
        fields.add("outcome", number);
        fields.add("more", u8::from(more));
        fields.add("text_length", text.len());
        if !text.is_empty() {
            fields.add("text", text);
        }
        add(if more { "control_answer_empty" } else { "control_answer" }, answer, fields);
    }

    let query = Request::Query { topic: 2, page: 255 };
    let mut open = ControlClient::new(CLUSTER, Auth::None, u64::MAX, HostSet(1 << 8), query).expect("it is legal");
    meet(&mut open, &mut ControlServer::new(CLUSTER, Auth::None, host(9), u64::MAX, true), 0);
    let request = open.request().expect("a host is there");
    let mut fields = start(3, 0, 0, u64::MAX, &request);
    fields.add("command", 1);
    fields.add("targets", 1);
    fields.bytes("argument", &0xff02_u128.to_le_bytes());
    target(&mut fields, 9, u64::MAX, 1);
    add("control_query_unauthenticated", request, fields);

    out
}
