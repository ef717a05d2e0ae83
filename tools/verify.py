#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the project's checks and counts them: `verify.py test` all of them, `verify.py lint` the ones without tests.

Each step is a command. Two run at a time; what they print goes to out/logs/STEP.log, the terminal gets one line per
step, and the log of a step that fails. Every step counts as one test, steps that run tests count those as well. The
last line is `N passed, N failed, N skipped`; the exit code is 1 if something failed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "out" / "logs"
WORKERS = 2
HEARTBEAT_SECONDS = 60
SHOWN_LOG_LINES = 60

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Counts:
    """Tests passed, failed and skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: "Counts") -> None:
        """Adds the other counts to these."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def count_nothing(_log: str) -> Counts:
    """For steps that are one test themselves."""
    return Counts()


def count_rust(log: str) -> Counts:
    """Sums the `test result:` lines of cargo test and the summaries of cargo nextest."""
    counts = Counts()
    for passed, failed, ignored in re.findall(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", log):
        counts.add(Counts(int(passed), int(failed), int(ignored)))
    for summary in re.findall(r"Summary \[.*?\] +[\d/]+ tests? run: (.*)", log):
        number = {what: int(n) for n, what in re.findall(r"(\d+) (passed|failed|timed out|skipped)", summary)}
        counts.add(Counts(number.get("passed", 0), number.get("failed", 0) + number.get("timed out", 0),
                          number.get("skipped", 0)))
    return counts


def count_python(log: str) -> Counts:
    """Reads the end of a unittest run."""
    ran = sum(int(n) for n in re.findall(r"^Ran (\d+) tests?", log, re.M))
    bad = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", log))
    skipped = sum(int(n) for n in re.findall(r"skipped=(\d+)", log))
    return Counts(ran - bad - skipped, bad, skipped)


@dataclass
class Step:
    """One command. `needs` names steps that must have passed before; `note` finds the words for the step's line."""

    name: str
    command: list[str]
    needs: tuple[str, ...] = ()
    count: Callable[[str], Counts] = count_nothing
    note: str = r"(?!)"
    state: str = "waiting"
    seconds: float = 0.0
    started: float = 0.0
    counts: Counts = field(default_factory=Counts)

    @property
    def log(self) -> Path:
        """Where the output of the step goes."""
        return LOGS / f"{self.name.replace(' ', '-')}.log"


def lint_steps() -> list[Step]:
    """Everything that is checked without running the design."""
    python = str(ROOT / ".tools/venv/bin/python")
    warnings = r"^(build \d+: .*)$"
    return [
        Step("generated definitions", ["hw/defs/generate.py", "--check"]),
        Step("generated registers", ["hw/regs/generate.sh", "--check"]),
        Step("generated pictures", ["docs/pictures/make.py", "--check"]),
        Step("captured traffic", ["tests/captures/inspect.py", "tests/captures/real.pcapng"], note=r"^ *(\d+  frames.*)$"),
        Step("verilator lint 512", ["hw/lint/verilator.sh", "512"], note=warnings),
        Step("verilator lint 64", ["hw/lint/verilator.sh", "64"], note=warnings),
        Step("slang lint 512", [python, "hw/lint/slang.py", "512"], note=warnings),
        Step("slang lint 64", [python, "hw/lint/slang.py", "64"], note=warnings),
        Step("cargo fmt", ["cargo", "fmt", "--all", "--check"]),
    ]


def clippy_step(needs: tuple[str, ...]) -> Step:
    """Clippy in the profile of the tests, which saves Verilating twice."""
    return Step("cargo clippy", ["cargo", "clippy", "--locked", "--release", "--workspace", "--all-targets", "--",
                                 "-D", "warnings"], needs)


def test_steps() -> list[Step]:
    """All checks, long ones first so that both workers stay busy."""
    python = str(ROOT / ".tools/venv/bin/python")
    cargo = ["--locked", "--release", "--workspace"]
    has_nextest = shutil.which("cargo-nextest") is not None
    runner = ["cargo", "nextest", "run", "--no-fail-fast"] if has_nextest else ["cargo", "test", "--no-fail-fast"]
    build = ["cargo", "nextest", "run", "--no-run"] if has_nextest else ["cargo", "test", "--no-run"]
    steps = [
        Step("rust build", [*build, *cargo]),
        # Served to the host path, by one of the tests.
        Step("lbsim", ["cargo", "build", "--locked", "--release", "-p", "lbsim"], ("rust build",)),
        Step("rust tests", [*runner, *cargo], ("rust build", "lbsim"), count_rust, r"(?:test result|Summary)(.*)"),
        Step("protocol mutants", ["cargo", "test", "--locked", "--release", "-p", "hashgate-cluster-sim", "--features",
                                  "mutants", "--test", "mutants"], ("rust build",), count_rust, r"test result(.*)"),
        clippy_step(("rust build",)),
        Step("synthesis", [python, "hw/synth/run.py"], note=r"^summary: (.*)$"),
        Step("synthesis host", [python, "hw/synth/run.py", "--top", "host_interface"], note=r"^summary: (.*)$"),
        Step("formal", [python, "hw/formal/run.py"], note=r"^summary: (.*)$"),
        Step("fuzz", ["tools/fuzz/run.py"], note=r"^summary: (.*)$"),
        Step("mutants", [python, "tools/mutants/run.py"], ("rust build",), note=r"^summary: (.*)$"),
        Step("vfio guest", ["tools/guest/run.py"], ("rust build",), note=r"^summary: (.*)$"),
    ]
    # Its programs are built with the tests, which start them.
    steps.append(Step("cluster end to end", ["tests/e2e/run.py", "--quick"], ("rust build",), note=r"^summary: (.*)$"))
    steps += lint_steps()
    steps += [
        Step("tool tests", [python, "-m", "unittest", "discover", "-v", "-s", "tools/tests"], count=count_python),
    ]
    return steps


def last_line(log: Path) -> str:
    """What a step that is running printed last, cut to fit on a line."""
    lines = [line for line in ESCAPES.sub("", log.read_text(errors="replace")).splitlines() if line.strip()]
    return lines[-1].strip()[:80] if lines else "nothing printed yet"


class Run:
    """Runs steps two at a time and reports them."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self.changed = threading.Condition()
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        """Prints a line with the time since the start."""
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def pick(self) -> Step | None:
        """The next step that may start, or None when nothing is left for this worker; waits for needed steps."""
        while True:
            states = {step.name: step.state for step in self.steps}
            for step in self.steps:
                if step.state != "waiting":
                    continue
                needed = [states[name] for name in step.needs]
                if any(state in ("failed", "skipped") for state in needed):
                    step.state = "skipped"
                    step.counts.skipped = 1
                    self.say(f"skip  {step.name}: needs {', '.join(step.needs)}")
                    self.changed.notify_all()
                    break
                if all(state == "passed" for state in needed):
                    step.state = "running"
                    return step
            else:
                if all(step.state != "waiting" for step in self.steps):
                    return None
                self.changed.wait()

    def execute(self, step: Step) -> None:
        """Runs a step to its end and reports it."""
        step.started = time.monotonic()
        with step.log.open("w") as log:
            try:
                process = subprocess.Popen(step.command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
                                           stdin=subprocess.DEVNULL)
                code = process.wait()
            except OSError as error:
                log.write(f"{step.command[0]} cannot be run: {error}\n")
                code = 127
        step.seconds = time.monotonic() - step.started
        output = ESCAPES.sub("", step.log.read_text(errors="replace"))
        step.counts = step.count(output)
        own = Counts(passed=1) if code == 0 else Counts(failed=1)
        notes = re.findall(step.note, output, re.M)
        note = notes[-1].strip() if notes and step.count is count_nothing else ""
        skipped = re.search(r"^skipped: .*$", output, re.M) if step.count is count_nothing else None
        if code == 0 and skipped:
            own, note = Counts(skipped=1), skipped[0]
        if step.count is not count_nothing:
            note = str(step.counts)
            if code == 0 and step.counts.passed == 0:
                own, note = Counts(failed=1), "no test was run"
        step.counts.add(own)
        with self.changed:
            step.state = "passed" if own.failed == 0 else "failed"
            word = "FAIL " if own.failed else "skip " if own.skipped else "ok   "
            self.say(f"{word} {step.name:24} {step.seconds:7.1f} s  {note}")
            if own.failed:
                lines = output.splitlines()
                print("\n".join(f"    | {line}" for line in lines[-SHOWN_LOG_LINES:]))
                print(f"    | (exit code {code}; whole log: {step.log.relative_to(ROOT)})", flush=True)
            self.changed.notify_all()

    def work(self) -> None:
        """One worker."""
        while True:
            with self.changed:
                step = self.pick()
            if step is None:
                return
            self.execute(step)

    def heartbeat(self) -> None:
        """Once a minute, what is running; returns when all steps are done."""
        with self.changed:
            while any(step.state in ("waiting", "running") for step in self.steps):
                if not self.changed.wait(HEARTBEAT_SECONDS):
                    now = time.monotonic()
                    done = sum(step.state not in ("waiting", "running") for step in self.steps)
                    self.say(f"...   {done} of {len(self.steps)} steps done, running:")
                    for step in self.steps:
                        if step.state == "running":
                            print(f"              {step.name}, {now - step.started:.0f} s: {last_line(step.log)}", flush=True)

    def all(self) -> Counts:
        """Runs everything and returns the sums."""
        threads = [threading.Thread(target=self.work, daemon=True) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        self.heartbeat()
        for thread in threads:
            thread.join()
        total = Counts()
        for step in self.steps:
            total.add(step.counts)
        return total


def main() -> int:
    """Exit code 0 if nothing failed and nothing was skipped for a failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["test", "lint"])
    arguments = parser.parse_args()
    if arguments.what == "lint":
        steps = [clippy_step(()), *lint_steps()]
    else:
        steps = test_steps()
    LOGS.mkdir(parents=True, exist_ok=True)
    os.environ["CARGO_TERM_COLOR"] = "never"
    total = Run(steps).all()
    for step in steps:
        if step.state == "failed":
            print(f"FAIL  {step.name}")
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
