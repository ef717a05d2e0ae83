// SPDX-License-Identifier: Apache-2.0
//! Compares what comes out of a NIC with what the reference model says about what went in.
//!
//! * Every received frame has one event, in order for each port, with the model's verdict, reason, rule, bucket, target,
//!   queue, port and length. The reason may be a full buffer only if so much went into that buffer, and so little came
//!   out, that a frame of maximum size might not have fitted.
//! * What a frame does to the binding tables is done to those of the model at its event, in the order of the events of
//!   all ports, so that the next event's frame is decided by what the one before left. Two things only the NIC knows: that
//!   there was no room for a binding, and whether a binding that a late check takes back was still there for a frame that
//!   followed closely. The event tells both.
//! * Every frame that an event sends somewhere arrives there once, in order, byte for byte; a frame that a late check
//!   takes back after its first beats arrives marked as aborted. Nothing else arrives.
//! * Every frame of the host leaves its port once, edited as the model says, in order within its stream and class.
//! * While the NIC switches to new tables, a frame may be decided by the old or the new ones, as its event tells; but
//!   frames that were decided before the commit began by the old ones, frames that came in after it ended by the new ones,
//!   and none by the old ones after the first one by the new ones.
//! * The counters that follow from all this are kept, to be compared with those of the NIC.

use hashgate_model::bindings::Effect;
use hashgate_model::{BindingKey, Clocks, Count, Counters, Decision, Made, Nic as Model, Table, TxResult};
use hashgate_packets::coverage::{Bin, Coverage};
use hashgate_packets::random::What;
use hashgate_regs::defs::{Reason, Verdict};
use hashgate_sim::{HostFrame, SentFrame, SimNic, VerdictEvent, WireFrame};
use std::collections::VecDeque;

/// Bytes of each buffer to the host and to a wire port.
const BUFFER_BYTES: usize = 32768;
/// Longest frame, with FCS.
const MAX_FRAME: usize = 9026;
/// Beats by which a buffer's own idea of its fill may be ahead of what an observer outside sees: beats written but not
/// counted yet, and beats in its output registers.
const SLACK_BEATS: usize = 24;
/// Cycles from a frame's first beat in egress, where room is looked at, to its event, beyond its number of beats.
const SLACK_CYCLES: u64 = 16;
/// A received frame that has no event yet.
struct Pending {
    number: u64,
    frame: Vec<u8>,
    error: bool,
    what: Option<What>,
    first_beat_cycle: Option<u64>,
}

/// A frame that must arrive at the host or a wire port.
struct Due {
    number: u64,
    frame: Vec<u8>,
    decision: Decision,
    aborted: bool,
}

/// A frame of the host that has not left yet.
struct Sending {
    frame: Vec<u8>,
    /// What it may have become; two results while tables change.
    results: Vec<TxResult>,
}

/// Fill of a buffer as far as it can be told from outside: always at least the true one.
#[derive(Default)]
struct Fill {
    beats: usize,
    /// Cycle in which the last beat of a frame came out, and its beats.
    left: VecDeque<(u64, usize)>,
}

impl Fill {
    /// Beats that may have been inside in `cycle`.
    fn at(&mut self, cycle: u64) -> usize {
        while let Some((left, beats)) = self.left.front().copied()
            && left < cycle
        {
            self.beats -= beats;
            self.left.pop_front();
        }
        self.beats
    }
}

/// Counters of frames from the host, as the model counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostTxCounts {
    /// Frames that left.
    pub sent: Count,
    /// Frames dropped for their length.
    pub dropped: u64,
    /// Frames whose source was masked.
    pub masked: u64,
    /// Rewritten ARP messages.
    pub arp: u64,
    /// Rewritten neighbour-discovery messages.
    pub nd: u64,
}

/// Counters of what left a wire port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounts {
    /// Frames that left whole.
    pub sent: Count,
    /// Frames that were aborted.
    pub aborted: u64,
}

/// A binding that a frame made which a late check discarded: gone now or soon, if it has not been used since.
struct Going {
    made: Made,
    /// Another frame has written it since. If the binding is fresh again, made anew by a third frame, only the NIC knows
    /// whether it had looked at it before.
    written: bool,
}

