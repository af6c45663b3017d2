# SPDX-License-Identifier: GPL-2.0-or-later
"""Drive ``git bisect`` beside the user's repository, not in it.

It runs in a bare repository of its own, which borrows the objects of the user's: so the user's checkout, refs,
configuration, worktree list and a bisection of their own stay as they are, no hook or filter of theirs can be met,
and no 80,000 files are checked out for each step. A worktree of the user's repository would be entered in it, and
read its configuration. What a killed process leaves here is never read again: whoever goes on makes a new one and
tells it the verdicts that are known.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.bisected import Commit
from harness.errors import UserError
from harness.shown import one_line
from harness.sought import Find, Mark
from harness.sources import git

TERMS = {Find.BREAK: ("good", "bad"), Find.FIX: ("broken", "fixed")}
"""git's words for the older and the newer state."""

_FIRST = re.compile(r"^# first \S+ commit: \[([0-9a-f]{40,64})\]", re.MULTILINE)
_POSSIBLE = re.compile(r"^# possible first \S+ commit: \[([0-9a-f]{40,64})\]", re.MULTILINE)
_LEFT = re.compile(r"Bisecting: (\d+) revisions? left to test after this \(roughly (\d+) steps?\)")
_LOGGED = re.compile(r"^git bisect (\S+) '?([0-9a-f]{7,64})'?$")
_LOG_TERMS = re.compile(r"'?--term-(new|bad|old|good)=(\w[\w-]*)'?")
_MERGE_BASE_WRONG = 3
_MOST_LOG = 1 << 20


@dataclass(frozen=True, slots=True)
class Asked:
    """What git wants next, or what it found."""

    next: str = ""
    """The commit to judge; empty at the end."""
    first: str = ""
    """The commit that was looked for."""
    suspects: tuple[str, ...] = ()
    """It is one of these: the others are skipped."""
    merge_base: bool = False
    """``next`` is a merge base: the older end is no ancestor of the newer."""
    mended_beside: str = ""
    """The merge base that is already in the newer state: the older end left that state by a commit of its own."""
    left: int = 0
    """Commits left after ``next``."""
    roughly: int = 0
    """Steps left, as git reckons."""
    words: str = ""
    """What git said."""


