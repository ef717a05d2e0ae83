// SPDX-License-Identifier: Apache-2.0
//! The self-test on the software twin: it passes on a good one and finds what is wrong with others.

use hashgate_device::PciDevice;
use hashgate_pci_sim::InProcess;
use hashgate_selftest::{Check, Outcome, Wire, passed, run};
use hashgate_soft_nic::SoftNic;
use std::sync::Arc;
use std::time::Duration;

/// Of simulated time.
const PATIENCE: Duration = Duration::from_millis(1);

fn device() -> (InProcess<SoftNic>, Arc<dyn PciDevice>) {
    let device = InProcess::new(SoftNic::new());
    device.nic().set_loop(true);
    let driver: Arc<dyn PciDevice> = Arc::new(device.clone());
    (device, driver)
}

fn failed(checks: &[Check]) -> Vec<&'static str> {
    let failed = checks.iter().filter(|check| matches!(check.outcome, Outcome::Failed(_)));
    failed.map(|check| check.name).collect()
}

fn checks(driver: &Arc<dyn PciDevice>) -> Vec<Check> {
    let mut printed = Vec::new();
    let checks = run(driver, Wire::Looped(&mut || ()), PATIENCE, &mut printed).unwrap();
    let lines: Vec<String> = checks.iter().map(Check::to_string).collect();
    assert_eq!(String::from_utf8(printed).unwrap(), lines.join("\n") + "\n");
    println!("{}", lines.join("\n"));
    checks
}

#[test]
fn a_good_nic_passes() {
    let (device, driver) = device();
    for _ in 0..2 {
        let checks = checks(&driver);
        assert!(checks.iter().all(|check| check.outcome == Outcome::Ok), "{checks:?}");
        assert_eq!(checks.len(), 11);
        assert_eq!(device.take_faults().count, 1, "the stray transfer and no other");
    }
}

#[test]
fn without_a_loop_its_checks_are_left_out() {
    let (_, driver) = device();
    let mut printed = Vec::new();
    let checks = run(&driver, Wire::Open("there is no cable"), PATIENCE, &mut printed).unwrap();
    assert!(passed(&checks), "{checks:?}");
    let text = String::from_utf8(printed).unwrap();
    for name in ["loop-data", "loop-control", "loop-interrupt"] {
        assert!(text.contains(&format!("left out {name}: there is no cable\n")), "{text}");
    }
    assert!(text.contains("ok detach\n"), "{text}");
}

#[test]
fn lost_interrupts_are_found() {
    let (device, driver) = device();
    device.nic().lose_interrupts(true);
    assert_eq!(failed(&checks(&driver)), ["interrupt-of-a-ring", "stray-dma", "loop-interrupt"]);
}

#[test]
fn frames_that_do_not_come_back_are_found() {
    let (device, driver) = device();
    device.nic().set_loop(false);
    assert_eq!(failed(&checks(&driver)), ["loop-data", "loop-control", "loop-interrupt"]);
}

#[test]
fn a_mover_that_is_wrong_is_found() {
    let (device, driver) = device();
    device.nic().spoil_answers(Some(Box::new(|ring, words| words[1 % words.len()] ^= u32::from(ring == 12))));
    assert_eq!(failed(&checks(&driver)), ["tables-by-dma", "tables-kept"]);
}

#[test]
fn nothing_is_done_without_a_nic() {
    let (device, driver) = device();
    device.nic().set_gone(true);
    let checks = checks(&driver);
    assert_eq!(failed(&checks), ["bring-up"]);
    let left_out = checks.iter().filter(|check| matches!(check.outcome, Outcome::LeftOut(_))).count();
    assert_eq!(left_out, checks.len() - 1);
}

#[test]
fn a_device_that_goes_away_in_the_middle_ends_the_test() {
    let (device, driver) = self::device();
    assert!(passed(&checks(&driver)));
    let all = device.nic().steps();
    for part in 0..16 {
        let (device, driver) = self::device();
        device.nic().go_after(all * part / 16 + 50);
        let checks = checks(&driver);
        assert!(!passed(&checks), "gone after {part} of 16 parts of the test");
        assert_eq!(checks.len(), 11);
    }
}
