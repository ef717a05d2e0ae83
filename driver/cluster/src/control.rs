// SPDX-License-Identifier: Apache-2.0
//! Control datagrams (UDP 2504): how a program asks one host or all of a cluster for something. Layout and reasons: `docs/heartbeat.md`.
//!
//! The client says *hello* with an id that it never used before; each host answers with a *challenge*: its incarnation and a sequence
//! number. The *request* names both for each host that shall carry it out, and a host does so once: then its number is another. So what was
//! recorded is worth nothing, without a clock that is right on both sides. Repeating a datagram does no harm: a host repeats its *answer*.
//!
//! Both ends are state machines without sockets or random source.

use crate::api::{Command, Time};
use crate::auth::{Auth, MAC_BYTES};
use crate::frame::MAX_MAPS;
use crate::message::{HostId, HostSet, MAX_HOSTS};
use crate::refusal::{Field, FrameError, Refusal, Refusals};
use crate::wire::Reader;
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

/// UDP port.
pub const PORT: u16 = 2504;
/// Signature of all control datagrams.
pub const SIGNATURE: u32 = 0xc0de_01e0;
/// Major version: datagrams of another one are refused.
pub const MAJOR: u8 = 1;
/// Minor version: later ones add commands, which earlier ones answer with [`Outcome::Unsupported`].
pub const MINOR: u8 = 0;
/// Longest datagram in bytes, of all legal ones.
pub const MAX_DATAGRAM: usize = HEADER_BYTES + ANSWER_BYTES + MAX_TEXT + MAC_BYTES;
/// Longest text of an answer in bytes.
pub const MAX_TEXT: usize = 1024;
/// How long a sequence number can be used after it was first given out: what somebody held back is worth nothing later. Nanoseconds.
pub const WINDOW: Time = 10_000_000_000;
/// Requests whose answers a host keeps for those who ask again.
pub const KEPT: usize = 16;
/// How often a client signs again because others were faster.
pub const TRIES: u8 = 16;

const HEADER_BYTES: usize = 24;
const ANSWER_BYTES: usize = 20;
const TARGET_BYTES: usize = 17;

const HELLO: u8 = 1;
const CHALLENGE: u8 = 2;
const REQUEST: u8 = 3;
const ANSWER: u8 = 4;
/// Flag of an answer.
const MORE: u8 = 1;

/// What can be asked of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Tell something; what, is the daemon's matter. Long answers have pages.
    Query {
        /// Which.
        topic: u8,
        /// From 0.
        page: u8,
    },
    /// [`Command::Start`].
    Start,
    /// [`Command::Stop`].
    Stop,
    /// [`Command::Drain`].
    Drain,
    /// [`Command::Undrain`].
    Undrain,
    /// [`Command::Suspend`].
    Suspend,
    /// [`Command::Resume`].
    Resume,
    /// [`Command::EnableRules`].
    EnableRules(u128),
    /// [`Command::DrainRules`].
    DrainRules(u128),
    /// [`Command::DisableRules`].
    DisableRules(u128),
    /// [`Command::Capacity`].
    Capacity(u16),
    /// Read the own configuration again and stage its rules ([`Command::Stage`]), if they have this digest; 0 for any.
    Stage(u64),
    /// [`Command::Activate`].
    Activate,
    /// [`Command::AbortStage`].
    AbortStage,
    /// [`Command::Hold`].
    Hold(u32),
}

impl Request {
    /// What it is for the state machine; `None` if the daemon has to do something itself.
    pub fn command(self) -> Option<Command> {
        Some(match self {
            Request::Query { .. } | Request::Stage(_) => return None,
            Request::Start => Command::Start,
            Request::Stop => Command::Stop,
            Request::Drain => Command::Drain,
            Request::Undrain => Command::Undrain,
            Request::Suspend => Command::Suspend,
            Request::Resume => Command::Resume,
            Request::EnableRules(rules) => Command::EnableRules(rules),
            Request::DrainRules(rules) => Command::DrainRules(rules),
            Request::DisableRules(rules) => Command::DisableRules(rules),
            Request::Capacity(percent) => Command::Capacity(percent),
            Request::Activate => Command::Activate,
            Request::AbortStage => Command::AbortStage,
            Request::Hold(ms) => Command::Hold(ms),
        })
    }