/// A binding that a late check takes back.
pub struct TakenBack {
    /// In which table.
    pub table: Table,
    /// Which.
    pub key: BindingKey,
    /// Whether the NIC must have taken it back, unless it says that it could not. If not, it may have.
    pub certain: bool,
}

/// A commit in progress.
struct Switch {
    next: Model,
    /// A frame has been seen that the new tables decided.
    over: bool,
    /// Generation before, modulo 2.
    old: bool,
    /// Cycle in which the commit was begun.
    from: u64,
    /// Cycle in which it had returned, if it has, and whether it made a new generation.
    until: Option<(u64, bool)>,
}

/// See the module.
pub struct Scoreboard {
    /// Decides and counts.
    pub model: Model,
    /// What has been seen.
    pub coverage: Coverage,
    /// Counters of frames from the host.
    pub host_tx: HostTxCounts,
    /// Counters of each wire port.
    pub wire_tx: Vec<PortCounts>,
    /// Frames that a full buffer cost.
    pub full: u64,
    switch: Option<Switch>,
    beat_bytes: usize,
    number: u64,
    pending: Vec<VecDeque<Pending>>,
    /// For the data and the control queue of the host.
    to_host: [VecDeque<Due>; 2],
    to_wire: Vec<VecDeque<Due>>,
    /// By wire port, then by stream (0 data, 1 control) and class (0 data, 1 control).
    from_host: Vec<[[VecDeque<Sending>; 2]; 2]>,
    /// Data and control buffer to the host, then that of each wire port.
    fill: Vec<Fill>,
    events: Vec<VerdictEvent>,
    going: Vec<Going>,
}

impl Scoreboard {
    /// A scoreboard for a NIC that has received nothing yet.
    pub fn new(model: Model, beat_bytes: usize) -> Scoreboard {
        let ports = usize::from(model.limits().ports);
        Scoreboard {
            model,
            coverage: Coverage::default(),
            host_tx: HostTxCounts::default(),
            wire_tx: vec![PortCounts::default(); ports],
            full: 0,
            switch: None,
            beat_bytes,
            number: 0,
            pending: (0..ports).map(|_| VecDeque::new()).collect(),
            to_host: Default::default(),
            to_wire: (0..ports).map(|_| VecDeque::new()).collect(),
            from_host: (0..ports).map(|_| Default::default()).collect(),
            fill: (0..2 + ports).map(|_| Fill::default()).collect(),
            events: Vec::new(),
            going: Vec::new(),
        }
    }

    /// Lets a frame arrive at a wire port after `gap` idle cycles.
    pub fn receive(&mut self, sim: &mut SimNic, port: u8, frame: &[u8], error: bool, gap: u32, what: Option<What>) {
        sim.push_wire(port, WireFrame { data: frame.to_vec(), error, gap });
        let pending = Pending { number: self.number, frame: frame.to_vec(), error, what, first_beat_cycle: None };
        self.pending[usize::from(port)].push_back(pending);
        self.number += 1;
    }

    /// Lets the host send a frame.
    pub fn send(&mut self, sim: &mut SimNic, control: bool, port: u8, frame: &[u8]) {
        sim.push_host(control, port, frame.to_vec());
        let mut results = vec![self.model.transmit(port, frame)];
        if let Some(switch) = &self.switch {
            results.push(switch.next.transmit(port, frame));
        }
        if results[0].frame.is_none() {
            self.host_tx.dropped += 1;
            return;
        }
        let class = usize::from(results[0].control);
        let sending = Sending { frame: frame.to_vec(), results };
        self.from_host[usize::from(port)][usize::from(control)][class].push_back(sending);
    }

    /// Sets the clocks of the binding tables of the model; what expires ends.
    pub fn set_clocks(&mut self, clocks: Clocks) {
        for model in self.models() {
            model.set_clocks(clocks);
        }
    }

    /// From now on frames may be decided by `next`, whose bindings must be those of the model. `generation` is that of the
    /// NIC now.
    pub fn begin_switch(&mut self, sim: &SimNic, next: Model, generation: u32) {
        assert!(self.switch.is_none(), "one commit after the other");
        for (port, streams) in self.from_host.iter_mut().enumerate() {
            for sending in streams.iter_mut().flatten().flatten() {
                sending.results.push(next.transmit(port as u8, &sending.frame));
            }
        }
        self.switch = Some(Switch { next, over: false, old: generation & 1 == 1, from: sim.cycle(), until: None });
    }

