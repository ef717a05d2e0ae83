// SPDX-License-Identifier: Apache-2.0
//! The binding tables of the NIC against those of the model.

use crate::Bench;
use hashgate_model::Table;
use hashgate_model::bindings::EventKind;
use hashgate_nic::{BindingEventKind, BindingKey, BindingRecord, BindingTable};
use hashgate_tables::BUCKETS;
use std::collections::{BTreeMap, VecDeque};

const TABLES: [(BindingTable, Table); 2] =
    [(BindingTable::Connection, Table::Connection), (BindingTable::Affinity, Table::Affinity)];

/// What is still to come of a key: what happened to its binding and what it was then, in the order in which it happened,
/// and how often it was removed meanwhile: when that is told is left to the NIC.
#[derive(Default)]
struct Story {
    changes: VecDeque<(EventKind, BindingRecord)>,
    removals: u32,
}

impl Bench {
    /// Every binding of the NIC is one of the model with the same record, and the other way round; and every table counts
    /// what it holds, by bucket, as the model does. Returns how many bindings there are. No frame may be inside.
    ///
    /// # Panics
    /// On any difference.
    pub fn compare_bindings(&mut self) -> usize {
        let mut number = 0;
        for (table, of_model) in TABLES {
            let found = self.nic.bindings(table).expect("a dump");
            let mut seen: Vec<_> = found.iter().map(|b| (b.key, b.record)).collect();
            seen.sort_by_key(|(key, _)| *key);
            let mut wanted: Vec<_> = self
                .board
                .model
                .bindings()
                .iter(of_model)
                .map(|(key, binding)| (driver_key(&key), driver_record(&binding)))
                .collect();
            wanted.sort_by_key(|(key, _)| *key);
            if let Some((nic, model)) = seen.iter().zip(&wanted).find(|(nic, model)| nic != model) {
                panic!("{table:?} table:\n  NIC   {nic:?}\n  model {model:?}");
            }
            assert_eq!(seen.len(), wanted.len(), "bindings in the {table:?} table");
            number += seen.len();
        }
        number
    }

    /// What late checks take back is gone, but for as many as the NIC says it could not take back.
    pub(crate) fn settle_going(&mut self) {
        let going = self.board.going();
        if !going.is_empty() {
            self.run(UNDO_CYCLES);
        }
        let mut kept = Vec::new();
        let mut waited = false;
        for (n, (table, of_model)) in TABLES.into_iter().enumerate() {
            let lost = self.nic.binding_counters(table).undo_lost;
            let left = lost.wrapping_sub(std::mem::replace(&mut self.undo_lost[n], lost));
            let mut certain = 0;
            for taken in going.iter().filter(|taken| taken.table == of_model && (left > 0 || !taken.certain)) {
                let key = driver_key(&taken.key);
                let mut found = self.nic.find_binding(table, &key).expect("an answer");
                if found.is_some() && !taken.certain && !waited {
                    // It may still wait behind others that nobody has any more.
                    self.run(LONGEST_UNDO_CYCLES);
                    waited = true;
                    found = self.nic.find_binding(table, &key).expect("an answer");
                }
                if found.is_some() {
                    certain += u32::from(taken.certain);
                    kept.push((of_model, taken.key));
                }
            }
            assert!(certain <= left, "{table:?}: {certain} not taken back, {left} told");
        }
        self.board.settle_going(&kept);
    }

    /// Whether the sweep has removed everything that has ended: the tables hold no more than the model.
    fn is_swept(&self) -> bool {
        let bindings = self.board.model.bindings();
        let used = |(table, of_model)| {
            (self.nic.registers().binding_used(table as usize) as usize, bindings.iter(of_model).count())
        };
        TABLES.into_iter().map(used).all(|(nic, model)| nic == model)
    }

    /// The NIC counts live bindings by bucket, those of `rule` or of every rule, as the model does. Time must stand still,
    /// and no frame may be inside.
    ///
    /// # Panics
    /// On any difference.
    pub fn compare_live_bindings(&mut self, rule: Option<u8>) {
        for (table, of_model) in TABLES {
            let mut live = vec![0; BUCKETS];
            for ((table, of, bucket), count) in self.board.model.bindings().live() {
                if table == of_model && rule.is_none_or(|rule| rule == of) {
                    live[usize::from(bucket)] += count as u32;
                }
            }
            let counted = self.nic.count_bindings(table, rule).expect("a census");
            same(&counted, &live, &format!("live bindings of rule {rule:?} in the {table:?} table"));
        }
    }

    /// The NIC has counted the bindings that it refused since its reset, by bucket, as the model has. No frame may be inside.
    ///
    /// # Panics
    /// On any difference.
    pub fn compare_refused_bindings(&self) {
        for (table, of_model) in TABLES {
            let mut refused = vec![0; BUCKETS];
            for ((table, _, bucket), count) in self.board.model.bindings().refused() {
                if *table == of_model {
                    refused[usize::from(*bucket)] += *count as u32;
                }
            }
            same(&self.nic.refused_bindings(table), &refused, &format!("refused bindings of the {table:?} table"));
        }
    }

