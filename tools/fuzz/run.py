#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the parsers of the cluster's frames and datagrams, guided by coverage, for a fixed number of runs.

The targets are those of cargo-fuzz (driver/cluster/fuzz), and libFuzzer comes with the crate libfuzzer-sys. cargo-fuzz
itself is not needed, nor a nightly toolchain: coverage is a pass of LLVM that the stable compiler takes as an option.
There is no address sanitizer, which is one; code without `unsafe` does not need it. Limits of memory and time catch
inputs that make a parser allocate or run without bound.

Each target starts from its corpus in the repository, always from that alone, so that a seed repeats a run. An input
that fails is left in out/fuzz/TARGET, and its path is printed with the command that runs it alone. Exit code 1 then.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FUZZ = ROOT / "driver" / "cluster" / "fuzz"
OUT = ROOT / "out" / "fuzz"
TARGETS = ("frame", "membership", "control")
# Seconds of all targets together, however slow the machine is; the runs take half of that on a busy one.
LIMIT_SECONDS = 60
RUNS = 150_000
# No legal input is longer; longer ones are refused by their length.
LONGEST_INPUT = 1600
# An input may take so many seconds and megabytes; a good one takes microseconds and kilobytes.
INPUT_SECONDS = 5
INPUT_MEGABYTES = 16

# As cargo-fuzz sets them, without its sanitizer.
FLAGS = ["--cfg", "fuzzing", "-Cpasses=sancov-module", "-Cdebug-assertions", "-Ccodegen-units=1",
         *(f"-Cllvm-args=-sanitizer-coverage-{what}"
           for what in ("level=4", "inline-8bit-counters", "pc-table", "trace-compares"))]


class FuzzError(Exception):
    """Something is wrong with the run itself, not with what is fuzzed."""


class Skipped(Exception):
    """The tool cannot be had here."""


@dataclass
class Result:
    """What became of a target."""

    runs: int
    seeds: int
    corpus: int
    edges: int
    crashes: list[Path]


def parse(log: str) -> tuple[int, int, int, int]:
    """Runs, files of the corpus, inputs in memory at the end and edges seen, as libFuzzer prints them."""
    seeds = re.search(r"^INFO: seed corpus: files: (\d+)", log, re.M)
    runs = re.findall(r"^Done (\d+) runs", log, re.M)
    lines = re.findall(r"^#\d+\s+\w+\s+cov: (\d+) ft: \d+ corp: (\d+)/", log, re.M)
    if not seeds or not lines:
        raise FuzzError("libFuzzer printed neither corpus nor coverage")
    edges, corpus = map(int, lines[-1])
    return int(runs[-1]) if runs else 0, int(seeds[1]), corpus, edges


def build() -> Path:
    """Builds the targets; gives the folder with the programs."""
    cargo = shutil.which("cargo")
    if not cargo or not shutil.which("c++"):
        raise Skipped(f"{'a C++ compiler, for libFuzzer' if cargo else 'cargo'} is not there")
    manifest = ["--locked", "--manifest-path", str(FUZZ / "Cargo.toml")]
    fetched = subprocess.run([cargo, "fetch", *manifest], capture_output=True, text=True, check=False)
    if fetched.returncode and "lock file" in fetched.stderr:
        raise FuzzError(f"driver/cluster/fuzz/Cargo.lock is out of date: {fetched.stderr.strip()}")
    if fetched.returncode:
        raise Skipped(f"its crates cannot be fetched: {fetched.stderr.strip().splitlines()[-1].strip()}")
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = re.search(r"^host: (.*)$", version, re.M)[1]
    # With a target named, build scripts are not instrumented.
    environment = os.environ | {"CARGO_ENCODED_RUSTFLAGS": "\x1f".join(FLAGS)}
    command = [cargo, "build", "--release", *manifest, "--target", host, "--target-dir", str(OUT / "target")]
    if subprocess.run(command, env=environment, check=False).returncode:
        raise FuzzError("the targets do not build")
    return OUT / "target" / host / "release"


def fuzz(program: Path, runs: int, seed: int, seconds: int) -> Result:
    """Runs a target from its corpus."""
    name = program.name
    found = OUT / name
    shutil.rmtree(found, ignore_errors=True)
    (found / "corpus").mkdir(parents=True)
    command = [program, f"-runs={runs}", f"-seed={seed}", f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}",
               "-use_value_profile=1", f"-timeout={INPUT_SECONDS}",
               f"-malloc_limit_mb={INPUT_MEGABYTES}", f"-artifact_prefix={found}/",
               "-verbosity=1", found / "corpus", FUZZ / "corpus" / name]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    log = run.stdout.decode(errors="replace")
    (found / "log").write_text(log)
    crashes = sorted(path for path in found.iterdir() if path.is_file() and path.name != "log")
    if crashes:
        print("\n".join(log.splitlines()[-40:]))
    elif run.returncode:
        raise FuzzError(f"{name} ended with {run.returncode} and no input that fails: {log.strip()[-2000:]}")
    return Result(*parse(log), crashes)


def main() -> int:
    """Exit code 0 if no input fails, or the tool cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; all without one")
    parser.add_argument("--runs", type=int, default=RUNS, help="inputs of each target (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the random changes, above 0 (%(default)s)")
    parser.add_argument("--seconds", type=int, default=LIMIT_SECONDS,
                        help="longest time of all targets together, without building them (%(default)s)")
    arguments = parser.parse_args()
    targets = arguments.targets or TARGETS
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"no target is called {', '.join(sorted(unknown))}: {', '.join(TARGETS)} are possible")
    if not (0 < arguments.seed < 1 << 32 and arguments.runs > 0 and arguments.seconds >= len(targets)):
        parser.error("a seed is 1 to 2^32 - 1, runs are 1 or more, and each target needs a second")
    try:
        folder = build()
        began = time.monotonic()
        results = {}
        for name in targets:
            result = results[name] = fuzz(folder / name, arguments.runs, arguments.seed, arguments.seconds // len(targets))
            short = "" if result.runs >= arguments.runs or result.crashes else ": ended by time"
            print(f"{'FAIL' if result.crashes else 'ok  '}  {name:12} {result.runs:9} executions, {result.edges} edges, "
                  f"corpus {result.seeds} files, {result.corpus} inputs at the end{short}", flush=True)
            for crash in result.crashes:
                path = crash.relative_to(ROOT)
                print(f"      fails: {path}\n      again: {(folder / name).relative_to(ROOT)} {path}")
    except Skipped as reason:
        print(f"skipped: {reason}")
        return 0
    except FuzzError as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return 1
    failed = [name for name, result in results.items() if result.crashes]
    print(f"summary: {sum(result.runs for result in results.values())} executions, seed {arguments.seed}, corpus "
          f"{sum(result.seeds for result in results.values())} files, {sum(r.corpus for r in results.values())} inputs at "
          f"the end, {time.monotonic() - began:.0f} s, {'fails: ' + ', '.join(failed) if failed else 'no input fails'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
