# SPDX-License-Identifier: Apache-2.0
"""The scenarios: each brings up what it needs, checks, and leaves nothing."""

import contextlib
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bench as tools
import machine
import packets
from bench import Bench, Capture, Clients
from cluster import Cluster, read_json
from machine import MachineError
from plan import RULES, WEB_PORT, Rule, cluster_toml
from report import broken, chi_square, failover_seconds, of_survivors, probed, violation

# How long is watched after a change, for what it may have broken.
WATCH_SECONDS = 2.0
SYN_ACKS = "(tcp[13] & 0x12 = 0x12) or (ip6[6] = 6 and ip6[53] & 0x12 = 0x12)"
# Reasons of frames that are other hosts', as `lbctl occupancy` counts them.
FOREIGN = ("map", "default-host", "fragment-unknown", "beyond-window", "icmp-error", "icmp-owner", "binding", "affinity", "handover")
# The kernel repeats a SYN after a second.
AGAIN_MS = 950
PROBE_MS = {"soft": 20, "verilated": 100}


def probe_ms(bench: Bench) -> int:
    """A new connection so often: four Verilated NICs on a few cores stand less."""
    return PROBE_MS[bench.device]


def watch() -> None:
    """Time in which something could go wrong."""
    time.sleep(WATCH_SECONDS)


@contextlib.contextmanager
def clients(cluster: Cluster, seconds: float, **options: object) -> Iterator[Clients]:
    """Clients that are ended in all cases."""
    made = Clients(cluster, seconds, **options)
    try:
        yield made.ready()
    finally:
        made.kill()


@contextlib.contextmanager
def capture(cluster: Cluster, where: str, interface: str, expression: str, snap: int = 128) -> Iterator[Capture]:
    """A capture that is ended in all cases."""
    made = Capture(cluster, where, interface, expression, snap)
    try:
        yield made
    finally:
        made.kill()


def count_doubles(bench: Bench, taken: Capture) -> None:
    """Adds the double SYN-ACKs of a capture to the results."""
    answers = list(packets.syn_acks(taken.frames()))
    doubles = packets.double_syn_acks(answers)
    bench.results.doubles = (bench.results.doubles or 0) + doubles
    bench.checks.check(bool(answers) and doubles == 0, f"no connection was accepted twice ({len(answers)} SYN-ACKs)", f"{doubles} were")


def summary(events: list[Any]) -> str:
    """Of things that broke: how many by host and why, and the first ones."""
    return f"{Counter(tuple(event[1:3]) for event in events)}, at {[round(event[0], 2) for event in events[:5]]}, begun at {[round(event[3], 2) for event in events[:5]]}"


# Traffic

def traffic(bench: Bench, cluster: Cluster) -> None:
    """Each response is right, by IPv4 and IPv6, and shares are those of the buckets."""
    checks, plan = bench.checks, cluster.plan
    names = {host.name for host in plan.members}
    page = (plan.run / "www" / "page").read_bytes()
    for vip in (plan.vip, f"[{plan.vip6}]"):
        said = cluster.run("client", "curl", "-s", "-m", "20", f"http://{vip}/host", check=False)
        checks.check(said.stdout.strip() in names, f"curl http://{vip}/host", f"exit code {said.returncode}: {said.stdout!r}")
        said = subprocess.run(machine.inside(plan.client_space, ["curl", "-s", "-m", "20", f"http://{vip}/page"]), capture_output=True, timeout=30, check=False)
        checks.check(said.stdout == page, f"curl http://{vip}/page: {len(page)} bytes as they are", f"exit code {said.returncode}, {len(said.stdout)} bytes")
    seconds = 8.0 if bench.quick else 20.0
    with clients(cluster, 120, six=4, probe_ms=5 if bench.soft else 150, answer_seconds=10 if bench.soft else 30, syn_ms=1000 if bench.soft else 5000) as load:
        time.sleep(seconds)
        seen = load.finish()
    bench.results.tried += seen["opened"]
    bad = [probe for probe in seen["probes"] if probe[2] != "ok" or probe[1] not in names]
    checks.check(bool(seen["probes"]) and not bad, f"{len(seen['probes'])} new connections, a quarter IPv6: each is answered", summary(bad))
    status = cluster.status("h1") or {"members": []}
    buckets = {member["name"]: share["buckets"] for member in status["members"] for share in member["shares"] if share["rule"] == "web"}
    order = sorted(names)
    value, limit = chi_square([seen["by_host"].get(name, 0) for name in order], [buckets.get(name, 0) for name in order])
    checks.check(value <= limit, f"shares are those of the buckets: chi-square {value:.1f}, bound {limit:.1f}", f"{seen['by_host']}, buckets {buckets}")
    with clients(cluster, 120, workers=8 if bench.soft else 4, answer_seconds=10 if bench.soft else 60) as load:
        time.sleep(seconds)
        seen = load.finish()
    bench.results.tried += seen["opened"]
    bench.results.rates[bench.device] = seen["requests"] / seen["seconds"]
    checks.check(seen["requests"] > 0 and not seen["failed"], f"{seen['requests']} pages of 10 kB, {seen['requests'] / seen['seconds']:.0f} a second: each is right",
                 seen["failed"][:3])


