# SPDX-License-Identifier: Apache-2.0
"""Deliberate bugs in the RTL: finds places for them and writes RTL that has many of them, one active at a time.

A *mutant* replaces one or more expressions by wrong ones. All mutants of a run go into one copy of the RTL: an expression
E with the wrong version W becomes `(hashgate_mutant_pkg::id == N ? (W) : (E))`, and the package reads N from the
environment variable HASHGATE_MUTANT when the simulation starts. So one Verilated model serves all mutants; without the
variable it behaves as the RTL that it was made from.

Mutants come from two sources: patches written by hand (hw/mutants/*.patch, each a unified diff of hw/rtl with a
description above it), and a generator that flips operators and constants.
"""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from pyslang import syntax

# Value of `id` for mutant 0; high, so that the number is found again in the generated C++.
ID_BASE = 0x5A000000

PACKAGE = f"""// SPDX-License-Identifier: Apache-2.0
package hashgate_mutant_pkg;
    int unsigned id = {ID_BASE} + $c32("(std::getenv(\\"HASHGATE_MUTANT\\")",
        " ? std::strtoul(std::getenv(\\"HASHGATE_MUTANT\\"), nullptr, 10) : 0)");
endpackage
"""

# Operator by the kind of its syntax node: the operators that replace it.
OPERATORS = {
    "EqualityExpression": ["!="],
    "InequalityExpression": ["=="],
    "LessThanExpression": ["<="],
    "LessThanEqualExpression": ["<"],
    "GreaterThanExpression": [">="],
    "GreaterThanEqualExpression": [">"],
    "LogicalAndExpression": ["||"],
    "LogicalOrExpression": ["&&"],
    "BinaryAndExpression": ["|"],
    "BinaryOrExpression": ["&"],
    "BinaryXorExpression": ["|"],
    "AddExpression": ["-"],
    "SubtractExpression": ["+"],
}
NEGATIONS = {"UnaryLogicalNotExpression", "UnaryBitwiseNotExpression"}
# Reductions: operator of the wrong version.
REDUCTIONS = {"UnaryBitwiseAndExpression": "|", "UnaryBitwiseOrExpression": "&", "UnaryBitwiseXorExpression": "|"}

# Files without behaviour to break.
EXCLUDED = re.compile(r"^(generated/|config/)|_pkg\.sv$|\.svh$")
# Syntax below which expressions must be constant, are checked and not built, or are left out on purpose.
CONSTANT_CONTEXTS = {
    "ParameterDeclarationStatement", "ParameterDeclaration", "ParameterPortList", "ParameterValueAssignment",
    "VariableDimension", "TypedefDeclaration", "PackageImportDeclaration", "SimpleRangeSelect", "EventControl",
    "EventControlWithExpression", "ConcurrentAssertionMember", "ImmediateAssertionMember", "AssertPropertyStatement",
    "ImmediateAssertStatement", "ElabSystemTask", "StandardCaseItem", "PortDeclaration", "AnsiPortList",
    "ImplicitAnsiPort", "NamedType", "EnumType", "StructType", "DPIImport", "InvocationExpression",
}