    /// Number and argument.
    fn write(self) -> (u8, u128) {
        match self {
            Request::Query { topic, page } => (1, u16::from_le_bytes([topic, page]).into()),
            Request::Start => (2, 0),
            Request::Stop => (3, 0),
            Request::Drain => (4, 0),
            Request::Undrain => (5, 0),
            Request::Suspend => (6, 0),
            Request::Resume => (7, 0),
            Request::EnableRules(rules) => (8, rules),
            Request::DrainRules(rules) => (9, rules),
            Request::DisableRules(rules) => (10, rules),
            Request::Capacity(percent) => (11, percent.into()),
            Request::Stage(digest) => (12, digest.into()),
            Request::Activate => (13, 0),
            Request::AbortStage => (14, 0),
            Request::Hold(ms) => (15, ms.into()),
        }
    }

    /// `None` for a number of a later version.
    fn read(number: u8, argument: u128) -> Result<Option<Request>, Refusal> {
        const WRONG: Refusal = Refusal::Field(Field::Argument);
        let without = |it| if argument == 0 { Ok(it) } else { Err(WRONG) };
        let rules = || if argument >> MAX_MAPS == 0 { Ok(argument) } else { Err(WRONG) };
        Ok(Some(match number {
            1 => {
                let [topic, page] = u16::try_from(argument).map_err(|_| WRONG)?.to_le_bytes();
                Request::Query { topic, page }
            }
            2 => without(Request::Start)?,
            3 => without(Request::Stop)?,
            4 => without(Request::Drain)?,
            5 => without(Request::Undrain)?,
            6 => without(Request::Suspend)?,
            7 => without(Request::Resume)?,
            8 => Request::EnableRules(rules()?),
            9 => Request::DrainRules(rules()?),
            10 => Request::DisableRules(rules()?),
            11 if argument <= 1000 => Request::Capacity(argument as u16),
            12 => Request::Stage(u64::try_from(argument).map_err(|_| WRONG)?),
            13 => without(Request::Activate)?,
            14 => without(Request::AbortStage)?,
            15 => Request::Hold(u32::try_from(argument).map_err(|_| WRONG)?),
            11 => return Err(WRONG),
            _ => return Ok(None),
        }))
    }
}

/// How a request ended on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Done, or begun if it takes time.
    Done,
    /// Not done; the text says why.
    Failed,
    /// This version does not know it.
    Unsupported,
    /// Not done: the sequence number was used by somebody else or is too old. The client asks again by itself.
    Stale,
    /// Whether it was done cannot be told: it is too long ago, or the host has started anew since.
    Unknown,
    /// Not done: too many requests at once. The client asks again.
    Busy,
}

const OUTCOMES: [Outcome; 6] =
    [Outcome::Done, Outcome::Failed, Outcome::Unsupported, Outcome::Stale, Outcome::Unknown, Outcome::Busy];

/// A host's answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// At most [`MAX_TEXT`] bytes.
    pub text: String,
    /// There are more pages.
    pub more: bool,
}

/// The host's state that a request must name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    incarnation: u64,
    sequence: u64,
}

/// What is in a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    Hello(HostSet),
    Challenge(HostId, Place),
    /// With the command's number as it came.
    Request(Option<Request>, BTreeMap<HostId, Place>),
    Answer(HostId, Place, Answer),
}

/// Writes and reads datagrams of a cluster.
#[derive(Clone, Debug)]
struct Wire {
    cluster: Ipv4Addr,
    auth: Auth,
}

