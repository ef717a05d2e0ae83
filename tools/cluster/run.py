#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A cluster on this machine: `up` (with a shell in it, at whose end all is removed), `down`, `status`, `exec`.

Hosts are network namespaces on a Linux bridge, each with a simulated NIC, its host path, lbd and nginx; clients have
one of their own. Exit code 2 and one line if this machine cannot do it.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import machine  # noqa: E402
from cluster import Cluster, find, programs_folder  # noqa: E402
from machine import MachineError  # noqa: E402
from plan import DEVICES, MODES, Plan, PlanError  # noqa: E402

STABLE_SECONDS = {"soft": 60.0, "verilated": 240.0}


class Progress:
    """A line that changes on a terminal; lines in a file."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.live = sys.stdout.isatty()

    def __call__(self, text: str) -> None:
        line = f"[{time.monotonic() - self.began:5.1f} s] {text}"
        print(f"\r\x1b[K{line[:100]}" if self.live else line, end="" if self.live else "\n", flush=True)

    def done(self, text: str) -> None:
        """The last one."""
        self(text)
        if self.live:
            print(flush=True)


def stop(number: int, _frame: object) -> None:
    """Signals end this script in good order."""
    raise SystemExit(128 + number)


def shell(cluster: Cluster) -> None:
    """A shell in which lbctl talks to host 1."""
    plan = cluster.plan
    rc = plan.run / "rc"
    rc.write_text(f"[ ! -r ~/.bashrc ] || . ~/.bashrc\nPS1='({plan.name}) \\w \\$ '\n")
    environment = {**os.environ, "HASHGATE_SOCKET": str(cluster.socket("h1")),
                   "PATH": f"{plan.run / 'bin'}:{cluster.programs}:{os.environ.get('PATH', '/usr/bin:/bin')}"}
    print(f"""
  lbctl status                     the cluster as h1 sees it
  on h2 lbctl status               as h2 sees it; on HOST runs any command there
  on client curl -s http://{plan.vip}/host
  on client curl -s 'http://[{plan.vip6}]/host'
  on switch tcpdump -eni br0 ether proto 0x886f
  exit                             removes it all
""")
    # Ctrl-C is for what runs in the shell.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        subprocess.run(["bash", "--rcfile", str(rc), "-i"], env=environment, check=False,
                       preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    finally:
        signal.signal(signal.SIGINT, before)


def up(arguments: argparse.Namespace) -> int:
    """Brings it up."""
    plan = Plan(arguments.name, arguments.hosts, arguments.device, arguments.mode, arguments.number, arguments.bridge)
    why = machine.missing()
    if why:
        print(f"cluster: {why}", file=sys.stderr)
        return 2
    programs = programs_folder(arguments.programs, plan.device)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, stop)
    progress = Progress()
    cluster = Cluster(plan, programs, progress)
    cluster.up()
    stays = False
    try:
        progress("waiting until all agree")
        cluster.wait_stable(seconds=STABLE_SECONDS[plan.device])
        progress.done(f"cluster {plan.name}: {plan.hosts} hosts, {plan.device} NICs, {plan.mode} mode, VIP {plan.vip} and {plan.vip6}")
        if arguments.no_shell:
            stays = True
            return 0
        shell(cluster)
    finally:
        if not stays:
            cluster.down()
            print("cluster: all of it is removed")
    return 0


def down(arguments: argparse.Namespace) -> int:
    """Removes it; that there is none is no error."""
    cluster = find(arguments.name)
    if cluster is None:
        print(f"cluster: there is no cluster {arguments.name!r}, nothing to remove")
        return 0
    if os.geteuid():
        print("cluster: it needs root", file=sys.stderr)
        return 2
    cluster.down()
    print("cluster: all of it is removed")
    return 0


def there(name: str) -> Cluster:
    """The cluster, which has to be there."""
    cluster = find(name)
    if cluster is None:
        raise MachineError(f"there is no cluster {name!r}: make cluster")
    return cluster


def status(arguments: argparse.Namespace) -> int:
    """What each host says."""
    cluster = there(arguments.name)
    for host in cluster.plan.members:
        said = cluster.status(host.name)
        if said is None:
            print(f"{host.name}  lbd does not answer")
        else:
            members = ", ".join(member["name"] for member in said["members"] if member["state"] in ("self", "member"))
            print(f"{host.name}  {said['phase']:10}  epoch {said['epoch']}  members {members}"
                  + "".join(f"\n    {problem}" for problem in said["problems"]))
    return 1 if cluster.unstable([host.name for host in cluster.plan.members]) else 0


def execute(arguments: argparse.Namespace) -> int:
    """Becomes a command on a host."""
    cluster = there(arguments.name)
    command = [word for number, word in enumerate(arguments.command) if number or word != "--"]
    if not command:
        print("cluster: exec HOST -- COMMAND...", file=sys.stderr)
        return 2
    environment = dict(os.environ)
    if arguments.host not in ("client", "switch"):
        environment["HASHGATE_SOCKET"] = str(cluster.socket(arguments.host))
    environment["PATH"] = f"{cluster.programs}:{environment.get('PATH', '/usr/bin:/bin')}"
    command = machine.inside(cluster.space(arguments.host), command)
    os.execvpe(command[0], command, environment)


def main() -> int:
    """Exit code 2 if this machine cannot do it or the command line makes no sense, 1 if something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, what, text in (("up", up, "bring a cluster up"), ("down", down, "remove it; may be run twice"),
                             ("status", status, "what each host says"), ("exec", execute, "run a command on a host")):
        verb = verbs.add_parser(name, help=text)
        verb.set_defaults(what=what)
        verb.add_argument("--name", default="main", help="of the cluster (default: main)")
        if name == "up":
            verb.add_argument("--hosts", type=int, default=4, metavar="N", help="1 to 32 (default: 4)")
            verb.add_argument("--device", choices=DEVICES, default="verilated", help="the NICs (default: verilated)")
            verb.add_argument("--mode", choices=MODES, default="unicast", help="of the cluster (default: unicast)")
            verb.add_argument("--bridge", default="", metavar="NAME", help="share the bridge of this cluster")
            verb.add_argument("--number", type=int, default=0, metavar="N",
                              help="0 to 24: which addresses; others for each cluster on a bridge (default: 0)")
            verb.add_argument("--programs", metavar="DIR", help="where lbd and the others are (default: target/release)")
            verb.add_argument("--no-shell", action="store_true", help="leave it up and return")
        if name == "exec":
            verb.add_argument("host", help='h1 ..., "client" or "switch"')
            verb.add_argument("command", nargs=argparse.REMAINDER, help="after --")
    arguments = parser.parse_args()
    try:
        return arguments.what(arguments)
    except (MachineError, PlanError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 2 if isinstance(error, PlanError) else 1


if __name__ == "__main__":
    sys.exit(main())