# Faults

def faults(bench: Bench, cluster: Cluster) -> None:
    """Five faults, each many times, with new connections and long-lived ones."""
    for name, (inject, remedy) in tools.FAULT_ACTIONS.items():
        fault(bench, cluster, name, inject, remedy)


def fault(bench: Bench, cluster: Cluster, name: str, inject: Callable[[Cluster, str], None], remedy: Callable[[Cluster, str], None]) -> None:
    """One of them, again and again, at another host each time."""
    checks, hosts = bench.checks, [host.name for host in cluster.plan.members]
    count = 150 if bench.quick else 400
    if not bench.soft:
        count = 60
    happened: list[tuple[float, str]] = []
    windows: list[tuple[float, float, float]] = []
    limit = bench.repeat * (2 * bench.stable_seconds + 40) + 60
    with capture(cluster, "client", "lan", SYN_ACKS) as taken:
        with clients(cluster, limit, probe_ms=probe_ms(bench), six=8, sessions=count, workers=2, think=0.05 if bench.soft else 1,
                     syn_ms=200 if bench.soft else 1000) as load:
            watch()
            for turn in range(bench.repeat):
                host = hosts[turn % len(hosts)]
                others = [other for other in hosts if other != host]
                happened.append((time.monotonic(), host))
                inject(cluster, host)
                try:
                    cluster.wait_stable(others, bench.stable_seconds)
                    failed_over = ""
                except MachineError as error:
                    failed_over = str(error)
                if failed_over:
                    checks.check(False, f"{name} {turn + 1}: the others go on without {host}", failed_over)
                watch()
                over = time.monotonic()
                remedy(cluster, host)
                tools.bring_back(cluster, bench, host)
                watch()
                windows.append((happened[-1][0], over, time.monotonic()))
            seen = load.finish()
        count_doubles(bench, taken)
    times = [failover_seconds(seen["probes"], began, over) for began, over, _ in windows]
    bench.results.failover[name] = times
    bench.results.tried += seen["opened"]
    others_broken = of_survivors(seen["broken"], happened)
    bench.results.failed_host_broken += len(seen["broken"]) - len(others_broken)
    bench.results.broken["survivors_on_failure"] = bench.results.broken.get("survivors_on_failure", 0) + len(others_broken)
    longest = max(times)
    checks.check(longest < (5.0 if bench.soft else 60.0), f"{name}: {', '.join(f'{seconds:.3f}' for seconds in times)} s to the last failed new connection")
    checks.check(not others_broken, f"{name}: {len(seen['broken'])} sessions of failed hosts broke, none of the others", summary(others_broken))
    requests = [event for event in of_survivors(seen["failed"], happened) if event[1]]
    bench.results.requests_failed["survivors_on_failure"] = bench.results.requests_failed.get("survivors_on_failure", 0) + len(requests)
    checks.check(not requests, f"{name}: requests on connections to the others did not fail", f"{summary(requests)}; fault, remedy, all well at {[[round(at, 2) for at in window] for window in windows]}")
    returns = [probe for _, over, end in windows for probe in seen["probes"] if over <= probe[0] <= end]
    late = sum(probe[2] != "ok" for probe in returns)
    bench.results.more.setdefault("connections_late_on_return", {})[name] = [late, len(returns)]
    checks.say(f"      {name}: while the host came back, {late} of {len(returns)} new connections had no answer to their first SYN in time")
    checks.check(all(probed(seen["probes"], began, over) > 0 for began, over, _ in windows), f"{name}: new connections all the time")


# Changes