    /// Lets at least so many cycles pass, in which the host takes binding events for [`Bench::compare_binding_events`], and
    /// compares what else came out.
    pub fn run_taking_events(&mut self, cycles: u64) {
        let now = |bench: &Bench| bench.sim().cycle();
        let end = now(self) + cycles;
        while now(self) < end {
            match self.nic.next_binding_event().expect("an event") {
                Some(event) => self.taken_events.push(event),
                None => self.sim().run(EVENT_PAUSE_CYCLES),
            }
        }
        self.run(0);
    }

    /// The events of the NIC since the last time are those of the model: for each key what happened to its binding, in that
    /// order but for its ends, with the record that it had then. Their numbers rise. If the queue overflowed, some are
    /// left out, and the lost ones are as many as are missing. Returns how many were compared. No frame may be inside.
    ///
    /// # Panics
    /// On any difference.
    pub fn compare_binding_events(&mut self) -> usize {
        let mut missing: BTreeMap<(Table, BindingKey), Story> = BTreeMap::new();
        let mut wanted = 0;
        for event in self.board.model.take_events() {
            let story = missing.entry((event.table, driver_key(&event.key))).or_default();
            if event.kind == EventKind::Removed {
                story.removals += 1;
            } else {
                story.changes.push_back((event.kind, driver_record(&event.binding)));
            }
            wanted += 1;
        }
        // Those of a key that are skipped were lost: the sum below tells whether as many were.
        let mut take = |place: (Table, BindingKey), kind: EventKind, record: BindingRecord| {
            let story = missing.entry(place).or_default();
            if kind == EventKind::Removed {
                let left = story.removals.checked_sub(1);
                story.removals = left.unwrap_or_else(|| panic!("{place:?} was never removed"));
            } else {
                let at = story.changes.iter().position(|change| *change == (kind, record));
                let at = at.unwrap_or_else(|| panic!("{place:?}: {kind:?} {record:?}, to come: {:?}", story.changes));
                story.changes.drain(..=at);
            }
        };
        let mut last = None;
        let (mut taken, mut waited, mut all_came) = (0, 0, false);
        let mut taken_before = std::mem::take(&mut self.taken_events).into_iter();
        loop {
            let next = taken_before.next();
            let Some(event) = next.or_else(|| self.nic.next_binding_event().expect("an event")) else {
                if all_came || taken == wanted || waited >= LONGEST_SWEEP_CYCLES {
                    break;
                }
                // The sweep reports what has expired when it comes by.
                all_came = self.is_swept();
                let pause = if all_came { LAST_EVENT_CYCLES } else { SWEEP_STEP_CYCLES };
                self.run(pause);
                waited += pause;
                continue;
            };
            let table = TABLES[event.table as usize].1;
            let (key, record) = (event.binding.key, event.binding.record);
            assert!(last.is_none_or(|last| event.number > last), "event {} after {last:?}", event.number);
            last = Some(event.number);
            if event.renewed {
                take((table, key), EventKind::Removed, record);
                taken += 1;
            }
            let kind = match event.kind {
                BindingEventKind::Created => EventKind::Created,
                BindingEventKind::Changed => EventKind::Changed,
                BindingEventKind::Removed => EventKind::Removed,
                BindingEventKind::Refused => EventKind::Refused,
            };
            take((table, key), kind, record);
            taken += 1;
        }
        // Not before: what the sweep reports while the queue is still full is lost too.
        let all = self.nic.lost_binding_events();
        let lost = all.wrapping_sub(std::mem::replace(&mut self.lost_events, all));
        // A renewed one stands for two.
        assert!(
            wanted <= taken + 2 * lost as usize && wanted >= taken + lost as usize,
            "{wanted} events, {taken} seen, {lost} lost"
        );
        taken
    }
}

/// Cycles in which a table takes back all that waits, when no frame is in the way.
const UNDO_CYCLES: u64 = 2_000;
/// Cycles in which every table has given up whatever it cannot take back: 16 that wait, 255 tries of some 16 cycles each.
const LONGEST_UNDO_CYCLES: u64 = 70_000;
/// Cycles in which the sweep has been everywhere twice, with all sessions in use, and removed what it saw.
const LONGEST_SWEEP_CYCLES: u64 = 40_000;
/// Cycles after which it is asked whether the sweep has removed all.
const SWEEP_STEP_CYCLES: u64 = 1_000;
/// Cycles in which the event of the last removal has come.
const LAST_EVENT_CYCLES: u64 = 100;
/// Cycles after which the host looks for a binding event again when there was none.
const EVENT_PAUSE_CYCLES: u64 = 50;

fn driver_key(key: &hashgate_model::BindingKey) -> BindingKey {
    BindingKey {
        zone: key.zone,
        source: key.key.source,
        destination: key.key.destination,
        source_port: key.key.source_port,
        destination_port: key.key.destination_port,
        protocol: key.protocol,
    }
}

fn driver_record(binding: &hashgate_model::Binding) -> BindingRecord {
    let hashgate_model::Binding { state, target, rule, bucket, expires, fresh } = *binding;
    BindingRecord { state, target, rule, bucket, expires, fresh }
}

fn same(nic: &[u32], model: &[u32], what: &str) {
    for (bucket, (nic, model)) in nic.iter().zip(model).enumerate() {
        assert_eq!(nic, model, "{what}, bucket {bucket}");
    }
}
