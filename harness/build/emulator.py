# SPDX-License-Identifier: GPL-2.0-or-later
"""Build the patched QEMU in the sandbox, at constant paths, cached by content of all that goes in.

The newest build tree of each source, set of options and toolchain (a "family") is kept beside the binaries. When
only our own changes differ from it, it is copied, and ninja rebuilds what depends on the changed files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build import compile_log, emulator_source, toolchain
from harness.build.cache import ALL, Cache, digest, file_sha256, need_space
from harness.build.emulator_source import Changes, QemuSource
from harness.build.sandbox import Bind, CommandFailed, Sandbox
from harness.errors import InfrastructureError
from harness.layout import Layout, project
from harness.model import Emulator
from harness.mortal import bound
from harness.sources.archive import copy_tree
from harness.sources.debian import DebianRoot

BINARY = "qemu-system-aarch64"

_RECIPE = 1
ROOM = "emulators"
_TREES_ROOM = "emulator-trees"
_TOOLS_ROOM = "emulator-tools"
_SOURCE = "/build/qemu"
_BUILD = "/build/qemu-build"
_TOOLS = "/build/tools"
_NEED_GIB = 2.0
_PYTHON = "/usr/bin/python3"
_LOCKED = Path(__file__).with_name("emulator-tools.txt")
_TIMES = "source-times.json"
_CONFIGURED_BY = ("configure", "pythondeps.toml", "python/scripts/mkvenv.py")
"""Files that ninja does not know it depends on: when one changes, the build starts anew."""

SANITIZED = "sanitized"
_FLAVOURS = {"": (), SANITIZED: ("--enable-asan", "--enable-ubsan")}
"""Options of QEMU's configure, besides those of patches/qemu."""
_ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0"}
"""QEMU frees little of what it has at its end; and the sandbox does not permit the leak check."""

OnOutput = Callable[[str], None]


def build(
    *,
    cache: Cache,
    sandbox: Sandbox,
    sources: DebianRoot,
    on_output: OnOutput | None = None,
    jobs: int | None = None,
    layout: Layout | None = None,
    flavour: str = "",
) -> Emulator:
    """The emulator, from the cache or built; ``on_output`` gets every line of configure and ninja.

    ``flavour``: :data:`SANITIZED` has AddressSanitizer and UndefinedBehaviorSanitizer in it.
    UserError when ``FAULTLOOP_QEMU_SOURCE`` is at fault, InfrastructureError otherwise.
    """
    job = plan(
        cache=cache,
        sandbox=sandbox,
        sources=sources,
        on_output=on_output,
        jobs=jobs,
        layout=layout,
        flavour=flavour,
    )

    def maker(folder: Path) -> None:
        need_space(cache.root, _NEED_GIB, "building QEMU")
        with cache.lock(f"emulator-{job.family}", waiting="waiting: another process builds QEMU"):
            _make(job, folder)
            _keep_tree(folder, job)

    entry = cache.make(ROOM, job.key, maker, read=ALL)
    facts = json.loads((entry / "build.json").read_text(encoding="utf-8"))
    return Emulator(binary=entry / BINARY, key=job.key, version=facts["version"], origin=job.source.origin)


def plan(
    *,
    cache: Cache,
    sandbox: Sandbox,
    sources: DebianRoot,
    on_output: OnOutput | None = None,
    jobs: int | None = None,
    layout: Layout | None = None,
    flavour: str = "",
) -> Job:
    """What a build needs, brought; nothing is built."""
    source = emulator_source.bring(cache, sandbox, sources)
    changes = emulator_source.read_changes((layout or project()).qemu, source.series)
    changes = replace(changes, options=changes.options + _FLAVOURS[flavour])
    versions = toolchain.emulator_versions()
    recipe = ("emulator", _RECIPE, *sandbox.mark)
    family = digest(*recipe, source.digest, list(changes.options), versions, file_sha256(_LOCKED))
    return Job(
        source=source,
        changes=changes,
        family=family,
        key=digest(family, changes.identity()),
        cache=cache,
        sandbox=sandbox,
        jobs=jobs or os.cpu_count() or 1,
        tell=on_output or (lambda line: None),
    )


@dataclass(frozen=True, slots=True)
class Job:
    """What goes into one build."""

    source: QemuSource
    changes: Changes
    family: str
    key: str
    cache: Cache
    sandbox: Sandbox
    jobs: int
    tell: OnOutput

    def run(self, argv: list[str], binds: list[Bind], log: Path) -> list[str]:
        """Run a command in the build folder; its lines. InfrastructureError with the compiler's when it fails."""
        lines: list[str] = []

        def on_line(line: str) -> None:
            lines.append(line)
            self.tell(line)

        try:
            # A sanitizer's shadow memory is larger than any bound of an address space.
            limits = replace(self.sandbox.limits, address_space=False)
            self.sandbox.run(
                argv, binds=binds, env=_ENVIRONMENT, cwd=_BUILD, on_output=on_line, log=log, limits=limits
            )
        except CommandFailed as error:
            name = Path(argv[0]).name
            detail = compile_log.errors(lines)
            raise InfrastructureError(f"QEMU cannot be built ({name} failed)", detail=detail) from error
        return lines


