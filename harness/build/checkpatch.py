# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tree's own ``scripts/checkpatch.pl`` says of a series, and which compiler warnings it adds.

Beside a verdict, never part of it. The script is the base's: a patch cannot change what it is measured by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from harness.build.cache import Cache, digest
from harness.build.sandbox import Bind, CommandFailed, Sandbox
from harness.errors import InfrastructureError
from harness.model import Kernel, Series
from harness.temporary import temporary

_SCRIPT = "scripts/checkpatch.pl"
_SOURCE = "/build/src"
_SECONDS = 30.0
_RECIPE = 1
_ROOM = "checks"
_FINDINGS = "findings.json"
_FINDING = re.compile(r"(?P<place>\S+:\d+): (?P<what>(?:ERROR|WARNING):[A-Z0-9_]+: .*)")
# The mail around the diff is not there any more.
_OPTIONS = ("--patch", "--terse", "--showfile", "--show-types", "--no-summary", "--no-signoff", "--color=never")
_IGNORED = "COMMIT_MESSAGE,FILE_PATH_CHANGES,MISSING_SIGN_OFF,NO_AUTHOR_SIGN_OFF,GIT_COMMIT_ID,EMAIL_SUBJECT"
_PLACE = re.compile(r":\d+:(?:\d+:)?")


def check(kernel: Kernel, series: Series, *, cache: Cache, sandbox: Sandbox) -> tuple[str, ...]:
    """Findings, ``ERROR:TYPE: text (file:line)``, errors first; empty for a tree without the script."""
    if not (kernel.tree / _SCRIPT).is_file():
        return ()
    key = digest("checkpatch", _RECIPE, kernel.digest, [p.diff for p in series.patches])
    entry = cache.make(_ROOM, key, lambda folder: _run(kernel, series, sandbox, folder))
    return tuple(json.loads((entry / _FINDINGS).read_text(encoding="utf-8")))


def _run(kernel: Kernel, series: Series, sandbox: Sandbox, folder: Path) -> None:
    lines: list[str] = []
    with temporary("style") as patches:
        names = []
        for number, patch in enumerate(series.patches, 1):
            name = f"{number:04}.patch"
            Path(patches, name).write_bytes(patch.diff.encode(errors="surrogateescape"))
            names.append(f"/build/patches/{name}")
        binds = [Bind(kernel.tree, _SOURCE), Bind(Path(patches), "/build/patches")]
        argv = ["/usr/bin/perl", _SCRIPT, *_OPTIONS, "--ignore", _IGNORED, *names]
        try:
            sandbox.run(argv, binds=binds, cwd=_SOURCE, on_output=lines.append, timeout=_SECONDS)
        except CommandFailed as error:
            if error.exit_status != 1:  # 1: it has findings
                raise InfrastructureError(f"{_SCRIPT} failed: {error.message}", detail=error.detail) from error
    (folder / _FINDINGS).write_text(json.dumps(findings(lines), indent=1), encoding="utf-8")


def findings(lines: Iterable[str]) -> tuple[str, ...]:
    """The script's lines as findings, errors first, each once. Pure."""
    known = [m for line in lines if (m := _FINDING.fullmatch(line.strip()))]
    texts = dict.fromkeys(f"{m['what']} ({m['place']})" for m in known)
    return tuple(sorted(texts, key=lambda text: not text.startswith("ERROR")))


def new_warnings(base: Iterable[str], patched: Iterable[str]) -> tuple[str, ...]:
    """Compiler warnings of ``patched`` that ``base`` does not have at another line of the same file. Pure."""
    known = {_PLACE.sub(":", line, count=1) for line in base}
    return tuple(line for line in patched if _PLACE.sub(":", line, count=1) not in known)
