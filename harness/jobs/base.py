# SPDX-License-Identifier: GPL-2.0-or-later
"""On which kernel a patch is tried when the user names none, and why on that one.

In this order: the commit below the commits that were given; the commit of a ``base-commit:`` line; the kernel that
the mail names in words; the series of kernels.yaml, the default first, as far as the cache has them. What a mail
says counts only if a tree at hand has it and the patch applies there. Patches are applied exactly: a hunk may have
moved, but all its context must be there (no fuzz).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build import inputs
from harness.errors import PatchError, UserError
from harness.jobs.workshop import Workshop
from harness.layout import project
from harness.model import Kernel, Series
from harness.sources import git, git_range, kernels, patch_apply
from harness.sources.patch_input import Given
from harness.sources.patch_text import printable

TREES = "FAULTLOOP_TREES"
"""Names git trees, separated by ``:``, in which a base may be found."""
_COMMIT = re.compile(r"[0-9a-f]{7,64}$")
_VERSION = re.compile(r"v?(\d+\.\d+)((?:\.(?:\d+|y))?)((?:-rc\d+)?)$")


@dataclass(frozen=True, slots=True)
class Base:
    """The kernel that was chosen, with the reason in a sentence."""

    kernel: Kernel
    why: str = ""
    notes: tuple[str, ...] = ()
    """What the user should know of the patch: what was undone to read it and to apply it, what was left out."""


def base_of(given: Given, shop: Workshop, *, asked: str, tree: str) -> Base:
    """The base for what the user gave; without a patch, the kernel that was asked for."""
    if not given.series.patches:
        return Base(shop.kernel(asked))
    base = choose(given.series, shop, asked=asked, below=given.base, trees=known_trees(tree))
    read = (note for patch in given.series.patches for note in patch.notes)
    base = replace(base, notes=tuple(dict.fromkeys([*given.notes, *read, *base.notes])))
    shop.progress.say(f"base {base.kernel.name} ({base.kernel.version}): {base.why}")
    for note in base.notes:
        shop.progress.say(f"note: {note}")
    return base


def choose(
    series: Series, shop: Workshop, *, asked: str = "", below: str = "", trees: Sequence[Path] = ()
) -> Base:
    """The base for ``series``: ``asked`` (what the user named), ``below`` (what its commits stand on), or found.

    PatchError when it does not apply to the one that was asked for, or to any that is known.
    """
    if asked or below:
        kernel = shop.kernel(asked or below)
        changes = _check(series, kernel, shop)
        return _base(kernel, ["as asked" if asked else "the commit below the patches"], changes)
    cached = kernels.newest_cached(cache=shop.cache)
    hint = next((p.base_hint for p in series.patches if p.base_hint), "")
    passed: list[str] = []
    for name, why in _hinted(hint, trees, cached):
        try:
            kernel = shop.kernel(name)
            return _base(kernel, [why], patch_apply.check(kernel.tree, series))
        except UserError as error:
            passed.append(f"{why}, but that does not do: {_short(error)}")
    if hint and not passed:
        passed.append(f"the mail names {printable(hint)}, which no tree at hand has")
    return _nearest(series, shop, cached, passed)


def known_trees(named: str = "") -> list[Path]:
    """Git trees in which a base may be found: ``named`` (TREE=), the folder at hand, FAULTLOOP_TREES."""
    folders = [named or ".", *os.environ.get(TREES, "").split(os.pathsep)]
    found: list[Path] = []
    for folder in folders:
        with contextlib.suppress(UserError):
            found += [git_range.top(Path(folder).expanduser())] if folder else []
    return list(dict.fromkeys(found))


def _hinted(hint: str, trees: Sequence[Path], cached: Mapping[str, Kernel]) -> Iterator[tuple[str, str]]:
    """Kernels that ``hint`` may mean, each with the words for it."""
    if _COMMIT.match(hint):
        for tree in trees:
            if git.has_commit(tree, hint):
                yield f"{tree}@{hint}", f"the mail's base-commit {hint[:12]}, which {tree} has"
        return
    version = _VERSION.match(hint)
    tag = f"v{hint.removeprefix('v').removesuffix('.y')}" if version else hint
    says = f"the mail says that it is based on {hint}"
    # A stable series by its branch, whose tip is newer than the series' tag; others by their own name.
    branch = f"linux-{hint.removeprefix('v')}" if hint.endswith(".y") else hint
    for tree in trees if hint else ():
        for ref in _branches(tree, branch):
            yield f"{tree}@{ref}", f"{says}, and {tree} has the branch {ref}"
    for tree in trees if version or hint.startswith("next-") else ():
        if git.has_commit(tree, f"refs/tags/{tag}"):
            yield f"{tree}@{tag}", f"{says}, and {tree} has {tag}"
    for name in kernels.load(project().kernels).series if version else ():
        held = cached[name].version if name in cached else ""
        if version and (name == version.group(1) or held.startswith(f"{version.group(1)}.")):
            yield name, f"{says}, and {name}{f' ({held})' if held else ''} is of that series"


def _branches(tree: Path, name: str) -> list[str]:
    """Branches of this name: the tree's own first, then those of its remotes, as they were fetched last."""
    patterns = [f"refs/heads/{name}", f"refs/remotes/*/{name}"]
    found = git.call(tree, ["for-each-ref", "--format=%(refname)", *patterns]).split()
    return [ref.removeprefix("refs/") for ref in found if ref.endswith(f"/{name}")]