@dataclass(frozen=True, slots=True)
class Trees:
    """Source and build tree of one build, and where they are in the sandbox."""

    source: Path
    build: Path
    binds: list[Bind]
    log: Path
    times: dict[str, tuple[str, int]]
    """Of the source files: see :func:`emulator_source.keep_times`."""


def lay_out(job: Job, folder: Path) -> Trees:
    """Source and configured build tree in ``folder``, the latter with the objects of an earlier build if any."""
    tree, build_tree, log = folder / "src", folder / "build", folder / "build.log"
    tools = _tools(job.cache, job.tell)
    emulator_source.lay_out(job.source, job.changes, tree, job.sandbox)
    earlier = _relative(job.cache, job.family)
    known = _times(earlier)
    times = emulator_source.keep_times(tree, known)
    if any(times.get(name) != known.get(name) for name in _CONFIGURED_BY):
        earlier = None
    if earlier is not None:
        copy_tree(earlier / "build", build_tree)
    else:
        build_tree.mkdir()
    binds = [Bind(tree, _SOURCE), Bind(tools, _TOOLS), Bind(build_tree, _BUILD, writable=True)]
    if earlier is None:
        fixed = [f"--python={_TOOLS}/bin/python3", "--ninja=/usr/bin/ninja"]
        job.run([f"{_SOURCE}/configure", *fixed, *job.changes.options], binds, log)
    return Trees(tree, build_tree, binds, log, times)


def _make(job: Job, folder: Path) -> None:
    started = time.monotonic()
    trees = lay_out(job, folder)
    binds, log = trees.binds, trees.log
    lines = job.run(["ninja", f"-j{job.jobs}", BINARY], binds, log)
    said = job.run([f"{_BUILD}/{BINARY}", "--version"], binds, log)
    version = next((line for line in said if line.startswith("QEMU")), "")  # a sanitizer may speak first
    shutil.copy2(trees.build / BINARY, folder / BINARY)
    shutil.rmtree(trees.source)
    (folder / _TIMES).write_text(json.dumps({"family": job.family, "files": trees.times}), encoding="utf-8")
    facts = {
        "version": version,
        "seconds": round(time.monotonic() - started, 1),
        "objects": sum("Compiling C object" in line for line in lines),
        "warnings": list(compile_log.warnings(lines)),
    }
    (folder / "build.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _keep_tree(folder: Path, job: Job) -> None:
    """Move the build tree out of the binary's entry, and drop the one that it came from."""
    cache, key = job.cache, job.key

    def move(tree: Path) -> None:
        (folder / "build").rename(tree / "build")
        (folder / _TIMES).rename(tree / _TIMES)

    older = _relative(cache, job.family)
    cache.make(_TREES_ROOM, key, move)
    shutil.rmtree(folder / "build", ignore_errors=True)
    (folder / _TIMES).unlink(missing_ok=True)
    if older is not None and older.name != key:
        cache.remove(_TREES_ROOM, older.name)


def _relative(cache: Cache, family: str) -> Path | None:
    """The build tree that differs in our own changes only, if there is one."""
    for entry in cache.entries(_TREES_ROOM):
        if json.loads((entry / _TIMES).read_text(encoding="utf-8"))["family"] == family:
            return cache.get(_TREES_ROOM, entry.name, read=ALL)
    return None


def _times(entry: Path | None) -> dict[str, tuple[str, int]]:
    """The source files of a build tree: path -> SHA-256 and modification time."""
    if entry is None:
        return {}
    known = json.loads((entry / _TIMES).read_text(encoding="utf-8"))["files"]
    return {name: (sha256, time_ns) for name, (sha256, time_ns) in known.items()}


def _tools(cache: Cache, tell: OnOutput) -> Path:
    """A Python environment on the system's interpreter with what QEMU's configure needs, usable in the sandbox."""
    key = digest("tools", _RECIPE, toolchain.versions([_PYTHON]), file_sha256(_LOCKED))

    def maker(folder: Path) -> None:
        tell("installing meson")
        venv = folder / "venv"
        _host(
            [_PYTHON, "-m", "venv", "--without-pip", str(venv)],
            "cannot make a Python environment for QEMU's build",
        )
        site = next(venv.glob("lib/python3.*/site-packages"))
        install = [
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "--target",
            str(site),
        ]
        argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", *install, "-r", str(_LOCKED)]
        _host(argv, "meson cannot be installed for QEMU's build (pip could not fetch it)")

    return cache.make(_TOOLS_ROOM, key, maker) / "venv"


def _host(argv: list[str], failure: str) -> None:
    done = subprocess.run(bound(argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InfrastructureError(
            failure, detail="\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        )
