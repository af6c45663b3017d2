# SPDX-License-Identifier: GPL-2.0-or-later
"""Build and boot one commit of a bisection.

A commit is built as the files by which it differs from a tree that was built before (the *base*): from the objects
of the nearest commit, without a checkout.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from harness.bisected import Commit
from harness.build import kernel as builder
from harness.build.cache import digest, file_sha256
from harness.build.variant_tree import Touched
from harness.errors import PatchError, UserError
from harness.jobs.guests import GuestJob, GuestRunner
from harness.jobs.records import load
from harness.jobs.workshop import Workshop
from harness.model import BuiltKernel, GuestRecord, Kernel, Series, Setup, Workload
from harness.shown import one_line
from harness.sources import git_tree, kernels, patch_apply
from harness.sources.git_bisect import Bisector
from harness.temporary import temporary

_NEAR = 4000
"""Files by which a known kernel may differ from GOOD to be built from: with more, nearly all is built anew."""
_VERSION = re.compile(rb"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Made:
    """A commit's kernel."""

    built: BuiltKernel
    image: str
    """Hex SHA-256 over image and modules."""
    notes: tuple[str, ...] = ()


class Bench:
    """Where the commits of one bisection are built and booted."""

    def __init__(
        self, shop: Workshop, repository: Bisector, tree: Path, good: str, series: Series, setup: Setup
    ) -> None:
        """``good`` is the commit by which the base is chosen; ``series`` goes on each commit."""
        self._shop = shop
        self._repository = repository
        self._tree = tree
        self._good = good
        self._series = series
        self._setup = setup
        self._listings: dict[str, git_tree.Listing] = {}

    @cached_property
    def _kind(self) -> str:
        return self._repository.call(["rev-parse", "--show-object-format"]).strip()

    @cached_property
    def base(self) -> Kernel:
        """A kernel that was built before, of GOOD's version and near to it; else GOOD itself, as a base."""
        version = self._version(self._good)
        listing = git_tree.of_commit(self._read, self._good)
        near: list[tuple[int, str, Kernel]] = []
        for kernel in kernels.cached(cache=self._shop.cache):
            same = kernel.version.split(".")[:2] == version.split(".")[:2]
            if same and self._is_built(kernel):
                changed, gone = git_tree.differing(self._listing(kernel), listing)
                near.append((len(changed) + len(gone), kernel.name, kernel))
        distance, _, found = min(near, default=(_NEAR + 1, "", None), key=lambda one: one[:2])
        if found is None or distance > _NEAR:
            return self._shop.kernel(f"{self._tree}@{self._good}")
        return found

    def _is_built(self, kernel: Kernel) -> bool:
        cache, fragments = self._shop.cache, builder.fragments(self._setup)
        made = builder.entries(kernel, Series(), cache=cache, sandbox=self._shop.sandbox, fragments=fragments)
        return cache.get(*made.base) is not None

    def _listing(self, kernel: Kernel) -> git_tree.Listing:
        if kernel.digest not in self._listings:
            self._listings[kernel.digest] = self._listed(kernel)
        return self._listings[kernel.digest]

    def _listed(self, kernel: Kernel) -> git_tree.Listing:
        if self._repository.has_tree(kernel.digest):  # it came out of this repository
            return git_tree.of_commit(self._read, kernel.digest)
        return git_tree.of_folder(kernel.tree, kernel.digest, self._shop.cache, self._kind)

    def _read(self, argv: Sequence[str], feed: bytes) -> bytes:
        return self._repository.read_bytes(argv, feed)

    def _version(self, commit: str) -> str:
        text = self._read(["cat-file", "blob", f"{commit}:Makefile"], b"")[:4096]
        head = {key: value.decode("utf-8", "replace") for key, value in _VERSION.findall(text)}
        numbers = [head.get(key, "") for key in (b"VERSION", b"PATCHLEVEL", b"SUBLEVEL")]
        if not all(number.isdigit() for number in numbers):
            raise UserError(f"{commit[:12]}: not a Linux tree (no Makefile with VERSION, PATCHLEVEL and SUBLEVEL)")
        return one_line(".".join(numbers) + head.get(b"EXTRAVERSION", ""))[:64]

    def make(self, commit: Commit) -> Made:
        """The commit's kernel. PatchError when a fix-up does not apply, BuildError, KernelConfigError."""
        base = self.base
        with temporary("step") as scratch:
            (folder := Path(scratch, "touched")).mkdir()
            listing = git_tree.of_commit(self._read, commit.sha)
            changed, gone = git_tree.differing(self._listing(base), listing)
            git_tree.write(self._read, listing, changed, folder)
            step, notes = fixed_up(base.tree, Touched(folder, tuple(gone)), self._series, Path(scratch))
            built = self._shop.variant(base, setup=self._setup, step=step, name=str(commit))
        kernel = Kernel(
            name=f"{self._tree}@{commit.sha}",
            version=self._version(commit.sha),
            origin=f"git {commit.sha}",
            digest=self._repository.call(["rev-parse", "--verify", f"{commit.sha}^{{tree}}"]).strip(),
            tree=base.tree,
        )
        image = digest(built.image_sha256, [file_sha256(module) for module in built.modules])
        return Made(replace(built, kernel=kernel), image, notes)


