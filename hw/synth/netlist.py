# SPDX-License-Identifier: Apache-2.0
"""Sizes and logic depth of a mapped netlist for UltraScale+ (JSON of yosys, one flat module).

What is counted
---------------
A path begins at the clocked output of a flip-flop, block RAM, LUT RAM or shift-register LUT or at an input of the top
module, and ends at any input of such a cell or at an output of the top module. Its *levels* are the LUTs on it: every
LUT1..LUT6 is one, so is an inverter that was left over, and so is the read path of a LUT RAM or shift-register LUT
from its address. MUXF7..9 and the cells of a carry chain (four bits each) add no level; they are counted beside it
(`muxf`, `carry`), and of two paths with the same levels the one with more of them counts as deeper. Constants begin no
path. Clock inputs end none.

Levels say nothing about routing, and carry chains are not free: this is a measure of how finely the pipeline is cut,
not a clock frequency.
"""

from collections import Counter
from dataclasses import dataclass, field

FLIP_FLOPS = {"FDRE", "FDSE", "FDCE", "FDPE"}
BLOCK_RAMS = {"RAMB18E2": 0.5, "RAMB36E2": 1.0}
OTHER_CLOCKED = {"URAM288": (), "DSP48E2": ()}
# LUTs that one cell of LUT RAM takes.
LUT_RAMS = {
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8, "RAM128X1S": 2,
    "RAM256X1S": 4, "RAM512X1S": 8, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8,
}
SHIFT_REGISTERS = {"SRL16E", "SRLC32E"}
LUTS = {f"LUT{n}" for n in range(1, 7)} | {"LUT6_2", "INV"}
WIDE_MUXES = {"MUXF7", "MUXF8", "MUXF9"}
CARRIES = {"CARRY4", "CARRY8"}
IGNORED = {"$scopeinfo", "GND", "VCC"}
CLOCK_PINS = {"C", "CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK"}


class NetlistError(Exception):
    """The netlist has something that this module does not know how to count."""


@dataclass(frozen=True, order=True)
class Depth:
    """Depth of a path; ordered by levels, then by what is reported beside them."""

    levels: int = 0
    carry: int = 0
    muxf: int = 0

    def __add__(self, other: "Depth") -> "Depth":
        return Depth(self.levels + other.levels, self.carry + other.carry, self.muxf + other.muxf)


LEVEL, CARRY, MUXF = Depth(levels=1), Depth(carry=1), Depth(muxf=1)


@dataclass
class Path:
    """A deepest path: where it begins and ends, and what kind of cells these are."""

    depth: Depth
    start: str
    end: str
    start_kind: str
    end_kind: str