    /// Frames that come in from now on must be decided by the new tables. `generation` is that of the NIC now; it is still
    /// the same if nothing was to be committed.
    pub fn end_switch(&mut self, sim: &SimNic, generation: u32) {
        let switch = self.switch.as_mut().expect("a commit was begun");
        switch.until = Some((sim.cycle(), (generation & 1 == 1) != switch.old));
    }

    /// Keeps all events that are checked from now on for [`Scoreboard::take_events`].
    pub fn take_events(&mut self) -> Vec<VerdictEvent> {
        std::mem::take(&mut self.events)
    }

    /// Compares everything that has come out so far.
    ///
    /// # Panics
    /// On any difference, with the frame and both sides.
    pub fn check(&mut self, sim: &mut SimNic) {
        while let Some(stamp) = sim.pop_ingress() {
            let queue = &mut self.pending[usize::from(stamp.port)];
            let pending = queue.iter_mut().find(|p| p.first_beat_cycle.is_none()).expect("a frame was pushed");
            pending.first_beat_cycle = Some(stamp.first_beat_cycle);
        }
        let mut host = Vec::new();
        while let Some(frame) = sim.pop_host() {
            let beats = self.beats(frame.data.len());
            self.fill[usize::from(frame.control)].left.push_back((frame.last_beat_cycle, beats));
            host.push(frame);
        }
        let mut wire = Vec::new();
        for port in 0..self.to_wire.len() {
            while let Some(frame) = sim.pop_wire(port as u8) {
                wire.push((port, frame));
            }
        }
        self.note_forwarded(&wire);
        while let Some(event) = sim.pop_event() {
            self.check_event(&event);
            self.events.push(event);
        }
        for frame in host {
            self.check_host(&frame);
        }
        for (port, frame) in wire {
            self.check_wire(port, &frame);
        }
    }

    /// Compares everything, after the NIC has become idle; ends a switch.
    ///
    /// # Panics
    /// On any difference, and if something is missing.
    pub fn check_idle(&mut self, sim: &mut SimNic) {
        self.check(sim);
        assert!(self.going.is_empty(), "what was taken back has not been settled");
        for (port, pending) in self.pending.iter().enumerate() {
            assert!(pending.is_empty(), "port {port}: {} frames without an event: {}", pending.len(), head(pending));
        }
        for due in self.to_host.iter().chain(&self.to_wire) {
            let first = due.front().map(|d| (d.number, &d.decision));
            assert!(due.is_empty(), "{} frames did not arrive at the host or wire, first {first:?}", due.len());
        }
        self.fill = self.fill.iter().map(|_| Fill::default()).collect();
        for (port, streams) in self.from_host.iter().enumerate() {
            let left: usize = streams.iter().flatten().map(VecDeque::len).sum();
            assert_eq!(left, 0, "{left} frames of the host did not leave port {port}");
        }
        if let Some(switch) = self.switch.take() {
            assert!(switch.until.is_some(), "a commit was not ended");
            let counters = std::mem::take(&mut self.model.counters);
            self.model = switch.next;
            self.model.counters = counters;
        }
    }

    /// All frames received so far, as the model counts them.
    pub fn counters(&self) -> &Counters {
        &self.model.counters
    }

    /// The model, and the next one while tables change. Both have the same bindings.
    fn models(&mut self) -> impl Iterator<Item = &mut Model> {
        std::iter::once(&mut self.model).chain(self.switch.as_mut().map(|switch| &mut switch.next))
    }

