# SPDX-License-Identifier: GPL-2.0-or-later
"""The thread of a Message-ID or of a link to it: out of a local archive, or over the network by ``b4``.

What was fetched is kept in the cache as an mbox, so that an error can name its lines, and so that the same
Message-ID can be tested again without the network.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from harness.errors import InfrastructureError, PatchError
from harness.mortal import bound
from harness.sources import mail_archive
from harness.sources.patch_text import printable
from harness.temporary import temporary

VARIABLE = "FAULTLOOP_ARCHIVE"
_ID = re.compile(r"[^\s<>@/\\\x00-\x1f]{1,250}@[^\s<>@/\\\x00-\x1f]{1,250}")
_FILES = (".patch", ".diff", ".mbox", ".eml", ".txt", ".html", ".gz")
_SCHEMES = ("mid:", "id:", "rfc822msgid:")
_SECONDS = 300
_MOST_BYTES = 64 << 20
"""Of a thread: twice what is read of one."""
_KEPT = 60


def message_id(text: str) -> str:
    """The Message-ID that ``text`` (``<ID>``, ``ID``, or a link with it) names; empty if it names none."""
    bare = text.strip()
    if is_link(bare):
        parts = urllib.parse.urlsplit(bare).path.split("/")
        return next((p for p in map(urllib.parse.unquote, parts) if _ID.fullmatch(p)), "")
    for scheme in _SCHEMES:
        bare = bare.removeprefix(scheme)
    if bare.startswith("<") and bare.endswith(">"):
        bare = bare[1:-1]
    elif bare.endswith(_FILES):  # the name of a file that is not there
        return ""
    return bare if _ID.fullmatch(bare) else ""


def is_link(text: str) -> bool:
    """Whether ``text`` is the address of a page."""
    return text.startswith(("https://", "http://"))


def fetch(text: str, folder: Path, say: Callable[[str], None]) -> Path:
    """The thread that ``text`` names as an mbox in ``folder``. PatchError if no archive has it."""
    wanted = message_id(text)
    if not wanted:
        raise PatchError(
            f"{printable(text)}: no Message-ID in this link. Way out: the link that ends in the Message-ID "
            "(https://lore.kernel.org/all/ID/), or the page saved to a file"
        )
    slug = re.sub(r"[^A-Za-z0-9.@_+-]+", "_", wanted)[:_KEPT].strip(".")
    path = folder / f"{hashlib.sha256(wanted.encode()).hexdigest()[:12]}-{slug}.mbox"
    local = [Path(name).expanduser() for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    for archive in local:
        found = mail_archive.thread(archive, wanted)
        if found is not None:
            say(f"<{wanted}>: its thread is in {archive}")
            return _keep(path, found)
    try:
        return _keep(path, _b4(text if is_link(text) else f"<{wanted}>", wanted, local))
    except InfrastructureError as error:
        if not path.is_file():
            raise
        say(f"{error.message}; going on with the thread as it was fetched before")
        return path


def _keep(path: Path, mbox: bytes) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}.tmp")
        new.write_bytes(mbox)
        new.replace(path)
    except OSError as error:
        raise InfrastructureError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def b4() -> str:
    """The program; InfrastructureError when there is none."""
    program = Path(sys.executable).with_name("b4")
    found = str(program) if program.is_file() else shutil.which("b4")
    if found is None:
        raise InfrastructureError("`b4` is not installed; `pip install b4`, or run `tools/setup.sh`")
    return found


def _b4(what: str, wanted: str, local: list[Path]) -> bytes:
    """The thread as ``b4 mbox`` gives it; it runs in an empty folder, so that no tree's configuration counts."""
    beside = f"; {VARIABLE} ({os.pathsep.join(map(str, local))}) does not have it either" if local else ""
    with temporary("b4") as scratch:
        argv = [b4(), "--no-interactive", "--no-stdin", "mbox", "--no-cache", "--outdir", str(scratch)]
        argv += ["--mbox-name", "thread", what]
        try:
            done = subprocess.run(
                bound(argv),
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise InfrastructureError(f"<{wanted}>: b4 took longer than {_SECONDS} s{beside}") from error
        said = (done.stderr + done.stdout).decode("utf-8", "replace").strip()
        files = [path for path in Path(scratch).iterdir() if path.is_file() and not path.is_symlink()]
        if done.returncode == 0 and len(files) == 1:
            with files[0].open("rb") as file:
                return file.read(_MOST_BYTES)
    if "error: 404" in said or "not known" in said:
        raise PatchError(f"<{wanted}>: the archive that b4 asks has no such mail{beside}", detail=said)
    raise InfrastructureError(
        f"<{wanted}>: b4 could not fetch the thread{beside}. Way out: save the thread as an mbox (lore's "
        f"`mbox.gz` link), or name a local archive in {VARIABLE}",
        detail=said,
    )