impl Wire {
    fn write(&self, id: u64, body: &Body) -> Vec<u8> {
        let (kind, host) = match body {
            Body::Hello(_) => (HELLO, 0),
            Body::Challenge(host, _) => (CHALLENGE, host.get()),
            Body::Request(..) => (REQUEST, 0),
            Body::Answer(host, ..) => (ANSWER, host.get()),
        };
        let mut out = Vec::with_capacity(MAX_DATAGRAM);
        out.extend(SIGNATURE.to_le_bytes());
        out.extend([MAJOR, MINOR, kind, self.auth.key()]);
        out.extend(self.cluster.octets());
        out.extend([host, 0, 0, 0]);
        out.extend(id.to_le_bytes());
        let place = |out: &mut Vec<u8>, it: &Place| {
            out.extend(it.incarnation.to_le_bytes());
            out.extend(it.sequence.to_le_bytes());
        };
        match body {
            Body::Hello(hosts) => out.extend(hosts.0.to_le_bytes()),
            Body::Challenge(_, at) => place(&mut out, at),
            Body::Request(request, targets) => {
                let (number, argument) = request.map_or((0, 0), Request::write);
                out.extend([number, targets.len() as u8, 0, 0]);
                out.extend(argument.to_le_bytes());
                for (host, at) in targets {
                    out.push(host.get());
                    place(&mut out, at);
                }
            }
            Body::Answer(_, at, answer) => {
                place(&mut out, at);
                let outcome = OUTCOMES.iter().position(|it| *it == answer.outcome).expect("all outcomes are listed");
                out.extend([outcome as u8, if answer.more { MORE } else { 0 }]);
                out.extend((answer.text.len() as u16).to_le_bytes());
                out.extend(answer.text.as_bytes());
            }
        }
        let mac = self.auth.sign(&out);
        out.extend(mac.iter().flatten());
        out
    }

    fn read(&self, datagram: &[u8]) -> Result<(u64, Body), Refusal> {
        if datagram.len() > MAX_DATAGRAM {
            return Err(Refusal::TooLong);
        }
        let mut from = Reader::new(datagram);
        if from.u32()? != SIGNATURE {
            return Err(Refusal::Signature);
        }
        let [major, _, kind, key] = from.array()?;
        if major != MAJOR {
            return Err(Refusal::Version);
        }
        if from.ipv4()? != self.cluster {
            return Err(Refusal::ForeignCluster);
        }
        // Whether there is a code is said by the key, since these datagrams have no parts that could be told apart by type.
        let mut body = match key {
            0 => {
                self.auth.verify(key, datagram, None)?;
                from
            }
            _ => {
                let signed = datagram.len().checked_sub(MAC_BYTES).ok_or(Refusal::Truncated)?;
                let (signed, mac) = datagram.split_at(signed);
                self.auth.verify(key, signed, Some(mac))?;
                Reader::new(signed.get(datagram.len() - from.left()..).ok_or(Refusal::Truncated)?)
            }
        };
        let host = body.u8()?;
        body.reserved::<3>()?;
        let id = body.u64()?;
        let sender = match (kind, HostId::new(host)) {
            (HELLO | REQUEST, _) if host == 0 => None,
            (CHALLENGE | ANSWER, Some(host)) => Some(host),
            (HELLO..=ANSWER, _) => return Err(Refusal::Field(Field::Host)),
            _ => return Err(Refusal::Kind),
        };
        let read = match sender {
            None if kind == HELLO => read_hello(&mut body)?,
            None => read_request(&mut body)?,
            Some(host) if kind == CHALLENGE => Body::Challenge(host, read_place(&mut body)?),
            Some(host) => read_answer(host, &mut body)?,
        };
        body.end()?;
        Ok((id, read))
    }
}

fn read_place(from: &mut Reader) -> Result<Place, Refusal> {
    Ok(Place { incarnation: from.u64()?, sequence: from.u64()? })
}

fn read_hello(from: &mut Reader) -> Result<Body, Refusal> {
    match from.u32()? {
        0 => Err(Refusal::Field(Field::Hosts)),
        hosts => Ok(Body::Hello(HostSet(hosts))),
    }
}