    fn beats(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.beat_bytes).max(1)
    }

    /// A frame that leaves a wire port and is no frame of the host came out of the port's buffer.
    fn note_forwarded(&mut self, wire: &[(usize, SentFrame)]) {
        for (port, frame) in wire {
            // Counting frames of the host too would make the fill too small; they are told apart by what they are.
            let host = self.from_host[*port].iter().flatten().flatten().any(|s| is_result(s, frame).is_some());
            if !host {
                let beats = self.beats(frame.data.len());
                self.fill[2 + port].left.push_back((frame.last_beat_cycle, beats));
            }
        }
    }

    fn check_event(&mut self, event: &VerdictEvent) {
        let port = usize::from(event.port);
        let queue = self.pending.get_mut(port).unwrap_or_else(|| panic!("event of port {port}: {event:?}"));
        let pending = queue.pop_front().unwrap_or_else(|| panic!("event without a frame: {event:?}"));
        let new = self.is_new(&pending, event);
        self.see_going(&pending, event, new);
        let decision = self.decide(&pending, event, new);
        let Pending { number, frame, what, .. } = pending;
        let beats = self.beats(usize::from(decision.length));

        // Where the frame goes if there is room.
        let mut counted = decision;
        let mut entered = false;
        if let Some(buffer) = buffer(&decision) {
            let looked = event.cycle.saturating_sub(beats as u64 + SLACK_CYCLES);
            let fill = self.fill[buffer].at(looked);
            let room = BUFFER_BYTES / self.beat_bytes - MAX_FRAME.div_ceil(self.beat_bytes);
            let may_be_full = fill + SLACK_BEATS > room;
            if decision.is_late() {
                // A late check beats a full buffer, but whether beats had left shows.
                let began = decision.is_aborted(self.beat_bytes);
                if event.aborted != began {
                    assert!(
                        began && may_be_full,
                        "frame {number}: aborted is {}, not {began}: {event:?}",
                        event.aborted
                    );
                    self.full += 1;
                }
                entered = event.aborted;
            } else if event.reason == full(&decision) && event.verdict == Verdict::Discard {
                assert!(may_be_full, "frame {number}: full with at most {fill} of {room} beats: {event:?}");
                counted = Decision { verdict: Verdict::Discard, reason: event.reason, ..decision };
                self.full += 1;
            } else {
                entered = true;
            }
        } else {
            assert!(!event.aborted, "frame {number}: aborted, but discarded from the start: {event:?}");
        }

        let seen = Compared::of_event(event);
        let wanted = Compared::of_decision(&counted);
        assert!(
            seen == wanted,
            "frame {number} (port {port}, {} bytes, {what:?}):\n  NIC   {seen:?}\n  model {wanted:?}\n  early {:?}\n  {}",
            frame.len(),
            decision.early_reason,
            hex(&frame)
        );

        if let Some(what) = what {
            self.coverage.add(Bin::new(&what, counted.reason, counted.mode(self.model.active())));
            self.coverage.meet(&decision);
        }
        self.model.count(&counted);
        for (table, lookup) in Table::ALL.into_iter().zip(&decision.lookups) {
            let written = lookup.filter(|lookup| lookup.effect != Effect::Keep);
            for going in self.going.iter_mut().filter(|going| going.made.key(table).is_some()) {
                going.written |= going.made.key(table) == written.map(|lookup| lookup.key).as_ref();
            }
        }
        let mut made = None;
        for model in self.models() {
            let begun = model.begin(&decision, event.refused);
            made = Some(begun.unwrap_or_else(|error| {
                panic!("frame {number}: {error}:\n  NIC   {event:?}\n  model {decision:?}");
            }));
        }
        if decision.is_late() {
            let made = made.into_iter().flat_map(Made::by_table);
            let made = made.filter(|made| Table::ALL.iter().any(|table| made.key(*table).is_some()));
            self.going.extend(made.map(|made| Going { made, written: false }));
        }
        if entered {
            let place = buffer(&decision).expect("it entered one");
            self.fill[place].beats += beats;
            let due = Due { number, frame, decision, aborted: event.aborted };
            if place < 2 { self.to_host[place].push_back(due) } else { self.to_wire[place - 2].push_back(due) }
        }
    }

    /// Bindings that late checks take back, if they have not been used since: what became of them is for
    /// [`Scoreboard::settle_going`] to say once no frame is inside.
    pub fn going(&self) -> Vec<TakenBack> {
        let mut all: Vec<TakenBack> = Vec::new();
        for Going { made, written } in &self.going {
            for table in Table::ALL {
                let fresh = |key: &&BindingKey| self.model.bindings().find(table, key).is_some_and(|b| b.fresh);
                let Some(key) = made.key(table).filter(fresh) else { continue };
                match all.iter_mut().find(|known| (known.table, &known.key) == (table, key)) {
                    Some(known) => known.certain |= !written,
                    None => all.push(TakenBack { table, key: *key, certain: !written }),
                }
            }
        }
        all
    }

    /// All of them are gone but `kept`, which the NIC still has.
    pub fn settle_going(&mut self, kept: &[(Table, BindingKey)]) {
        self.going.retain(|going| !kept.iter().any(|(table, key)| going.made.key(*table) == Some(key)));
        self.take_back(|_| true);
        self.going.clear();
    }

    fn take_back(&mut self, when: impl Fn(&Made) -> bool) {
        let (gone, going) = std::mem::take(&mut self.going).into_iter().partition(|going| when(&going.made));
        self.going = going;
        for Going { made, .. } in gone {
            for model in self.models() {
                model.take_back(made);
            }
        }
    }

    /// Which of the bindings that late checks take back were gone when the frame was decided.
    fn see_going(&mut self, pending: &Pending, event: &VerdictEvent, new: bool) {
        if self.going.is_empty() {
            return;
        }
        let seen = self.decide(pending, event, new);
        for (table, lookup) in Table::ALL.into_iter().zip(&seen.lookups) {
            let missed = lookup.filter(|l| l.found.is_some_and(|b| b.fresh) && !event.found[table as usize]);
            // Of two frames that made it one after the other, the check of the second may yet come, and then meet what a third has made.
            let first =
                missed.and_then(|lookup| self.going.iter().position(|it| it.made.key(table) == Some(&lookup.key)));
            if let Some(first) = first {
                let Going { made, .. } = self.going.remove(first);
                for model in self.models() {
                    model.take_back(made);
                }
            }
        }
    }

    /// Whether the new tables decided the frame, checked against what is known of the time of the switch.
    fn is_new(&mut self, pending: &Pending, event: &VerdictEvent) -> bool {
        let Some(switch) = &mut self.switch else { return false };
        let number = pending.number;
        let new = event.generation != switch.old;
        assert!(new || !switch.over, "frame {number}: by the old tables, after another by the new ones");
        assert!(!new || event.cycle >= switch.from, "frame {number}: by the new tables, before they were committed");
        if let Some((until, flips)) = switch.until {
            assert!(!new || flips, "frame {number}: by a new generation, but nothing was committed");
            let after = pending.first_beat_cycle.is_some_and(|cycle| cycle >= until);
            assert!(new || !flips || !after, "frame {number}: by the old tables, but it came after the commit");
        }
        switch.over = new;
        new
    }

    /// The decision of the model, by the new tables or by those before.
    fn decide(&self, pending: &Pending, event: &VerdictEvent, new: bool) -> Decision {
        let next = self.switch.as_ref().filter(|_| new).map(|switch| &switch.next);
        next.unwrap_or(&self.model).receive(event.port, &pending.frame, pending.error)
    }

    fn check_host(&mut self, frame: &HostFrame) {
        let due = arrived(&mut self.to_host[usize::from(frame.control)], &frame.data, frame.aborted, "the host");
        let seen = (frame.queue, frame.port, frame.rule, frame.bucket, frame.target, frame.reason);
        let told = |d: &Decision| (d.queue, d.port, d.rule, d.bucket, d.target, d.early_reason);
        assert_eq!(seen, told(&due.decision), "frame {}: what the host is told", due.number);
    }

    fn check_wire(&mut self, port: usize, sent: &SentFrame) {
        for queue in self.from_host[port].iter_mut().flatten() {
            let Some(sending) = queue.front() else { continue };
            let Some(result) = is_result(sending, sent).cloned() else { continue };
            queue.pop_front();
            let length = sent.data.len() as u16;
            self.host_tx.sent.add(length);
            self.host_tx.masked += u64::from(result.masked);
            self.host_tx.arp += u64::from(result.arp);
            self.host_tx.nd += u64::from(result.nd);
            self.wire_tx[port].sent.add(length);
            return;
        }
        if self.to_wire[port].is_empty() {
            let waiting: Vec<String> = self.from_host[port]
                .iter()
                .flatten()
                .filter_map(VecDeque::front)
                .map(|s| {
                    format!(
                        "\n  from  {}\n  as    {}",
                        hex(&s.frame),
                        s.results.iter().map(result_hex).collect::<String>()
                    )
                })
                .collect();
            panic!("port {port} sent a frame that nobody gave it:\n  sent  {}{}", hex(&sent.data), waiting.concat());
        }
        arrived(&mut self.to_wire[port], &sent.data, sent.aborted, "a wire port");
        if sent.aborted {
            self.wire_tx[port].aborted += 1;
        } else {
            self.wire_tx[port].sent.add(sent.data.len() as u16);
        }
    }
}

