# SPDX-License-Identifier: GPL-2.0-or-later
"""The touched files of a kernel tree in a folder of their own, and ``git apply`` on them.

git sees nothing of its user: no configuration but what is given here, no home, no repository around the folder,
and no attributes (a patch may bring a ``.gitattributes`` that asks for conversions). It gets diffs that
`patch_render` wrote, never the mail's own text; and it runs in the sandbox, where it can write that folder only.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.build import sandbox
from harness.build.sandbox import PATH, Bind, CommandFailed
from harness.errors import InfrastructureError, PatchError
from harness.sources.patch_diff import FileDiff
from harness.sources.patch_render import render
from harness.sources.patch_text import printable

_CHECKING = re.compile(r"Checking patch .*\.\.\.$")
_OFFSET = re.compile(r"Hunk #(\d+) succeeded at (\d+) \(offset (-?\d+) lines?\)")
_REJECTED = re.compile(r"Rejected hunk #(\d+)\.")
_SECONDS = 300
_TREE = "/bench/tree"
_GIT_DIR = "/bench/git"
_DIFF = "patch.diff"
_CONFIG = """[core]
\trepositoryformatversion = 0
\tbare = false
\tfilemode = true
\tsymlinks = true
\tautocrlf = false
\tprotectHFS = true
\tprotectNTFS = true
[apply]
\twhitespace = nowarn
"""
_ATTRIBUTES = "* -text -eol -ident -filter -working-tree-encoding -whitespace\n"


@dataclass(frozen=True, slots=True)
class GitOffset:
    """A hunk that git put elsewhere than its header says."""

    file: int
    """Index of the file diff, from 0."""
    hunk: int
    """Number of the hunk in that file, from 1."""
    lines: int
    at: int
    """Line where it was put."""


class Bench:
    """A folder with copies of the files that a series touches. Patches are applied here; the tree is only read."""

    def __init__(self, folder: Path, git_dir: Path) -> None:
        """``folder`` and ``git_dir`` are empty folders; git's own files go to the second."""
        self.folder = folder
        self._git_dir = git_dir
        for name in ("objects", "refs", "info"):
            (git_dir / name).mkdir(parents=True)
        (git_dir / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
        (git_dir / "config").write_text(_CONFIG, encoding="ascii")
        (git_dir / "info" / "attributes").write_text(_ATTRIBUTES, encoding="ascii")

    def fill(self, tree: Path, paths: Iterable[str]) -> None:
        """Copy ``paths`` of ``tree``, as far as they are there. PatchError for one that lies below a link."""
        touched = frozenset(paths)
        for path in sorted(touched):
            content = read_entry(tree, path, touched)
            if content is not None:
                self._write(path, *content)

    def _write(self, path: str, data: bytes, mode: int) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISLNK(mode):
            target.symlink_to(os.fsdecode(data))
        else:
            target.write_bytes(data)
            target.chmod(stat.S_IMODE(mode))

    def content(self, path: str) -> bytes | None:
        """What the bench holds of ``path`` now; None if it holds no such file."""
        found = read_entry(self.folder, path, frozenset())
        return found[0] if found else None

    def apply(self, files: Sequence[FileDiff]) -> tuple[GitOffset, ...] | None:
        """Apply ``files`` as one patch, all or nothing: no fuzz, whole context. None if it does not apply."""
        done = self._git(["apply", "--verbose"], files)
        return _offsets(done.stderr) if done.returncode == 0 else None

    def apply_loosely(self, files: Sequence[FileDiff], context: int) -> bool:
        """Apply with no more than ``context`` lines around each change to match; False if that is not enough."""
        return self._git(["apply", f"-C{context}"], files).returncode == 0

    def reverses(self, files: Sequence[FileDiff]) -> bool:
        """Whether ``files`` could be taken out again: the bench has them already."""
        return self._git(["apply", "--check", "--reverse"], files).returncode == 0

    def try_file(self, file: FileDiff) -> tuple[int, ...]:
        """Apply what applies of one file diff; numbers of the hunks that do not, from 1 (without hunks: 1)."""
        every = tuple(range(1, max(1, len(file.hunks)) + 1))
        done = self._git(["apply", "--verbose", "--reject"], [file])
        if done.returncode == 0:
            return ()
        rejected = tuple(int(number) for number in _REJECTED.findall(done.stderr))
        self.folder.joinpath(f"{file.name}.rej").unlink(missing_ok=True)
        return rejected or every

    def _git(self, argv: Sequence[str], files: Sequence[FileDiff]) -> subprocess.CompletedProcess[str]:
        env = {
            "XDG_CONFIG_HOME": _GIT_DIR,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_DIR": _GIT_DIR,
            "GIT_WORK_TREE": _TREE,
        }
        if shutil.which("git", path=PATH) is None:
            raise InfrastructureError("git: not found; install the package git")
        (self._git_dir / _DIFF).write_bytes(render(files))
        binds = [Bind(self.folder.absolute(), _TREE, writable=True), Bind(self._git_dir.absolute(), _GIT_DIR)]
        said: list[str] = []
        status = 0
        try:
            sandbox.of_user().run(
                ["git", *argv, f"{_GIT_DIR}/{_DIFF}"],
                binds=binds,
                env=env,
                cwd=_TREE,
                on_output=said.append,
                timeout=_SECONDS,
            )
        except CommandFailed as error:
            status = error.exit_status
        return subprocess.CompletedProcess(argv, status, "", "\n".join(said))


def read_entry(tree: Path, path: str, touched: frozenset[str]) -> tuple[bytes, int] | None:
    """Content and mode of ``path`` in ``tree`` (a link's target, for a link); None if it is not there.

    PatchError when a folder on the way is a link (or a file that the series does not touch), or it is a folder.
    """
    parts = path.split("/")
    for depth in range(1, len(parts)):
        above = "/".join(parts[:depth])
        mode = _mode(tree / above)
        if mode is None or above in touched:
            return None
        if not stat.S_ISDIR(mode):
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "a file"
            raise PatchError(f"{printable(path)}: the tree has {kind} at {printable(above)}, and no folder")
    mode = _mode(tree / path)
    if mode is None:
        return None
    if stat.S_ISLNK(mode):
        return os.fsencode((tree / path).readlink()), mode
    if not stat.S_ISREG(mode):
        raise PatchError(f"{printable(path)}: the patch has a file where the tree has a folder or a special file")
    return (tree / path).read_bytes(), stat.S_IFREG | (0o755 if mode & stat.S_IXUSR else 0o644)


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _offsets(said: str) -> tuple[GitOffset, ...]:
    """Offsets out of what ``git apply --verbose`` prints: a line for each file, then one for each moved hunk."""
    found = []
    file = -1
    for line in said.splitlines():
        if _CHECKING.match(line):
            file += 1
        elif match := _OFFSET.match(line):
            found.append(GitOffset(file, int(match.group(1)), int(match.group(3)), int(match.group(2))))
    return tuple(found)
