#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the shared definitions from hw/defs/hashgate.toml.

Outputs (committed):
  hw/rtl/generated/hashgate_defs_pkg.sv   enumerations, table constants and entry structs for the RTL
  driver/regs/src/defs.rs                 the same for the driver and the model
  docs/reference/tables.md                the same for readers

Usage: generate.py [--check]
  --check   write nothing; exit 1 and name the files if one on disk differs from what would be written
"""

import argparse
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path("hw/defs/hashgate.toml")
RUST_WIDTH = 120
VERDICT_BITS, REASON_BITS, TABLE_BITS = 2, 6, 4
WORD_BITS = 32
# Words of SystemVerilog that a field might be called; the struct member gets a trailing underscore.
SV_KEYWORDS = {"bind", "bit", "do", "final", "force", "global", "local", "priority", "type", "unique", "use", "weak"}


class DefinitionError(Exception):
    """A mistake in hashgate.toml; the message names the item, the value and the limit."""


def camel(name):
    """`vip_kind` or `not-my-mac` -> `VipKind`, `NotMyMac`."""
    return "".join(part.capitalize() for part in name.replace("-", "_").split("_"))


def upper(name):
    """`not-my-mac` -> `NOT_MY_MAC`."""
    return name.replace("-", "_").upper()


def words_used(table):
    return 1 + max(field["word"] for field in table["fields"])


def global_lsb(field):
    return WORD_BITS * field["word"] + field["lsb"]


def check_ids(kind, items, bits):
    seen = {}
    for item in items:
        if not 0 <= item["id"] < 2**bits:
            raise DefinitionError(f"{kind} {item['name']}: id {item['id']} does not fit {bits} bits; use 0..{2**bits - 1}")
        if item["id"] in seen:
            raise DefinitionError(f"{kind} {item['name']}: id {item['id']} is taken by {seen[item['id']]}; use a free one")
        seen[item["id"]] = item["name"]


def load():
    """Reads and checks the definitions; returns them with the fields of each table sorted by bit position."""
    defs = tomllib.loads((ROOT / SOURCE).read_text())
    check_ids("verdict", defs["verdict"], VERDICT_BITS)
    check_ids("reason", defs["reason"], REASON_BITS)
    check_ids("table", defs["table"], TABLE_BITS)
    enums = {enum["name"]: enum for enum in defs["enum"]}
    for table in defs["table"]:
        name, stride = table["name"], table["stride"]
        table["fields"].sort(key=global_lsb)
        if stride & (stride - 1) or stride < words_used(table):
            raise DefinitionError(f"table {name}: stride {stride} must be a power of two, at least {words_used(table)}")
        end = 0
        for field in table["fields"]:
            where = f"table {name}, field {field['name']}"
            if field["width"] < 1 or field["lsb"] + field["width"] > WORD_BITS:
                raise DefinitionError(f"{where}: bits {field['lsb']}+{field['width']} leave the 32-bit word; split the field")
            if global_lsb(field) < end:
                raise DefinitionError(f"{where}: word {field['word']} bit {field['lsb']} is taken by the field before it")
            end = global_lsb(field) + field["width"]
            if "enum" in field:
                if field["enum"] not in enums:
                    raise DefinitionError(f"{where}: enum {field['enum']} is not defined; add it or correct the name")
                if enums[field["enum"]].setdefault("width", field["width"]) != field["width"]:
                    raise DefinitionError(f"{where}: enum {field['enum']} is used with two widths; make them equal")
    for enum in defs["enum"]:
        if "width" not in enum:
            raise DefinitionError(f"enum {enum['name']}: no field uses it; remove it, or give it a width and a doc")
        if max(enum["values"].values()) >= 2 ** enum["width"]:
            raise DefinitionError(f"enum {enum['name']}: value {max(enum['values'].values())} does not fit {enum['width']} bits")
    return defs


# ---- SystemVerilog ----------------------------------------------------------------------------------------------


def sv_enum(type_name, prefix, bits, values):
    """`values`: (name, number, comment)."""
    width = max(len(name) for name, _, _ in values)
    lines = [f"    typedef enum logic [{bits - 1}:0] {{"]
    for position, (name, number, doc) in enumerate(values):
        comma = "," if position + 1 < len(values) else ""
        comment = f"  // {doc}" if doc else ""
        lines.append(f"        {prefix}_{upper(name):<{width}} = {bits}'d{number}{comma}{comment}")
    lines.append(f"    }} {type_name};")
    return lines


def sv_entry(table):
    """Packed struct of an entry; word 0 in bits [31:0], so the last member of the text is the first field."""
    members, position = [], 0

    def gap(end):
        # Reserved members never cross a word, so that their names say where they are.
        nonlocal position
        while position < end:
            stop = min(end, (position // WORD_BITS + 1) * WORD_BITS)
            members.append((f"logic [{stop - position - 1}:0]", f"reserved_{position}", "reads 0"))
            position = stop

    for field in table["fields"]:
        gap(global_lsb(field))
        width = field["width"]
        kind = f"{field['enum']}_e" if "enum" in field else ("logic" if width == 1 else f"logic [{width - 1}:0]")
        name = field["name"] + ("_" if field["name"] in SV_KEYWORDS else "")
        members.append((kind, name, field.get("doc", f"word {field['word']}")))
        position += width
    gap(WORD_BITS * words_used(table))
    lines = ["    typedef struct packed {"]
    lines += [f"        {kind:<12} {name};  // {doc}" for kind, name, doc in reversed(members)]
    lines.append(f"    }} {table['name']}_entry_t;")
    return lines


def make_sv(defs):
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "//",
        f"// hashgate_defs_pkg: verdicts, reasons, tables and entry layouts. Made by hw/defs/generate.py from {SOURCE};",
        "// do not edit.",
        "`resetall",
        "`default_nettype none",
        "package hashgate_defs_pkg;",
    ]
    for kind, bits in (("verdict", VERDICT_BITS), ("reason", REASON_BITS)):
        lines += sv_enum(f"{kind}_e", kind.upper(), bits, [(i["name"], i["id"], i["doc"]) for i in defs[kind]]) + [""]
    lines += sv_enum("table_e", "TABLE", TABLE_BITS, [(t["name"], t["id"], t["entry"]) for t in defs["table"]]) + [""]
    for enum in defs["enum"]:
        values = [(name, value, "") for name, value in enum["values"].items()]
        lines += sv_enum(f"{enum['name']}_e", upper(enum["name"]), enum["width"], values) + [""]
    lines.append("    // Stride: words per entry in the address space. Words: words an entry really has; the others read 0.")
    for table in defs["table"]:
        name = upper(table["name"])
        lines.append(f"    localparam int unsigned TABLE_{name}_STRIDE = {table['stride']};")
        lines.append(f"    localparam int unsigned TABLE_{name}_WORDS = {words_used(table)};")
    shadowed = sum(1 << table["id"] for table in defs["table"] if table["shadowed"])
    lines += ["    // Bit per table id: the table has an active and a shadow bank."]
    lines += [f"    localparam logic [15:0] TABLES_SHADOWED = 16'h{shadowed:04x};", ""]
    lines.append("    // Entries; word 0 is in bits [31:0]. reserved_<n> starts at bit n.")
    for position, table in enumerate(defs["table"]):
        lines += sv_entry(table) + ([""] if position + 1 < len(defs["table"]) else [])
    lines += ["endpackage", "`resetall", ""]
    return "\n".join(lines)


# ---- Rust -------------------------------------------------------------------------------------------------------


def rust_type(field):
    width = field["width"]
    return "bool" if width == 1 else "u8" if width <= 8 else "u16" if width <= 16 else "u32"


def rust_list(indent, head, items, tail):
    """One line if it fits, else one item a line, as rustfmt lays it out."""
    line = f"{indent}{head}{', '.join(items)}{tail}"
    if len(line) <= RUST_WIDTH:
        return [line]
    return [f"{indent}{head}"] + [f"{indent}    {item}," for item in items] + [f"{indent}{tail}"]


def rust_enum(name, doc, values, extra=()):
    """`values`: (name, number, doc); `extra`: lines of further methods."""
    lines = [f"/// {doc}", "#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]", "#[repr(u8)]"]
    lines.append(f"pub enum {name} {{")
    for value, number, text in values:
        lines += [f"    /// {text}", f"    {camel(value)} = {number},"]
    lines += ["}", "", f"impl {name} {{", "    /// All values, in order of their numbers."]
    variants = [f"{name}::{camel(value)}" for value, _, _ in values]
    lines += rust_list("    ", f"pub const ALL: &[{name}] = &[", variants, "];")
    lines += ["", "    /// Name as in the definitions, logs and configuration.", "    pub const fn name(self) -> &'static str {"]
    lines.append("        match self {")
    lines += [f'            {name}::{camel(value)} => "{value}",' for value, _, _ in values]
    lines += ["        }", "    }"]
    lines += extra
    lines += ["}", "", f"impl fmt::Display for {name} {{"]
    lines += ["    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {", "        f.pad(self.name())", "    }", "}", ""]
    lines += [f"impl TryFrom<u8> for {name} {{", "    type Error = UnknownValue;", ""]
    lines += ["    fn try_from(value: u8) -> Result<Self, UnknownValue> {", "        match value {"]
    lines += [f"            {number} => Ok({name}::{camel(value)})," for value, number, _ in values]
    lines.append(f'            _ => Err(UnknownValue {{ kind: "{name}", value }}),')
    lines += ["        }", "    }", "}", ""]
    return lines


def rust_match_method(name, kind, doc, signature, arms):
    """A `const fn` that matches on `self`; `arms`: (variant, expression)."""
    lines = ["", f"    /// {doc}", f"    pub const fn {signature} {{", "        match self {"]
    for variant, expression in arms:
        line = f"            {name}::{variant} => {expression},"
        if len(line) > RUST_WIDTH:
            lines += [f"            {name}::{variant} => {{", f"                {expression}", "            }"]
        else:
            lines.append(line)
    return lines + ["        }", "    }"]


def rust_entry(table):
    name, words = f"{camel(table['name'])}Entry", words_used(table)
    lines = [f"/// Entry of the `{table['name']}` table: {table['entry']}.", "#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]"]
    lines.append(f"pub struct {name} {{")
    for field in table["fields"]:
        top = field["lsb"] + field["width"] - 1
        bits = f"bit {field['lsb']}" if field["width"] == 1 else f"bits {field['lsb']}..={top}"
        kind = f"; a [`{camel(field['enum'])}`]" if "enum" in field else ""
        doc = f"{field['doc']} " if "doc" in field else ""
        lines += [f"    /// {doc}Word {field['word']}, {bits}{kind}.", f"    pub {field['name']}: {rust_type(field)},"]
    lines += ["}", "", f"impl {name} {{", "    /// 32-bit words of an entry.", f"    pub const WORDS: usize = {words};", ""]
    lines += ["    /// Packs the entry into its words. Bits of a value beyond the width of its field are cut."]
    lines += ["    pub fn pack(&self) -> [u32; Self::WORDS] {"]
    packed = []
    for word in range(words):
        puts = []
        for field in (f for f in table["fields"] if f["word"] == word):
            value = f"self.{field['name']}"
            value = value if rust_type(field) == "u32" else f"u32::from({value})"
            puts.append(f"put({value}, {field['lsb']}, {field['width']})")
        packed.append(puts or ["0"])
    short = f"        [{', '.join(' | '.join(puts) for puts in packed)}]"
    if len(short) <= RUST_WIDTH:
        lines.append(short)
    else:
        lines.append("        [")
        for puts in packed:
            line = f"            {' | '.join(puts)},"
            if len(line) <= RUST_WIDTH:
                lines.append(line)
            else:
                lines.append(f"            {puts[0]}")
                lines += [f"                | {put}" for put in puts[1:]]
                lines[-1] += ","
        lines.append("        ]")
    lines += ["    }", "", "    /// Reads an entry from its words; reserved bits are ignored."]
    lines += ["    pub fn unpack(words: &[u32; Self::WORDS]) -> Self {"]
    values = []
    for field in table["fields"]:
        kind = rust_type(field)
        cast = " != 0" if kind == "bool" else "" if kind == "u32" else f" as {kind}"
        values.append(f"{field['name']}: get(words[{field['word']}], {field['lsb']}, {field['width']}){cast}")
    short = f"        Self {{ {', '.join(values)} }}"
    if len(short) <= RUST_WIDTH:
        lines.append(short)
    else:
        lines += ["        Self {"] + [f"            {value}," for value in values] + ["        }"]
    lines += ["    }", "}", ""]
    return lines


def make_rust(defs):
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"//! Verdicts, reasons, tables and entry layouts. Made by `hw/defs/generate.py` from `{SOURCE}`; do not edit.",
        "",
        "use std::fmt;",
        "",
        "/// A number that a definition does not know, for example from a newer NIC.",
        "#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]",
        '#[error("{kind} has no value {value}: driver and NIC were built from different definitions, update the older one")]',
        "pub struct UnknownValue {",
        "    /// Type that was asked for.",
        "    pub kind: &'static str,",
        "    /// The number.",
        "    pub value: u8,",
        "}",
        "",
        "const fn mask(width: u32) -> u32 {",
        "    u32::MAX >> (32 - width)",
        "}",
        "",
        "const fn put(value: u32, lsb: u32, width: u32) -> u32 {",
        "    (value & mask(width)) << lsb",
        "}",
        "",
        "const fn get(word: u32, lsb: u32, width: u32) -> u32 {",
        "    (word >> lsb) & mask(width)",
        "}",
        "",
    ]
    docs = {"verdict": "What the NIC does with a frame.", "reason": "Why the NIC did it; exactly one for each frame."}
    for kind in ("verdict", "reason"):
        name = camel(kind)
        arms = [(camel(item["name"]), f'"{item["doc"]}"') for item in defs[kind]]
        extra = rust_match_method(name, kind, "One sentence for people.", "doc(self) -> &'static str", arms)
        lines += rust_enum(name, docs[kind], [(i["name"], i["id"], i["doc"]) for i in defs[kind]], extra)
    for enum in defs["enum"]:
        uses = [f"`{f['name']}` of `{t['name']}`" for t in defs["table"] for f in t["fields"] if f.get("enum") == enum["name"]]
        values = [(name, value, f"Value {value}.") for name, value in enum["values"].items()]
        lines += rust_enum(camel(enum["name"]), f"Values of the field {', '.join(uses)}." if uses else enum["doc"], values)
    tables = defs["table"]
    extra = []
    for doc, signature, expression in (
        ("32-bit words per entry in the address space; a power of two.", "stride(self) -> u32", lambda t: str(t["stride"])),
        ("Words an entry really has; the others read 0.", "words(self) -> u32", lambda t: str(words_used(t))),
    ):
        arms = [(camel(t["name"]), expression(t)) for t in tables]
        extra += rust_match_method("Table", "table", doc, signature, arms)
    banks = [f"Table::{camel(t['name'])}" for t in tables if t["shadowed"]]
    extra += ["", "    /// Whether the table has an active and a shadow bank.", "    pub const fn shadowed(self) -> bool {"]
    line = f"        matches!(self, {' | '.join(banks)})"
    if len(line) <= RUST_WIDTH:
        extra.append(line)
    else:
        extra += ["        matches!(", "            self,", f"            {banks[0]}"]
        extra += [f"                | {bank}" for bank in banks[1:]] + ["        )"]
    extra.append("    }")
    values = [(t["name"], t["id"], f"{t['entry'][0].upper()}{t['entry'][1:]}.") for t in tables]
    lines += rust_enum("Table", "Tables behind `TABLE_SELECT`.", values, extra)
    for table in tables:
        lines += rust_entry(table)
    return "\n".join(lines)


# ---- Markdown ---------------------------------------------------------------------------------------------------


def make_markdown(defs):
    lines = [
        "# Verdicts, reasons and tables",
        "",
        f"Made by `hw/defs/generate.py` from [`{SOURCE}`](../../{SOURCE}); do not edit. Meaning: [dataplane](../dataplane.md).",
        "",
    ]
    for kind in ("verdict", "reason"):
        lines += [f"## {kind.capitalize()}s", "", f"| id | {kind} | meaning |", "| --: | --- | --- |"]
        lines += [f"| {item['id']} | `{item['name']}` | {item['doc']} |" for item in defs[kind]] + [""]
    lines += ["## Tables", "", "An entry starts at `TABLE_INDEX` = stride x index. Words and bits that no field names read 0.", ""]
    lines += ["| id | table | stride | words | banks | entries |", "| --: | --- | --: | --: | --: | --- |"]
    for table in defs["table"]:
        banks = 2 if table["shadowed"] else 1
        lines.append(f"| {table['id']} | `{table['name']}` | {table['stride']} | {words_used(table)} | {banks} | {table['entry']} |")
    enums = {enum["name"]: enum for enum in defs["enum"]}
    for table in defs["table"]:
        lines += ["", f"### {table['name']}", "", "| word | bits | field | meaning |", "| --: | --: | --- | --- |"]
        for field in table["fields"]:
            top = field["lsb"] + field["width"] - 1
            bits = f"{field['lsb']}" if field["width"] == 1 else f"{top}:{field['lsb']}"
            doc = field.get("doc", "")
            if "enum" in field:
                doc += (" " if doc else "") + ", ".join(f"{v} {n}" for n, v in enums[field["enum"]]["values"].items())
            lines.append(f"| {field['word']} | {bits} | `{field['name']}` | {doc} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Makes the shared definitions from hw/defs/hashgate.toml.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if a file on disk differs")
    check = parser.parse_args().check
    try:
        defs = load()
    except (DefinitionError, tomllib.TOMLDecodeError, KeyError) as error:
        sys.exit(f"{SOURCE}: {error}")
    outputs = {
        "hw/rtl/generated/hashgate_defs_pkg.sv": make_sv(defs),
        "driver/regs/src/defs.rs": make_rust(defs).rstrip("\n") + "\n",
        "docs/reference/tables.md": make_markdown(defs),
    }
    stale = [path for path, text in outputs.items() if not (ROOT / path).is_file() or (ROOT / path).read_text() != text]
    if check:
        if stale:
            sys.exit(f"not up to date with {SOURCE}: {', '.join(stale)}; run hw/defs/generate.py and commit the result")
        return
    for path in stale:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(outputs[path])
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
