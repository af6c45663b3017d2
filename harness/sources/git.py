# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel trees out of a local git repository: a commit (``PATH@REF``), or what lies in its work tree now.

The repository is only read. For a work tree, tracked files as they are on disk and new files that .gitignore
does not name are taken: what the user would commit with ``git add -A``. The objects that this needs go to a
scratch folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness.build.cache import Cache
from harness.build.sandbox import Sandbox
from harness.errors import InfrastructureError, UserError
from harness.sources import archive
from harness.sources.archive import Label


def is_repository(path: Path) -> bool:
    """Whether ``path`` is the top of a work tree, a bare repository, or a ``.git`` folder."""
    if not path.is_dir():
        return False
    if (path / ".git").exists():
        return True
    return (path / "HEAD").is_file() and (path / "objects").is_dir()


def has_work_tree(path: Path) -> bool:
    """Whether ``path`` is the top of a work tree."""
    return (path / ".git").exists()


def export_ref(repository: Path, ref: str, name: str, *, cache: Cache, sandbox: Sandbox) -> tuple[Label, Path]:
    """The tree of a commit, tag or branch. UserError when the repository does not know it."""
    commit = _resolve(repository, ref)
    tree_id = _git(repository, ["rev-parse", "--verify", f"{commit}^{{tree}}"]).strip()
    label = Label(name, f"git {commit}{_describe(repository, commit)}", tree_id)
    return label, _export(repository, label, cache, sandbox, {})


def export_work_tree(repository: Path, name: str, *, cache: Cache, sandbox: Sandbox) -> tuple[Label, Path]:
    """The work tree as it is: HEAD and uncommitted changes."""
    commit = _resolve(repository, "HEAD")
    head_tree = _git(repository, ["rev-parse", f"{commit}^{{tree}}"]).strip()
    with tempfile.TemporaryDirectory(prefix="faultloop-git-") as scratch:
        env = _scratch_index(repository, Path(scratch))
        _git(repository, ["add", "--all", "--", "."], env)
        tree_id = _git(repository, ["write-tree"], env).strip()
        changed = " + uncommitted changes" if tree_id != head_tree else ""
        label = Label(name, f"git {commit}{_describe(repository, commit)}{changed}", tree_id)
        return label, _export(repository, label, cache, sandbox, env)


def _scratch_index(repository: Path, scratch: Path) -> dict[str, str]:
    """Environment in which git writes its index and new objects to ``scratch`` only."""
    objects = _git(repository, ["rev-parse", "--path-format=absolute", "--git-path", "objects"]).strip()
    index = Path(_git(repository, ["rev-parse", "--path-format=absolute", "--git-path", "index"]).strip())
    (scratch / "objects").mkdir()
    if index.is_file():
        shutil.copy2(index, scratch / "index")
    also = os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES", "")
    return {
        "GIT_INDEX_FILE": str(scratch / "index"),
        "GIT_OBJECT_DIRECTORY": str(scratch / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": f"{objects}:{also}" if also else objects,
    }


def _export(repository: Path, label: Label, cache: Cache, sandbox: Sandbox, env: Mapping[str, str]) -> Path:
    def write(folder: Path) -> None:
        packed = folder / "tree.tar"
        argv = ["archive", "--format=tar", f"--output={packed}", "--prefix=linux/", label.digest]
        _git(repository, argv, env)
        archive.unpack(packed, folder / archive.TREE, sandbox)
        packed.unlink()

    return archive.make(cache, f"git-{label.digest}", label, write)


def _resolve(repository: Path, ref: str) -> str:
    argv = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"]
    done = _run(repository, argv, {})
    if done.returncode == 0:
        return done.stdout.decode().strip()
    said = done.stderr.decode("utf-8", errors="replace").strip()
    if said:
        raise UserError(f"{repository}: git cannot read it", detail=said)
    raise UserError(
        f"{repository}: git knows no commit '{ref}' there (`git -C {repository} branch -a` lists branches)"
    )


def _describe(repository: Path, commit: str) -> str:
    done = _run(repository, ["describe", "--tags", commit], {})
    return f" ({done.stdout.decode().strip()})" if done.returncode == 0 else ""


def _git(repository: Path, argv: list[str], env: Mapping[str, str] | None = None) -> str:
    done = _run(repository, argv, env or {})
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", errors="replace").strip()
        raise UserError(f"{repository}: git {argv[0]} failed", detail=said)
    return done.stdout.decode("utf-8", errors="surrogateescape")


def _run(repository: Path, argv: list[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", "-C", str(repository), *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C", **env},
            check=False,
        )
    except FileNotFoundError as error:
        raise InfrastructureError("git: not found; install the package git") from error
