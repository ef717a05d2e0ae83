#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Are deliberate bugs in the RTL caught? Builds one NIC with all of them and runs the tests once for each.

    out/mutants/report.json  every mutant: what, where, killed by which test and with which words, or survived
    out/mutants/rtl          the RTL with all mutants in it (see mutate.py)

A mutant is killed if a test of the crate hashgate-tests fails on the 512-bit build, or one of the binding table alone
(but for those of its capacity), and that test passes without the mutant. Survivors that cannot be killed, or need not
be, are listed with the reason in hw/mutants/explained.toml. Exit code 1 if a mutant by hand survives, if fewer than
95 % of the generated ones that are not explained are killed, or if a patch or an explanation is out of date.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mutate

ROOT = Path(__file__).resolve().parent.parent.parent
RTL = ROOT / "hw" / "rtl"
OUT = ROOT / "out" / "mutants"
TARGET = ROOT / "target" / "mutants"
BY_HAND = ROOT / "hw" / "mutants"

WORKERS = 2
# Frames of each random test; enough for every mutant by hand, few enough for hundreds of runs.
FRAMES = 3000
# Operations of each random test of the binding table.
OPERATIONS = 100_000
TEST_SEED = 1
# A test program that takes longer does not end; the slowest takes a third of that on a machine that is busy otherwise.
LIMIT_SECONDS = 600
# Those that take a minute or more come last, in this order.
SLOW_PROGRAMS = ("parity", "commit_atomic", "host_transmit", "bindings")
# Test programs of the binding table alone, which has only one build.
TABLE_PROGRAMS = ("random", "renewal", "service", "upsets")
REQUIRED_KILLED = 0.95
# Generated mutants of the sample and seed of the choice. A mutant that is not in the 512-bit build (it has one port) is
# replaced by another.
SAMPLE = 10
CHOICE_SEED = 1
SPARE = 1.3


class Trouble(Exception):
    """The run cannot say anything; the message tells why."""


@dataclass
class Outcome:
    """What became of a mutant."""

    state: str  # killed, survived, explained
    test: str = ""
    words: str = ""
    seconds: float = 0.0


def environment(mutant: int | None = None) -> dict[str, str]:
    """Variables of a build or a test run."""
    values = dict(os.environ, HASHGATE_RTL=str(OUT / "rtl"), HASHGATE_BUILDS="512", CARGO_TARGET_DIR=str(TARGET),
                  HASHGATE_SEED=str(TEST_SEED), HASHGATE_FRAMES=str(FRAMES), HASHGATE_OPS=str(OPERATIONS), RUST_BACKTRACE="0")
    values.pop("HASHGATE_MUTANT", None)
    if mutant is not None:
        values["HASHGATE_MUTANT"] = str(mutant)
    return values


def begin_with_release() -> None:
    """Puts what the build of the tests has made where this one looks for it: most crates do not depend on the RTL."""
    made = ROOT / "target" / "release"
    if TARGET.exists() or not made.exists():
        return
    try:
        # What is complete is marked in the first; others may be building there.
        for part in (".fingerprint", "build", "deps"):
            shutil.copytree(made / part, TARGET / "release" / part, symlinks=True,
                            ignore=lambda folder, names: [name for name in names if name.startswith("verilated-")
                                                          or is_program(Path(folder) / name)])
    except OSError as error:
        print(f"mutants: building all crates anew: {error}", flush=True)
        shutil.rmtree(TARGET)


def is_program(file: Path) -> bool:
    """Whether it is a program that cargo linked, but for those of build scripts."""
    return file.parent.name == "deps" and file.suffix == "" and file.is_file()


def build() -> list[Path]:
    """Builds the tests on the mutated RTL and returns their programs."""
    begin_with_release()
    command = ["cargo", "test", "--locked", "--release", "-p", "hashgate-tests", "-p", "hashgate-table-sim", "--tests", "--no-run",
               "--message-format=json-render-diagnostics"]
    log = OUT / "build.log"
    with log.open("w") as errors:
        done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=errors, text=True,
                              check=False)
    if done.returncode != 0:
        raise Trouble(f"the NIC with mutants does not build, see {log.relative_to(ROOT)}:\n"
                      + "\n".join(log.read_text().splitlines()[-15:]))
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    programs = [Path(message["executable"]) for message in messages
                if message["reason"] == "compiler-artifact" and message.get("executable") and message["profile"]["test"]]
    slow = {name: place for place, name in enumerate(SLOW_PROGRAMS, 1)}
    return sorted((program for program in programs if crate_test(program) != "capacity"),
                  key=lambda program: (slow.get(crate_test(program), 0), crate_test(program)))


def crate_test(program: Path) -> str:
    """Name of a test program without the hash of its build."""
    return re.sub(r"-[0-9a-f]{16}$", "", program.name)


