#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Verilator -Wall over the core and the host interface of one build (512 or 64); a warning is an error. Waivers, each with its reason, are in
# the .vlt files beside this script.
set -euo pipefail
build=${1:?usage: verilator.sh 512|64}
cd "$(dirname "$0")/../rtl"
site=$(echo ../../.tools/venv/lib/python3*/site-packages)
export VERILATOR_ROOT=$site/verilator
for top in hashgate_nic hashgate_core host_interface; do
    "$VERILATOR_ROOT/bin/verilator_bin" --lint-only -Wall --assert --top-module "$top" \
        ../lint/*.vlt "config/$build/hashgate_cfg_pkg.sv" -f hashgate.f
done
echo "build $build: no warning"
