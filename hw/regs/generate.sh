#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes from hashgate.rdl and host.rdl the register blocks (PeakRDL-regblock), the Rust access layers and the reference pages (export.py).
#
# Usage: generate.sh [--check]     --check: write nothing, exit 1 if a file on disk differs
# The tools are those of `make setup` in .tools/venv, or of the virtual environment $HASHGATE_VENV.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=${HASHGATE_VENV:-.tools/venv}
[ -x "$venv/bin/peakrdl" ] || {
    echo "$0: no PeakRDL in $venv: run \`make setup\`, or set HASHGATE_VENV to a virtual environment that has it" >&2
    exit 1
}
case ${1:-} in
'' | --check) ;;
*)
    echo "usage: $0 [--check]" >&2
    exit 2
    ;;
esac

new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
rtl=hw/rtl/generated
mkdir -p "$new/$rtl" "$new/driver/regs/src" "$new/docs/reference"

# make_block NAME: the register block of NAME.rdl.
make_block() {
    local description=hw/regs/$1.rdl made=$new/made file block
    rm -rf "$made"
    "$venv/bin/peakrdl" regblock "$description" -o "$made" --cpuif passthrough --type-style hier \
        --rt-read-fanin --rt-read-response >"$new/log" 2>&1 || {
        cat "$new/log" >&2
        exit 1
    }
    for file in "$made"/*.sv; do
        sed -i -e "1i // SPDX-License-Identifier: Apache-2.0\n//\n// Made by hw/regs/generate.sh from $description; do not edit." \
            -e 's/[[:space:]]*$//' "$file"
    done
    block=$(ls "$made"/*_regs.sv)
    # axil_port has one request under way at a time, so that the block never has to stall one (asserted where it is used): without
    # the mask a decoded address does not wait for it.
    "$venv/bin/python" - "$block" <<'PYTHON'
import re
import sys
from pathlib import Path
file = Path(sys.argv[1])
text, found = re.subn(r"(assign cpuif_req_masked = cpuif_req)(\s[^;]*)?;", r"\1;", file.read_text())
if found != 1:
    sys.exit("generate.sh: the register block has no mask of requests any more; look at what PeakRDL makes now")
file.write_text(text)
PYTHON
    mv "$made"/*.sv "$new/$rtl"
}
make_block hashgate
make_block host
"$venv/bin/python" hw/regs/export.py hw/regs/hashgate.rdl "$new/driver/regs/src/registers.rs" "$new/docs/reference/registers.md" \
    "$new/docs/reference/registers.html"
"$venv/bin/python" hw/regs/export.py hw/regs/host.rdl "$new/driver/regs/src/host_registers.rs" "$new/docs/reference/host_registers.md" \
    "$new/docs/reference/host_registers.html"

stale=()
for file in "$rtl"/hashgate_{,host_}regs{,_pkg}.sv driver/regs/src/{,host_}registers.rs docs/reference/{,host_}registers.{md,html}; do
    cmp -s "$new/$file" "$file" && continue
    stale+=("$file")
    [ "${1:-}" = --check ] || {
        cp "$new/$file" "$file"
        echo "wrote $file"
    }
done
if [ "${1:-}" = --check ] && [ ${#stale[@]} -gt 0 ]; then
    echo "not up to date with hw/regs: ${stale[*]}; run hw/regs/generate.sh and commit the result" >&2
    exit 1
fi
