# SPDX-License-Identifier: Apache-2.0
"""Makes the Rust access layer and the reference pages from a register description.

Usage: export.py RDL RUST MARKDOWN HTML     (called by generate.sh, which also makes the register block)

The Rust code has no `unsafe` and needs no crate: a register with one field that starts at bit 0 is a plain number (or bool),
one with several fields a struct; arrays take an index; 64-bit registers are read and written low word first. A 64-bit register
with the fields `low` and `high` (each takes effect on its own, which saves the register block a buffer) is a plain number too.
"""

import html
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from systemrdl import RDLCompiler
from systemrdl.node import RegfileNode
from systemrdl.rdltypes import OnWriteType

RUST_WIDTH = 120

# What differs between the descriptions: name of the Rust type, offset of the first register in BAR 0, where the meaning is told.
PAGES = {
    "hashgate": ("Registers", 0x0000, "Meaning: [dataplane](../dataplane.md). Tables behind TABLE_DATA: [tables](tables.md)."),
    "host": ("HostRegisters", 0x1000, "Meaning: [host interface](../host_interface.md)."),
}


@dataclass
class Field:
    """A field of a register."""

    name: str
    lsb: int
    width: int
    access: str
    doc: str
    reset: int | None

    @property
    def rust_type(self):
        return next(kind for limit, kind in ((1, "bool"), (8, "u8"), (16, "u16"), (32, "u32"), (64, "u64")) if self.width <= limit)


@dataclass
class Register:
    """A register or an array of registers."""

    path: str  # name in Rust: snake case, regfile in front
    title: str  # name in the documentation: upper case, regfile and dot in front
    offset: int
    width: int
    count: int | None
    stride: int
    doc: str
    readable: bool
    writable: bool
    constant: bool  # no hardware behind it: its reset value is its value
    fields: list[Field] = field(default_factory=list)

    @property
    def plain(self):
        """The one field of a register that is a number and not a struct."""
        return self.fields[0] if len(self.fields) == 1 and self.fields[0].lsb == 0 else None

    @property
    def struct(self):
        return "".join(part.capitalize() for part in self.path.split("_"))

    @property
    def reset(self):
        return sum((f.reset or 0) << f.lsb for f in self.fields)


def one_line(text):
    return " ".join(text.split())


def access(node):
    """`ro`, `wo`, `rw`, with what a write does if it does not just store."""
    if not node.is_sw_writable:
        return "ro"
    if node.get_property("onwrite") == OnWriteType.woclr:
        return "rw, write 1 to clear"
    if node.get_property("singlepulse"):
        return "wo, pulse"
    return "rw" if node.is_sw_readable else "wo"


def collect(rdl, base):
    """All registers in order of their addresses, which begin at `base`."""
    compiler = RDLCompiler()
    compiler.compile_file(str(rdl))
    top = compiler.elaborate().top
    registers = []

    def add(node, group):
        array = node if node.is_array else group if group is not None and group.is_array else None
        dimensions = (node.array_dimensions or []) + ((group.array_dimensions or []) if group is not None else [])
        if len(dimensions) > 1:
            sys.exit(f"{node.get_path()}: array of arrays; the access layer knows one index, use one dimension")
        prefix = "" if group is None else f"{group.inst_name}_"
        title = node.get_property("name") if group is None else f"{group.get_property('name')}.{node.get_property('name')}"
        offset = base + node.raw_address_offset + (group.raw_address_offset if group is not None else 0)
        register = Register(
            path=prefix + node.inst_name,
            title=title,
            offset=offset,
            width=node.get_property("regwidth"),
            count=dimensions[0] if dimensions else None,
            stride=array.array_stride if array is not None else 0,
            doc=one_line(node.get_property("desc")),
            readable=node.has_sw_readable,
            writable=node.has_sw_writable,
            constant=all(not f.is_hw_readable and not f.is_hw_writable and not f.is_sw_writable for f in node.fields()),
        )
        for f in node.fields():
            register.fields.append(Field(f.inst_name, f.lsb, f.width, access(f), one_line(f.get_property("desc")), f.get_property("reset")))
        if register.width == 64 and [f.name for f in register.fields] == ["low", "high"]:
            low, high = register.fields
            register.fields = [Field("value", 0, 64, low.access, "Both words.", (low.reset or 0) | (high.reset or 0) << 32)]
        register.constant = register.constant and not any(f.get_property("counter") for f in node.fields())
        registers.append(register)

    for child in top.children():
        if isinstance(child, RegfileNode):
            for node in child.children():
                add(node, child)
        else:
            add(child, None)
    return top, sorted(registers, key=lambda r: r.offset)