class Bisector:
    """One ``git bisect``, without a checkout (``--no-checkout``: the commit to judge is in BISECT_HEAD)."""

    def __init__(self, tree: Path, folder: Path, find: Find) -> None:
        """``tree`` is the user's repository, ``folder`` is made anew for ours."""
        self.folder = folder
        self._find = find
        old, new = TERMS[find]
        # A state that is good is the older one, unless a mend is looked for.
        self._terms = {Mark.SKIP: "skip", Mark.GOOD: old, Mark.BAD: new}
        if find is Find.FIX:
            self._terms |= {Mark.BAD: old, Mark.GOOD: new}
        self._borrow(tree)

    def _borrow(self, tree: Path) -> None:
        """A bare repository with nothing in it but the way to the objects of ``tree``."""
        kind = git.call(tree, ["rev-parse", "--show-object-format"]).strip()
        objects = git.call(tree, ["rev-parse", "--path-format=absolute", "--git-path", "objects"]).rstrip("\n")
        shallow = Path(
            git.call(tree, ["rev-parse", "--path-format=absolute", "--git-path", "shallow"]).rstrip("\n")
        )
        if "\n" in objects:
            raise UserError(f"{tree}: a line feed in the path of a repository: git cannot borrow from it")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        made = ["init", "--quiet", "--bare", "--template=", f"--object-format={kind}", str(self.folder)]
        git.call(self.folder, made, _isolated())
        (self.folder / "objects" / "info").mkdir(exist_ok=True)
        (self.folder / "objects" / "info" / "alternates").write_text(f"{objects}\n", encoding="utf-8")
        if shallow.is_file():
            shutil.copyfile(shallow, self.folder / "shallow")

    def __enter__(self) -> Bisector:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, argv: Sequence[str]) -> str:
        """What a git command prints here."""
        return git.call(self.folder, argv, self._env())

    def read_bytes(self, argv: Sequence[str], feed: bytes = b"") -> bytes:
        """The same in bytes, given ``feed``."""
        return git.read_bytes(self.folder, argv, feed=feed, env=self._env())

    def commit(self, sha: str) -> Commit:
        """What the repository knows of a commit."""
        form = "--format=%H%x00%s%x00%an <%ae>%x00%cI%x00%P"
        shown = self.read_bytes(["show", "-s", "--no-show-signature", "--encoding=UTF-8", form, sha, "--"])
        full, subject, author, date, parents = shown.decode("utf-8", "replace").rstrip("\n").split("\0")
        return Commit(full, one_line(subject), one_line(author), one_line(date), tuple(parents.split()))

    def has_tree(self, name: str) -> bool:
        """Whether ``name`` is the id of a tree that the repository has."""
        return git.run(self.folder, ["cat-file", "-e", f"{name}^{{tree}}"], self._env()).returncode == 0

    def is_ancestor(self, one: str, other: str) -> bool:
        """Whether ``one`` is ``other`` or comes before it."""
        done = git.run(self.folder, ["merge-base", "--is-ancestor", one, other], self._env())
        return done.returncode == 0

    def start(self, good: str, bad: str) -> Asked:
        """Begin between two commits; UserError when git cannot."""
        old, new = (good, bad) if self._find is Find.BREAK else (bad, good)
        self.call(["update-ref", "--no-deref", "HEAD", new])
        words = TERMS[self._find]
        terms = [] if self._find is Find.BREAK else [f"--term-old={words[0]}", f"--term-new={words[1]}"]
        return self._bisect(["start", "--no-checkout", *terms, new, old])

    def mark(self, commit: str, mark: Mark) -> Asked:
        """Tell git what a commit is."""
        return self._bisect([self._terms[mark], commit])

    def _bisect(self, argv: Sequence[str]) -> Asked:
        done = git.run(self.folder, ["bisect", *argv], self._env())
        said = (done.stdout + done.stderr).decode("utf-8", errors="replace")
        log = self.log()
        first, suspects = _FIRST.search(log), tuple(_POSSIBLE.findall(log))
        if first:
            return Asked(first=first.group(1), words=said)
        if suspects:
            return Asked(suspects=suspects, words=said)
        if done.returncode == _MERGE_BASE_WRONG:
            return Asked(mended_beside=argv[-1], words=said)
        if done.returncode != 0:
            raise UserError(f"git bisect {argv[0]}: {one_line(said)[:500]}")
        left = _LEFT.search(said)
        return Asked(
            next=self.call(["rev-parse", "--verify", "BISECT_HEAD"]).strip(),
            merge_base="a merge base must be tested" in said,
            left=int(left.group(1)) if left else 0,
            roughly=int(left.group(2)) if left else 0,
            words=said,
        )

    def log(self) -> str:
        """``git bisect log``; it can be replayed in any clone."""
        try:
            return (self.folder / "BISECT_LOG").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def _env(self) -> dict[str, str]:
        return {**_isolated(), "GIT_DIR": str(self.folder.absolute())}


def _isolated() -> dict[str, str]:
    """No configuration of the user's either: their words for bisect's terms, replaced objects, colours."""
    return {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_NO_REPLACE_OBJECTS": "1"}


@dataclass(frozen=True, slots=True)
class Logged:
    """What a log of ``git bisect`` says."""

    marks: tuple[tuple[str, Mark], ...]
    """Commits as they are written there, in order."""
    find: Find


def read_log(path: Path) -> Logged:
    """A log as ``git bisect log`` prints it, ours or one made by hand; UserError with the line if it is none.

    Words for the two states are those that its ``start`` line names, else good and bad, old and new.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_LOG + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if len(text) > _MOST_LOG:
        raise UserError(f"{path}: larger than {_MOST_LOG >> 20} MiB, which no log of git bisect is")
    old, new, started = {"good", "old"}, {"bad", "new"}, False
    marks: list[tuple[str, bool | None]] = []
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("git bisect start"):
            started = True
            for which, word in _LOG_TERMS.findall(line):
                (new if which in ("new", "bad") else old).add(word)
            continue
        found = _LOGGED.match(line)
        if found is None or not started or found.group(1) not in {"skip", *old, *new}:
            raise UserError(f"{path}:{number}: not a line of a `git bisect log`: {one_line(line)[:100]}")
        word = found.group(1)
        marks.append((found.group(2), None if word == "skip" else word in new))
    if not started:
        raise UserError(f"{path}: no log of `git bisect` (it has no `git bisect start`)")
    find = Find.FIX if "fixed" in new else Find.BREAK
    newer = Mark.GOOD if find is Find.FIX else Mark.BAD
    older = Mark.BAD if find is Find.FIX else Mark.GOOD
    known = tuple((sha, Mark.SKIP if is_new is None else newer if is_new else older) for sha, is_new in marks)
    return Logged(known, find)