fn read_request(from: &mut Reader) -> Result<Body, Refusal> {
    let (number, count) = (from.u8()?, usize::from(from.u8()?));
    from.reserved::<2>()?;
    let argument = from.uint::<16>()?;
    if count > MAX_HOSTS {
        return Err(Refusal::TooMany);
    }
    if from.left() != count * TARGET_BYTES {
        return Err(Refusal::Length);
    }
    let mut targets = BTreeMap::new();
    for _ in 0..count {
        let host = HostId::new(from.u8()?).ok_or(Refusal::Field(Field::Hosts))?;
        if targets.insert(host, read_place(from)?).is_some() {
            return Err(Refusal::Field(Field::Hosts));
        }
    }
    if targets.is_empty() {
        return Err(Refusal::Field(Field::Hosts));
    }
    Ok(Body::Request(Request::read(number, argument)?, targets))
}

fn read_answer(host: HostId, from: &mut Reader) -> Result<Body, Refusal> {
    let place = read_place(from)?;
    let outcome = *OUTCOMES.get(usize::from(from.u8()?)).ok_or(Refusal::Field(Field::Outcome))?;
    let flags = from.u8()?;
    if flags & !MORE != 0 {
        return Err(Refusal::Field(Field::Flags));
    }
    let length = usize::from(from.u16()?);
    if length > MAX_TEXT {
        return Err(Refusal::Field(Field::Text));
    }
    let text = std::str::from_utf8(from.take(length)?).map_err(|_| Refusal::Field(Field::Text))?;
    if text.chars().any(not_shown) {
        return Err(Refusal::Field(Field::Text));
    }
    Ok(Body::Answer(host, place, Answer { outcome, text: text.to_owned(), more: flags & MORE != 0 }))
}

/// Text goes to terminals, where control characters are orders.
fn not_shown(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\t')
}

/// As much of a text as an answer carries, control characters replaced.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        if shown.len() + character.len_utf8() > MAX_TEXT {
            break;
        }
        shown.push(if not_shown(character) { '?' } else { character });
    }
    shown
}

/// The host's end. Bounded: the answers to the last [`KEPT`] requests are all that it remembers.
#[derive(Debug)]
pub struct ControlServer {
    wire: Wire,
    host: HostId,
    incarnation: u64,
    enabled: bool,
    /// The number that the next request must have.
    sequence: u64,
    /// When it was given out first.
    given: Option<Time>,
    /// The last requests in the order of their sequence numbers.
    kept: VecDeque<Kept>,
    /// All requests with a higher number are in `kept`.
    forgotten: u64,
    refused: Refusals,
}

#[derive(Debug)]
struct Kept {
    id: u64,
    sequence: u64,
    /// `None` until it has been carried out.
    answer: Option<Vec<u8>>,
}

/// A request that is being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// What to do with a datagram that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Send this back to where it came from.
    Reply(Vec<u8>),
    /// Carry this out, then call [`ControlServer::answer`], in any case; the answer goes to where the request came from.
    Execute(Ticket, Request),
    /// Again a request that is being carried out: nothing to do.
    Pending,
}

impl ControlServer {
    /// For this start of a host. `enabled` is whether control is allowed here.
    pub fn new(primary_ip: Ipv4Addr, auth: Auth, host: HostId, incarnation: u64, enabled: bool) -> ControlServer {
        ControlServer {
            wire: Wire { cluster: primary_ip, auth },
            host,
            incarnation,
            enabled,
            sequence: 1,
            given: None,
            kept: VecDeque::new(),
            forgotten: 0,
            refused: Refusals::default(),
        }
    }

    /// Other keys, from the next datagram on.
    pub fn set_auth(&mut self, auth: Auth) {
        self.wire.auth = auth;
    }

    /// Allows control, or not.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// How many datagrams were refused, by reason.
    pub fn refused(&self) -> &Refusals {
        &self.refused
    }

    /// Takes a datagram.
    ///
    /// # Errors
    /// The reason why it is ignored, which has been counted.
    pub fn receive(&mut self, now: Time, datagram: &[u8]) -> Result<Received, Refusal> {
        let result = self.take(now, datagram);
        if let Err(reason) = result {
            self.refused.add(reason);
        }
        result
    }

