# SPDX-License-Identifier: GPL-2.0-or-later
"""Choose, among all the mails that were found, the patches that make one series, in order.

Rules: mails with ``[PATCH]`` come first, then others that begin a thread, then answers (``Re:``). Of several
versions the newest that is whole is taken, unless one is asked for. A numbered series must have all its numbers.
Damage in a patch that is needed is an error; it is never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import PatchError
from harness.model import Patch, Series
from harness.sources.patch_diff import Diff, FileDiff, find
from harness.sources.patch_head import Head, base_hint, parse_subject
from harness.sources.patch_mail import Message
from harness.sources.patch_render import render
from harness.sources.patch_stat import check_stat, find_stat
from harness.sources.patch_text import damaged, printable


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mail that holds a diff, or the damaged remains of one."""

    message: Message
    head: Head
    name: str
    """File it was found in, as shown to the user."""
    diff: Diff | None = None
    error: PatchError | None = None


def candidate(message: Message, name: str) -> Candidate | None:
    """``message`` as a candidate; None if there is no diff in it at all."""
    head = parse_subject(message.subject)
    try:
        diff = find(message.body, name)
        if diff is None:
            return None
        _verify(message, diff, name)
    except PatchError as error:
        return Candidate(message, head, name, error=error)
    return Candidate(message, head, name, diff)


def _verify(message: Message, diff: Diff, name: str) -> None:
    """What only the whole mail can tell: diffstat, missing hunks, a file that comes twice."""
    stat = find_stat(message.body[: diff.start])
    if stat is not None:
        check_stat(stat, diff.files, name)
    elif diff.gap:
        line = diff.files[0].line
        raise damaged(name, line, f"a hunk is missing, or line numbers were edited: {diff.gap}")
    first: dict[str, FileDiff] = {}
    for file in diff.files:
        for path in file.paths:
            kind_changed = path in first and first[path].new is None and file.old is None
            if path in first and not (file.move or first[path].move or kind_changed):
                raise damaged(
                    name,
                    file.line,
                    f"{path} is changed twice, here and at line {first[path].line}: several patches in one text; "
                    "give them as files of their own, or as an mbox (`git format-patch --stdout`)",
                )
            first.setdefault(path, file)


def choose(
    candidates: Sequence[Candidate], others: Iterable[Head], name: str, *, version: int | None, given: bool
) -> Series:
    """The series among ``candidates`` (at least one), of ``version`` if it is given.

    ``others`` are the subjects of the mails without a diff. ``given``: the user named each patch (files of a
    folder), so that none may be left out; otherwise they were found in a mailbox or thread among other mails.
    """
    own = list(candidates)
    if not given:
        own = [c for c in candidates if not c.head.reply]
        own = [c for c in own if c.head.is_patch] or own
    if not own:
        whole = [c for c in candidates if c.error is None]
        return _series(whole[:1] or candidates[:1], [], [])
    rest = [head for head in others if head.is_patch and not head.reply]
    versions = sorted({c.head.version for c in own}, reverse=True)
    if version is not None and version not in versions:
        shown = ", ".join(f"v{v}" for v in reversed(versions))
        raise PatchError(f"{printable(name)}: no version {version} in it; it holds {shown}")
    problems: list[str] = []
    for wanted in [version] if version is not None else versions:
        members, missing, loose = _members([c for c in own if c.head.version == wanted], name)
        beside = [head for head in rest if head.version == wanted]
        if missing and (len(members) != 1 or any(head.total for head in beside)):
            problems.append(f"v{wanted} lacks {missing}")
            continue
        if loose and given:
            shown = ", ".join(c.name for c in loose)
            raise PatchError(f"{printable(name)}: patches without a number beside a numbered series: {shown}")
        notes = [f"{problem}, so v{wanted} was taken" for problem in problems]
        notes += [f"left out, as it is no part of the series: {c.head.subject}" for c in loose]
        notes += [f"only patch {members[0].head.number} of {members[0].head.total} was given"] if missing else []
        return _series(members, notes, [head for head in beside if head.number == 0])
    raise PatchError(
        f"{printable(name)}: no whole series in it: {'; '.join(problems)}. Way out: give the missing patches too, "
        "or each patch you want as a file of its own"
    )


