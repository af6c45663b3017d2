# SPDX-License-Identifier: GPL-2.0-or-later
"""The newest state of a git tree: of a local repository as it lies there, of a URL by a mirror in the cache.

The mirror is bare and holds the history of the last `DAYS` days, with all its files. All of it would be several
gigabytes that nobody asks for; with one commit (``--depth=1``), or without files (``--filter``), a bisection
between the last good tag and this one could not be done, or would need the network for each of its steps. The date
is kept in the mirror: each fetch names the same one, or a topic branch that forked off before it would bring the
whole history.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.build.cache import Cache, digest, need_space
from harness.errors import InfrastructureError, UserError
from harness.mortal import bound
from harness.shown import one_line
from harness.sources import git

NEXT = "https://git.kernel.org/pub/scm/linux/kernel/git/next/linux-next.git"
DAYS = 120
_GIB = 4.0
_URL = re.compile(r"(https?|git|ssh|file)://[^\s]+$")
_TAG = re.compile(r"next-(\d{8})(?:-(\d+))?$")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*$")
_PROTOCOLS = {"GIT_ALLOW_PROTOCOL": "https:http:git:ssh:file"}
_STALLED = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=120", "-c", "gc.auto=0")
_ALL_OLDER = "no commits selected for shallow"
"""What git says when nothing is newer than the date."""
_ASK_SECONDS = 300.0
_FETCH_SECONDS = 6 * 3600.0
_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Tip:
    """The state of a tree to look at."""

    repository: Path
    """Where git finds it; only read."""
    ref: str
    """The tag, or the branch and the commit it stands at: ``master@0123456789ab``."""
    commit: str


def newest_tag(names: Iterable[str]) -> str:
    """The newest ``next-YYYYMMDD`` (a second one of a day is ``next-YYYYMMDD-1``); empty when there is none."""
    found = [(match.group(1), int(match.group(2) or 0), name) for name in names if (match := _TAG.match(name))]
    return max(found, default=("", 0, ""))[2]


def newest(tree: str, branch: str, *, cache: Cache, also: Sequence[str] = (), say: Callable[[str], None]) -> Tip:
    """The newest tag of ``tree`` (a repository's folder, or a URL), or the head of ``branch``.

    ``also``: tags of earlier nights, brought as well where the mirror lacks them. UserError for a tree or a branch
    that is not there, InfrastructureError when it cannot be fetched.
    """
    if branch and not _BRANCH.match(branch):
        raise UserError(f"'{one_line(branch)}': no name of a branch")
    if _URL.match(tree):
        return _mirrored(tree, branch, cache, also, say)
    folder = Path(tree).expanduser()
    if not git.is_repository(folder):
        raise UserError(f"{one_line(tree)}: neither a git repository nor a URL (https, git, ssh, file)")
    if branch:
        commit = git.resolve(folder, branch)
        return Tip(folder, f"{branch}@{commit[:12]}", commit)
    tag = newest_tag(git.call(folder, ["tag", "--list", "next-*"]).split())
    if not tag:
        raise UserError(f"{folder}: no tag next-YYYYMMDD there; name a branch: BRANCH=master")
    return Tip(folder, tag, git.resolve(folder, f"refs/tags/{tag}"))


def _mirrored(url: str, branch: str, cache: Cache, also: Sequence[str], say: Callable[[str], None]) -> Tip:
    name = digest("mirror", url)[:16]
    folder = cache.root / "mirrors" / name
    wanted = f"refs/heads/{branch}" if branch else "refs/tags/next-*"
    listed = _remote(["ls-remote", "--refs", "--", url, wanted], Path("/"), url, _ASK_SECONDS)
    found = {ref: sha for sha, _, ref in (line.partition("\t") for line in listed.splitlines())}
    ref = wanted if branch else f"refs/tags/{newest_tag(r.removeprefix('refs/tags/') for r in found)}"
    if ref not in found:
        told = (
            f"no branch '{branch}' there" if branch else "no tag next-YYYYMMDD there; name a branch: BRANCH=master"
        )
        raise UserError(f"{url}: {told}")
    with cache.lock(f"mirror-{name}", waiting=f"waiting: another process fetches {url}"):
        _prepare(folder, cache)
        known = [f"refs/tags/{tag}" for tag in also if _TAG.match(tag) and f"refs/tags/{tag}" in found]
        refs = [r for r in dict.fromkeys([ref, *known]) if not _has(folder, r, found[r])]
        if refs:
            say(f"fetching {', '.join(r.split('/', 2)[2] for r in refs)} of {url}")
            since = git.call(folder, ["config", "--get", "faultloop.since"]).strip()
            words, what = (
                ["fetch", "--no-tags", "--no-write-fetch-head"],
                ["--", url, *(f"+{r}:{r}" for r in refs)],
            )
            try:
                _remote([*words, f"--shallow-since={since}", *what], folder, url, _FETCH_SECONDS)
            except InfrastructureError as error:
                if _ALL_OLDER not in error.detail:
                    raise
                _remote([*words, *what], folder, url, _FETCH_SECONDS)
    commit = git.resolve(folder, ref)
    return Tip(folder, f"{branch}@{commit[:12]}" if branch else ref.removeprefix("refs/tags/"), commit)


def _prepare(folder: Path, cache: Cache) -> None:
    """Make the mirror, or sweep what a fetch that was killed has left in it."""
    if not (folder / "HEAD").is_file():
        need_space(cache.root, _GIB, "a mirror of the tree")
        folder.mkdir(parents=True, exist_ok=True)
        git.call(folder, ["init", "--quiet", "--bare", "."])
    if git.run(folder, ["config", "--get", "faultloop.since"], {}).returncode != 0:
        since = datetime.now(UTC) - timedelta(days=DAYS)
        git.call(folder, ["config", "faultloop.since", since.strftime("%Y-%m-%d")])
    for left in [*folder.glob("objects/pack/tmp_*"), *folder.glob("*.lock"), *folder.glob("refs/**/*.lock")]:
        left.unlink(missing_ok=True)


def _has(folder: Path, ref: str, sha: str) -> bool:
    done = git.run(folder, ["rev-parse", "--verify", "--quiet", ref], {})
    return done.returncode == 0 and done.stdout.decode().strip() == sha


def _remote(argv: Sequence[str], folder: Path, url: str, seconds: float) -> str:
    """What a git command prints that talks to another host; its helpers end with it."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            bound(["git", "-C", str(folder), *_STALLED, *argv]),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=git.environment(_PROTOCOLS),
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise InfrastructureError(f"{url}: git {argv[0]} did not end within {seconds:g} s") from error
        finally:
            _end(process)
        out.seek(0), err.seek(0)
        if status == 0:
            return out.read().decode("utf-8", errors="replace")
        said = err.read().decode("utf-8", errors="replace").strip()
        raise InfrastructureError(
            f"{url}: git {argv[0]} failed; is there a network, and the tree? TREE= takes a local repository, too",
            detail=said,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Git's helpers (transports, index-pack) are of its session: none outlives it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        ended = os.pidfd_open(process.pid)  # not reaped yet: there is one
        try:
            select.select([ended], [], [], _END_SECONDS)
        finally:
            os.close(ended)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
