// SPDX-License-Identifier: Apache-2.0
//! Tells the program which commit and which Verilator it was built with, for the records of its benchmarks.

use std::path::Path;
use std::process::Command;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=LBSIM_COMMIT={commit}");
    // HEAD names a branch, whose log grows with every commit.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--path-format=absolute", "--git-path", file])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }

    let pins = root.join("tools/requirements.txt");
    println!("cargo::rerun-if-changed={}", pins.display());
    let pins = std::fs::read_to_string(&pins).unwrap_or_else(|error| panic!("{}: {error}", pins.display()));
    let version = pins.lines().find_map(|line| line.strip_prefix("verilator==")?.split_whitespace().next());
    println!("cargo::rustc-env=LBSIM_VERILATOR={}", version.expect("tools/requirements.txt pins verilator"));
}
