// SPDX-License-Identifier: Apache-2.0
//! What needs no daemon.

use crate::cli::Cli;
use crate::failure::Failure;
use crate::schema::OUTPUTS;
use crate::show::Out;
use clap::CommandFactory;
use std::path::Path;

/// Prints the schema of a verb's output, or an object with all of them.
pub fn schema(out: &mut Out, verb: &[String]) -> Result<(), Failure> {
    let verb = verb.join(" ");
    if verb.is_empty() {
        let all: serde_json::Map<_, _> =
            OUTPUTS.iter().map(|(verb, of)| ((*verb).to_owned(), of().to_value())).collect();
        return pretty(out, &serde_json::Value::Object(all));
    }
    match OUTPUTS.iter().find(|(name, _)| *name == verb) {
        Some((_, of)) => pretty(out, &of().to_value()),
        None => {
            let known: Vec<_> = OUTPUTS.iter().map(|(name, _)| *name).collect();
            Err(Failure::usage(format!("\"{verb}\" prints no JSON; these do: {}", known.join(", "))))
        }
    }
}

fn pretty(out: &mut Out, value: &serde_json::Value) -> Result<(), Failure> {
    out.line(format!("{value:#}"))
}

/// Prints a shell's completions.
pub fn completions(out: &mut Out, shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lbctl", &mut text);
    out.line(String::from_utf8_lossy(&text))
}

/// Writes the pages `lbctl.1`, `lbctl-query.1` and so on.
pub fn man(dir: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::usage(format!("{}: {error}", dir.display()));
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed)
}