def _nearest(series: Series, shop: Workshop, cached: Mapping[str, Kernel], passed: list[str]) -> Base:
    """The first series of kernels.yaml, among those in the cache and the default, to which ``series`` applies."""
    table = kernels.load(project().kernels)
    names = list(dict.fromkeys([table.default, *table.series]))
    missing = [name for name in names if name != table.default and name not in cached]
    errors: list[PatchError] = []
    tried: dict[str, Path] = {}
    for name in names:
        if name in missing:
            continue
        kernel = shop.kernel(name) if name == table.default else cached[name]
        try:
            changes = patch_apply.check(kernel.tree, series)
        except PatchError as error:
            errors.append(error)
            tried[f"{name} ({kernel.version})"] = kernel.tree
            continue
        passed += [f"it does not apply to {', '.join(tried)}"] if tried else []
        what = "the first that it applies to" if tried else "the default"
        return _base(kernel, [*passed, f"{name} is {what}"], changes)
    raise _nowhere(errors[0], series, tried, missing, passed)


def _nowhere(
    first: PatchError, series: Series, tried: dict[str, Path], missing: list[str], passed: Sequence[str]
) -> PatchError:
    """The error for the default, with what is known of the others below it."""
    if len(tried) == 1 and not missing and not passed:
        return first
    away = f" (not tried, as not in the cache: {', '.join(f'BASE={name}' for name in missing)})" if missing else ""
    rows = [f"{fit.name}: {fit.hunks} of {fit.total} hunks apply" for fit in patch_apply.nearest(series, tried)]
    return PatchError(
        f"{first.message}; it applies to no kernel at hand{away}. Way out: name its base in BASE= (a series, a "
        "source tree, TREE@REF)",
        detail="\n".join([*passed, *rows, first.detail]).rstrip(),
    )


def _base(kernel: Kernel, why: Sequence[str], changes: patch_apply.Changes) -> Base:
    """The base with all reasons and how well the patch fits it."""
    moved = changes.offsets
    far = max((abs(offset.lines) for offset in moved), default=0)
    fit = "every hunk fits at its line"
    if moved:
        hunks = "1 hunk" if len(moved) == 1 else f"{len(moved)} hunks"
        fit = f"no fuzz, {hunks} moved by up to {far} line{'' if far == 1 else 's'}"
    return Base(kernel, "; ".join([*why, fit]), changes.notes)


def _short(error: UserError) -> str:
    """What of the error fits into a sentence."""
    _, _, rest = error.message.partition("does not apply: ")
    return rest or error.message


def _check(series: Series, kernel: Kernel, shop: Workshop) -> patch_apply.Changes:
    """What ``series`` makes of ``kernel``; PatchError, with another base if there is one, if it does not apply."""
    try:
        return patch_apply.check(kernel.tree, series)
    except PatchError as error:
        inputs.check(shop.cache, kernel, series.files)  # or it is the source's fault
        others = {k.name: k.tree for k in kernels.cached(cache=shop.cache) if k.digest != kernel.digest}
        fits = [n.name for n in patch_apply.nearest(series, others) if n.applies]
        hint = f"; it applies to BASE={fits[0]}" if fits else ""
        raise PatchError(f"{error.message}{hint}", detail=error.detail) from error