# ---- Rust -------------------------------------------------------------------------------------------------------


def doc_lines(indent, *paragraphs):
    """Wrapped doc comment; paragraphs separated by empty lines."""
    lines = []
    for paragraph in filter(None, paragraphs):
        if lines:
            lines.append(f"{indent}///")
        line = f"{indent}///"
        for word in paragraph.split():
            if len(line) + 1 + len(word) > RUST_WIDTH:
                lines.append(line)
                line = f"{indent}///"
            line += f" {word}"
        lines.append(line)
    return lines


def rust_struct(register):
    name = register.struct
    lines = doc_lines("", f"{register.title}: {register.doc}")
    lines += ["#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]", f"pub struct {name} {{"]
    for f in register.fields:
        lines += doc_lines("    ", f.doc) + [f"    pub {f.name}: {f.rust_type},"]
    lines += ["}", "", f"impl {name} {{", "    /// From the bits of the register; reserved bits are ignored."]
    lines += ["    pub const fn from_bits(bits: u32) -> Self {"]
    values = []
    for f in register.fields:
        shifted = "bits" if f.lsb == 0 else f"(bits >> {f.lsb})"
        if f.width == 1:
            values.append(f"{f.name}: bits & {1 << f.lsb:#x} != 0")
        else:
            mask = "" if f.lsb + f.width == register.width else f" & {(1 << f.width) - 1:#x}"
            shifted = f"({shifted}{mask})" if mask else shifted
            if f.rust_type == "u32":
                shifted = shifted.removeprefix("(").removesuffix(")") if mask else shifted
            values.append(f"{f.name}: {shifted}" + ("" if f.rust_type == "u32" else f" as {f.rust_type}"))
    short = f"        Self {{ {', '.join(values)} }}"
    lines += [short] if len(short) <= RUST_WIDTH else ["        Self {"] + [f"            {v}," for v in values] + ["        }"]
    lines += ["    }", "", "    /// The bits of the register. Bits of a value beyond the width of its field are cut."]
    lines += ["    pub const fn bits(self) -> u32 {"]
    parts = []
    for f in register.fields:
        whole = f.width in (1, 8, 16, 32)
        value = f"self.{f.name}" + ("" if f.rust_type == "u32" else " as u32")
        value = f"({value})" if f.lsb and whole else value if whole else f"({value} & {(1 << f.width) - 1:#x})"
        parts.append(f"({value} << {f.lsb})" if f.lsb else value)
    short = f"        {' | '.join(parts)}"
    lines += [short] if len(short) <= RUST_WIDTH else [f"        {parts[0]}"] + [f"            | {p}" for p in parts[1:]]
    return lines + ["    }", "}", ""]


def rust_methods(register):
    """Reading and writing method of a register."""
    index = "" if register.count is None else "index: usize"
    offset = f"offset::{register.path.upper()}"
    lines = []
    check = []
    if index:
        offset += f" + {register.stride:#x} * index"
        check = [f'        assert!(index < {register.count}, "{register.title}[{{index}}]: there are {register.count}");']
    kind = register.plain.rust_type if register.plain else register.struct

    def head(verb, signature, unit):
        out = doc_lines("    ", f"{verb} {register.title}: {register.doc}", register.plain.doc if register.plain else "")
        if index:
            out += ["    ///", "    /// # Panics", f"    /// If `index` is not below {register.count}."]
        return out + [f"    pub fn {signature}{unit} {{"] + check

    if register.readable:
        lines += head("Reads", f"{register.path}(&self{', ' + index if index else ''})", f" -> {kind}")
        if register.width == 64:
            lines.append(f"        self.read64({offset})")
        elif not register.plain:
            lines.append(f"        {kind}::from_bits(self.io.read32({offset}))")
        elif register.plain.width == 1:
            lines.append(f"        self.io.read32({offset}) & 1 != 0")
        elif register.plain.width == 32:
            lines.append(f"        self.io.read32({offset})")
        else:
            mask = f"(self.io.read32({offset}) & {(1 << register.plain.width) - 1:#x})"
            lines.append(f"        {mask} as {kind}" if kind != "u32" else f"        {mask[1:-1]}")
        lines += ["    }", ""]
    if register.writable:
        lines += head("Writes", f"set_{register.path}(&self, {index + ', ' if index else ''}value: {kind})", "")
        if register.width == 64:
            lines.append(f"        self.write64({offset}, value);")
        else:
            value = "value.bits()" if not register.plain else "value" if kind == "u32" else "value.into()"
            lines.append(f"        self.io.write32({offset}, {value});")
        lines += ["    }", ""]
    return lines


