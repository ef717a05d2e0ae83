#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tools/requirements.txt from tools/requirements.in: exact versions and SHA-256 of everything it pulls in.

Run it with any Python that has pip and network access, after changing requirements.in. The hashes cover x86-64 Linux
and the Python versions below; `pip install --require-hashes` refuses anything else.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64", "manylinux2010_x86_64",
             "manylinux1_x86_64")


def resolve(python: str) -> list[tuple[str, str, str]]:
    """(name, version, sha256) of every wheel that pip would install for that Python version."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-",
               "--only-binary", ":all:", "--target", "unused", "--python-version", python]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    command += ["-r", str(HERE / "requirements.in")]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return [(item["metadata"]["name"].lower(), item["metadata"]["version"],
             item["download_info"]["archive_info"]["hashes"]["sha256"]) for item in report["install"]]


def main() -> None:
    """Writes requirements.txt."""
    hashes: dict[tuple[str, str], set[str]] = {}
    for python in PYTHONS:
        for name, version, sha256 in resolve(python):
            hashes.setdefault((name, version), set()).add(sha256)
    lines = ["# Made by tools/lock.py from requirements.in; do not edit."]
    for (name, version), values in sorted(hashes.items()):
        lines.append(" \\\n    ".join([f"{name}=={version}"] + [f"--hash=sha256:{value}" for value in sorted(values)]))
    (HERE / "requirements.txt").write_text("\n".join(lines) + "\n")
    print(f"requirements.txt: {len(hashes)} packages")


if __name__ == "__main__":
    main()
