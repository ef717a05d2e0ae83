#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Elaborates and lints the core and the host interface of one build (512 or 64) with slang; a warning is an error.

Generated files are elaborated, but only errors in them count. Waivers are in WAIVED, each with its reason.
"""

import os
import sys
from pathlib import Path

from pyslang.driver import Driver

RTL = Path(__file__).resolve().parent.parent / "rtl"

# Warnings that are off, and why.
WAIVED = {
    "useless-cast": "a cast to a width that depends on build parameters is without effect in one of the builds",
}


def main() -> int:
    """Exit code 0 if slang has nothing to say."""
    if sys.argv[1:] not in (["512"], ["64"]):
        sys.exit("usage: slang.py 512|64")
    build = sys.argv[1]
    os.chdir(RTL)
    driver = Driver()
    driver.addStandardArgs()
    command = ["slang", "-Wextra", "-Werror", "--suppress-warnings", "generated/", "--top", "hashgate_core", "--top", "host_interface",
               *(f"-Wno-{name}" for name in WAIVED), f"config/{build}/hashgate_cfg_pkg.sv", "-f", "hashgate.f"]
    good = driver.parseCommandLine(" ".join(command)) and driver.processOptions() and driver.parseAllSources()
    if not good or not driver.runFullCompilation():
        return 1
    print(f"build {build}: no warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
