# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel trees out of a local git repository: a commit (``PATH@REF``), or what lies in its work tree now.

The repository is only read. For a work tree, tracked files as they are on disk and new files that .gitignore
does not name are taken: what the user would commit with ``git add -A``. The objects that this needs go to a
scratch folder.

A repository can name programs (hooks, filters, a monitor of its files, transports), and a stranger's commit or
tree can call for them by its ``.gitattributes``. None of them is started, and nothing is fetched. A commit's tree
is taken as it is, whatever its attributes say of exports.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.build.cache import Cache
from harness.build.sandbox import Sandbox
from harness.errors import InfrastructureError, UserError
from harness.sources import archive
from harness.sources.archive import Label
from harness.temporary import temporary

_KEPT = frozenset({
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CEILING_DIRECTORIES", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM", "GIT_DISCOVERY_ACROSS_FILESYSTEM",
})  # fmt: skip
"""Variables of the user's that hold. Others say which repository it is, or which programs to start."""

_NO_HELPERS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.attributesFile": os.devnull,
    "core.pager": "cat",
    "diff.external": "",
    "log.showSignature": "false",
    "submodule.recurse": "false",
}
_GITLINK = "160000"
_AS_COMMITTED = {"core.autocrlf": "false", "core.eol": "lf"}


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


def has_commit(repository: Path, ref: str) -> bool:
    """Whether the repository has the commit that ``ref`` names."""
    return run(repository, ["cat-file", "-e", f"{ref}^{{commit}}"], {}).returncode == 0


def export_ref(repository: Path, ref: str, name: str, *, cache: Cache, sandbox: Sandbox) -> tuple[Label, Path]:
    """The tree of a commit, tag or branch. UserError when the repository does not know it."""
    commit = resolve(repository, ref)
    tree_id = call(repository, ["rev-parse", "--verify", f"{commit}^{{tree}}"]).strip()
    label = Label(name, f"git {commit}{_describe(repository, commit)}", tree_id)
    return label, _export(repository, label, cache, sandbox, {})


def export_work_tree(repository: Path, name: str, *, cache: Cache, sandbox: Sandbox) -> tuple[Label, Path]:
    """The work tree as it is: HEAD and uncommitted changes."""
    commit = resolve(repository, "HEAD")
    head_tree = call(repository, ["rev-parse", f"{commit}^{{tree}}"]).strip()
    with temporary("git") as scratch:
        env = _scratch_index(repository, Path(scratch)) | no_filters(repository)
        call(repository, ["add", "--all", "--", ".", *_not_submodules(repository)], env)
        tree_id = call(repository, ["write-tree"], env).strip()
        changed = " + uncommitted changes" if tree_id != head_tree else ""
        label = Label(name, f"git {commit}{_describe(repository, commit)}{changed}", tree_id)
        return label, _export(repository, label, cache, sandbox, env)