/// The buffer that a frame goes to before late checks, as an index of [`Scoreboard::fill`].
fn buffer(decision: &Decision) -> Option<usize> {
    match decision.would_be {
        Verdict::Discard => None,
        Verdict::Host => Some(usize::from(decision.control)),
        Verdict::Port => Some(2 + usize::from(decision.out_port)),
    }
}

/// The reason if that buffer is full.
fn full(decision: &Decision) -> Reason {
    match buffer(decision) {
        Some(0) => Reason::HostFull,
        Some(1) => Reason::ControlFull,
        _ => Reason::PortFull,
    }
}

/// The result that the frame sent is, if it is one.
fn is_result<'a>(sending: &'a Sending, sent: &SentFrame) -> Option<&'a TxResult> {
    sending.results.iter().find(|r| !sent.aborted && r.frame.as_ref() == Some(&sent.data))
}

fn result_hex(result: &TxResult) -> String {
    format!("{} ", hex(result.frame.as_deref().unwrap_or_default()))
}

/// The frame that arrived at a place: the first one due there.
fn arrived(due: &mut VecDeque<Due>, data: &[u8], aborted: bool, place: &str) -> Due {
    let Some(first) = due.pop_front() else {
        panic!("{place} received a frame that is not for it: {} aborted: {aborted}", hex(data))
    };
    let wanted = &first.frame[..usize::from(first.decision.length)];
    assert!(
        data == wanted && aborted == first.aborted,
        "frame {} arrived at {place} changed:\n  arrived {} aborted: {aborted}\n  wanted  {} aborted: {}\n  {:?}",
        first.number,
        hex(data),
        hex(wanted),
        first.aborted,
        first.decision
    );
    first
}