def _members(same: Sequence[Candidate], name: str) -> tuple[list[Candidate], str, list[Candidate]]:
    """Patches of one version in order; what their numbers say is missing (``2/5, 3/5``); those without number."""
    totals = sorted({c.head.total for c in same if c.head.total}, reverse=True)
    if len(totals) > 1:
        shown = " and ".join(f"one of {total}" for total in totals)
        raise PatchError(f"{printable(name)}: several series in it, {shown}. Way out: give one of them")
    loose = _unique([c for c in same if not c.head.total], lambda c: c.message.message_id, copies=True)
    if not totals:
        return loose, "", []
    numbered = _unique(
        [c for c in same if c.head.total and c.head.number], lambda c: str(c.head.number), copies=False
    )
    numbered.sort(key=lambda c: c.head.number or 0)
    present = {c.head.number for c in numbered}
    beyond = next((c for c in numbered if (c.head.number or 0) > totals[0]), None)
    if beyond is not None:
        raise damaged(beyond.name, beyond.message.line, f"patch {beyond.head.number} of a series of {totals[0]}")
    missing = [f"{number}/{totals[0]}" for number in range(1, totals[0] + 1) if number not in present]
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return numbered, ", ".join(missing[:5]) + more, loose


def _unique(same: Sequence[Candidate], key: Callable[[Candidate], str], *, copies: bool) -> list[Candidate]:
    """One of each key: a mail may have come through two lists, or been sent again. PatchError if they differ.

    ``copies``: two with the same diff are one, whatever their keys. (A numbered series may bring a diff twice.)
    """
    found: dict[str, Candidate] = {}
    diffs: dict[bytes, str] = {}
    for at, one in enumerate(same):
        by = key(one) or f"no. {at}"
        if one.diff is not None and copies:
            by = diffs.setdefault(render(one.diff.files), by)
        first = found.setdefault(by, one)
        if first.diff is None:
            found[by] = one
        elif one.diff is not None and render(first.diff.files) != render(one.diff.files):
            raise damaged(
                one.name,
                one.message.line,
                f"not the patch of {first.name}:{first.message.line}, but with the same subject or number: "
                "which one is meant? Give it as a file of its own",
            )
    return list(found.values())


def series_of(members: Sequence[Candidate]) -> Series:
    """All of ``members``, in this order."""
    return _series(members, [], [])


def _series(members: Sequence[Candidate], notes: Sequence[str], covers: Sequence[Head]) -> Series:
    patches = tuple(_patch(one) for one in members)
    first = patches[0]
    hint = first.base_hint or (covers[0].base if covers else "")
    patches = (replace(first, notes=(*first.notes, *notes), base_hint=hint), *patches[1:])
    title = covers[0].subject if covers else first.subject
    if len(patches) > 1 and not covers:
        title = f"{title} (and {len(patches) - 1} more)"
    return Series(patches, title)


def _patch(one: Candidate) -> Patch:
    if one.diff is None:
        raise one.error or PatchError(f"{printable(one.name)}: no diff in it")
    message, diff = one.message, one.diff
    inside = {line.number for file in diff.files for hunk in file.hunks for line in hunk.body}
    around = (line.data[:1000].decode("utf-8", "replace") for line in message.body if line.number not in inside)
    notes = [*message.notes, *diff.notes]
    if diff.gap:
        notes.append(f"{diff.gap} (the diffstat agrees with the diff)")
    return Patch(
        subject=one.head.subject or printable(Path(one.name).stem),
        diff=render(diff.files).decode("utf-8", "surrogateescape"),
        author=message.author,
        message_id=message.message_id,
        source=f"{printable(one.name)}:{message.line}",
        base_hint=base_hint(around, one.head),
        files=tuple(sorted({path for file in diff.files for path in file.paths})),
        hunks=tuple(hunk.line for file in diff.files for hunk in file.hunks),
        notes=tuple(notes),
    )