def make_rust(top, registers, name, note):
    lines = ["// SPDX-License-Identifier: Apache-2.0", f"//! {one_line(top.get_property('desc'))}", "//!", f"//! {note}", ""]
    lines[1:2] = [line.replace("///", "//!", 1) for line in doc_lines("", one_line(top.get_property("desc")))]
    lines += ["use crate::RegisterIo;", "", "/// Byte offsets in BAR 0; of arrays that of the first.", "pub mod offset {"]
    for r in registers:
        lines += [f"    /// {r.title}.", f"    pub const {r.path.upper()}: usize = {r.offset:#05x};"]
    lines += ["}", "", "/// Reset values of registers that do not start as 0.", "pub mod reset {"]
    for r in registers:
        if r.reset:
            lines += [f"    /// {r.title}.", f"    pub const {r.path.upper()}: u32 = {r.reset:#x};"]
    lines += ["}", ""]
    for r in registers:
        if not r.plain:
            lines += rust_struct(r)
    lines += ["/// The registers, reached through `io`.", "#[derive(Clone, Debug)]", f"pub struct {name}<IO> {{", "    io: IO,", "}", ""]
    lines += [f"impl<IO: RegisterIo> {name}<IO> {{", "    /// Registers behind `io`, whose offset 0 is that of BAR 0.", "    pub const fn new(io: IO) -> Self {"]
    lines += ["        Self { io }", "    }", "", "    /// What the registers are reached through.", "    pub const fn io(&self) -> &IO {", "        &self.io", "    }", ""]
    lines += ["    fn read64(&self, offset: usize) -> u64 {", "        let low = self.io.read32(offset);"]
    lines += ["        u64::from(self.io.read32(offset + 4)) << 32 | u64::from(low)", "    }", ""]
    lines += ["    fn write64(&self, offset: usize, value: u64) {", "        self.io.write32(offset, value as u32);"]
    lines += ["        self.io.write32(offset + 4, (value >> 32) as u32);", "    }", ""]
    for r in registers:
        lines += rust_methods(r)
    return "\n".join(lines).rstrip("\n") + "\n}\n"


# ---- Markdown ---------------------------------------------------------------------------------------------------


def where(register):
    text = f"0x{register.offset:03X}"
    return text if register.count is None else f"{text} + 0x{register.stride:02X} i, i < {register.count}"


def make_markdown(top, registers, meaning, note):
    lines = [f"# {top.get_property('name').removeprefix('Hashgate ').capitalize()}", "", one_line(top.get_property("desc")), ""]
    lines += [f"{note} {meaning}", ""]
    lines += ["| offset | register | bits | what |", "| --- | --- | --: | --- |"]
    for r in registers:
        first = r.doc.split(". ")[0].rstrip(".")
        lines.append(f"| {where(r)} | [{r.title}](#{r.title.lower().replace('.', '')}) | {r.width} | {first}. |")
    for r in registers:
        lines += ["", f"## {r.title}", "", f"Offset {where(r)}. {r.doc}", ""]
        lines += ["| bits | field | access | reset | meaning |", "| --: | --- | --- | --: | --- |"]
        for f in r.fields:
            bits = f"{f.lsb}" if f.width == 1 else f"{f.lsb + f.width - 1}:{f.lsb}"
            reset = "" if f.reset is None else f"{f.reset:#x}" if f.reset > 9 else f"{f.reset}"
            lines.append(f"| {bits} | `{f.name}` | {f.access} | {reset} | {f.doc} |")
    return "\n".join(lines) + "\n"


