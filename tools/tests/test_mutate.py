# SPDX-License-Identifier: Apache-2.0
"""tools/mutants/mutate.py on small modules."""

import difflib
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "mutants"))

import mutate  # noqa: E402

MODULE = """// SPDX-License-Identifier: Apache-2.0
module small #(
    parameter int unsigned N = 4 + 1
) (
    input  wire logic       clk,
    input  wire logic [7:0] a_i,
    output logic      [7:0] b_o
);
    localparam int unsigned M = first(N) + 2;
    function automatic int unsigned first(input int unsigned n);
        return n + 3;
    endfunction
    always_ff @(posedge clk) begin
        if (a_i == 8'd6 && !a_i[0]) b_o <= a_i[3:0] + 8'h10;
    end
    if (N == 5) begin : gen_check
        assert property (@(posedge clk) a_i != 8'd9);
    end
endmodule
"""


def changes(text: str = MODULE) -> list[str]:
    """`what` of all generated mutants."""
    return [mutant.what for mutant in mutate.generated({"small.sv": mutate.parse("small.sv", text)})]


class Generator(unittest.TestCase):
    """Where mutants are made, and where not."""

    def test_operators_and_constants_of_statements_change(self):
        self.assertEqual(sorted(changes()), sorted([
            "condition negated", "&& became ||", "== became !=", "8'd6 became 8'd7", "! left out", "0 became 1",
            "+ became -", "8'h10 became 8'h11"]))

    def test_parameters_types_ranges_and_assertions_stay(self):
        marked = [mutant.where for mutant in mutate.generated({"small.sv": mutate.parse("small.sv", MODULE)})]
        self.assertEqual(set(marked), {"small.sv:14"})

    def test_macros_stay(self):
        text = "`define CHECK(x) assign ok = x;\nmodule m; logic ok, a, b;\n`CHECK(a && b)\nendmodule\n"
        self.assertEqual(changes(text), [])

    def test_left_sides_and_outputs_stay(self):
        text = "module m; logic [3:0] a; assign a[1 + 1] = a[0];\n child u (.x_i(a[2]), .y_o(a[3]));\nendmodule\n"
        self.assertEqual(sorted(changes(text)), ["0 became 1", "2 became 3"])

    def test_a_key_survives_a_move_of_the_line(self):
        moved = MODULE.replace("    always_ff", "\n\n    always_ff")
        keys = [{mutant.key for mutant in mutate.generated({"small.sv": mutate.parse("small.sv", text)})}
                for text in (MODULE, moved)]
        self.assertEqual(*keys)

    def test_constants_keep_their_width(self):
        self.assertEqual([mutate.wrong_constant(text) for text in ("4'b0110", "8'hff", "16'd1723", "7")],
                         ["4'b111", "8'hfe", "16'd1722", "6"])


class Writing(unittest.TestCase):
    """The RTL with all mutants in it."""

    def test_each_mutant_is_a_choice_and_nesting_works(self):
        source = mutate.parse("small.sv", "module m; logic a, b, c, d; assign d = a && (b || c);\nendmodule\n")
        mutants = mutate.generated({"small.sv": source})
        for number, mutant in enumerate(mutants, 1):
            mutant.number = number
        text = mutate._render(source.text, [(edit, mutant.number) for mutant in mutants for edit in mutant.edits])
        outer, inner = mutate.ID_BASE + 1, mutate.ID_BASE + 2
        self.assertIn(f"assign d = (hashgate_mutant_pkg::id == 32'd{outer} ? ((a) || ((b || c))) : (a && ", text)
        self.assertIn(f"(hashgate_mutant_pkg::id == 32'd{inner} ? ((b) && (c)) : (b || c))", text)


class Patches(unittest.TestCase):
    """Mutants by hand."""

    def patched(self, old: str, new: str) -> mutate.Mutant:
        """The mutant of a patch that changes some text of MODULE."""
        with tempfile.TemporaryDirectory() as folder:
            rtl = Path(folder)
            (rtl / "small.sv").write_text(MODULE)
            lines, wrong = MODULE.splitlines(True), MODULE.replace(old, new, 1).splitlines(True)
            diff = difflib.unified_diff(lines, wrong, "a/hw/rtl/small.sv", "b/hw/rtl/small.sv", n=1)
            patch = rtl / "one.patch"
            patch.write_text("SPDX-License-Identifier: Apache-2.0\nWhat is wrong.\n" + "".join(diff))
            return mutate.from_patch(rtl, {"small.sv": mutate.parse("small.sv", MODULE)}, patch)

    def test_a_patch_becomes_the_smallest_expression(self):
        mutant = self.patched("8'd6", "8'd17")
        edit = mutant.edits[0]
        self.assertEqual((mutant.what, mutant.key, MODULE[edit.start:edit.end], edit.wrong),
                         ("What is wrong.", "one", "8'd6", "8'd17"))

    def test_a_changed_operator_takes_its_operands(self):
        edit = self.patched("&&", "||").edits[0]
        self.assertEqual((MODULE[edit.start:edit.end], edit.wrong),
                         ("a_i == 8'd6 && !a_i[0]", "a_i == 8'd6 || !a_i[0]"))

    def test_an_operator_that_is_added_does_not_get_into_an_operand(self):
        # `!a_i[0]` that became `!a_i[0] && a_i[1]` is not `!` of `a_i[0] && a_i[1]`.
        edit = self.patched("!a_i[0]", "!a_i[0] && a_i[1]").edits[0]
        self.assertEqual((MODULE[edit.start:edit.end], edit.wrong),
                         ("a_i == 8'd6 && !a_i[0]", "a_i == 8'd6 && !a_i[0] && a_i[1]"))

    def test_a_patch_of_a_statement_is_refused(self):
        with self.assertRaisesRegex(mutate.MutantError, "more than an expression"):
            self.patched("b_o <=", "b_o[3:0] <=")

    def test_every_patch_of_the_repository_applies(self):
        rtl = Path(__file__).resolve().parent.parent.parent / "hw" / "rtl"
        names = [line for line in (rtl / "hashgate.f").read_text().split() if line.endswith(".sv")]
        all_sources = mutate.sources(rtl, names)
        patches = sorted((rtl.parent / "mutants").glob("*.patch"))
        self.assertGreaterEqual(len(patches), 8)
        for patch in patches:
            with self.subTest(patch.name):
                self.assertTrue(mutate.from_patch(rtl, all_sources, patch).edits)


if __name__ == "__main__":
    unittest.main()
