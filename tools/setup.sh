#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Make this host ready, once: system packages and a virtual environment with locked versions.
# Prints the environment's python; says on stderr what it does. Costs milliseconds when nothing is to be done: each
# process that it starts is one or two.
# --test: the packages that only tests need, too.
set -eu

here=${0%/*}
[ "$here" != "$0" ] || here=.
root=$(cd "$here/.." && pwd)
cache=${FAULTLOOP_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set: name a folder in FAULTLOOP_CACHE}/.cache}/faultloop}

fail() {
    echo "faultloop: $*" >&2
    exit 4
}

say() {
    echo "$*" >&2
}

# The host's packages of a list: asked for only when it changed since they were last found complete.
packages() {
    wanted=$(sed 's/#.*//' "$1" | tr -s ' \n' ' ')
    command -v dpkg-query >/dev/null || {
        say "faultloop: not a Debian system; these packages, or what corresponds to them, are needed:$wanted"
        return 0
    }
    missing=
    for package in $wanted; do
        case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) in
        *" ok installed") ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        sudo=
    elif sudo -n true 2>/dev/null; then
        sudo="sudo -n"
    else
        fail "packages are missing; run:  sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing"
    fi
    say "system packages: installing$missing ..."
    log=$cache/apt-get.log
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # words on purpose
    if ! { $sudo apt-get update && $sudo apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        fail "apt-get failed (log: $log); run:  apt-get install -y --no-install-recommends$missing"
    fi
    say "system packages: done"
}

# The environment is named by what is in it; a half-made one has no stamp and is made anew.
environment() {
    if [ -z "${python:-}" ]; then
        fail "no python3 of at least 3.11 found (Debian package python3)"
    fi
    say "virtual environment: making $venv ..."
    rm -rf "$venv"
    "$python" -m venv "$venv" >"$cache/venv.log" 2>&1 &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
            -r "$root/requirements.lock" >>"$cache/venv.log" 2>&1 || {
        tail -n 20 "$cache/venv.log" >&2
        rm -rf "$venv"
        fail "the virtual environment could not be made (log: $cache/venv.log)"
    }
    : >"$venv/.complete"
    say "virtual environment: done"
}

find_python() {
    for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

mkdir -p "$cache" || fail "$cache: cannot be made; name another folder in FAULTLOOP_CACHE"
if [ "${1:-}" = --test ]; then
    set -- "$root/tools/packages.txt" "$root/tools/test-packages.txt"
else
    set -- "$root/tools/packages.txt"
fi
sum=$(sha256sum <"$root/requirements.lock")
venv=$cache/venv/$(printf %.16s "$sum")

stamp() {
    # shellcheck disable=SC2046 # a sum and a length
    set -- $(cksum <"$1")
    echo "$cache/host-$1$2"
}

complete=yes
for list in "$@"; do
    [ -e "$(stamp "$list")" ] || complete=
done
if [ -z "$complete" ] || [ ! -e "$venv/.complete" ]; then
    command -v flock >/dev/null || fail "\`flock\` is missing (Debian package util-linux)"
    exec 9>"$cache/setup.lock"
    flock 9
    for list in "$@"; do
        [ -e "$(stamp "$list")" ] || { packages "$list" && : >"$(stamp "$list")"; }
    done
    [ -e "$venv/.complete" ] || { python=$(find_python) && mkdir -p "$cache/venv" && environment; }
    exec 9>&-
fi
true 2>/dev/null >"$venv/.complete" || : # as new: see harness/jobs/tidy.py
echo "$venv/bin/python"
