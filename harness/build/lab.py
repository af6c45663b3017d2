# SPDX-License-Identifier: GPL-2.0-or-later
"""Debuggers on a built kernel, in the sandbox: they read, and partly run, what a stranger's patch has made.

The source lies where it was compiled (``/build/src``), so that debuggers find it. Helpers for gdb and
``decode_stacktrace.sh`` are the tree's own.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

from harness.build import toolchain
from harness.build.sandbox import Bind, CommandFailed, Sandbox
from harness.build.variant_tree import SOURCE, Touched, mounts
from harness.errors import BuildError, InfrastructureError, UserError
from harness.model import BuiltKernel
from harness.temporary import temporary

GDB = "gdb-multiarch"
_OUT = "/build/out"
_VMLINUX = "/build/vmlinux"
_MODULES = "/build/modules"
_SOCKET = "/build/gdb"
_CORE = "/build/vmcore"
_TRACE = "/build/trace"
_ENV = {"ARCH": "arm64", "CROSS_COMPILE": toolchain.CROSS}


def vmlinux(built: BuiltKernel) -> Path:
    """The kernel with its symbols; there only when it was built with them."""
    return built.image.parent / "vmlinux"


def system_map(built: BuiltKernel) -> Path:
    return built.image.parent / "System.map"


def build_id(built: BuiltKernel) -> str:
    """Of the kernel, hex; empty where it has none."""
    with vmlinux(built).open("rb") as file:
        try:
            notes = (
                n for s in ELFFile(file).iter_sections() if isinstance(s, NoteSection) for n in s.iter_notes()
            )
            return next((str(n["n_desc"]) for n in notes if n["n_type"] == "NT_GNU_BUILD_ID"), "")
        except (ELFError, ValueError) as error:
            raise BuildError(f"vmlinux: not a kernel: {error}") from error


def need_gdb() -> None:
    """UserError with what to install."""
    if shutil.which(GDB) is None:
        raise UserError(f"{GDB} is not installed: apt-get install {GDB} (or use drgn: DRGN=1, --drgn)")


@dataclass(frozen=True, slots=True)
class Lab:
    """One built kernel on the table."""

    sandbox: Sandbox
    binds: tuple[Bind, ...]

    def gdb(self, socket: Path, page: int | None, commands: Sequence[str]) -> int:
        """gdb on a guest's stub, with the kernel's helpers. Its status.

        With ``commands`` it runs those and ends; else it has the user's terminal.
        """
        argv = [GDB, "-q", "-nx", "-iex", "set auto-load safe-path /build", "-iex", "set debuginfod enabled off"]
        for line in (
            "set pagination off",
            "set confirm off",
            f"file {_VMLINUX}",
            f"source {_OUT}/vmlinux-gdb.py",
            f"target remote {_SOCKET}/{socket.name}",
            f"lx-symbols {_MODULES}",
            *([f"set $page = {page:#x}"] if page is not None else []),
            *([] if commands else ["set pagination on"]),
            *commands,
        ):
            argv += ["-ex", line]
        binds = (*self.binds, Bind(socket.parent, _SOCKET))
        return self._run([*argv, "-batch"] if commands else argv, binds, batch=bool(commands))

    def drgn(self, core: Path, commands: Sequence[str]) -> int:
        """drgn on a dump."""
        python = Path(sys.prefix)
        binds = [*self.binds, Bind(core, _CORE), Bind(python, str(python))]
        base = Path(sys.base_prefix).resolve()
        if not base.is_relative_to("/usr"):
            binds.append(Bind(base, str(base)))
        argv = [sys.executable, "-P", "-m", "drgn", "-c", _CORE, "--no-default-symbols", "-s", _VMLINUX]
        for bind in self.binds:
            argv += ["-s", bind.target] if bind.target.startswith(f"{_MODULES}/") else []
        argv += ["-e", "\n".join(commands)] if commands else []
        return self._run(argv, binds, batch=bool(commands))

    def decode(self, trace: str) -> str:
        """A trace of the kernel with files and lines, by the tree's own ``scripts/decode_stacktrace.sh``."""
        lines: list[str] = []
        with temporary("trace") as folder:
            (text := Path(folder, "trace")).write_text(trace, encoding="utf-8")
            script = f"exec {SOURCE}/scripts/decode_stacktrace.sh {_VMLINUX} {SOURCE} {_MODULES} <{_TRACE}"
            try:
                self.sandbox.run(
                    ["bash", "-c", script],
                    binds=(*self.binds, Bind(text, _TRACE)),
                    env=_ENV,
                    on_output=lines.append,
                    timeout=300,
                )
            except CommandFailed as error:
                raise InfrastructureError("decode_stacktrace.sh failed", detail=error.detail) from error
        return "\n".join(lines) + "\n"

    def _run(self, argv: Sequence[str], binds: Sequence[Bind], *, batch: bool) -> int:
        env = {"TERM": os.environ.get("TERM", "dumb"), "PYTHONDONTWRITEBYTECODE": "1"}
        if not batch:
            return self.sandbox.interactive(argv, binds=binds, env=env, cwd="/build")
        try:
            self.sandbox.run(argv, binds=binds, env=env, cwd="/build", on_output=print)
        except CommandFailed as error:
            return error.exit_status
        return 0


@contextmanager
def lab(built: BuiltKernel, *, sandbox: Sandbox, scratch: Path) -> Iterator[Lab]:
    """The kernel with its source, objects and modules. ``scratch`` lies on the cache's file system."""
    entry = built.image.parent
    if not vmlinux(built).is_file():
        raise InfrastructureError(f"{entry}: this kernel was built without symbols")
    touched = Touched(entry / "touched", ()) if (entry / "touched").is_dir() else None
    with tempfile.TemporaryDirectory(prefix=".lab-", dir=scratch) as work:
        source = mounts(built.kernel.tree, touched, Path(work), 0.0, confined=sandbox.confined)
        modules = [Bind(path, f"{_MODULES}/{path.name}") for path in built.modules]
        yield Lab(sandbox, (*source, Bind(entry / "out", _OUT), Bind(vmlinux(built), _VMLINUX), *modules))