# ---- the same as HTML, one page that needs nothing else -----------------------------------------------------------

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 72em; padding: 1em; color: #1b2733; }
table { border-collapse: collapse; margin: .6em 0; width: 100%; }
th, td { border: 1px solid #c9d3dd; padding: .25em .6em; text-align: left; vertical-align: top; }
th { background: #eef2f6; }
code, .bits td { font-family: ui-monospace, monospace; font-size: 90%; }
.bits { table-layout: fixed; }
.bits td { text-align: center; overflow: hidden; padding: .3em 0; }
.bits .field { background: #d9e8f6; }
.bits .free { background: #f6f6f6; }
.bits .number { border: 0; color: #6a7784; font-size: 75%; padding: 0; }
h2 { margin-top: 2em; border-bottom: 2px solid #d9e8f6; }
h2 small { font-weight: normal; color: #6a7784; }
"""


def rich(text):
    """Text with `code` in it."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))


def bit_picture(register):
    """A row of 32 columns for each word, with its fields."""
    rows = []
    for word in reversed(range(register.width // 32)):
        cells = []
        bit = 32 * word + 31
        while bit >= 32 * word:
            field = next((f for f in register.fields if f.lsb <= bit < f.lsb + f.width), None)
            below = [f.lsb + f.width - 1 for f in register.fields if f.lsb + f.width - 1 < bit]
            low = max(32 * word, field.lsb if field else max(below, default=-1) + 1)
            name = html.escape(field.name) if field else ""
            kind = "field" if field else "free"
            cells.append(f'<td class="{kind}" colspan="{bit - low + 1}" title="{name}">{name}</td>')
            bit = low - 1
        numbers = "".join(f'<td class="number">{n}</td>' for n in range(32 * word + 31, 32 * word - 1, -1))
        rows += [f"<tr>{numbers}</tr>", f"<tr>{''.join(cells)}</tr>"]
    return '<table class="bits">' + "".join(rows) + "</table>"


def make_html(top, registers, note):
    lines = ["<!DOCTYPE html>", f"<!-- SPDX-License-Identifier: Apache-2.0. {note} -->", '<html lang="en"><head><meta charset="utf-8">',
             f"<title>{html.escape(top.get_property('name'))}</title><style>{STYLE}</style></head><body>",
             f"<h1>{html.escape(top.get_property('name'))}</h1>", f"<p>{rich(one_line(top.get_property('desc')))}</p>"]
    lines += ["<table><tr><th>offset</th><th>register</th><th>bits</th><th>what</th></tr>"]
    for r in registers:
        lines.append(f'<tr><td><code>{where(r)}</code></td><td><a href="#{r.path}">{r.title}</a></td><td>{r.width}</td>'
                     f"<td>{rich(r.doc.split('. ')[0].rstrip('.'))}.</td></tr>")
    lines.append("</table>")
    for r in registers:
        lines += [f'<h2 id="{r.path}">{r.title} <small>{where(r)}</small></h2>', f"<p>{rich(r.doc)}</p>", bit_picture(r),
                  "<table><tr><th>bits</th><th>field</th><th>access</th><th>reset</th><th>meaning</th></tr>"]
        for f in r.fields:
            bits = f"{f.lsb}" if f.width == 1 else f"{f.lsb + f.width - 1}:{f.lsb}"
            reset = "" if f.reset is None else f"{f.reset:#x}"
            lines.append(f"<tr><td>{bits}</td><td><code>{f.name}</code></td><td>{f.access}</td><td>{reset}</td><td>{rich(f.doc)}</td></tr>")
        lines.append("</table>")
    return "\n".join([*lines, "</body></html>"]) + "\n"


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    rdl, rust, markdown, page = map(Path, sys.argv[1:])
    name, base, meaning = PAGES[rdl.stem]
    note = f"Made by hw/regs/generate.sh from hw/regs/{rdl.name}; do not edit."
    top, registers = collect(rdl, base)
    rust.write_text(make_rust(top, registers, name, note))
    markdown.write_text(make_markdown(top, registers, meaning, note))
    page.write_text(make_html(top, registers, note))


if __name__ == "__main__":
    main()
