// SPDX-License-Identifier: Apache-2.0
//! `lbsim demo`: that it holds what it claims, as it checks itself, and leaves the captures.

use std::path::Path;
use std::process::Command;

#[test]
fn every_claim_holds_and_the_captures_are_there() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo");
    let output = Command::new(env!("CARGO_BIN_EXE_lbsim"))
        .args(["demo", "--out"])
        .arg(&out)
        .current_dir(checkout)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((text.matches("  ok   ").count(), text.matches("FAIL").count()), (12, 0), "{text}");
    assert!(text.contains("connections kept their host while their buckets went"), "{text}");
    assert!(text.contains("accepted exactly once") && text.contains("line rate at every size"), "{text}");
    assert!(!text.contains('\x1b'), "colour, though the output is no terminal");
    for host in ["a", "b", "c", "d"] {
        // Frames of the two captures, every one of them with its verdict.
        for (name, frames) in [(host.to_owned(), 3920), (format!("{host}-generated"), 12250)] {
            let bytes = std::fs::read(out.join(format!("{name}.pcapng"))).unwrap();
            let comments = bytes.windows(8).filter(|window| window == b"verdict=").count();
            assert_eq!(comments, frames, "{name}");
        }
    }
}
