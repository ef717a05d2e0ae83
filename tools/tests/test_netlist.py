# SPDX-License-Identifier: Apache-2.0
"""hw/synth/netlist.py on netlists small enough to count by hand."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "hw" / "synth"))

from netlist import Depth, Netlist, NetlistError  # noqa: E402


def cell(kind: str, outputs: dict[str, list], inputs: dict[str, list]) -> dict:
    """A cell as yosys writes it."""
    return {"type": kind, "attributes": {}, "parameters": {}, "connections": {**outputs, **inputs},
            "port_directions": {**{pin: "output" for pin in outputs}, **{pin: "input" for pin in inputs}}}


def flip_flop(q: int, d: object, enable: object = "1") -> dict:
    """A flip-flop with clock on net 1."""
    return cell("FDRE", {"Q": [q]}, {"C": [1], "CE": [enable], "D": [d], "R": ["0"]})


def lut(out: int, *inputs: object) -> dict:
    """A look-up table with so many inputs."""
    return cell(f"LUT{len(inputs)}", {"O": [out]}, {f"I{n}": [net] for n, net in enumerate(inputs)})


def netlist(cells: dict[str, dict], names: dict[str, list] | None = None, ports: dict | None = None) -> Netlist:
    """A module of these cells."""
    return Netlist({"cells": cells, "ports": ports or {},
                    "netnames": {name: {"bits": bits} for name, bits in (names or {}).items()}})


class Levels(unittest.TestCase):
    """Depth of paths."""

    def test_direct_connection_has_no_level(self):
        paths = netlist({"a": flip_flop(2, 3), "b": flip_flop(3, 2)}).paths()
        self.assertEqual({path.depth for path in paths}, {Depth()})

    def test_longest_of_two_branches_counts(self):
        design = netlist({"a": flip_flop(2, "0"), "b": flip_flop(3, 12), "l1": lut(10, 2), "l2": lut(11, 10, 2),
                          "l3": lut(12, 11, 2)}, {"start": [2], "end": [3]})
        deepest = design.paths()[0]
        self.assertEqual(deepest.depth, Depth(levels=3))
        self.assertEqual((deepest.start, deepest.end), ("start", "end D"))

    def test_block_ram_cuts_a_path(self):
        ram = cell("RAMB36E2", {"DOUTADOUT": [20]}, {"ADDRARDADDR": [10], "CLKARDCLK": [1]})
        design = netlist({"a": flip_flop(2, "0"), "l1": lut(10, 2), "ram": ram, "l2": lut(21, 20), "l3": lut(22, 21),
                          "b": flip_flop(3, 22)})
        kinds = {(path.start_kind, path.end_kind): path.depth.levels for path in design.paths()}
        self.assertEqual(kinds[("flip-flop", "block RAM")], 1)
        self.assertEqual(kinds[("block RAM", "flip-flop")], 2)

    def test_lut_ram_is_read_through(self):
        ram = cell("RAM64X1D", {"DPO": [20]}, {"DPRA": [2], "A": [2], "D": [2], "WE": [2], "WCLK": [1]})
        design = netlist({"a": flip_flop(2, "0"), "ram": ram, "b": flip_flop(3, 20)})
        self.assertEqual(design.paths()[0].depth, Depth(levels=1))

    def test_carry_chain_is_counted_beside_the_levels(self):
        first = cell("CARRY4", {"CO": [30, 31, 32, 33], "O": [34, 35, 36, 37]},
                     {"CI": ["0"], "CYINIT": ["0"], "DI": ["0"] * 4, "S": [10, 10, 10, 10]})
        second = cell("CARRY4", {"CO": [40, 41, 42, 43], "O": [44, 45, 46, 47]},
                      {"CI": [33], "CYINIT": ["0"], "DI": ["0"] * 4, "S": ["0"] * 4})
        design = netlist({"a": flip_flop(2, "0"), "l": lut(10, 2), "c1": first, "c2": second, "b": flip_flop(3, 47)})
        self.assertEqual(design.paths()[0].depth, Depth(levels=1, carry=2))

    def test_a_carry_bit_does_not_depend_on_higher_bits(self):
        # Sum bit 0 goes through a LUT into bit 3 of the same cell: no loop.
        chain = cell("CARRY4", {"CO": [30, 31, 32, 33], "O": [34, 35, 36, 37]},
                     {"CI": ["0"], "CYINIT": ["0"], "DI": ["0"] * 4, "S": [2, "0", "0", 10]})
        design = netlist({"a": flip_flop(2, "0"), "c": chain, "l": lut(10, 34), "b": flip_flop(3, 37)})
        self.assertEqual(design.paths()[0].depth, Depth(levels=1, carry=2))

    def test_wide_mux_is_counted_beside_the_levels(self):
        mux = cell("MUXF7", {"O": [12]}, {"I0": [10], "I1": [11], "S": [2]})
        design = netlist({"a": flip_flop(2, "0"), "l1": lut(10, 2), "l2": lut(11, 2), "m": mux, "b": flip_flop(3, 12)})
        self.assertEqual(design.paths()[0].depth, Depth(levels=1, muxf=1))

    def test_ports_begin_and_end_paths(self):
        design = netlist({"l": lut(10, 2)}, ports={"in_i": {"direction": "input", "bits": [2]},
                                                   "out_o": {"direction": "output", "bits": [10]}})
        path = design.paths()[0]
        self.assertEqual((path.start, path.end, path.depth.levels), ("in_i", "out_o", 1))

    def test_a_loop_is_an_error(self):
        with self.assertRaisesRegex(NetlistError, "loop"):
            netlist({"l1": lut(10, 11), "l2": lut(11, 10), "b": flip_flop(3, 10)}).paths()

    def test_an_unknown_cell_is_an_error(self):
        with self.assertRaisesRegex(NetlistError, "MYSTERY"):
            netlist({"x": cell("MYSTERY", {}, {})})


class Sizes(unittest.TestCase):
    """What is summed up."""

    def test_sizes(self):
        ram = cell("RAMB18E2", {"DOUTADOUT": [20]}, {"CLKARDCLK": [1]})
        distributed = cell("RAM32M16", {"DOA": [21]}, {"WCLK": [1]})
        shift = cell("SRL16E", {"Q": [22]}, {"CLK": [1], "D": [20], "A0": ["1"]})
        size = netlist({"a": flip_flop(2, "0"), "l": lut(10, 2), "r": ram, "d": distributed, "s": shift}).sizes()
        self.assertEqual((size["lut"], size["lut_logic"], size["lut_ram"], size["lut_shift_register"]), (10, 1, 8, 1))
        self.assertEqual((size["ff"], size["bram36"]), (1, 0.5))

    def test_enables_are_counted_by_net(self):
        design = netlist({"a": flip_flop(2, "0", 9), "b": flip_flop(3, "0", 9), "c": flip_flop(4, "0", 8),
                          "d": flip_flop(5, "0")}, {"stall": [9], "other": [8]})
        self.assertEqual([(count, name) for count, name, _ in design.enables()], [(2, "stall"), (1, "other")])


if __name__ == "__main__":
    unittest.main()
