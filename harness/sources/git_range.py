# SPDX-License-Identifier: GPL-2.0-or-later
"""Commits of a local git tree as a series, and the commit below them. The tree is only read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import PatchError, UserError
from harness.model import Series
from harness.sources import git
from harness.sources.patch_mail import Message
from harness.sources.patch_series import candidate, series_of
from harness.sources.patch_text import printable, split_lines

PREFIX = "git:"
_MAX_COMMITS = 300
"""A series on a list has a few dozen; thousands mean that the range begins at the wrong place."""
_DIFF = (
    "diff-tree --no-commit-id -p -r -M --full-index --binary --no-ext-diff "
    "--no-textconv --no-color --src-prefix=a/ --dst-prefix=b/"
)
_FORMAT = "--format=%an <%ae>%x00%s"


@dataclass(frozen=True, slots=True)
class Commits:
    """What a range holds."""

    series: Series
    base: str
    """``TREE@COMMIT``: the commit below them, as `kernels.resolve` takes it."""
    notes: tuple[str, ...] = ()


def top(folder: Path) -> Path:
    """Top of the work tree (or the bare repository) that ``folder`` lies in; UserError if there is none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name a kernel's git tree in TREE=")
    try:
        bare = git.call(folder, ["rev-parse", "--is-bare-repository"]).strip() == "true"
        found = git.call(folder, ["rev-parse", "--absolute-git-dir" if bare else "--show-toplevel"])
    except UserError as error:
        raise UserError(
            f"{folder}: not in a git tree, so there are no commits to test. Way out: run it inside a kernel "
            "tree, or name one in TREE=",
            detail=error.detail,
        ) from error
    return Path(found.rstrip("\n"))


def read(text: str, folder: Path) -> Commits:
    """The commits that ``text`` (``A..B``, ``A..``, or one commit) names in the tree that ``folder`` lies in."""
    repository = top(folder)
    commits = _commits(repository, text)
    if not commits:
        raise PatchError(f"{PREFIX}{printable(text)}: no commit in this range of {repository}")
    if len(commits) > _MAX_COMMITS:
        raise PatchError(
            f"{PREFIX}{printable(text)}: {len(commits)} commits, which no series has. Way out: a range that "
            "begins at the commit that your patches are made on"
        )
    below = _below(repository, commits)
    patches = []
    for commit, _ in commits:
        name = f"{repository}@{commit[:12]}"
        shown = git.read_bytes(
            repository, ["show", "-s", "--no-show-signature", "--encoding=UTF-8", _FORMAT, commit]
        )
        author, subject = shown.decode("utf-8", "replace").rstrip("\n").split("\0")
        lines = split_lines(git.read_bytes(repository, [*_DIFF.split(), commit]))
        message = Message(1, subject, printable(author), "", tuple(lines))
        found = candidate(message, name) if lines else None
        if found is None:
            raise PatchError(f"{name}: the commit '{printable(subject)}' changes no file")
        patches.append(found)
    return Commits(series_of(patches), f"{repository}@{below}", uncommitted(repository))


def _commits(repository: Path, text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Commit and parents of each commit of the range, oldest first."""
    first, dots, last = text.partition("..")
    if last.startswith(".") or not text.strip() or text.startswith("-"):
        raise PatchError(f"{PREFIX}{printable(text)}: not a range; give BASE..TIP, BASE.. or one commit")
    tip = git.resolve(repository, last or "HEAD") if dots else git.resolve(repository, text)
    # A commit alone is itself; its parents are in the line that rev-list prints of it.
    limit = [f"^{git.resolve(repository, first or 'HEAD')}"] if dots else ["--no-walk"]
    found = git.call(repository, ["rev-list", "--topo-order", "--reverse", "--parents", *limit, tip, "--"])
    return [(words[0], tuple(words[1:])) for words in map(str.split, found.splitlines())]


def _below(repository: Path, commits: list[tuple[str, tuple[str, ...]]]) -> str:
    """The commit on which the first one stands; PatchError if there is a merge among them, or nothing below."""
    for commit, parents in commits:
        if len(parents) > 1:
            raise PatchError(
                f"{repository}: {commit[:12]} is a merge; give a range without merges, or the branch rebased"
            )
        if not parents:
            raise PatchError(
                f"{repository}: nothing is below {commit[:12]} here (a shallow clone?): it has no base"
            )
    return commits[0][1][0]


def uncommitted(repository: Path) -> tuple[str, ...]:
    """A note when the work tree holds what is in no commit."""
    if not git.has_work_tree(repository):
        return ()
    argv = ["status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=all"]
    changed = git.call(repository, argv, git.no_filters(repository)).count("\0")
    if not changed:
        return ()
    files = "1 file that is" if changed == 1 else f"{changed} files that are"
    return (f"{repository} has {files} not committed: that is not tested",)