    fn take(&mut self, now: Time, datagram: &[u8]) -> Result<Received, Refusal> {
        if !self.enabled {
            return Err(Refusal::Disabled);
        }
        let (id, body) = self.wire.read(datagram)?;
        if self.given.is_some_and(|given| now.saturating_sub(given) > WINDOW) {
            self.next_sequence();
        }
        match body {
            Body::Hello(hosts) if hosts.0 & 1 << (self.host.get() - 1) == 0 => Err(Refusal::NotForMe),
            Body::Hello(_) => {
                let place = self.give(now);
                Ok(Received::Reply(self.wire.write(id, &Body::Challenge(self.host, place))))
            }
            Body::Request(request, targets) => {
                let place = *targets.get(&self.host).ok_or(Refusal::NotForMe)?;
                self.take_request(now, id, request, place)
            }
            Body::Challenge(..) | Body::Answer(..) => Err(Refusal::Kind),
        }
    }

    fn take_request(
        &mut self,
        now: Time,
        id: u64,
        request: Option<Request>,
        place: Place,
    ) -> Result<Received, Refusal> {
        if place.incarnation != self.incarnation {
            return Ok(self.reply(id, place, Outcome::Unknown, "the daemon was started anew"));
        }
        if place.sequence > self.sequence || (place.sequence == self.sequence && self.given.is_none()) {
            return Err(Refusal::Unasked);
        }
        // By id alone: this may be a late copy with a number that the client gave up for another.
        if let Some(kept) = self.kept.iter().find(|it| it.id == id) {
            return Ok(kept.answer.clone().map_or(Received::Pending, Received::Reply));
        }
        if place.sequence <= self.forgotten {
            return Ok(self.reply(id, place, Outcome::Unknown, "too many other requests came after it"));
        }
        // Not done, and never will be: everything above `forgotten` that was done is kept.
        if place.sequence < self.sequence {
            let now_valid = self.give(now);
            return Ok(self.reply(id, now_valid, Outcome::Stale, "other requests were faster"));
        }
        if self.kept.len() == KEPT {
            if self.kept[0].answer.is_none() {
                return Ok(self.reply(id, place, Outcome::Busy, "too many requests are being carried out"));
            }
            self.forgotten = self.kept.pop_front().expect("it is full").sequence;
        }
        self.kept.push_back(Kept { id, sequence: place.sequence, answer: None });
        self.next_sequence();
        let ticket = Ticket(place.sequence);
        match request {
            Some(request) => Ok(Received::Execute(ticket, request)),
            None => {
                let text = "this version does not know the command";
                let answer = self.answer(ticket, Outcome::Unsupported, text, false);
                Ok(Received::Reply(answer.expect("the ticket is new")))
            }
        }
    }

    /// The answer to send for a request that was carried out. Of the text the first [`MAX_TEXT`] bytes count. `None` if that ticket was
    /// answered before.
    pub fn answer(&mut self, ticket: Ticket, outcome: Outcome, text: &str, more: bool) -> Option<Vec<u8>> {
        let kept = self.kept.iter_mut().find(|it| it.sequence == ticket.0 && it.answer.is_none())?;
        let place = Place { incarnation: self.incarnation, sequence: ticket.0 };
        let answer = Answer { outcome, text: shown(text), more };
        let datagram = self.wire.write(kept.id, &Body::Answer(self.host, place, answer));
        kept.answer = Some(datagram.clone());
        Some(datagram)
    }

    fn reply(&self, id: u64, place: Place, outcome: Outcome, text: &str) -> Received {
        let answer = Answer { outcome, text: text.to_owned(), more: false };
        Received::Reply(self.wire.write(id, &Body::Answer(self.host, place, answer)))
    }

    /// The number to use now. Its time starts, if it does not run already.
    fn give(&mut self, now: Time) -> Place {
        self.given.get_or_insert(now);
        Place { incarnation: self.incarnation, sequence: self.sequence }
    }

    fn next_sequence(&mut self) {
        self.sequence += 1;
        self.given = None;
    }
}

/// The client's end, for one request. Send [`ControlClient::hello`] until those answered that shall, then [`ControlClient::request`] until
/// [`ControlClient::waiting`] is empty; how often and how long is the caller's choice.
#[derive(Debug)]
pub struct ControlClient {
    wire: Wire,
    id: u64,
    hosts: HostSet,
    request: Request,
    challenges: BTreeMap<HostId, (Place, u8)>,
    answers: BTreeMap<HostId, Answer>,
    refused: Refusals,
}

