// SPDX-License-Identifier: Apache-2.0
//! A table with its clocks and its host.

use crate::{Key, Record, Reference, TableIn, TableModel, TableOut};

/// What a packet is and wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packet {
    /// Its key.
    pub key: Key,
    /// 0 nothing, 1 write, 2 create, 3 delete, 4 write of what is there.
    pub op: u8,
    /// Create only if there is no live record.
    pub only_dead: bool,
    /// Flag beside the record.
    pub flag: bool,
    /// Record to write.
    pub record: Record,
}

impl Packet {
    /// Inputs of a cycle with this packet.
    pub fn input(&self) -> TableIn {
        TableIn {
            valid: 1,
            op: self.op,
            only_dead: self.only_dead.into(),
            flag: self.flag.into(),
            key: self.key,
            record: self.record.pack(),
            ..TableIn::default()
        }
    }
}

/// Reply to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostReply {
    /// It was done, or found.
    pub ok: bool,
    /// It has to be asked again.
    pub busy: bool,
    /// There was no room.
    pub full: bool,
    /// A second key is that of a live binding.
    pub present: bool,
    /// The session for a second key is none.
    pub ended: bool,
    /// The session has two keys.
    pub two: bool,
    /// Session.
    pub session: u32,
    /// Key.
    pub key: Key,
}

/// The table under test.
pub struct Bench {
    model: TableModel,
    /// Absent in measurements.
    pub reference: Option<Reference>,
    /// Outputs of the last batch.
    pub output: Vec<TableOut>,
    /// A request of the host is not yet answered.
    pub host_waits: bool,
    /// The last answer.
    pub host_reply: Option<HostReply>,
    cycles: u64,
}

impl Bench {
    /// A table that has been cleared.
    ///
    /// # Panics
    /// If there is no table of that size, or it stays busy.
    pub fn new(sessions: u32, seed: u32, secret: [u32; 4], checked: bool) -> Bench {
        let model = TableModel::new(sessions, seed, secret).expect("a size that is compiled in");
        let reference = checked.then(|| Reference::new(sessions));
        let mut bench = Bench { model, reference, output: Vec::new(), host_waits: false, host_reply: None, cycles: 0 };
        for _ in 0..1000 {
            bench.run(&[TableIn::default(); 64]).expect("nothing is asked");
            if bench.output[63].busy == 0 {
                return bench;
            }
        }
        panic!("the table stays busy");
    }

    /// The table itself.
    pub fn model(&mut self) -> &mut TableModel {
        &mut self.model
    }

    /// Sessions.
    pub fn sessions(&self) -> u32 {
        self.model.sessions()
    }

    /// Cycles since the reset.
    pub fn cycles(&self) -> u64 {
        self.cycles
    }

    /// A batch of cycles.
    ///
    /// # Errors
    /// An assertion of the RTL failed, or an answer is wrong; with the cycle.
    pub fn run(&mut self, input: &[TableIn]) -> Result<(), String> {
        self.output.resize(input.len().max(self.output.len()), TableOut::default());
        self.model
            .run(input, &mut self.output)
            .map_err(|(at, why)| format!("cycle {}: {why}", self.cycles + at as u64))?;
        for (at, (i, o)) in input.iter().zip(&self.output).enumerate() {
            if let Some(reference) = &mut self.reference {
                reference.cycle(i, o).map_err(|why| format!("cycle {}: {why}", self.cycles + at as u64))?;
            }
            self.host_waits |= i.host_start != 0;
            if o.host_done != 0 {
                self.host_waits = false;
                self.host_reply = Some(HostReply {
                    ok: o.host_ok != 0,
                    busy: o.host_busy != 0,
                    full: o.host_full != 0,
                    present: o.host_present != 0,
                    ended: o.host_ended != 0,
                    two: o.host_two != 0,
                    session: o.host_session,
                    key: o.host_key,
                });
            }
        }
        self.cycles += input.len() as u64;
        Ok(())
    }
}