def _scratch_index(repository: Path, scratch: Path) -> dict[str, str]:
    """Environment in which git writes its index and new objects to ``scratch`` only."""
    objects = call(repository, ["rev-parse", "--path-format=absolute", "--git-path", "objects"]).strip()
    index = Path(call(repository, ["rev-parse", "--path-format=absolute", "--git-path", "index"]).strip())
    (scratch / "objects").mkdir()
    if index.is_file():
        shutil.copy2(index, scratch / "index")
    also = os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES", "")
    return {
        "GIT_INDEX_FILE": str(scratch / "index"),
        "GIT_OBJECT_DIRECTORY": str(scratch / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": f"{objects}:{also}" if also else objects,
    }


def _not_submodules(repository: Path) -> list[str]:
    """Pathspecs without submodules: to see whether one changed, git runs what its configuration names."""
    listed = call(repository, ["ls-files", "--stage", "-z"]).split("\0")
    links = [entry.partition("\t")[2] for entry in listed if entry.startswith(f"{_GITLINK} ")]
    return [f":(exclude,literal){path}" for path in links]


def _export(repository: Path, label: Label, cache: Cache, sandbox: Sandbox, env: Mapping[str, str]) -> Path:
    def write(folder: Path) -> None:
        packed = folder / "tree.tar"
        # The attributes count that lie in the folder at hand or else the index: in empty ones, none.
        (none := folder / "no-attributes").mkdir()
        git_dir = call(repository, ["rev-parse", "--absolute-git-dir"]).rstrip("\n")
        empty = {"GIT_DIR": git_dir, "GIT_WORK_TREE": str(none), "GIT_INDEX_FILE": str(none / "index")}
        settings = _settings({**_filters_off(repository), **_AS_COMMITTED})
        argv = ["archive", "--worktree-attributes", "--format=tar", f"--output={packed}", "--prefix=linux/"]
        done = run(none, [*argv, label.digest], {**env, **settings, **empty})
        if done.returncode != 0:
            raise _failed(repository, argv, done)
        none.rmdir()
        archive.unpack(packed, folder / archive.TREE, sandbox)
        packed.unlink()

    return archive.make(cache, f"git-{label.digest}", label, write)


def resolve(repository: Path, ref: str) -> str:
    """The commit that ``ref`` names; UserError when the repository does not know it."""
    argv = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"]
    done = run(repository, argv, {})
    if done.returncode == 0:
        return done.stdout.decode().strip()
    said = done.stderr.decode("utf-8", errors="replace").strip()
    if said:
        raise UserError(f"{repository}: git cannot read it", detail=said)
    raise UserError(
        f"{repository}: git knows no commit '{ref}' there (`git -C {repository} branch -a` lists branches)"
    )


def _describe(repository: Path, commit: str) -> str:
    done = run(repository, ["describe", "--tags", commit], {})
    return f" ({done.stdout.decode().strip()})" if done.returncode == 0 else ""


def call(repository: Path, argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """What a git command prints; UserError when it fails."""
    done = run(repository, argv, env or {})
    if done.returncode != 0:
        raise _failed(repository, argv, done)
    return done.stdout.decode("utf-8", errors="surrogateescape")


def read_bytes(
    repository: Path, argv: Sequence[str], *, feed: bytes | None = None, env: Mapping[str, str] | None = None
) -> bytes:
    """What a git command prints, given ``feed`` on its standard input; UserError when it fails."""
    done = run(repository, argv, env or {}, feed)
    if done.returncode != 0:
        raise _failed(repository, argv, done)
    return done.stdout


def _failed(repository: Path, argv: Sequence[str], done: subprocess.CompletedProcess[bytes]) -> UserError:
    said = done.stderr.decode("utf-8", errors="replace").strip()
    partial = (
        "; the repository is a partial clone that lacks files, and nothing is fetched into it: take a whole clone"
    )
    return UserError(f"{repository}: git {argv[0]} failed{partial if 'transport ' in said else ''}", detail=said)


def no_filters(repository: Path) -> dict[str, str]:
    """Environment for commands that look at files: attributes cannot call for a filter of the configuration."""
    return _settings(_filters_off(repository))


def _filters_off(repository: Path) -> dict[str, str]:
    found = run(repository, ["config", "--null", "--name-only", "--get-regexp", r"^filter\."], {}).stdout
    names = {name.rpartition(".")[0] for name in os.fsdecode(found).split("\0") if name}
    off = {"clean": "", "smudge": "", "process": "", "required": "false"}
    return {f"{name}.{key}": value for name in sorted(names) for key, value in off.items()}


def _settings(more: Mapping[str, str]) -> dict[str, str]:
    """Configuration as git reads it from its environment (git-config(1)): any name is possible there."""
    rows = {**_NO_HELPERS, **more}.items()
    env = {"GIT_CONFIG_COUNT": str(len(rows))}
    for number, (key, value) in enumerate(rows):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return env


def command(repository: Path, argv: Sequence[str]) -> list[str]:
    """Arguments of a git command in ``repository``; run it in `environment`."""
    return ["git", "-C", str(repository), *argv]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment of a git command: it takes no lock that it does not need, starts no helper, fetches nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
    ours = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_ATTR_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
    # Protocols that may be used: one that there is none of.
    return {**kept, **ours, "GIT_ALLOW_PROTOCOL": "none", **_settings({}), **(more or {})}


def run(
    repository: Path, argv: Sequence[str], env: Mapping[str, str], feed: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """A git command to its end, whatever its status."""
    try:
        return subprocess.run(
            command(repository, argv),
            input=feed or b"",
            capture_output=True,
            env=environment(env),
            check=False,
        )
    except FileNotFoundError as error:
        raise InfrastructureError("git: not found; install the package git") from error