def fixed_up(base: Path, step: Touched, series: Series, scratch: Path) -> tuple[Touched, tuple[str, ...]]:
    """``step`` with ``series`` on top, and what is to be said of it; ``step.folder`` is changed.

    A patch that the commit has already is left out. PatchError for one that does not apply.
    """
    removed, notes = set(step.removed), []
    for number, patch in enumerate(series.patches):
        one = Series((patch,), patch.subject)
        (tree := scratch / f"before-{number}").mkdir()
        for name in patch.files:
            source = step.folder / name if _is_there(step.folder / name) else base / name
            if name not in removed and _is_there(source):
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, tree / name, follow_symlinks=False)
        applied = scratch / f"after-{number}"
        try:
            result = patch_apply.apply(tree, one, applied)
        except PatchError:
            if patch_apply.has_already(tree, one):
                notes.append(f"has the fix-up already: {patch.subject}")
                continue
            raise
        for name, content in result.items():
            target = step.folder / name
            if _is_there(target):
                target.unlink()
            if content is None:
                removed.add(name) if _is_there(base / name) else None
                continue
            removed.discard(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(applied / name, target, follow_symlinks=False)
    return Touched(step.folder, tuple(sorted(removed))), tuple(notes)


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


class Guests:
    """Runs the guests of commits, each in a folder of its own."""

    def __init__(self, shop: Workshop, folder: Path, *, at_once: int, fresh: bool) -> None:
        self._shop = shop
        self._folder = folder
        self._at_once = at_once
        self._fresh = fresh

    def run(
        self,
        commit: Commit,
        built: BuiltKernel,
        workloads: Sequence[Workload],
        setups: Sequence[Setup],
        run: str,
        *,
        again: bool,
    ) -> list[GuestRecord]:
        """One run: a guest in each setup; ``again``: a record of an earlier one does not do.

        UserError when the kernel offers no SVA; InfrastructureError for trouble of ours.
        """
        where = self._folder / f"run-{run}"
        shutil.rmtree(where / commit.short, ignore_errors=True)
        jobs = [GuestJob(commit.short, built, setup, tuple(workloads)) for setup in setups]
        runner = GuestRunner(
            self._shop.cache,
            self._shop.emulator,
            self._shop.guest_image,
            fresh=self._fresh or again,
            elsewhere=self._shop.elsewhere,
        )
        with self._shop.progress.step(f"{len(jobs)} guests", like=f"guests {len(jobs)}") as step:
            found = runner.run(jobs, where, at_once=self._at_once, on_done=step.counter(len(jobs), "guests"))
            step.worked = runner.ran > 0
            step.note = "" if runner.ran else "from the cache"
        return found

    def kept(self, commit: Commit, run: str) -> list[GuestRecord]:
        """The records of a run of this bisection; none if there was none."""
        where = self._folder / f"run-{run}" / commit.short
        return [load(one) for one in sorted(where.glob("*")) if (one / "boot-0" / "guest.json").is_file()]