/// What an event and a decision have in common; meaningless fields are zero.
#[derive(Debug, PartialEq, Eq)]
struct Compared {
    verdict: Verdict,
    reason: Reason,
    rule: Option<u8>,
    bucket: Option<u16>,
    target: Option<u16>,
    length: u16,
    queue: u8,
    control: bool,
    out_port: u8,
    found: [bool; 2],
}

impl Compared {
    fn of_event(event: &VerdictEvent) -> Compared {
        let VerdictEvent { verdict, reason, rule, bucket, target, length, queue, control, out_port, found, .. } =
            *event;
        Compared { verdict, reason, rule, bucket, target, length, queue, control, out_port, found }.meaningful()
    }

    fn of_decision(decision: &Decision) -> Compared {
        let Decision { verdict, reason, rule, bucket, target, length, queue, control, out_port, lookups, .. } =
            *decision;
        let found = lookups.map(|lookup| lookup.is_some_and(|l| l.found.is_some()));
        Compared { verdict, reason, rule, bucket, target, length, queue, control, out_port, found }.meaningful()
    }

    fn meaningful(mut self) -> Compared {
        if self.verdict != Verdict::Host {
            (self.queue, self.control) = (0, false);
        }
        if self.verdict != Verdict::Port {
            self.out_port = 0;
        }
        self
    }
}

fn head(pending: &VecDeque<Pending>) -> String {
    pending.front().map(|p| format!("frame {} ({:?}) {}", p.number, p.what, hex(&p.frame))).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    let shown: String = bytes.iter().take(160).map(|b| format!("{b:02x}")).collect();
    if bytes.len() > 160 { format!("{shown}... ({} bytes)", bytes.len()) } else { shown }
}