def changes(bench: Bench, cluster: Cluster) -> None:
    """A host drains and leaves and joins again, weights and rules change, daemons are restarted: nothing breaks."""
    hosts = [host.name for host in cluster.plan.members]
    steps: dict[str, Callable[[Cluster, Bench, Clients], None]] = {
        "drain": drain, "join": join, "weights": weights, "rules": rules, "rolling_restart": rolling_restart,
    }
    windows: dict[str, tuple[float, float]] = {}
    count = (150 if bench.quick else 400) if bench.soft else 60
    with capture(cluster, "client", "lan", SYN_ACKS) as taken:
        with clients(cluster, 900 if bench.soft else 3600, probe_ms=probe_ms(bench), six=8, sessions=count, workers=2, think=0.05 if bench.soft else 1,
                     syn_ms=5000, answer_seconds=10 if bench.soft else 60) as load:
            watch()
            for name, step in steps.items():
                began = time.monotonic()
                try:
                    step(cluster, bench, load)
                except MachineError as error:
                    bench.checks.check(False, f"{name}: done", error)
                    for host in hosts:
                        tools.bring_back(cluster, bench, host)
                watch()
                windows[name] = (began, time.monotonic())
            seen = load.finish()
        count_doubles(bench, taken)
    bench.results.tried += seen["opened"]
    for name, (began, ended) in windows.items():
        lost = broken(seen["broken"], began, ended)
        failed = [event for event in seen["failed"] if began <= event[0] <= ended]
        failed += [probe for probe in seen["probes"] if began <= probe[0] <= ended and probe[2] != "ok"]
        bench.results.broken[name], bench.results.requests_failed[name] = lost, len(failed)
        events = [event for event in seen["broken"] if began <= event[0] <= ended]
        slow = sum(began <= probe[0] <= ended and probe[3] > AGAIN_MS for probe in seen["probes"])
        bench.results.more.setdefault("connections_delayed", {})[name] = slow
        bench.checks.say(f"      {name}: {slow} new connections took a second SYN")
        bench.checks.check(not lost and not failed, f"{name}: {count} sessions, {probed(seen['probes'], began, ended)} new connections, none lost",
                           f"broken {summary(events)}; failed {summary(failed)}")


def drain(cluster: Cluster, bench: Bench, load: Clients) -> None:
    """The last host drains; its sessions go on; when they are over it leaves."""
    leaver = cluster.plan.members[-1].name
    before = load.by_host().get(leaver, 0)
    cluster.lbctl("h1", "drainstop", "--host", leaver)
    watch()
    kept = load.by_host().get(leaver, 0)
    bench.checks.check(0 < kept == before, f"drain: {leaver} keeps its {before} sessions", f"{kept} are left")
    load.command("close", leaver)
    if not machine.wait_until(lambda: load.by_host().get(leaver, 0) == 0, 30, 0.5):
        raise MachineError(f"sessions still come to {leaver}, which drains: {load.by_host()}")
    others = [host.name for host in cluster.plan.members if host.name != leaver]
    try:
        cluster.wait_stable(others, 20)
        left = ""
    except MachineError as error:
        left = str(error)
        cluster.lbctl("h1", "stop", "--host", leaver)
        cluster.wait_stable(others, bench.stable_seconds)
    count = cluster.ask(leaver, "bindings", "count").get("matching")
    bench.checks.check(not left, f"drain: {leaver} leaves when its last session has ended", f"{left}; it has {count} bindings")
    for process in cluster.processes(f"lbd {leaver}"):
        process.signal(signal.SIGTERM)
        if not machine.wait_until(lambda: not process.alive(), 20):
            raise MachineError(f"lbd of {leaver} does not end within 20 s after SIGTERM")
    cluster.up_hosts.discard(leaver)
    cluster.wait_stable(others, bench.stable_seconds)


def join(cluster: Cluster, bench: Bench, _load: Clients) -> None:
    """It comes again."""
    tools.bring_back(cluster, bench, cluster.plan.members[-1].name)
    own = buckets(cluster, cluster.plan.members[-1].name)
    bench.checks.check(own > 0, f"join: it owns {own} buckets of rule web")


def buckets(cluster: Cluster, host: str) -> int:
    """Of rule web, as the first host sees it."""
    status = cluster.status("h1") or {"members": []}
    return sum(share["buckets"] for member in status["members"] if member["name"] == host for share in member["shares"] if share["rule"] == "web")


def reload(cluster: Cluster, bench: Bench, text: str) -> None:
    """A changed file for all, taken by all at once."""
    old = (cluster.status("h1") or {}).get("rules_digest")
    cluster.configure(text)
    cluster.lbctl("h1", "reload", "--host", "all")
    hosts = [host.name for host in cluster.plan.members]

    def taken() -> bool:
        digests = {(cluster.status(host) or {}).get("rules_digest") for host in hosts}
        return len(digests) == 1 and not digests & {None, old}

    if not machine.wait_until(taken, bench.stable_seconds, 0.2):
        raise MachineError(f"the changed rules are not in force after {bench.stable_seconds:.0f} s: {cluster.status('h1')}")
    cluster.wait_stable(seconds=bench.stable_seconds)


def weights(cluster: Cluster, bench: Bench, _load: Clients) -> None:
    """Host 1 takes half of what others take, then as much again."""
    even = buckets(cluster, "h1")
    cluster.plan.weights["h1"] = 50
    reload(cluster, bench, cluster_toml(cluster.plan))
    less = buckets(cluster, "h1")
    bench.checks.check(0 < less < even, f"weights: h1 owns {less} buckets, not {even}")
    watch()
    del cluster.plan.weights["h1"]
    reload(cluster, bench, cluster_toml(cluster.plan))


