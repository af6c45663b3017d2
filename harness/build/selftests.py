# SPDX-License-Identifier: GPL-2.0-or-later
"""Build Linux's own tests of its memory management from a kernel's tree, for the guest, and our launcher.

The tree is a stranger's code, Makefiles and all: it is built in the sandbox, with the headers of that tree, and
by its own Makefile. What does not compile is left out, and its lines are kept.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness import layout
from harness.build import guest, products
from harness.build.cache import Cache, digest, file_sha256
from harness.build.sandbox import Bind, CommandFailed, Sandbox
from harness.errors import BuildError, InfrastructureError
from harness.model import Kernel
from harness.sources.debian import DebianRoot

OnOutput = Callable[[str], None]

LAUNCHER: Final = "launch"
_ROOM: Final = "selftests"
_RECIPE: Final = "2"
_FOLDERS: Final = ("tools/testing/selftests/mm", "tools/testing/selftests/vm")
_SOURCE, _OUT, _NUMA = "/build/src", "/build/out", "/build/numa"
_HEADERS: Final = f"{_OUT}/headers"
_NUMA_PACKAGE: Final = "libnuma-dev"
_NUMA_FILES: Final = {
    "usr/include/numa.h": "numa.h",
    "usr/include/numaif.h": "numaif.h",
    "usr/include/numacompat1.h": "numacompat1.h",
    "usr/lib/aarch64-linux-gnu/libnuma.a": "libnuma.a",
}
"""Some tests use libnuma: file of the package -> name beside them."""
_ARCH: Final = ("ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-")


@dataclass(frozen=True, slots=True)
class Programs:
    """What came of it."""

    launcher: Path
    built: dict[str, Path]
    """Program -> file of the cache."""
    log: str
    """What the compiler said; of interest for those that are not among ``built``."""


def folder_of(tree: Path) -> str:
    """Where the tests lie in this tree. InfrastructureError when they are in neither place."""
    for folder in _FOLDERS:
        if (tree / folder / "Makefile").is_file():
            return folder
    raise InfrastructureError(f"{tree}: no tests of the memory management: neither {' nor '.join(_FOLDERS)}")


def build(
    kernel: Kernel,
    programs: Sequence[str],
    *,
    cache: Cache,
    debian: DebianRoot,
    sandbox: Sandbox,
    on_output: OnOutput,
) -> Programs:
    """The launcher, and those of ``programs`` that compile; from the cache when they were built before."""
    sources = layout.project().guest_tests
    launcher = sorted((sources / "selftests").glob("*.[ch]"))
    numa = debian.resolve(_NUMA_PACKAGE, guest.SUITES, guest.ARCH)
    shared = (sources / "driver" / "sva_testdev.h", sources / "workloads" / "kmsg.h")
    ours = [file_sha256(path) for path in (*launcher, *shared)]
    names = sorted(set(programs))
    key = digest("selftests", _RECIPE, *sandbox.mark, kernel.digest, names, str(numa), ours)

    def make(folder: Path) -> None:
        out, tests, libraries = folder / "out", folder / "tests", folder / "numa"
        for path in (out, libraries):
            path.mkdir()
        where = folder_of(kernel.tree)
        # Its Makefile writes there. Links stay links: they lead where the sandbox lets them.
        shutil.copytree(kernel.tree / where, tests, symlinks=True)
        for file, data in guest.unpack(debian.fetch(numa), _NUMA_FILES).items():
            (libraries / _NUMA_FILES[file]).write_bytes(data)
        binds = (
            Bind(kernel.tree, _SOURCE),
            Bind(tests, f"{_SOURCE}/{where}", writable=True),
            Bind(libraries, _NUMA),
            Bind(sources, "/build/guest-tests"),
            Bind(out, _OUT, writable=True),
        )
        log = folder / "build.log"
        parts = [path.name for path in launcher if path.suffix == ".c"]
        _compile_launcher(binds, parts, sandbox, log, on_output)
        _compile(binds, f"{_SOURCE}/{where}", names, sandbox, log, on_output)
        for name in names:
            if (out / name).is_file():
                products.keep(out, name, folder / name)
        products.keep(out, LAUNCHER, folder / LAUNCHER)
        for path in (out, tests, libraries):
            shutil.rmtree(path)

    entry = cache.make(_ROOM, key, make)
    return Programs(
        launcher=entry / LAUNCHER,
        built={name: entry / name for name in names if (entry / name).is_file()},
        log=(entry / "build.log").read_text(encoding="utf-8", errors="replace"),
    )


def _compile_launcher(
    binds: Sequence[Bind], parts: Sequence[str], sandbox: Sandbox, log: Path, on_output: OnOutput
) -> None:
    argv = [
        *(guest.COMPILER, *guest.CFLAGS, "-I/build/guest-tests/driver"),
        *(f"/build/guest-tests/selftests/{part}" for part in parts),
        *("-o", f"{_OUT}/{LAUNCHER}"),
    ]
    try:
        sandbox.run(argv, binds=binds, cwd=_OUT, on_output=on_output, log=log)
    except CommandFailed as error:
        raise BuildError("the launcher of selftests does not build", detail=error.detail) from error


def _compile(
    binds: Sequence[Bind], where: str, names: Sequence[str], sandbox: Sandbox, log: Path, on_output: OnOutput
) -> None:
    """BuildError when the headers do not build; tests that do not are missing afterwards."""
    headers = ["make", "-C", _SOURCE, f"O={_HEADERS}", *_ARCH, "headers"]
    flags = f"-static -isystem {_NUMA} -L{_NUMA}"
    tests = [
        *("make", "-k", "-C", where, *_ARCH, f"OUTPUT={_OUT}"),
        *(f"KHDR_INCLUDES=-isystem {_HEADERS}/usr/include", f"EXTRA_CFLAGS={flags}"),
        *(f"{_OUT}/{name}" for name in names),
    ]
    try:
        sandbox.run(headers, binds=binds, cwd=_OUT, on_output=on_output, log=log)
    except CommandFailed as error:
        raise BuildError("the kernel's headers do not build", detail=error.detail) from error
    with contextlib.suppress(CommandFailed):
        sandbox.run(tests, binds=binds, cwd=_OUT, on_output=on_output, log=log)
