# SPDX-License-Identifier: GPL-2.0-or-later
"""``reproduce.sh``: a script that repeats a run and says whether the result is the same."""

from __future__ import annotations

import shlex

from harness.model import Run

_SCRIPT = """#!/bin/sh
# Repeats this run of faultloop and compares the result. FAULTLOOP names a checkout; without it, the one that
# holds this folder is used, or else the installed command.
#
# recorded  {started}
# kernel    {kernel}
#           {origin}
# emulator  {emulator}
# result    {summary}
set -eu
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(git -C "$here" rev-parse --show-toplevel 2>/dev/null || :)
command=faultloop
if [ -n "${{FAULTLOOP:-}}" ]; then
    command=$FAULTLOOP/faultloop
elif [ -x "$checkout/faultloop" ] && [ -f "$checkout/harness/cli.py" ]; then
    command=$checkout/faultloop
fi
status=0
"$command" {command} || status=$?
if [ "$status" -ne {status} ]; then
    echo "reproduce.sh: exit status $status, recorded was {status}" >&2
    exit 1
fi
echo "reproduce.sh: same exit status as recorded ({status})"
"""


def script(run: Run) -> str:
    """The script; every argument is quoted for the shell, ``{here}`` in an argument stands for its folder."""
    words = [
        '"$here"/' + shlex.quote(word.removeprefix("{here}/")) if word.startswith("{here}/") else shlex.quote(word)
        for word in run.command
    ]
    return _SCRIPT.format(
        started=_comment(run.started),
        kernel=_comment(run.kernel.version),
        origin=_comment(run.kernel.origin),
        emulator=_comment(run.emulator.origin),
        summary=_comment(run.summary),
        command=" ".join(words),
        status=run.status,
    )


def _comment(text: str) -> str:
    """Text that stays within its comment line."""
    return "".join(c if c.isprintable() else " " for c in text)
