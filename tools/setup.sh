#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Sets up what the build needs and prints what it does: Debian packages (installed when run as root), the pinned Python
# tools in .tools/venv, the Rust crates of Cargo.lock. A second run finds the stamp in .tools and does nothing, offline.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/debian.sh

fail() {
    echo "setup: $*" >&2
    exit 1
}

has_header() {
    echo "#include <$1>" | g++ -E -x c++ - >/dev/null 2>&1
}

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
command -v cargo >/dev/null || fail "cargo not found: install Rust $wanted or newer (https://rustup.rs)"
found=$(cargo --version | cut -d' ' -f2)
[ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ] ||
    fail "Rust $found is too old, $wanted or newer is needed: rustup update stable"

mkdir -p .tools
exec 9>.tools/lock
flock 9

# What is tested is the tool itself, not the package that carries it, so that other installations of it do as well.
packages=()
command -v g++ >/dev/null || packages+=(g++)
python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
has_header zlib.h || packages+=(zlib1g-dev)
has_header lz4.h || packages+=(liblz4-dev)
need_packages setup "${packages[@]}"
# Tests compare with it, and say that they are skipped where it is not; so it is tried once.
if ! command -v tshark >/dev/null && [ ! -e .tools/without-tshark ]; then
    need_packages setup tshark || { echo "setup: going on without tshark" && touch .tools/without-tshark; }
fi
# So are these, for clusters on one machine. nginx must not start by itself: policy-rc.d says no to services meanwhile.
packages=()
for pair in nginx:nginx-light ethtool:ethtool tcpdump:tcpdump curl:curl ip:iproute2; do
    [ -n "$(PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}")" ] || packages+=("${pair##*:}")
done
if [ ${#packages[@]} -gt 0 ] && [ ! -e .tools/without-cluster ]; then
    policy=/usr/sbin/policy-rc.d
    made=
    if [ "$(id -u)" = 0 ] && [ ! -e $policy ]; then
        made=$policy
        trap '[ -z "$made" ] || rm -f "$made"' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    need_packages setup "${packages[@]}" || { echo "setup: going on without clusters on this machine" && touch .tools/without-cluster; }
    [ -z "$made" ] || rm -f "$made"
    made=
fi
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(python3 --version) is too old, Python 3.11 or newer is needed"

# A virtual environment does not survive a move of the checkout or another Python version.
stamp=$({
    pwd
    python3 -c 'import sys; print(sys.version)'
    cat tools/requirements.txt
} | sha256sum | cut -d' ' -f1)
if [ "$(cat .tools/venv/stamp 2>/dev/null)" != "$stamp" ]; then
    echo "setup: installing $(grep -c '==' tools/requirements.txt) Python packages into .tools/venv (about a minute)"
    rm -rf .tools/venv
    python3 -m venv .tools/venv
    .tools/venv/bin/pip install --quiet --disable-pip-version-check --no-input --only-binary :all: --require-hashes \
        -r tools/requirements.txt
    echo "$stamp" >.tools/venv/stamp
fi

stamp=$(sha256sum Cargo.lock | cut -d' ' -f1)
if [ "$(cat .tools/crates.stamp 2>/dev/null)" != "$stamp" ]; then
    echo "setup: fetching Rust crates"
    cargo fetch --locked --quiet
    echo "$stamp" >.tools/crates.stamp
fi
