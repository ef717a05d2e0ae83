#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The driver over the kernel's VFIO, in a guest: a Linux kernel under QEMU sees a simulated NIC as a PCI device.

A server (the simulated NIC) offers the device on a vfio-user socket, QEMU puts it behind an emulated IOMMU, the kernel
of the guest gives it to vfio-pci, and the program `hashgate-guest` opens it there. Nothing of the machine is changed and
no rights are needed. Where QEMU or a kernel cannot be had, the test is skipped with the reason.
"""

import argparse
import gzip
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from fetch import CannotFetch, Parts, fetch

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = "x86_64-unknown-linux-gnu"
MEMORY = "256M"
SERVER_SECONDS = 60
# Bits of /proc/net/unix: the socket listens.
LISTENING = 0x10000

INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev
$b mount -t proc none /proc
$b mount -t sysfs none /sys
$b mount -t devtmpfs none /dev
for module in {modules}; do
    $b insmod /modules/$module.ko || echo "guest: module $module cannot be loaded"
done
for device in /sys/bus/pci/devices/*; do
    if [ "$($b cat $device/vendor):$($b cat $device/device)" = 0x1234:0x4847 ]; then
        address=${{device##*/}}
    fi
done
echo "guest: Linux $($b uname -r), NIC at ${{address:-no address}}"
echo vfio-pci >/sys/bus/pci/devices/$address/driver_override
echo $address >/sys/bus/pci/drivers_probe
/guest $address
echo "guest: exit code $?"
$b poweroff -f
"""


def cpio(files: dict[str, tuple[int, bytes]]) -> bytes:
    """An archive as the kernel unpacks it (newc): name, mode, content; folders are made from the names."""
    folders = sorted({str(parent) for name in files for parent in Path(name).parents if str(parent) != "."})
    entries = [(name, 0o040755, b"") for name in folders]
    entries += [(name, 0o100000 | mode, content) for name, (mode, content) in files.items()]
    archive = io.BytesIO()
    for inode, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        for part in (b"070701" + "".join(f"{field:08x}" for field in fields).encode() + name.encode() + b"\0", content):
            archive.write(part)
            archive.write(b"\0" * (-archive.tell() % 4))
    return archive.getvalue()


def initrd(parts: Parts, program: Path) -> bytes:
    """All that is in the guest: busybox, the modules, the program and what starts it."""
    init = INIT.format(modules=" ".join(module.stem for module in parts.modules))
    files = {
        "init": (0o755, init.encode()),
        "guest": (0o755, program.read_bytes()),
        "bin/busybox": (0o755, parts.busybox.read_bytes()),
    }
    files.update({f"modules/{module.name}": (0o644, module.read_bytes()) for module in parts.modules})
    return gzip.compress(cpio(files), compresslevel=1)


def build_program() -> Path:
    """The program for the guest, without shared libraries: there are none."""
    flags = f"{os.environ.get('RUSTFLAGS', '')} -C target-feature=+crt-static -C strip=symbols".strip()
    # A folder of its own: other flags would throw away what is built for the host.
    folder = ROOT / "target" / "guest"
    command = ["cargo", "build", "--locked", "--release", "--target", TARGET, "--target-dir", str(folder), "-p", "hashgate-guest"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "RUSTFLAGS": flags}, check=True)
    return folder / TARGET / "release" / "hashgate-guest"


def wait_for_socket(path: Path, server: subprocess.Popen[bytes]) -> None:
    """Returns when the server listens. A connection would tell as well, but it may take one only."""
    end = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {server.returncode} before it listened")
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[-1] == str(path) and int(fields[3], 16) & LISTENING:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the server does not listen on {path} after {SERVER_SECONDS} s")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that this script started, with all that it started itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_guest(parts: Parts, image: Path, socket: Path, seconds: int) -> tuple[bool, str]:
    """Runs the guest to its end; whether it ended in time, and what it printed."""
    nic = '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"' + str(socket) + '"}}'
    command = [*parts.qemu, "-M", "q35,memory-backend=m0", "-object", f"memory-backend-memfd,id=m0,size={MEMORY},share=on",
               "-m", MEMORY, "-cpu", "max", "-accel", "tcg", "-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot",
               "-device", "intel-iommu,caching-mode=on", "-device", nic, "-kernel", str(parts.kernel), "-initrd", str(image),
               "-append", "console=ttyS0 intel_iommu=on panic=-1 quiet"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          start_new_session=True) as qemu:
        late = threading.Event()

        def end() -> None:
            late.set()
            stop(qemu)

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            # A serial line ends its lines with \r\n.
            output = qemu.stdout.read().decode(errors="replace").replace("\r", "") if qemu.stdout else ""
        finally:
            timer.cancel()
            stop(qemu)
    return not late.is_set(), output


def main() -> int:
    """Exit code 0 if the guest says that all is well, or if the test cannot be run here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="serves the NIC; {socket} stands for the socket (default: the NIC in plain Rust)",
                        default="cargo run --locked --release --quiet -p hashgate-soft-nic --example serve -- {socket}")
    parser.add_argument("--program", type=Path, help="static program to run in the guest (default: builds hashgate-guest)")
    parser.add_argument("--seconds", type=int, default=240, help="most that the guest may take")
    arguments = parser.parse_args()
    if os.uname().machine != "x86_64":
        print("skipped: the guest is an x86-64 one and its program is built for this machine")
        return 0
    try:
        parts = fetch(ROOT / ".tools" / "guest")
    except CannotFetch as error:
        print(f"skipped: {'; '.join(str(error).splitlines())}")
        return 0
    program = arguments.program or build_program()
    with tempfile.TemporaryDirectory(prefix="hashgate-guest-") as folder:
        image, socket, log = Path(folder, "initrd.gz"), Path(folder, "nic"), Path(folder, "server.log")
        image.write_bytes(initrd(parts, program))
        command = [part.format(socket=socket) for part in shlex.split(arguments.server)]
        with log.open("wb") as output:
            server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                      start_new_session=True)
            try:
                wait_for_socket(socket, server)
                began = time.monotonic()
                in_time, printed = run_guest(parts, image, socket, arguments.seconds)
            except RuntimeError as error:
                in_time, printed, began = True, f"{error}\n", time.monotonic()
            finally:
                stop(server)
        took = time.monotonic() - began
        print(printed, end="" if printed.endswith("\n") else "\n")
        if not in_time:
            print(f"the guest was stopped: it did not end in {arguments.seconds} s")
        if in_time and re.search(r"^guest: exit code 0$", printed, re.M):
            passed = len(re.findall(r"^ok ", printed, re.M))
            print(f"summary: {passed} checks in a guest under QEMU {parts.version}, {took:.0f} s")
            return 0
        print("what the server printed:")
        print(log.read_text(errors="replace")[-4000:])
        return 1


if __name__ == "__main__":
    sys.exit(main())
