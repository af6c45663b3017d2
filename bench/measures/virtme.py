# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user would pick instead: virtme-ng, arm64 under TCG, to its first command, against our boot to the same.

Both boot one kernel, built with ``kconfigs/bench.config`` besides; CPU, number of CPUs and memory are the same.
virtme-ng lives in an environment of its own, its version locked (``bench/virtme-ng.txt``); its QEMU is the host's,
or Debian's, unpacked; its root is a folder of unpacked Debian packages, over 9p (Debian 12 has no virtiofsd).
"""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.bench import Bench, timed
from bench.debian_tree import unpacked
from bench.frame import Measure, Pair, Row
from bench.measures.boot import SETUP, first_command
from harness.build import kernel, packages
from harness.build.cache import digest, file_sha256
from harness.errors import InfrastructureError
from harness.model import BuiltKernel, Series

ROOT = (
    *("bash", "coreutils", "mount", "util-linux", "base-files", "base-passwd", "sed", "grep", "mawk", "findutils"),
    # what names the ports that a command's output goes through, and what powers off
    *("hostname", "iproute2", "udev", "systemd-sysv"),
)
_ETC = {
    "group": "root:x:0:\ntty:x:5:\n",
    **dict.fromkeys(("fstab", "hosts", "shadow"), ""),  # virtme-ng mounts its own over them
    "passwd": "root:x:0:0:root:/root:/bin/bash\n",  # last: that the folder is complete
}
_MARK = "faultloop-bench:"
_SECONDS = 120.0


@contextmanager
def _prepare(bench: Bench) -> Iterator[Pair]:
    setup = bench.setups(SETUP)[0]
    built = _kernel(bench)
    with bench.scratch("virtme") as folder:
        qemu = _qemu(bench, folder)
        root = _root(bench)
        words = [str(_environment(bench) / "bin" / "vng"), "--run", str(built.image), "--arch", "arm64"]
        words += ["--root", str(root), "--force-9p", "--qemu", str(qemu), "--cpus", str(setup.cpus)]
        words += ["--memory", f"{setup.memory_mib}M", "--disable-monitor", "--", f"echo {_MARK}$((40+2))"]
        version = timed([str(qemu), "--version"]).stdout.splitlines()[0]
        yield Pair(
            lambda: {"": first_command(bench, built, setup)},
            lambda: {"": _first(words, folder)},
            [f"virtme-ng {_version()}, {version}, {setup.cpu}, {setup.memory_mib} MiB, 9p"],
        )


def _kernel(bench: Bench) -> BuiltKernel:
    shop = bench.shop
    fragments = (*kernel.DEFAULT_FRAGMENTS, "bench")
    with shop.progress.step("kernel for virtme-ng"):
        return kernel.build(
            bench.kernel, Series(), cache=shop.cache, sandbox=shop.sandbox, jobs=shop.cores, fragments=fragments
        )


def _requirements() -> Path:
    return Path(__file__).resolve().parents[1] / "virtme-ng.txt"


def _version() -> str:
    lines = _requirements().read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("virtme-ng==")).split()[0].partition("==")[2]


def _environment(bench: Bench) -> Path:
    """The virtual environment, named by what is in it; made at its place, for its programs name that."""
    folder = bench.shop.cache.root / "venv" / f"virtme-ng-{file_sha256(_requirements())[:16]}"
    stamp = folder / ".complete"
    with bench.shop.cache.lock("virtme-ng"):
        if not stamp.exists():
            shutil.rmtree(folder, ignore_errors=True)
            timed([sys.executable, "-m", "venv", str(folder)])
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
            timed([*pip, "--disable-pip-version-check", "-r", str(_requirements())])
            stamp.touch()
    return folder


def _qemu(bench: Bench, folder: Path) -> Path:
    """The host's QEMU; or Debian's, by a script that finds the libraries that came with it."""
    if found := shutil.which("qemu-system-aarch64"):
        return Path(found)
    tree = unpacked(bench.shop, ["qemu-system-arm"], None, packages.installed())
    libraries = sorted({path.parent for path in tree.rglob("*.so*") if "lib" in path.parts})
    script = folder / "qemu-system-aarch64"
    script.write_text(
        f"#!/bin/sh\nLD_LIBRARY_PATH={':'.join(map(str, libraries))} exec {tree}/usr/bin/qemu-system-aarch64 "
        f'-L {tree}/usr/share/qemu "$@"\n'
    )
    script.chmod(0o755)
    return script


def _root(bench: Bench) -> Path:
    """A root file system for the guest; made anew from its packages when they change."""
    tree = unpacked(bench.shop, ROOT, "arm64")
    folder = bench.shop.cache.root / "bench" / f"root-{digest(str(tree), _ETC)[:16]}"
    with bench.shop.cache.lock("bench-root"):
        if not (folder / "etc" / "passwd").exists():
            shutil.rmtree(folder, ignore_errors=True)
            timed(["cp", "-al", "--", str(tree), str(folder)])
            for name in ("dev", "proc", "sys", "run", "tmp", "root", "mnt", "home", "lib/modules", "var/tmp"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                (folder / "bin" / "sh").symlink_to("bash")
            for name, text in _ETC.items():
                (folder / "etc" / name).write_text(text, encoding="ascii")
    return folder


def _first(words: list[str], folder: Path) -> float:
    """Seconds until the first command's words; virtme-ng wants a terminal. It is ended when they were seen."""
    ours, theirs = pty.openpty()
    with tempfile.TemporaryDirectory(dir=folder) as home, contextlib.ExitStack() as stack:
        stack.callback(os.close, ours)
        began = time.monotonic()
        process = subprocess.Popen(
            ["timeout", str(_SECONDS), *words],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "HOME": home,
                "TERM": "dumb",
                "PATH": f"{Path(words[0]).parent}:{os.environ['PATH']}",
            },
            start_new_session=True,
        )
        os.close(theirs)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        assert process.stdout is not None
        said = b""
        while chunk := os.read(process.stdout.fileno(), 1 << 16):
            said += chunk
            if f"{_MARK}42".encode() in said:
                seconds = time.monotonic() - began
                process.stdout.read()
                return seconds
    raise InfrastructureError(
        "virtme-ng did not run its first command", detail=said.decode(errors="replace")[-3000:]
    )


MEASURES = (Measure("virtme-ng", (Row("", "boot to first command"),), _prepare),)