def present() -> set[int]:
    """Numbers of the mutants that Verilator keeps in the 512-bit build; the others are in code that it does not have."""
    site = next((ROOT / ".tools" / "venv" / "lib").glob("python3*/site-packages/verilator"))
    with tempfile.TemporaryDirectory() as folder:
        command = [str(site / "bin" / "verilator_bin"), "--cc", "-O3", "-Wno-fatal", "-Wno-lint", "-Wno-style",
                   "-Wno-MULTIDRIVEN", "--assert", "--top-module", "hashgate_core", "--Mdir", folder,
                   "config/512/hashgate_cfg_pkg.sv", "-f", "hashgate.f"]
        done = subprocess.run(command, cwd=OUT / "rtl", env=dict(os.environ, VERILATOR_ROOT=str(site)),
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Trouble("Verilator refuses the RTL with mutants:\n" + "\n".join(done.stderr.splitlines()[:10]))
        text = "".join(file.read_text() for file in Path(folder).glob("*.cpp"))
    return {int(number, 16) - mutate.ID_BASE for number in re.findall(r"0x(5a[0-9a-f]{6})U", text)}


def run_program(program: Path, arguments: list[str], mutant: int | None) -> Outcome:
    """Runs tests of one program until one fails."""
    began = time.monotonic()
    name = crate_test(program)
    running = failed = ""
    late = threading.Event()
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        with subprocess.Popen([str(program), *arguments, "--test-threads=1", "--nocapture"], cwd=ROOT / "tests",
                              env=environment(mutant), stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace") as process:
            def end() -> None:
                late.set()
                process.kill()

            timer = threading.Timer(LIMIT_SECONDS, end)
            timer.start()
            for line in process.stdout:
                begun = re.match(r"test (\S+) \.\.\. ", line)
                running = begun[1] if begun else running
                # The others need not run any more.
                if line.rstrip().endswith("FAILED") or line.startswith("test result: FAILED"):
                    failed = running
                    process.kill()
                    break
            process.wait()
            timer.cancel()
        seconds = time.monotonic() - began
        if late.is_set():
            return Outcome("killed", f"{name} {running}".strip(), "did not end", seconds)
        if process.returncode == 0 and not running and "--exact" in arguments:
            raise Trouble(f"{name} has no test {' '.join(arguments)}")
        if process.returncode == 0 and not failed:
            return Outcome("survived", seconds=seconds)
        errors.seek(0)
        output = errors.read()
    words = re.search(r"panicked at [^\n]*\n([^\n]*)", output)
    last = output.strip().splitlines()[-1:] or ["no output"]
    return Outcome("killed", f"{name} {failed}".strip(), words[1] if words else f"exit code {process.returncode}: {last[0]}", seconds)


def run_tests(programs: list[Path], mutant: int, first: tuple[str, str] | None) -> Outcome:
    """Runs the test `first`, then the programs, until one fails."""
    began = time.monotonic()
    jobs = [(program, [first[1], "--exact"]) for program in programs if first and crate_test(program) == first[0]]
    if first and not jobs:
        raise Trouble(f"no test program is called {first[0]}, as a patch has it")
    jobs += [(program, [] if crate_test(program) in TABLE_PROGRAMS else ["build_512"]) for program in programs]
    for program, arguments in jobs:
        outcome = run_program(program, arguments, mutant)
        if outcome.state == "killed":
            confirm(program, outcome.test.removeprefix(crate_test(program)).strip())
            outcome.seconds = time.monotonic() - began
            return outcome
    return Outcome("survived", seconds=time.monotonic() - began)


@cache
def confirm(program: Path, test: str) -> None:
    """A test that fails on a mutant must pass without one; without a name, all tests of the program."""
    outcome = run_program(program, [test, "--exact"] if test else [], None)
    if outcome.state != "survived":
        raise Trouble(f"without any mutant {outcome.test} fails: {outcome.words}")


def explanations(known: set[str]) -> dict[str, str]:
    """Reasons by the key of the mutant."""
    file = BY_HAND / "explained.toml"
    entries = tomllib.loads(file.read_text()).get("survivor", []) if file.exists() else []
    for entry in entries:
        if entry["mutant"] not in known:
            raise Trouble(f"{file.relative_to(ROOT)} explains a mutant that does not exist any more: {entry['mutant']}")
    return {entry["mutant"]: entry["reason"] for entry in entries}


def choose(by_hand: list[mutate.Mutant], everything: list[mutate.Mutant], all_sources: dict[str, mutate.Source],
           count: int, seed: int) -> list[mutate.Mutant]:
    """The mutants by hand and so many of the others that are in the 512-bit build, in random order."""
    # By a hash of each, so that a change of the RTL leaves the choice among the others as it was.
    order = sorted(everything, key=lambda mutant: hashlib.sha256(f"{seed} {mutant.key}".encode()).digest())
    drawn = order[:int(count * SPARE) + 5]
    prepare(by_hand + drawn, all_sources)
    numbers = present()
    missing = [mutant.key for mutant in by_hand if mutant.number not in numbers]
    if missing:
        raise Trouble(f"by hand, but without effect in the 512-bit build: {', '.join(missing)}")
    return by_hand + [mutant for mutant in drawn if mutant.number in numbers][:count]


def prepare(mutants: list[mutate.Mutant], all_sources: dict[str, mutate.Source]) -> None:
    """Writes the mutated RTL; leaves it alone if it is there already, so that nothing is compiled again."""
    for number, mutant in enumerate(mutants, 1):
        mutant.number = number
    fresh = OUT / "rtl.new"
    mutate.write(RTL, all_sources, mutants, fresh)
    same = subprocess.run(["diff", "-r", "-q", str(fresh), str(OUT / "rtl")], capture_output=True, check=False)
    if same.returncode != 0:
        subprocess.run(["rm", "-rf", str(OUT / "rtl")], check=True)
        fresh.rename(OUT / "rtl")


def show(number: int, total: int, mutant: mutate.Mutant, outcome: Outcome) -> None:
    """One line for a mutant."""
    detail = f"by {outcome.test}: {outcome.words}" if outcome.state == "killed" else outcome.words
    name = mutant.key if mutant.by_hand else f"{mutant.where}: {mutant.what}"
    print(f"  [{number:3}/{total}] {outcome.state:9} {name:55} {detail[:90]}", flush=True)


def main() -> int:
    """Exit code 0 if enough mutants are killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generated", type=int, default=SAMPLE, metavar="N",
                        help=f"generated mutants beside those by hand (default: {SAMPLE})")
    parser.add_argument("--seed", type=int, default=CHOICE_SEED, help=f"of their choice (default: {CHOICE_SEED})")
    parser.add_argument("--explained", action="store_true",
                        help="choose among explained survivors too, each of which takes all tests")
    parser.add_argument("--list", action="store_true", help="print all mutants that there are, run none")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    try:
        return run(arguments)
    except (Trouble, mutate.MutantError) as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 1


def run(arguments: argparse.Namespace) -> int:
    """Everything after the command line."""
    files = [line.strip() for line in (RTL / "hashgate.f").read_text().splitlines() if line.strip().endswith(".sv")]
    all_sources = mutate.sources(RTL, files)
    by_hand = [mutate.from_patch(RTL, all_sources, patch) for patch in sorted(BY_HAND.glob("*.patch"))]
    everything = mutate.generated(all_sources)
    if arguments.list:
        for mutant in [*by_hand, *everything]:
            print(f"{mutant.where}: {mutant.key if mutant.by_hand else mutant.what}: {mutant.edits[0].wrong}")
        return 0
    reasons = explanations({mutant.key for mutant in everything})
    drawn_from = [mutant for mutant in everything if arguments.explained or mutant.key not in reasons]
    chosen = choose(by_hand, drawn_from, all_sources, arguments.generated, arguments.seed)
    prepare(chosen, all_sources)

    print(f"mutants: building one NIC with {len(chosen)} of {len(by_hand) + len(everything)} mutants", flush=True)
    began = time.monotonic()
    programs = build()
    print(f"mutants: built in {time.monotonic() - began:.0f} s", flush=True)

    outcomes: dict[str, Outcome] = {}

    def one(mutant: mutate.Mutant) -> None:
        outcome = run_tests(programs, mutant.number, mutant.caught_by)
        if outcome.state == "survived" and mutant.key in reasons:
            outcome.state, outcome.words = "explained", reasons[mutant.key]
        outcomes[mutant.key] = outcome
        show(len(outcomes), len(chosen), mutant, outcome)

    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(one, chosen):
            pass
    return report(chosen, outcomes)


def report(chosen: list[mutate.Mutant], outcomes: dict[str, Outcome]) -> int:
    """Writes the JSON, prints the sums, judges."""
    (OUT / "report.json").write_text(json.dumps([
        {"mutant": mutant.key, "what": mutant.what, "where": mutant.where, "by_hand": mutant.by_hand,
         **vars(outcomes[mutant.key])} for mutant in chosen], indent=1) + "\n")
    for state in ("survived", "explained"):
        for mutant in chosen:
            if outcomes[mutant.key].state == state:
                print(f"  {state}: {mutant.where}: {mutant.key}")
    hand = Counter(outcomes[mutant.key].state for mutant in chosen if mutant.by_hand)
    made = Counter(outcomes[mutant.key].state for mutant in chosen if not mutant.by_hand)
    counted = made["killed"] + made["survived"]
    share = made["killed"] / counted if counted else 1.0
    print(f"summary: by hand {hand['killed']} of {sum(hand.values())} killed; generated {made['killed']} of {counted} "
          f"killed ({100 * share:.1f} %), {made['explained']} survivors explained")
    return 0 if hand["survived"] == 0 and share >= REQUIRED_KILLED else 1


if __name__ == "__main__":
    sys.exit(main())
