// SPDX-License-Identifier: Apache-2.0

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::defs::*;
use crate::registers::{Control, Fault, LeaseCtrl, TableSelect, offset};
use crate::{RegisterIo, Registers};

/// Registers that store what is written and log the accesses.
#[derive(Default)]
struct Memory {
    words: RefCell<BTreeMap<usize, u32>>,
    accesses: RefCell<Vec<(char, usize)>>,
}

impl RegisterIo for Memory {
    fn read32(&self, offset: usize) -> u32 {
        self.accesses.borrow_mut().push(('r', offset));
        self.words.borrow().get(&offset).copied().unwrap_or(0)
    }

    fn write32(&self, offset: usize, value: u32) {
        self.accesses.borrow_mut().push(('w', offset));
        self.words.borrow_mut().insert(offset, value);
    }
}

#[test]
fn values_and_names_are_those_of_the_definitions() {
    assert_eq!(
        Verdict::ALL.iter().map(|v| (*v as u8, v.name())).collect::<Vec<_>>(),
        [(0, "discard"), (1, "host"), (2, "port")]
    );
    assert_eq!(Reason::TableParity as u8, 26);
    assert_eq!(Reason::Ip6Extension.to_string(), "ip6-extension");
    assert_eq!(
        (VipKind::Dedicated as u8, Mode::Single as u8, Track::Always as u8, Action::Forward as u8),
        (2, 2, 2, 2)
    );
}

#[test]
fn every_number_converts_back_or_is_refused() {
    for number in 0..=255 {
        match Reason::try_from(number) {
            Ok(reason) => assert_eq!(reason as u8, number),
            Err(error) => {
                assert_eq!(error, UnknownValue { kind: "Reason", value: number });
                assert!(Reason::ALL.iter().all(|reason| *reason as u8 != number));
            }
        }
    }
    assert_eq!(
        VipKind::try_from(3).unwrap_err().to_string(),
        "VipKind has no value 3: driver and NIC were built from different definitions, update the older one"
    );
}

#[test]
fn tables_have_the_strides_of_the_address_space() {
    for (table, stride, words) in
        [(Table::Zone, 1, 1), (Table::Vip, 8, 5), (Table::Rule, 8, 6), (Table::CountTarget, 4, 4)]
    {
        assert_eq!((table.stride(), table.words()), (stride, words), "{table}");
    }
    let shadowed: Vec<_> = Table::ALL.iter().filter(|table| table.shadowed()).map(|table| *table as u8).collect();
    assert_eq!(shadowed, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn entries_pack_into_the_defined_bits() {
    let vip = VipEntry {
        id: 0x1a5,
        zone: 0x5a,
        v6: true,
        kind: VipKind::Dedicated as u8,
        valid: true,
        addr0: 1,
        addr3: 4,
        ..Default::default()
    };
    assert_eq!(vip.pack(), [0x1a5 | 0x5a << 20 | 1 << 28 | 2 << 29 | 1 << 31, 1, 0, 0, 4]);
    assert_eq!(VipEntry::unpack(&vip.pack()), vip);

    let slot = MatchEntry {
        port_low: 80,
        port_high: 443,
        rule: 64,
        vip: 511,
        fragment: true,
        tcp: true,
        ..Default::default()
    };
    assert_eq!(slot.pack(), [80 | 443 << 16, 64 | 511 << 16 | 1 << 27 | 1 << 29]);
    assert_eq!(MatchEntry::unpack(&slot.pack()), slot);

    assert_eq!(MapEntry { owner_even: 1023, owner_odd: 7 }.pack(), [1023 | 7 << 16]);
}

#[test]
fn bits_beyond_a_field_are_cut_and_reserved_bits_ignored() {
    assert_eq!(MapEntry { owner_even: 0xffff, owner_odd: 0 }.pack(), [0x3ff]);
    assert_eq!(MapEntry::unpack(&[0xfc00_fc00]), MapEntry::default());
    assert_eq!(TableSelect { id: 0x1f, active: false, bad_parity: true }.bits(), 0x20f);
    assert_eq!(TableSelect::from_bits(0xffff_fcf0), TableSelect::default());
}

#[test]
fn registers_are_at_their_offsets() {
    let regs = Registers::new(Memory::default());
    regs.set_control(Control { enable: true, other_ip: 2, mask_source: true, ..Default::default() });
    regs.set_fault(Fault { scrub: true, ..Default::default() });
    regs.set_hash_key(12, 0x0102_0304);
    regs.set_commit(0x3f);
    regs.set_lease_ctrl(LeaseCtrl { enable: true, arm: true });
    regs.set_check(true);
    let words = regs.io().words.borrow().clone();
    assert_eq!(
        words.into_iter().collect::<Vec<_>>(),
        [(0x020, 0x49), (0x02c, 4), (0x080, 0x0102_0304), (0x0ac, 1), (0x0cc, 0x3f), (0x118, 3)]
    );
    assert_eq!((offset::PORT_TX_ABORTED, offset::HOST_TX_ND, offset::SCRUB_INTERVAL), (0x198, 0x228, 0x14c));
}

#[test]
fn wide_registers_go_low_word_first() {
    let regs = Registers::new(Memory::default());
    regs.io().words.borrow_mut().extend([(0x1d0, 0x89ab_cdef), (0x1d4, 0x0123_4567)]);
    assert_eq!(regs.port_tx_bytes(1), 0x0123_4567_89ab_cdef);
    regs.set_lease_deadline(0x1_0000_0002);
    assert_eq!(*regs.io().accesses.borrow(), [('r', 0x1d0), ('r', 0x1d4), ('w', 0x110), ('w', 0x114)]);
    assert_eq!(regs.lease_deadline(), 0x1_0000_0002);
}

#[test]
#[should_panic(expected = "SCRATCH[8]: there are 8")]
fn indices_are_checked() {
    Registers::new(Memory::default()).set_scratch(8, 0);
}