def rules(cluster: Cluster, bench: Bench, _load: Clients) -> None:
    """A rule more, then gone again."""
    reload(cluster, bench, cluster_toml(cluster.plan, (Rule("extra", 8080, "single"), *RULES)))
    names = [rule["name"] for rule in cluster.ask("h1", "rules")["rules"]]
    bench.checks.check("extra" in names, "rules: there is one more", names)
    reload(cluster, bench, cluster_toml(cluster.plan))


def rolling_restart(cluster: Cluster, bench: Bench, _load: Clients) -> None:
    """Each daemon in turn ends, and one that says more than this version starts."""
    for host in cluster.plan.members:
        cluster.lbctl(host.name, "hold", "5000" if bench.soft else "30000")
        for process in cluster.processes(f"lbd {host.name}"):
            process.signal(signal.SIGTERM)
            if not machine.wait_until(lambda: not process.alive(), 20):
                raise MachineError(f"lbd of {host.name} does not end within 20 s after SIGTERM")
        cluster.start_lbd(host.name, {"HASHGATE_AS_LATER": "1"})
        cluster.wait_stable(seconds=bench.stable_seconds)


# A long download

def download(bench: Bench, cluster: Cluster) -> None:
    """A file comes whole, although hosts leave and join meanwhile."""
    name, rate = ("10m", "600k") if bench.quick else ("big", "4M")
    if not bench.soft:
        name, rate = "5m", "200k"
    source = cluster.plan.run / "www" / name
    target = cluster.plan.run / "download"
    command = ["curl", "-s", "-S", "-m", "600", "--limit-rate", rate, "-o", str(target), "-D", str(target) + ".head", f"http://{cluster.plan.vip}/{name}"]
    process = subprocess.Popen(machine.inside(cluster.plan.client_space, command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        if not machine.wait_until(lambda: target.exists() and target.stat().st_size > 100_000, 60):
            raise MachineError("the download does not begin")
        head = Path(str(target) + ".head").read_text()
        server = next((line.partition(":")[2].strip() for line in head.splitlines() if line.lower().startswith("x-host:")), "")
        other = next(host.name for host in reversed(cluster.plan.members) if host.name != server)
        stay = [host.name for host in cluster.plan.members if host.name != other]
        # Another host leaves and joins, then its own one drains and does so no longer.
        cluster.lbctl("h1", "stop", "--host", other)
        cluster.wait_stable(stay, bench.stable_seconds)
        cluster.lbctl("h1", "start", "--host", other)
        cluster.wait_stable(seconds=bench.stable_seconds)
        cluster.lbctl("h1", "drain", "--rule", "all", "--host", server)
        watch()
        running = process.poll() is None
        cluster.lbctl("h1", "enable", "--rule", "all", "--host", server)
        cluster.wait_stable(seconds=bench.stable_seconds)
        said, _ = process.communicate(timeout=600)
        same = process.returncode == 0 and file_digest(target) == file_digest(source)
        bench.checks.check(same and running, f"a download of {source.stat().st_size} bytes from {server} lives through a leave, a join and a drain",
                           f"exit code {process.returncode}: {said.strip()}; it ran all the time: {running}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Neighbours and mistakes

def neighbours(bench: Bench, cluster: Cluster) -> None:
    """Another cluster on the same bridge is none of this one's business."""
    before = (cluster.status("h1") or {}).get("epoch")
    with clients(cluster, 300, probe_ms=probe_ms(bench) * 2, sessions=50, syn_ms=1000) as load:
        with bench.cluster(bench.plan("e2eb", hosts=2, number=1, bridge=cluster.plan.name)) as other:
            other.wait_stable(seconds=bench.stable_seconds)
            said = [other.run("client", "curl", "-s", "-m", "20", f"http://{other.plan.vip}/host", check=False).stdout.strip() for _ in range(5)]
            bench.checks.check(all(name in ("h1", "h2") for name in said), "two clusters on a bridge: the second one serves", said)
            members = [member["name"] for member in (other.status("h1") or {"members": []})["members"] if member["state"] in ("self", "member", "heard")]
            bench.checks.check(sorted(members) == ["h1", "h2"], "two clusters on a bridge: the second one has its own members only", members)
            watch()
        seen = load.finish()
    bench.results.tried += seen["opened"]
    bad = [probe for probe in seen["probes"] if probe[2] != "ok"]
    after = (cluster.status("h1") or {}).get("epoch")
    bench.checks.check(not bad and not seen["broken"] and before == after, "two clusters on a bridge: the first one did not notice",
                       f"epoch {before}, then {after}; {summary(bad)}; {summary(seen['broken'])}")


def mistakes(bench: Bench, cluster: Cluster) -> None:
    """Two hosts with one priority, and a host with other rules: no convergence with them, and the culprit is named."""
    last, before = cluster.plan.members[-1].name, cluster.plan.members[-2].name
    others = [host.name for host in cluster.plan.members if host.name != last]
    numbers = {last: cluster.plan.host(before).number, before: cluster.plan.host(last).number}
    cases = {
        "two hosts with one priority": (cluster_toml(cluster.plan, priorities=numbers), before, ("priorit", "same", "number", "twice", "id")),
        "a host with other rules": (cluster_toml(cluster.plan, (Rule("other", 9999), *RULES)), last, ("rule",)),
    }
    for what, (text, culprit, words) in cases.items():
        for process in cluster.processes(f"lbd {last}"):
            process.signal(signal.SIGTERM)
            machine.wait_until(lambda: not process.alive(), 20)
        cluster.wait_stable(others, bench.stable_seconds)
        epoch = (cluster.status("h1") or {}).get("epoch")
        cluster.configure(text, [last])
        cluster.start_lbd(last)
        problems: list[str] = []

        def named() -> bool:
            problems[:] = [f"{host}: {problem}" for host in [*others, last] for problem in (cluster.status(host) or {}).get("problems", [])]
            return any(culprit in problem.partition(": ")[2] and any(word in problem.lower() for word in words) for problem in problems)

        found = machine.wait_until(named, bench.stable_seconds, 0.2)
        bench.checks.check(found, f"{what}: lbctl status names {culprit}: {problems}", problems)
        own = cluster.status(last) or {}
        bench.checks.check(own.get("phase") != "stable" and own.get("lease_seconds") is None, f"{what}: it takes no part", own.get("phase"))
        answers = {cluster.run("client", "curl", "-s", "-m", "10", f"http://{cluster.plan.vip}/host", check=False).stdout.strip() for _ in range(10)}
        bench.checks.check(bool(answers) and answers <= set(others), f"{what}: the others serve", f"{answers}, epoch {epoch}")
        for process in cluster.processes(f"lbd {last}"):
            process.signal(signal.SIGTERM)
            machine.wait_until(lambda: not process.alive(), 20)
        cluster.configure(cluster_toml(cluster.plan), [last])
        tools.bring_back(cluster, bench, last)


# The daemon itself

def used_seconds(pid: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def daemon(bench: Bench, cluster: Cluster) -> None:
    """What lbd costs: processor time while nothing happens and while maps are agreed on all the time, memory, time from its start until it serves."""
    host = cluster.plan.members[-1].name
    pid = cluster.processes(f"lbd {host}")[0].pid

    def share(seconds: float, doing: Callable[[], object] = lambda: time.sleep(0.1)) -> float:
        before, began = used_seconds(pid), time.monotonic()
        while time.monotonic() < began + seconds:
            doing()
        return (used_seconds(pid) - before) / (time.monotonic() - began)

    idle = share(5)
    percents = itertools.cycle((50, 100))

    def converge() -> None:
        cluster.lbctl(host, "capacity", str(next(percents)))
        cluster.wait_stable(None, bench.stable_seconds)

    epoch = (cluster.status(host) or {}).get("epoch", 0)
    busy = share(5, converge)
    cluster.lbctl(host, "capacity", "100")
    cluster.wait_stable(None, bench.stable_seconds)
    convergences = ((cluster.status(host) or {}).get("epoch") or 0) - epoch
    bench.checks.check(convergences >= 3, f"daemon: {convergences} convergences in 5 s of commands", convergences)
    memory = next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    cluster.lbctl(host, "hold", "5000")
    machine.wait_until(lambda: ((cluster.status(host) or {}).get("lease_seconds") or 0) > 4, 20)
    for process in cluster.processes(f"lbd {host}"):
        process.signal(signal.SIGTERM)
        machine.wait_until(lambda process=process: not process.alive(), 20)
    began = time.monotonic()
    cluster.start_lbd(host)
    cluster.wait_stable(None, bench.stable_seconds)
    stable = time.monotonic() - began
    bench.checks.check(stable < 5 if bench.soft else stable < 60, f"daemon: stable {stable:.2f} s after its start", stable)
    bench.results.more.setdefault("daemon", {})[bench.device] = {
        "cpu_share_idle": round(idle, 4), "cpu_share_converging": round(busy, 4), "memory_kilobytes": memory, "start_to_stable_seconds": round(stable, 3)}


# Refusals

def refusals(bench: Bench, cluster: Cluster) -> None:
    """What is refused changes nothing: files with an error, a change that wants a restart, a second daemon, a NIC that another one has, an interface that there is not."""
    checks, text, first = bench.checks, cluster_toml(cluster.plan), "h1"
    config = cluster.plan.config(first)

    def told() -> tuple[object, ...]:
        status = cluster.status(first) or {}
        return tuple(status.get(what) for what in ("phase", "rules_digest", "staged_digest", "digest"))

    before = told()
    for what, changed, words in (
        ("a file with an error", text + '\n[[rule]]\nname = "web2"\nports = 70000\n', (str(config), "70000")),
        ("a change that wants a restart", text.replace(f'mode = "{cluster.plan.mode}"', 'mode = "multicast"'), ("mode has changed", "restart")),
    ):
        cluster.configure(changed, [first])
        said = cluster.lbctl(first, "--json", "reload", check=False)
        answers = [answer["outcome"] + ": " + answer["text"] for answer in read_json(said.stdout)["answers"]]
        good = said.returncode == 1 and len(answers) == 1 and answers[0].startswith("failed") and all(word in answers[0] for word in words)
        checks.check(good and told() == before, f"{what}: reload refuses it, and nothing has changed: {answers}", f"exit code {said.returncode}, {before} -> {told()}")
    cluster.configure(text, [first])

    def starts(what: str, text: str, run_dir: Path, *words: str) -> None:
        """A daemon that does not start: one line, exit code 2, no process left."""
        folder = cluster.plan.run / "refusals"
        folder.mkdir(mode=0o700, exist_ok=True)
        file = folder / "cluster.toml"
        file.write_text(text)
        processes = {process.pid for process in cluster.inhabitants(first)}
        done = cluster.run(first, str(bench.programs / "lbd"), "--config", str(file), "--host", first, "--run-dir", str(run_dir), seconds=60, check=False)
        lines = [line for line in done.stderr.splitlines() if line.startswith("lbd: ")]
        left = {process.pid for process in cluster.inhabitants(first)} - processes
        good = done.returncode == 2 and len(lines) == 1 and all(word in lines[0] for word in words) and not left
        checks.check(good and told() == before, f"{what}: {lines}", f"exit code {done.returncode}, left {left}, {done.stderr[-300:]}")

    # Its metrics are at another port: the one that runs has that.
    apart = text.replace("127.0.0.1:9504", "127.0.0.1:9505")
    starts("a second daemon", text, cluster.plan.run / first, "another lbd answers", "end that one first")
    starts("a port in use", text, cluster.plan.run / "refusals", "metrics", "9504", "in use")
    starts("a NIC whose TAP device another process has", apart, cluster.plan.run / "refusals", "hashgate-hostpath", "hg0", "another process has it")
    device = f'device = "{cluster.plan.device_of(first)}"'
    starts("an interface that there is not", apart.replace(device, 'device = "soft:nowhere"'), cluster.plan.run / "refusals", "hashgate-softnic", "nowhere")


# Control

def control(bench: Bench, cluster: Cluster) -> None:
    """What is not signed, is wrong, is old or is too much is refused and counted, and disturbs nobody."""
    checks, plan, rng = bench.checks, cluster.plan, random.Random(2504)
    wrong = plan.run / "wrong.key"
    wrong.write_text("ab" * 32 + "\n")
    wrong.chmod(0o600)

    def refused() -> float:
        return sum(tools.metric(cluster, host.name, "hashgate_refused_frames_total", 'channel="control"') for host in plan.members)

    def by_udp(key: Path, *words: str) -> Any:
        return cluster.run("client", str(bench.programs / "lbctl"), "--udp", plan.vip, "--password-file", str(key), "--json", *words, check=False)

    epoch = (cluster.status("h1") or {}).get("epoch")
    with clients(cluster, 300, probe_ms=probe_ms(bench) * 2, sessions=50, syn_ms=1000) as load:
        with capture(cluster, "client", "lan", f"udp and dst port 2504 and dst host {plan.vip}", 2048) as taken:
            said = by_udp(plan.control_key(), "capacity", "100", "--host", ",".join(str(host.number) for host in plan.members))
            checks.check(said.returncode == 0, "control: a command with the right key is carried out by all", f"{said.returncode}: {said.stdout} {said.stderr}")
            datagrams = [frame.data[42:] for frame in taken.frames()]
        checks.check(bool(datagrams), "control: its datagrams were seen")
        before = refused()
        said = by_udp(wrong, "stop", "--host", "1")
        after = refused()
        checks.check(said.returncode == 1 and after > before, "control: the wrong key is refused and counted", f"exit code {said.returncode}, refused {before}, then {after}")
        before = after
        send(cluster, 10, 20, datagrams[-4:])
        after = refused()
        # A datagram again is answered again as long as its answer is kept, and is not carried out; later it is refused.
        replay = cluster.ask("h1", "events", "--last", "50")
        checks.check(after >= before and bool(replay), f"control: replayed datagrams change nothing ({after - before:.0f} refused)")
        before = after
        garbage = [rng.randbytes(rng.randint(1, 400)) for _ in range(50)] + [data[:rng.randrange(1, len(data))] for data in datagrams]
        send(cluster, 200, len(garbage), garbage)
        after = refused()
        checks.check(after > before, f"control: garbage is refused and counted ({after - before:.0f} of {len(garbage) * plan.hosts})", f"{before}, then {after}")
        before = after
        count = 10_000 if bench.soft else 200
        send(cluster, count, count, [rng.randbytes(120)])
        after = refused()
        checks.check(after > before, f"control: {count} datagrams in a second: {after - before:.0f} refused and counted by {plan.hosts} hosts")
        watch()
        seen = load.finish()
    bench.results.tried += seen["opened"]
    bad = [probe for probe in seen["probes"] if probe[2] != "ok"]
    now = (cluster.status("h1") or {}).get("epoch")
    checks.check(not bad and not seen["broken"] and not cluster.unstable() and now == epoch, "control: the cluster was not disturbed",
                 f"{cluster.unstable()}; epoch {epoch}, then {now}; {summary(bad)}; {summary(seen['broken'])}")


def send(cluster: Cluster, rate: float, count: int, datagrams: list[bytes]) -> None:
    """Datagrams of the client to the primary IP."""
    said = cluster.run("client", sys.executable, "-c", tools.SEND, cluster.plan.vip, "2504", str(rate), str(count), ",".join(data.hex() for data in datagrams),
                       seconds=60)
    if int(said.stdout) != count:
        raise MachineError(f"only {said.stdout.strip()} of {count} datagrams were sent")


# On the wire

def wire(bench: Bench, cluster: Cluster) -> None:
    """What a switch sees."""
    plan, checks = cluster.plan, bench.checks
    with capture(cluster, "switch", "br0", "ether proto 0x886f") as taken:
        with capture(cluster, "switch", plan.port("client"), f"ether dst {plan.cluster_mac} or ether src {plan.cluster_mac}") as traffic_taken:
            with clients(cluster, 60, probe_ms=probe_ms(bench), syn_ms=1000) as load:
                watch()
                seen = load.finish()
            frames = traffic_taken.frames()
        heartbeats = taken.frames()
    bench.results.tried += seen["opened"]
    wanted = {plan.mask_mac(host) for host in plan.members}
    sources = {frame.source for frame in heartbeats}
    checks.check(sources == wanted, f"{plan.mode}: {len(heartbeats)} heartbeats come from {', '.join(sorted(wanted))}", sources)
    to_cluster = sum(frame.destination == plan.cluster_mac for frame in frames)
    from_cluster = sum(frame.source == plan.cluster_mac for frame in frames)
    checks.check(to_cluster > 0 and from_cluster == 0, f"{plan.mode}: {to_cluster} frames to {plan.cluster_mac}, none from it", f"{from_cluster} from it")


def snooping(bench: Bench, cluster: Cluster) -> None:
    """In IGMP mode the bridge forwards to members only."""
    plan, checks = cluster.plan, bench.checks
    wanted = {plan.port(host.name) for host in plan.members}
    group = ".".join(["239", "255", *plan.vip.split(".")[2:]])
    ports: set[str] = set()

    def joined() -> bool:
        said = cluster.run("switch", "bridge", "-j", "mdb", "show", "dev", "br0")
        ports.clear()
        for table in json.loads(said.stdout or "[]"):
            ports.update(entry["port"] for entry in table.get("mdb", []) if entry.get("grp") == group)
        return ports == wanted

    found = machine.wait_until(joined, 60, 0.3)
    checks.check(found, f"igmp: group {group} has the members' ports only: {', '.join(sorted(ports))}", ports)
    machine.run(["ip", "-n", plan.switch_space, "link", "add", f"{plan.name}-no", "type", "veth", "peer", "name", "outside"])
    machine.ip(plan.switch_space, f"link set {plan.name}-no master br0", f"link set {plan.name}-no up", "link set outside up")
    with capture(cluster, "switch", "outside", f"ether dst {plan.cluster_mac} and tcp") as taken:
        with capture(cluster, "switch", plan.port("h1"), f"ether dst {plan.cluster_mac} and tcp") as inside:
            with clients(cluster, 60, probe_ms=probe_ms(bench), syn_ms=1000) as load:
                watch()
                seen = load.finish()
            at_member = len(inside.frames())
        strays = len(taken.frames())
    machine.ip(plan.switch_space, f"link del {plan.name}-no")
    bench.results.tried += seen["opened"]
    checks.check(at_member > 0 and strays == 0, f"igmp: {at_member} frames to the cluster at a member's port, none at one that is no member's", strays)


def occupancy(bench: Bench, cluster: Cluster) -> None:
    """The share of the link that is taken by frames for others, with pages of 10 kB."""
    before = {host.name: foreign(cluster, host.name) for host in cluster.plan.members}
    began = time.monotonic()
    with clients(cluster, 120, workers=4, answer_seconds=30) as load:
        time.sleep(6 if bench.soft else 20)
        seen = load.finish()
    took = time.monotonic() - began
    hosts = {}
    for host in cluster.plan.members:
        said = cluster.ask(host.name, "occupancy")
        own = next((entry for entry in said.get("hosts", []) if entry["host"] == host.name), {})
        taken = foreign(cluster, host.name) - before[host.name]
        hosts[host.name] = {"foreign_bytes": taken, "share": taken * 8 / took / 100e6, "lbctl_share": own.get("share")}
    rate = seen["requests"] / seen["seconds"]
    largest = max(entry["share"] for entry in hosts.values())
    bench.results.more.setdefault("occupancy", {})[cluster.plan.mode] = {
        "largest_share": largest, "requests_per_second": rate, "foreign_bytes_per_request": sum(entry["foreign_bytes"] for entry in hosts.values()) / max(1, seen["requests"]) / len(hosts),
        "hosts": hosts}
    bench.checks.check(rate > 0 and 0 < largest < 0.5 and all(entry["lbctl_share"] is not None for entry in hosts.values()),
                       f"{cluster.plan.mode}: {rate:.0f} pages a second, at most {largest * 100:.2f} % of a 100 Mb/s port for others", hosts)


def foreign(cluster: Cluster, host: str) -> int:
    """Bytes that a NIC discarded as others', by its counters."""
    said = cluster.ask(host, "counters")
    return sum(int(reason["bytes"]) for reason in said.get("reasons", []) if reason["verdict"] == "discard" and reason["reason"] in FOREIGN)


# lbctl

def verbs(bench: Bench, cluster: Cluster) -> None:
    """Every verb once, compared with its schema."""
    vip, last = cluster.plan.vip, cluster.plan.members[-1].name
    schemas = cluster.ask("h1", "schema")
    calls: list[tuple[str, list[str]]] = [
        ("status", []), ("query", ["--host", "all"]), ("params", []), ("rules", []), ("targets", []), ("map show", []), ("counters", []), ("events", ["--last", "20"]),
        ("nic info", []), ("occupancy", []), ("ip2mac", []), ("queryport", ["80/tcp"]), ("explain", ["10.9.1.7:40000", f"{vip}:{WEB_PORT}", "tcp", "--syn"]),
        ("bindings dump", ["--limit", "5"]), ("bindings count", []), ("bindings delete", ["--src", "203.0.113.1", "--yes"]), ("top", []), ("schema", ["status"]),
        ("drain", ["--rule", "web", "--host", last]), ("disable", ["--rule", "echo", "--host", last]), ("enable", ["--rule", "all", "--host", last]),
        ("capacity", ["50", "--host", last]), ("capacity", ["100", "--host", last]), ("hold", ["100", "--host", last]),
        ("drainstop", ["--host", last]), ("undrain", ["--host", last]), ("stop", ["--host", last]), ("suspend", ["--host", last]), ("resume", ["--host", last]),
        ("start", ["--host", last]), ("reload", []),
    ]
    for verb, words in calls:
        done = cluster.lbctl("h1", "--json", *verb.split(), *words, check=False)
        try:
            read = read_json(done.stdout)
            objects = read if isinstance(read, list) else [read]
            wrong = next(filter(None, (violation(schemas[verb], one) for one in objects)), None) if verb != "schema" else None
        except (ValueError, KeyError) as error:
            objects, wrong = [], f"{type(error).__name__} {error}: {done.stdout[:200]!r}"
        nothing = not objects and not verb.startswith("bindings dump")
        bench.checks.check(done.returncode == 0 and wrong is None and not nothing, f"lbctl {verb} {' '.join(words)}".rstrip(),
                           f"exit code {done.returncode}: {wrong or ''} {done.stderr.strip()[:300]}")
    cluster.wait_stable(seconds=bench.stable_seconds)
    left = sorted(set(schemas) - {verb for verb, _ in calls} - {"bindings watch"})
    bench.checks.check(not left, "lbctl: no verb was left out", left)
    watcher = cluster.run("h1", "timeout", "2", str(bench.programs / "lbctl"), "--socket", str(cluster.socket("h1")), "--json", "bindings", "watch", check=False)
    bench.checks.check(watcher.returncode == 124, "lbctl bindings watch goes on until it is interrupted", f"{watcher.returncode}: {watcher.stderr}")