impl ControlClient {
    /// Asks these hosts. `id` is random and never used again.
    ///
    /// # Errors
    /// [`FrameError`] if no host is asked, or the argument of the request is out of range.
    pub fn new(
        primary_ip: Ipv4Addr,
        auth: Auth,
        id: u64,
        hosts: HostSet,
        request: Request,
    ) -> Result<ControlClient, FrameError> {
        let (number, argument) = request.write();
        if Request::read(number, argument) != Ok(Some(request)) {
            return Err(FrameError::Field { field: Field::Argument, value: argument });
        }
        if hosts.0 == 0 {
            return Err(FrameError::Field { field: Field::Hosts, value: 0 });
        }
        Ok(ControlClient {
            wire: Wire { cluster: primary_ip, auth },
            id,
            hosts,
            request,
            challenges: BTreeMap::new(),
            answers: BTreeMap::new(),
            refused: Refusals::default(),
        })
    }

    /// The first datagram.
    pub fn hello(&self) -> Vec<u8> {
        self.wire.write(self.id, &Body::Hello(self.hosts))
    }

    /// The request to all that answered the first and have not answered this; `None` if there is nobody.
    pub fn request(&self) -> Option<Vec<u8>> {
        let asked = self.challenges.iter().filter(|(host, _)| !self.answers.contains_key(host));
        let targets: BTreeMap<_, _> = asked.map(|(host, (place, _))| (*host, *place)).collect();
        (!targets.is_empty()).then(|| self.wire.write(self.id, &Body::Request(Some(self.request), targets)))
    }

    /// Takes a datagram.
    ///
    /// # Errors
    /// The reason why it is ignored, which has been counted.
    pub fn receive(&mut self, datagram: &[u8]) -> Result<(), Refusal> {
        let result = self.take(datagram);
        if let Err(reason) = result {
            self.refused.add(reason);
        }
        result
    }

    fn take(&mut self, datagram: &[u8]) -> Result<(), Refusal> {
        let (id, body) = self.wire.read(datagram)?;
        let (host, place, answer) = match body {
            Body::Challenge(host, place) => (host, place, None),
            Body::Answer(host, place, answer) => (host, place, Some(answer)),
            Body::Hello(_) | Body::Request(..) => return Err(Refusal::Kind),
        };
        if id != self.id || self.hosts.0 & 1 << (host.get() - 1) == 0 {
            return Err(Refusal::NotForMe);
        }
        let Some(answer) = answer else {
            // Only the first one counts: a request with it may be under way.
            self.challenges.entry(host).or_insert((place, 1));
            return Ok(());
        };
        let (asked, tries) = self.challenges.get_mut(&host).ok_or(Refusal::Unasked)?;
        let last = match answer.outcome {
            Outcome::Busy => false,
            Outcome::Stale if place.sequence > asked.sequence && *tries < TRIES => {
                (*asked, *tries) = (place, *tries + 1);
                false
            }
            Outcome::Stale => place.sequence > asked.sequence,
            // Not to what was signed before the present one.
            _ => place == *asked,
        };
        if last {
            self.answers.entry(host).or_insert(answer);
        }
        Ok(())
    }

    /// Hosts that answered the first datagram.
    pub fn present(&self) -> HostSet {
        set(self.challenges.keys())
    }

    /// Those of them that have not answered the request.
    pub fn waiting(&self) -> HostSet {
        HostSet(self.present().0 & !set(self.answers.keys()).0)
    }

    /// Answers by host.
    pub fn answers(&self) -> &BTreeMap<HostId, Answer> {
        &self.answers
    }

    /// How many datagrams were refused, by reason.
    pub fn refused(&self) -> &Refusals {
        &self.refused
    }
}

fn set<'a>(hosts: impl Iterator<Item = &'a HostId>) -> HostSet {
    HostSet(hosts.fold(0, |set, host| set | 1 << (host.get() - 1)))
}
