#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of the documentation: docs/pictures/*.svg.

Cycles come from hw/rtl/hashgate_pkg.sv, so the pipeline in the picture is the one that is built. `--check` writes nothing
and exits with 1 if a picture on disk differs.
"""

import re
import sys
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent / "hw" / "rtl" / "hashgate_pkg.sv"

INK, SOFT, LINE, PAPER = "#1b2733", "#5b6b7a", "#8796a5", "#ffffff"
STAGE, TABLE, RESERVED, OUTSIDE, STORE = "#dcebfa", "#fdebc8", "#f4f5f7", "#e3f3e3", "#eeeaf8"
HOSTS = ["#3b82c4", "#e08a2b", "#4ca265", "#b05fae"]
# Mean width of a character of the sans-serif fonts that browsers use, as a part of the font size; generous.
CHARACTER = 0.58


class Picture:
    """An SVG under construction. Drawing a label that does not fit is an error."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" font-family="Helvetica, Arial, sans-serif">',
            "<!-- SPDX-License-Identifier: Apache-2.0; made by docs/pictures/make.py -->",
            f"<title>{escape(title)}</title>",
            f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            f'<path d="M0 0L8 4L0 8z" fill="{SOFT}"/></marker></defs>',
            f'<rect width="{width}" height="{height}" rx="10" fill="{PAPER}"/>',
        ]

    def text(self, x: float, y: float, words: str, size: float = 13, colour: str = INK, anchor: str = "middle",
             bold: bool = False, room: float | None = None) -> None:
        """One line of text with its base line at y; `room` is the width that it must fit."""
        if room is not None and CHARACTER * size * len(words) > room:
            raise ValueError(f'"{words}" needs {CHARACTER * size * len(words):.0f} pixels, there are {room:.0f}')
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" fill="{colour}"{weight}>'
                          f"{escape(words)}</text>")

    def rectangle(self, x: float, y: float, width: float, height: float, fill: str, dashed: bool = False,
                  stroke: str = LINE, radius: float = 6) -> None:
        """A box."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" fill="{fill}" '
                          f'stroke="{stroke}"{dash}/>')

    def box(self, x: float, y: float, width: float, height: float, lines: list[str], fill: str, dashed: bool = False,
            size: float = 13) -> None:
        """A box with centred lines, the first bold."""
        self.rectangle(x, y, width, height, fill, dashed)
        step = size + 4
        top = y + height / 2 - step * (len(lines) - 1) / 2 + size * 0.36
        for number, line in enumerate(lines):
            self.text(x + width / 2, top + number * step, line, size, INK if number == 0 else SOFT, bold=number == 0,
                      room=width - 6)

    def arrow(self, *points: tuple[float, float], dashed: bool = False, tip: bool = True) -> None:
        """A line through the points with a tip at its end."""
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        end = ' marker-end="url(#tip)"' if tip else ""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<path d="{path}" fill="none" stroke="{SOFT}" stroke-width="1.6"{end}{dash}/>')

    def finish(self) -> str:
        """The file."""
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def latencies() -> dict[str, int]:
    """Cycles of every stage by its name in the package, without `_LATENCY`."""
    text = PACKAGE.read_text()
    found = {name: int(value) for name, value in re.findall(r"localparam int unsigned (\w+)_LATENCY = (\d+);", text)}
    formula = re.search(r"PIPELINE_LATENCY = ([^;]*);", text)
    if formula is None:
        raise ValueError(f"{PACKAGE.name} has no PIPELINE_LATENCY")
    found["PIPELINE"] = sum(found[name] for name in re.findall(r"(\w+)_LATENCY", formula[1]))
    return found


def pipeline() -> str:
    """The receive pipeline, transmit and registers."""
    cycles = latencies()
    picture = Picture(1080, 592, "The pipeline of a Hashgate NIC")
    picture.text(24, 34, f"A frame through the NIC: {cycles['PIPELINE']} clock cycles from first beat in to first beat out",
                 18, anchor="start", bold=True, room=1030)
    picture.text(24, 56, "512-bit build; one beat a cycle at every frame size, and nothing on the way is ever stalled. "
                 "Numbers are cycles.", 13, SOFT, "start", room=1030)

    def stage(x: float, y: float, width: float, name: str, part: str, fill: str = STAGE, reserved: bool = False) -> None:
        picture.box(x, y, width, 56, [name, f"{cycles[part]}"], RESERVED if reserved else fill, reserved)

    # First row: what kind of packet, whose rule.
    top, above = 176, 96
    picture.box(24, top, 76, 56, ["wire"], OUTSIDE)
    row = [("ingress", "INGRESS", 96, STAGE, False), ("window", "WINDOW", 96, STAGE, False),
           ("parser", "PARSE", 220, STAGE, False), ("fragments", "FRAGMENT", 110, RESERVED, True),
           ("port rules", "MATCH", 116, TABLE, False), ("rule entry", "RULE", 116, TABLE, False)]
    x, places = 130, {}
    picture.arrow((100, top + 28), (128, top + 28))
    for name, part, width, fill, reserved in row:
        stage(x, top, width, name, part, fill, reserved)
        places[name] = (x, width)
        x += width + 30
        if name != "rule entry":
            picture.arrow((x - 30, top + 28), (x - 2, top + 28))

    # Beside the parser.
    window_middle = places["window"][0] + 48
    rules_middle = places["port rules"][0] + 58
    picture.box(310, above, 120, 48, ["MAC filter", f"{cycles['EXACT']}"], TABLE)
    picture.box(460, above, 110, 48, ["zone table", f"{cycles['ZONE']}"], TABLE)
    picture.box(600, above, 110, 48, ["VIP table", f"{cycles['EXACT']}"], TABLE)
    picture.arrow((window_middle, top), (window_middle, above + 24), (308, above + 24))
    picture.arrow((515, top), (515, above + 50))
    picture.arrow((570, above + 24), (598, above + 24))
    picture.arrow((710, above + 24), (rules_middle, above + 24), (rules_middle, top - 2))
    picture.arrow((370, above), (370, above - 12), (rules_middle, above - 12), (rules_middle, above + 26), tip=False)

    # Second row: whose bucket, what that means here.
    low = 344
    end_x, end_width = places["rule entry"]
    turn = end_x + end_width / 2
    picture.arrow((turn, top + 56), (turn, low - 26), (70, low - 26), (70, low - 2))
    stage(24, low, 92, "key mask", "MASK")
    hash_x, map_x = 146, 262
    stage(hash_x, low, 86, "hash", "HASH")
    stage(map_x, low, 116, "bucket map", "MAP", TABLE)
    picture.arrow((116, low + 28), (hash_x - 2, low + 28))
    picture.arrow((hash_x + 86, low + 28), (map_x - 2, low + 28))
    stage(hash_x, low + 76, map_x + 116 - hash_x, "binding tables (in parallel)", "BINDING", TABLE)
    picture.arrow((130, low + 28), (130, low + 104), (hash_x - 2, low + 104))
    target_x = 424
    stage(target_x, low, 116, "target table", "TARGET", TABLE)
    picture.arrow((map_x + 116, low + 28), (target_x - 2, low + 28))
    picture.arrow((map_x + 116, low + 104), (401, low + 104), (401, low + 28), tip=False)
    stage(570, low, 92, "verdict", "VERDICT")
    picture.arrow((540, low + 28), (568, low + 28))
    stage(692, low, 92, "edit", "EDIT", RESERVED, True)
    picture.arrow((662, low + 28), (690, low + 28))
    stage(814, low, 110, "egress", "EGRESS")
    picture.arrow((784, low + 28), (812, low + 28))
    picture.box(966, low - 16, 90, 38, ["host"], OUTSIDE)
    picture.box(966, low + 34, 90, 38, ["wire"], OUTSIDE)
    picture.arrow((924, low + 16), (946, low + 16), (946, low + 3), (964, low + 3))
    picture.arrow((924, low + 40), (946, low + 40), (946, low + 53), (964, low + 53))

    # The beats.
    beats = top + 80
    left = places["ingress"][0]
    picture.box(left, beats, 738 + 46 - left, 36, ["the beats of the frame wait for their decision"], STORE)
    picture.arrow((left + 48, top + 56), (left + 48, beats - 2), dashed=True)
    picture.arrow((738, beats + 36), (738, low - 2), dashed=True)

    # Transmit and registers.
    picture.box(692, low + 100, 364, 44, ["host transmit: MAC masking, ARP and ND"], STORE)
    picture.arrow((1030, low + 100), (1030, low + 74))
    picture.box(24, low + 156, 1032, 40, ["registers (AXI4-Lite): shadows of all tables, CRC check, one commit"], STORE)
    for position, (fill, dashed, words) in enumerate([(TABLE, False, "table, two banks"), (STAGE, False, "logic"),
                                                      (RESERVED, True, "reserved: latency is final, table not there yet")]):
        left = (24, 204, 300)[position]
        picture.rectangle(left, low + 216, 16, 14, fill, dashed, radius=3)
        picture.text(left + 24, low + 228, words, 12, SOFT, "start")
    return picture.finish()


def cluster() -> str:
    """Four NICs that see the same frames."""
    picture = Picture(1000, 520, "Four NICs share the traffic for one address")
    picture.text(24, 34, "Four NICs see the same frames; each accepts its own share", 18, anchor="start", bold=True, room=950)
    picture.text(24, 56, "The bucket map is the same on all of them. Only what an owner means differs: mine is delivered, "
                 "the rest is discarded.", 13, SOFT, "start", room=950)
    picture.box(400, 76, 200, 44, ["clients"], OUTSIDE)
    picture.box(300, 146, 400, 44, ["switch: one cluster MAC, every port gets every frame"], OUTSIDE, size=12)
    picture.arrow((500, 120), (500, 144))
    shares = [12, 10, 6, 4]  # buckets of 32 drawn
    owners = [host for host, count in enumerate(shares) for _ in range(count)]
    # A map looks random: a fixed permutation of the drawn buckets.
    drawn = [owners[(number * 13 + 5) % len(owners)] for number in range(len(owners))]
    width, gap = 220, 24
    for host in range(4):
        left = 24 + host * (width + gap)
        middle = left + width / 2
        picture.arrow((500, 190), (500, 212), (middle, 212), (middle, 232))
        picture.rectangle(left, 234, width, 168, STORE)
        picture.text(middle, 256, f"NIC {host + 1}", 14, bold=True)
        picture.text(left + 14, 280, "bucket map", 12, SOFT, "start")
        for number, owner in enumerate(drawn):
            x = left + 14 + (number % 16) * 12
            y = 288 + (number // 16) * 14
            picture.rectangle(x, y, 11, 12, HOSTS[owner], stroke=PAPER, radius=2)
        picture.text(left + 14, 338, "target table", 12, SOFT, "start")
        for owner in range(4):
            x = left + 14 + owner * 48
            mine = owner == host
            picture.rectangle(x, 346, 44, 20, HOSTS[owner] if mine else RESERVED, stroke=HOSTS[owner], radius=3)
            picture.text(x + 22, 360, "deliver" if mine else "discard", 10, PAPER if mine else SOFT, bold=mine)
        picture.text(middle, 390, f"accepts {100 * shares[host] / len(drawn):.0f} % of the buckets", 12)
        picture.arrow((middle, 402), (middle, 428))
        picture.box(left + 40, 430, width - 80, 44, [f"host {host + 1}"], OUTSIDE)
    picture.text(500, 504, "Every balanced frame is accepted exactly once. Bucket = hash of source, destination and ports, as far "
                 "as the rule's mask keeps them.", 12, SOFT, room=960)
    return picture.finish()


def main() -> int:
    """Exit code 1 if `--check` finds a difference."""
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit("usage: make.py [--check]")
    stale = []
    for name, content in (("pipeline.svg", pipeline()), ("cluster.svg", cluster())):
        file = HERE / name
        if check:
            if not file.exists() or file.read_text() != content:
                stale.append(name)
        else:
            file.write_text(content)
    if stale:
        print(f"differ from what docs/pictures/make.py draws: {', '.join(stale)}; run make generate", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