class MutantError(Exception):
    """A patch cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Edit:
    """A wrong version of the expression in [start, end) of a file."""

    file: str
    start: int
    end: int
    wrong: str


@dataclass
class Mutant:
    """One deliberate bug. `key` does not change when other lines of the file move."""

    key: str
    what: str
    where: str
    edits: list[Edit]
    by_hand: bool = False
    number: int = 0
    # Test program and test that are known to fail on it: tried first.
    caught_by: tuple[str, str] | None = None


@dataclass
class Source:
    """A file with the expressions that may be replaced, as (start, end)."""

    name: str
    text: str
    tree: syntax.SyntaxTree = field(repr=False)
    expressions: list[tuple[int, int]] = field(default_factory=list)
    changes: list[tuple[int, int, str, str]] = field(default_factory=list)  # start, end, wrong, what
    constant_functions: set[str] = field(default_factory=set)

    def line(self, offset: int) -> int:
        """Line of an offset, from 1."""
        return self.text.count("\n", 0, offset) + 1


def parse(name: str, text: str) -> Source:
    """Parses a file and collects what can be replaced in it."""
    source = Source(name, text, syntax.SyntaxTree.fromText(text))
    _find_constant_functions(source, source.tree.root, False)
    _walk(source, source.tree.root)
    return source


def _range(source: Source, node: syntax.SyntaxNode) -> tuple[int, int] | None:
    """Offsets of a node, or None if it comes from a macro."""
    start, end = node.sourceRange.start, node.sourceRange.end
    manager = source.tree.sourceManager
    if manager.isMacroLoc(start) or manager.isMacroLoc(end):
        return None
    return start.offset, end.offset


def _children(node: syntax.SyntaxNode) -> list[syntax.SyntaxNode]:
    return [child for child in node if isinstance(child, syntax.SyntaxNode)]


def _find_constant_functions(source: Source, node: syntax.SyntaxNode, constant: bool) -> None:
    """Notes the functions that parameters call; they cannot depend on a variable."""
    kind = node.kind.name
    constant = constant or kind in ("ParameterDeclaration", "ParameterValueAssignment")
    if constant and kind == "InvocationExpression":
        source.constant_functions.add(str(node.left).strip())
    for child in _children(node):
        _find_constant_functions(source, child, constant)


def _walk(source: Source, node: syntax.SyntaxNode) -> None:
    """Visits statements and members; expressions go to `_expression`."""
    kind = node.kind.name
    if kind in CONSTANT_CONTEXTS or _range(source, node) is None:
        return
    if kind in ("AssignmentExpression", "NonblockingAssignmentExpression"):
        _expression(source, node.right)
    elif kind == "FunctionDeclaration":
        if str(node.prototype.name).strip() not in source.constant_functions:
            for item in node.items:
                if isinstance(item, syntax.SyntaxNode):
                    _walk(source, item)
    elif kind == "ForLoopStatement":
        _walk(source, node.statement)
    elif kind == "LoopGenerate":
        _walk(source, node.block)
    elif kind == "IfGenerate":
        _walk(source, node.block)
        if node.elseClause is not None:
            _walk(source, node.elseClause)
    elif kind == "CaseStatement":
        _expression(source, node.expr)
        for item in node.items:
            clause = item.clause
            if isinstance(clause, syntax.SyntaxNode):
                _walk(source, clause)
    elif kind == "ConditionalPredicate":
        for condition in node.conditions:
            if isinstance(condition, syntax.SyntaxNode):
                _change(source, condition.expr, lambda text: f"!({text})", "condition negated")
                _expression(source, condition.expr)
    elif kind == "NamedPortConnection":
        if node.name.rawText.endswith("_i") and node.expr is not None:
            _expression(source, node.expr)
    elif kind == "NetDeclaration":
        for declarator in node.declarators:
            if isinstance(declarator, syntax.SyntaxNode) and declarator.initializer is not None \
                    and not declarator.name.rawText.startswith("unused"):
                _expression(source, declarator.initializer.expr)
    elif kind == "DataDeclaration":
        return
    elif kind in ("SimplePropertyExpr", "SimpleSequenceExpr") and len(_children(node)) == 1:
        # What a port is connected to is parsed as a property.
        for child in _children(node):
            _expression(source, child)
    elif isinstance(node, syntax.ExpressionSyntax):
        _expression(source, node)
    else:
        for child in _children(node):
            _walk(source, child)


def _change(source: Source, node: syntax.SyntaxNode, wrong, what: str) -> None:
    """Notes a wrong version of an expression; `wrong` makes it from the text."""
    found = _range(source, node)
    if found is not None:
        source.changes.append((*found, wrong(source.text[found[0]:found[1]]), what))


def _expression(source: Source, node: syntax.SyntaxNode) -> None:
    """Collects an expression and those inside it, and the changes of operators and constants."""
    kind = node.kind.name
    found = _range(source, node)
    if found is None or kind in CONSTANT_CONTEXTS:
        return
    if kind in ("SimplePropertyExpr", "SimpleSequenceExpr", "ParenthesizedPropertyExpr"):
        for child in _children(node):
            _expression(source, child)
        return
    if isinstance(node, syntax.ExpressionSyntax):
        source.expressions.append(found)
    text = source.text[found[0]:found[1]]

    def part(child: syntax.SyntaxNode) -> str:
        at = _range(source, child)
        return source.text[at[0]:at[1]] if at else ""

    if kind in OPERATORS:
        for operator in OPERATORS[kind]:
            _change(source, node, lambda _, o=operator: f"({part(node.left)}) {o} ({part(node.right)})",
                    f"{node.operatorToken.rawText} became {operator}")
    elif kind in NEGATIONS:
        _change(source, node, lambda _: part(node.operand), f"{node.operatorToken.rawText} left out")
    elif kind in REDUCTIONS:
        operator = REDUCTIONS[kind]
        _change(source, node, lambda _: f"{operator}({part(node.operand)})",
                f"reduction {node.operatorToken.rawText} became {operator}")
    elif kind == "ConditionalExpression":
        _change(source, node, lambda _: f"({part(node.predicate)}) ? ({part(node.right)}) : ({part(node.left)})",
                "?: swapped")
    elif kind == "UnbasedUnsizedLiteralExpression":
        other = {"'0": "'1", "'1": "'0"}.get(text)
        if other:
            _change(source, node, lambda _: other, f"{text} became {other}")
        return
    elif kind in ("IntegerVectorExpression", "IntegerLiteralExpression"):
        other = wrong_constant(text)
        if other:
            _change(source, node, lambda _: other, f"{text} became {other}")
        return
    if kind == "MultipleConcatenationExpression":
        _expression(source, node.concatenation)
    elif kind == "CastExpression":
        _expression(source, node.right)
    elif kind in ("AscendingRangeSelect", "DescendingRangeSelect"):
        _expression(source, node.left)
    elif kind == "ConditionalExpression":
        _walk(source, node.predicate)
        _expression(source, node.left)
        _expression(source, node.right)
    else:
        for child in _children(node):
            _expression(source, child)


def wrong_constant(text: str) -> str | None:
    """A constant with its lowest bit flipped, of the same width."""
    match = re.fullmatch(r"(?:(\d+)\s*'([bdh])\s*)?([0-9a-fA-F_]+)", text)
    if match is None:
        return None
    size, base, digits = match.groups()
    value = int(digits.replace("_", ""), {"b": 2, "h": 16}.get(base, 10)) ^ 1
    if base is None:
        return str(value)
    return f"{size}'{base}" + format(value, {"b": "b", "h": "x"}.get(base, "d"))


def sources(rtl: Path, files: list[str]) -> dict[str, Source]:
    """All files that may get mutants, by their name relative to hw/rtl."""
    return {name: parse(name, (rtl / name).read_text()) for name in files if not EXCLUDED.search(name)}


def generated(all_sources: dict[str, Source]) -> list[Mutant]:
    """Every change that the generator knows, in order of file and place."""
    found = []
    for name, source in sorted(all_sources.items()):
        seen: dict[str, int] = {}
        for start, end, wrong, what in sorted(source.changes):
            if wrong == source.text[start:end]:
                continue
            line = source.line(start)
            words = " ".join(source.text.splitlines()[line - 1].split())
            key = f"{name}: {words}: {what}"
            seen[key] = seen.get(key, 0) + 1
            if seen[key] > 1:
                key += f" ({seen[key]})"
            found.append(Mutant(key, what, f"{name}:{line}", [Edit(name, start, end, wrong)]))
    return found


def from_patch(rtl: Path, all_sources: dict[str, Source], patch: Path) -> Mutant:
    """The mutant that a patch describes: each place that it changes must lie in an expression.

    Before the diff: a description, and `Caught by: PROGRAM TEST` if a test is known to fail on it.
    """
    text = patch.read_text()
    head = [line for line in text.split("\n--- ", 1)[0].splitlines() if not line.startswith("SPDX")]
    what = " ".join(line for line in head if not line.startswith("Caught by: ")).strip()
    caught = [tuple(line.split()[2:]) for line in head if line.startswith("Caught by: ")]
    if any(len(names) != 2 for names in caught[:1]) or len(caught) > 1:
        raise MutantError(f"{patch.name}: \"Caught by:\" names one test program and one test")
    names = re.findall(r"^\+\+\+ b/hw/rtl/(\S+)", text, re.M)
    if not what or not names:
        raise MutantError(f"{patch.name}: needs a description and a unified diff of files below hw/rtl")
    edits = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if name not in all_sources:
                raise MutantError(f"{patch.name}: {name} is no source of the NIC that may be mutated")
            copy = Path(folder) / "hw" / "rtl" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(rtl / name, copy)
        done = subprocess.run(["git", "apply", "-p1"], cwd=folder, input=text, text=True, capture_output=True,
                              check=False)
        if done.returncode != 0:
            raise MutantError(f"{patch.name} does not apply to hw/rtl any more: {done.stderr.strip()}")
        for name in names:
            wrong = parse(name, (Path(folder) / "hw" / "rtl" / name).read_text())
            edits += _differences(patch.name, all_sources[name], wrong)
    where = ", ".join(f"{edit.file}:{all_sources[edit.file].line(edit.start)}" for edit in edits)
    return Mutant(patch.stem, what, where, edits, by_hand=True, caught_by=caught[0] if caught else None)


def _differences(patch: str, source: Source, wrong: Source) -> list[Edit]:
    """The smallest expressions that hold the lines in which two versions of a file differ.

    What replaces one is an expression of the wrong version too: `~a` that became `~a & b` is not `~` of `a & b`.
    """
    old_lines, new_lines = source.text.splitlines(keepends=True), wrong.text.splitlines(keepends=True)
    if len(old_lines) != len(new_lines):
        raise MutantError(f"{patch}: a patch changes lines, it neither adds nor removes any")
    wrong_expressions = set(wrong.expressions)
    edits = []
    at = wrong_at = 0
    for old, new in zip(old_lines, new_lines):
        if old != new:
            prefix = next(i for i in range(len(old)) if i >= len(new) or old[i] != new[i])
            suffix = 0
            while suffix < min(len(old), len(new)) - prefix and old[-1 - suffix] == new[-1 - suffix]:
                suffix += 1
            start, end = at + prefix, at + len(old) - suffix
            # Whole words: a common prefix may end inside one.
            while start > 0 and re.match(r"[\w']", source.text[start - 1]):
                start -= 1
                prefix -= 1
            while re.match(r"[\w']", source.text[end]):
                end += 1
                suffix -= 1
            # The name of a member is no expression of its own.
            moved, grown = wrong_at - at, len(new) - len(old)
            holding = [(b - a, a, b) for a, b in source.expressions
                       if a <= start and b >= end and source.text[a - 1:a] != "."
                       and (a + moved, b + moved + grown) in wrong_expressions]
            if not holding:
                raise MutantError(f"{patch}: {source.name}:{source.line(at)} changes more than an expression")
            _, a, b = min(holding)
            text = source.text[a:start] + new[prefix:len(new) - suffix] + source.text[end:b]
            edits.append(Edit(source.name, a, b, text))
        at += len(old)
        wrong_at += len(new)
    return edits


def write(rtl: Path, all_sources: dict[str, Source], mutants: list[Mutant], target: Path) -> None:
    """Copies hw/rtl to `target` with all mutants in it; their numbers say which is which."""
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(rtl, target)
    by_file: dict[str, list[tuple[Edit, int]]] = {}
    for mutant in mutants:
        for edit in mutant.edits:
            by_file.setdefault(edit.file, []).append((edit, mutant.number))
    for name, edits in by_file.items():
        (target / name).write_text(_render(all_sources[name].text, edits))
    (target / "hashgate_mutant_pkg.sv").write_text(PACKAGE)
    file_list = target / "hashgate.f"
    file_list.write_text("hashgate_mutant_pkg.sv\n" + file_list.read_text())


def _render(text: str, edits: list[tuple[Edit, int]]) -> str:
    """The text with every edit as a choice; edits lie apart or inside each other."""
    spans = sorted({(edit.start, edit.end) for edit, _ in edits}, key=lambda span: (span[0], -span[1]))

    def between(start: int, end: int, inner: list[tuple[int, int]]) -> str:
        out, at = [], start
        while inner:
            first = inner[0]
            below = [span for span in inner[1:] if span[1] <= first[1]]
            inner = [span for span in inner[1:] if span[0] >= first[1]]
            out.append(text[at:first[0]])
            choices = "".join(f"hashgate_mutant_pkg::id == 32'd{ID_BASE + number} ? ({edit.wrong}) : "
                              for edit, number in edits if (edit.start, edit.end) == first)
            out.append(f"({choices}({between(*first, below)}))")
            at = first[1]
        return "".join(out) + text[at:end]

    return between(0, len(text), spans)