@dataclass
class Netlist:
    """One flat module. `arrival` and `came_from` are filled by `analyse`."""

    module: dict
    names: dict[int, str] = field(default_factory=dict)
    # net -> [(net, cost)] that it depends on combinationally
    fan_in: dict[int, list[tuple[int, Depth]]] = field(default_factory=dict)
    # net -> (kind, name) if it is a clocked output or an input of the top
    starts: dict[int, tuple[str, str]] = field(default_factory=dict)
    # (net, kind, name, pin) of every clocked input and output of the top
    ends: list[tuple[int, str, str, str]] = field(default_factory=list)
    arrival: dict[int, Depth] = field(default_factory=dict)
    came_from: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, net in self.module["netnames"].items():
            if net.get("hide_name") or "$" in name:
                continue
            for index, bit in enumerate(net["bits"]):
                if isinstance(bit, int):
                    label = name if len(net["bits"]) == 1 else f"{name}[{index + net.get('offset', 0)}]"
                    old = self.names.get(bit)
                    # The name nearest to the register: the longest path of instances, then the shortest name.
                    if old is None or (-label.count("."), len(label)) < (-old.count("."), len(old)):
                        self.names[bit] = label
        for name, port in self.module["ports"].items():
            for index, bit in enumerate(port["bits"]):
                if isinstance(bit, int):
                    label = f"{name}[{index}]" if len(port["bits"]) > 1 else name
                    if port["direction"] == "input":
                        self.starts[bit] = ("input", label)
                    else:
                        self.ends.append((bit, "output", label, ""))
        for name, cell in self.module["cells"].items():
            self._add(name, cell)

    def _label(self, name: str, cell: dict) -> str:
        """What a reader calls a clocked cell: the first named net that it drives, and the source line."""
        found = ""
        for pin, bits in cell["connections"].items():
            if cell["port_directions"][pin] == "output":
                labels = [self.names[bit] for bit in bits if isinstance(bit, int) and bit in self.names]
                if labels:
                    found = labels[0]
                    break
        source = cell["attributes"].get("src", "").split("|")[0].rsplit("/", 1)[-1]
        source = ".".join(source.split(".")[:2]) if ".sv:" in source else ""
        return f"{found or name}{f' ({source})' if source else ''}"

    def _pins(self, cell: dict, direction: str) -> list[tuple[str, int, int]]:
        """(pin, index, net) of all connected bits of that direction."""
        return [(pin, index, bit) for pin, bits in cell["connections"].items()
                if cell["port_directions"][pin] == direction
                for index, bit in enumerate(bits) if isinstance(bit, int)]

    def _connect(self, cell: dict, cost: Depth, pins: tuple[str, ...] = ()) -> None:
        """Every output depends on every input (or on those pins that begin like one of `pins`)."""
        inputs = [(bit, cost) for pin, _, bit in self._pins(cell, "input")
                  if not pins or pin.startswith(pins)]
        for _, _, bit in self._pins(cell, "output"):
            self.fan_in.setdefault(bit, []).extend(inputs)

    def _clocked(self, name: str, cell: dict, kind: str) -> None:
        """Outputs begin paths, all inputs but the clock end them."""
        label = self._label(name, cell)
        for _, _, bit in self._pins(cell, "output"):
            self.starts[bit] = (kind, label)
        for pin, _, bit in self._pins(cell, "input"):
            if pin not in CLOCK_PINS:
                self.ends.append((bit, kind, label, pin))

    def _add(self, name: str, cell: dict) -> None:
        kind = cell["type"]
        if kind in FLIP_FLOPS:
            self._clocked(name, cell, "flip-flop")
        elif kind in BLOCK_RAMS:
            self._clocked(name, cell, "block RAM")
        elif kind in OTHER_CLOCKED:
            self._clocked(name, cell, kind)
        elif kind in LUT_RAMS:
            self._clocked(name, cell, "LUT RAM")
            self._connect(cell, LEVEL, ("A", "DPRA"))
        elif kind in SHIFT_REGISTERS:
            self._clocked(name, cell, "shift register")
            self._connect(cell, LEVEL, ("A",))
        elif kind in LUTS:
            self._connect(cell, LEVEL)
        elif kind in WIDE_MUXES:
            self._connect(cell, MUXF)
        elif kind in CARRIES:
            self._add_carry(cell)
        elif kind not in IGNORED:
            raise NetlistError(f"cell {name} has type {kind}, which hw/synth/netlist.py does not know: add it there")

    def _add_carry(self, cell: dict) -> None:
        """Bit n of a carry cell depends on its own and lower bits only."""
        inputs = self._pins(cell, "input")
        for pin, index, bit in self._pins(cell, "output"):
            self.fan_in.setdefault(bit, []).extend(
                (source, CARRY) for other, position, source in inputs
                if other in ("CI", "CYINIT", "CI_TOP") or position < index
                or (position == index and (pin == "CO" or other == "S")))

    def _arrive(self, net: int) -> None:
        """Fills `arrival` of a net and of all that it depends on."""
        stack = [(net, iter(self.fan_in.get(net, ())))]
        open_nets = {net}
        while stack:
            current, sources = stack[-1]
            for source, _ in sources:
                if source in self.arrival:
                    continue
                if source in open_nets:
                    raise NetlistError(f"combinational loop through net {self.names.get(source, source)}")
                open_nets.add(source)
                stack.append((source, iter(self.fan_in.get(source, ()))))
                break
            else:
                stack.pop()
                open_nets.discard(current)
                if current in self.starts:
                    self.arrival[current] = Depth()
                for source, cost in self.fan_in.get(current, ()):
                    if source not in self.arrival:
                        continue  # driven by constants only
                    depth = self.arrival[source] + cost
                    if current not in self.arrival or depth > self.arrival[current]:
                        self.arrival[current] = depth
                        self.came_from[current] = source
                if current not in self.arrival and not self.fan_in.get(current):
                    self.arrival[current] = Depth()

    def start_of(self, net: int) -> tuple[str, str]:
        """(kind, name) of the cell where the deepest path to that net begins."""
        while net in self.came_from:
            net = self.came_from[net]
        return self.starts.get(net, ("constant", "constant"))

    def paths(self) -> list[Path]:
        """The deepest path to every end, deepest first."""
        deepest: dict[tuple[str, str], tuple[Depth, int, str]] = {}
        for net, kind, name, pin in self.ends:
            if net not in self.arrival:
                self._arrive(net)
            depth = self.arrival.get(net, Depth())
            key = (kind, f"{name} {pin}".strip())
            if key not in deepest or depth > deepest[key][0]:
                deepest[key] = (depth, net, kind)
        found = []
        for (kind, name), (depth, net, _) in deepest.items():
            start_kind, start = self.start_of(net)
            found.append(Path(depth, start, name, start_kind, kind))
        return sorted(found, key=lambda path: path.depth, reverse=True)

    def sizes(self) -> dict[str, float]:
        """LUTs (as logic, RAM and shift registers), flip-flops, block RAMs of 36 Kbit, carry cells, wide muxes."""
        kinds = Counter(cell["type"] for cell in self.module["cells"].values())
        logic = sum(n for kind, n in kinds.items() if kind in LUTS)
        ram = sum(n * LUT_RAMS[kind] for kind, n in kinds.items() if kind in LUT_RAMS)
        shift = sum(n for kind, n in kinds.items() if kind in SHIFT_REGISTERS)
        return {
            "lut": logic + ram + shift,
            "lut_logic": logic,
            "lut_ram": ram,
            "lut_shift_register": shift,
            "ff": sum(n for kind, n in kinds.items() if kind in FLIP_FLOPS),
            "bram36": sum(n * BLOCK_RAMS[kind] for kind, n in kinds.items() if kind in BLOCK_RAMS),
            "uram": kinds["URAM288"],
            "dsp": kinds["DSP48E2"],
            "carry": sum(n for kind, n in kinds.items() if kind in CARRIES),
            "muxf": sum(n for kind, n in kinds.items() if kind in WIDE_MUXES),
        }

    def enables(self) -> list[tuple[int, str, str]]:
        """(flip-flops enabled, net, what drives it) of every clock-enable net, largest first.

        A net that enables registers of many stages is a stall of the whole pipeline.
        """
        loads = Counter(cell["connections"]["CE"][0] for cell in self.module["cells"].values()
                        if cell["type"] in FLIP_FLOPS and isinstance(cell["connections"]["CE"][0], int))
        found = []
        for net, count in loads.most_common():
            driver = self.starts.get(net, ("logic", ""))
            found.append((count, self.names.get(net, driver[1] or f"net {net}"), driver[0]))
        return found
