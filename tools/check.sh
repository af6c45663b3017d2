#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What must hold before a commit: format, lint, types, unit tests. Every step runs; each says its own verdict.
cd "$(dirname "$0")/.." || exit 4
python=$(tools/setup.sh) || exit $?
failed=0

step() {
    name=$1
    shift
    if output=$("$@" 2>&1); then
        echo "ok      $name"
    else
        printf '%s\n' "$output"
        echo "FAILED  $name"
        failed=1
    fi
}

step 'format (ruff)' "$python" -m ruff format --check --quiet .
step 'lint (ruff)' "$python" -m ruff check --quiet .
step 'types (mypy)' "$python" -P -m mypy
step 'shell scripts' sh -n tools/setup.sh tools/check.sh faultloop
# What runs compilers, git or a terminal (tests/tools) and whole lives of processes (tests/lifecycle) is left to `make test`.
"$python" -P -m pytest -q -n 2 --dist worksteal tests/unit || failed=1
exit $failed
