// SPDX-License-Identifier: Apache-2.0
//! `tshark` as a decoder that knows nothing of our code, with and without the dissector that we ship.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The dissector of this crate.
pub const DISSECTOR: &str = "hashgate.lua";
/// Between the values of a field.
pub const BETWEEN: &str = ";";

/// Values by field.
pub type Fields = BTreeMap<String, Vec<String>>;

/// Whether there is a `tshark`. If not, says why the test is skipped.
pub fn there_is() -> bool {
    match Command::new("tshark").arg("--version").output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => panic!("tshark --version failed: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            println!("skipped: tshark cannot be started ({error}); it comes with the Debian package tshark");
            false
        }
    }
}

/// What `tshark` finds in Ethernet frames: for each the values of these fields, those without a value left out.
pub fn fields(frames: &[Vec<u8>], dissector: bool, names: &[&str]) -> Vec<Fields> {
    let capture = Capture::new(frames);
    let mut command = Command::new("tshark");
    // Neither names nor a profile of whoever runs this.
    command.args(["-n", "-T", "fields", "-E", "separator=|", "-E", "occurrence=a", "-E"]);
    command.arg(format!("aggregator={BETWEEN}"));
    if dissector {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("dissector").join(DISSECTOR);
        command.arg("-X").arg(format!("lua_script:{}", script.display()));
    }
    for name in names {
        command.args(["-e", name]);
    }
    let output = command.arg("-r").arg(&capture.0).output().expect("tshark can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !errors.contains(DISSECTOR), "tshark failed: {errors}");
    let text = String::from_utf8(output.stdout).expect("tshark writes UTF-8");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), frames.len(), "a line for each frame");
    let of_line = |line: &&str| {
        let values = line.split('|');
        let all = names.iter().zip(values).filter(|(_, values)| !values.is_empty());
        all.map(|(name, values)| (name.to_string(), values.split(BETWEEN).map(str::to_owned).collect())).collect()
    };
    lines.iter().map(of_line).collect()
}

/// A capture file in the classic format (libpcap 2.4), removed when done with.
struct Capture(PathBuf);

impl Capture {
    fn new(frames: &[Vec<u8>]) -> Capture {
        let mut bytes = Vec::new();
        bytes.extend(0xa1b2_c3d4_u32.to_le_bytes());
        bytes.extend([2, 0, 4, 0]);
        for word in [0_u32, 0, 65535, 1] {
            bytes.extend(word.to_le_bytes());
        }
        for frame in frames {
            for word in [0, 0, frame.len() as u32, frame.len() as u32] {
                bytes.extend(word.to_le_bytes());
            }
            bytes.extend(frame);
        }
        let name = format!("hashgate-{}-{:016x}.pcap", std::process::id(), rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).expect("the folder for temporary files can be written");
        Capture(path)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}
