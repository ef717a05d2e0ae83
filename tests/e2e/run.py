#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""End-to-end tests on a cluster on this machine: real clients, the kernel's bridge and TCP, faults, changes, mistakes.

Writes target/e2e.json and prints it as tables beside published figures. Exit code 0 if all is well, 1 if a check failed;
where network namespaces or nginx cannot be had it is skipped with the reason.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent.parent / "tools" / "cluster")]

import machine  # noqa: E402
import report  # noqa: E402
import scenarios  # noqa: E402
from bench import ROOT, Bench, Checks, up  # noqa: E402
from cluster import Cluster, find, programs_folder  # noqa: E402
from machine import MachineError  # noqa: E402

Scenario = Callable[[Bench, Cluster], None]
# Names of the clusters that this makes.
NAMES = ("e2eb", "e2e")
SCENARIOS: dict[str, Scenario] = {
    "traffic": scenarios.traffic,
    "wire": scenarios.wire,
    "occupancy": scenarios.occupancy,
    "faults": scenarios.faults,
    "changes": scenarios.changes,
    "daemon": scenarios.daemon,
    "download": scenarios.download,
    "neighbours": scenarios.neighbours,
    "mistakes": scenarios.mistakes,
    "refusals": scenarios.refusals,
    "control": scenarios.control,
    "verbs": scenarios.verbs,
}
# In clusters of their own.
MODES = ("multicast", "igmp")
QUICK = ("traffic", "wire", "faults", "changes", "daemon", "mistakes", "refusals", "control", "verbs")
# With Verilated NICs: what does not take hours.
SLOW = ("traffic", "wire", "changes", "download", "faults")


def attempt(bench: Bench, cluster: Cluster, name: str, scenario: Scenario) -> bool:
    """Runs one; whether the cluster can still be used."""
    bench.checks.say(f"----  {cluster.plan.device}, {cluster.plan.mode}: {name}")
    began = time.monotonic()
    try:
        scenario(bench, cluster)
        cluster.wait_stable(seconds=bench.stable_seconds)
    except MachineError as error:
        bench.checks.check(False, f"{name}: to its end", error)
        logs(cluster)
        return False
    except Exception:
        bench.checks.check(False, f"{name}: to its end", traceback.format_exc())
        return False
    bench.checks.say(f"      {name} took {time.monotonic() - began:.0f} s")
    return True


def logs(cluster: Cluster) -> None:
    """The last that the daemons said."""
    for host in cluster.plan.members:
        for name in ("lbd", "hostpath", "softnic", "nic"):
            path = cluster.plan.run / host.name / f"{name}.log"
            if path.exists():
                lines = path.read_text(errors="replace").splitlines()[-4:]
                print("".join(f"    | {host.name} {name}: {line}\n" for line in lines), end="", flush=True)


def run(bench: Bench, names: list[str], mode: str = "unicast") -> None:
    """Scenarios on one cluster; on a new one after each that has left it unusable."""
    left = list(names)
    while left:
        cluster = bench.cluster(bench.plan("e2e", mode=mode))
        try:
            began = time.monotonic()
            up(cluster, bench)
            bench.checks.say(f"{cluster.plan.hosts} hosts with {bench.device} NICs, {mode} mode: stable after {time.monotonic() - began:.1f} s")
            while left:
                name = left.pop(0)
                scenario = scenarios.snooping if name == "snooping" else SCENARIOS[name]
                if not attempt(bench, cluster, name, scenario):
                    break
                if time.monotonic() > bench.limit:
                    raise MachineError("the time for all of it is up")
        finally:
            cluster.down()


def stop(number: int, _frame: object) -> None:
    """Signals end this script in good order."""
    raise SystemExit(128 + number)


def clear() -> None:
    """What an earlier run has left, if it was killed."""
    for name in NAMES:
        cluster = find(name)
        if cluster is not None:
            cluster.down()


def version(program: Path) -> str:
    """What it says about itself."""
    return machine.run([str(program), "--version"]).stdout.strip()


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="soft NICs, 3 hosts, each fault twice: some minutes")
    parser.add_argument("--device", choices=["soft", "verilated", "both"], default="both", help="the NICs (default: both)")
    parser.add_argument("--only", action="append", choices=[*SCENARIOS, "modes"], help="these scenarios; may be repeated")
    parser.add_argument("--hosts", type=int, help="members (default: 4, quick: 3)")
    parser.add_argument("--repeat", type=int, help="each fault so often (default: 10, quick: 2)")
    parser.add_argument("--minutes", type=float, help="the most that it takes (default: 90, quick: 6)")
    parser.add_argument("--programs", metavar="DIR", help="where lbd and the others are (default: target/release)")
    parser.add_argument("--output", type=Path, default=ROOT / "target" / "e2e.json", help="(default: target/e2e.json)")
    arguments = parser.parse_args()
    why = machine.missing() or ("there is no program curl" if not machine.find("curl") else None) or (
        "there is no program tcpdump" if not machine.find("tcpdump") else None)
    if why:
        print(f"skipped: {why}")
        return 0
    device = "soft" if arguments.quick and arguments.device == "both" else arguments.device
    devices = ["soft", "verilated"] if device == "both" else [device]
    try:
        programs = [programs_folder(arguments.programs, one) for one in devices][0]
    except MachineError as error:
        print(f"e2e: {error}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, stop)
    checks, results = Checks(), report.Results()
    limit = time.monotonic() + 60 * (arguments.minutes or (6 if arguments.quick else 90))
    try:
        clear()
        for one in devices:
            slow = one == "verilated"
            repeat = arguments.repeat or (2 if arguments.quick or slow else 10)
            bench = Bench(checks, results, programs, one, arguments.quick, arguments.hosts or (3 if arguments.quick else 4), repeat, limit)
            usual = QUICK if arguments.quick else SLOW if slow else tuple(SCENARIOS)
            names = [name for name in arguments.only or usual if name != "modes"]
            if slow and not arguments.only and len(devices) > 1:
                # The figures of the faults are those of the soft NICs; these would be added to them.
                names = [name for name in names if name != "faults"]
            run(bench, names)
            if (not arguments.only and not arguments.quick and not slow) or "modes" in (arguments.only or []):
                for mode in MODES:
                    run(bench, ["traffic", "wire", *(["snooping"] if mode == "igmp" else []), "occupancy"], mode)
    except MachineError as error:
        checks.check(False, "to the end", error)
    except subprocess.SubprocessError as error:
        checks.check(False, "to the end", error)
    finally:
        clear()
    document = results.document()
    document["environment"] = {**report.environment(), "lbd": version(programs / "lbd"), "nginx": machine.run([machine.find("nginx") or "nginx", "-v"]).stderr.strip(),
                               "quick": arguments.quick}
    document["checks"] = {"passed": checks.passed, "failed": checks.failed}
    report.write(arguments.output, document)
    print(results.tables())
    print(f"\n{json.dumps(document['environment'])}")
    for text in checks.failed:
        print(f"FAIL  {text}")
    print(f"summary: {checks.passed} checks passed, {len(checks.failed)} failed, {results.tried} connections, {time.monotonic() - checks.began:.0f} s")
    return 1 if checks.failed or not checks.passed else 0


if __name__ == "__main__":
    sys.exit(main())
