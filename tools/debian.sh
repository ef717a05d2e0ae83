# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# need_packages WHAT PACKAGE...: for scripts that source this file. Installs the Debian packages when run as root and
# apt-get exists; otherwise says in one line which packages WHAT needs, and fails.
need_packages() {
    local what=$1
    shift
    [ $# -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "$what: missing Debian packages: $* (as root: apt-get install -y $*)" >&2
        return 1
    fi
    echo "$what: installing Debian packages: $*"
    local log
    log=$(mktemp)
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } \
        >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        echo "$what: apt-get could not install: $*" >&2
        return 1
    fi
    rm -f "$log"
}
