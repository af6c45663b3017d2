# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop doctor``: what is missing on this host, and what to do about it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from rich.text import Text

from harness import layout
from harness.build import cgroup, limits, packages
from harness.build.cache import Cache
from harness.build.sandbox import UNCONFINED, of_user, user_namespaces
from harness.disk import free_bytes
from harness.errors import ExitStatus, FaultloopError
from harness.oracle.sva import PARANGE
from harness.report import text
from harness.sources import catalogue, debian_host, kernels, mail_fetch

_GIB = 1 << 30
_WIDTH = 116
_NEED_DISK = 12.0
"""GiB: two kernels with objects, sources, emulator, and a patched variant in the making."""
_NEED_MEMORY = 3.0
"""GiB: linking a kernel, or two guests with their emulators."""

_TOOLS = {
    "bwrap": "bubblewrap",
    "make": "build-essential",
    "gcc": "build-essential",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "git": "git",
    "pkg-config": "pkg-config",
    "mkfs.ext4": "e2fsprogs",
    "ssh": "openssh-client",
    "apt-get": "apt",
    "xz": "xz-utils",
    "gpg": "gnupg",
    "ninja": "ninja-build",
    "setpriv": "util-linux",
    "prlimit": "util-linux",
    "choom": "util-linux",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: ``ok``, what was seen, and the way out when it is not."""

    name: str
    ok: bool
    seen: str
    remedy: str = ""


def doctor(stream: TextIO, *, as_json: bool = False) -> int:
    """Print every finding; status 0 when all is well, 4 when something is missing."""
    cache = Cache(layout.cache_root())
    findings = [*_tools(), _packages(), *_host(cache), *_sources(cache), *_setups()]
    bad = sum(not f.ok for f in findings)
    status = int(ExitStatus.INFRASTRUCTURE if bad else ExitStatus.FIXES)
    if as_json:
        told = {"schema": "faultloop/doctor/1", "exit_status": status, "findings": [asdict(f) for f in findings]}
        print(json.dumps(told, indent=1), file=stream)
        return status
    console = text.console_for(stream, _WIDTH)
    for f in findings:
        head = Text.assemble(("ok     ", "green") if f.ok else ("MISSING", "bold red"), f"  {f.name}: {f.seen}")
        console.print(head, soft_wrap=True)
        if not f.ok and f.remedy:
            console.print(Text(f"         -> {f.remedy}", style="bold"), soft_wrap=True)
    said = f"{bad} of {len(findings)} checks failed" if bad else f"all {len(findings)} checks passed"
    console.print(Text(said, style="bold red" if bad else "bold green"))
    return status


def _tools() -> list[Finding]:
    found = []
    for tool, package in _TOOLS.items():
        path = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        seen = _version(path) if path else "not found"
        found.append(Finding(tool, path is not None, seen, f"apt-get install {package}"))
    return found


def _packages() -> Finding:
    """All of ``tools/packages.txt``, and the one line that installs what is missing."""
    if shutil.which("dpkg-query") is None:
        wanted = packages.wanted()
        return Finding("packages", True, f"not a Debian system; these, or what corresponds: {' '.join(wanted)}")
    missing = packages.missing()
    seen = f"missing: {' '.join(missing)}" if missing else "all are installed"
    return Finding("packages", not missing, seen, packages.remedy(missing))


def _host(cache: Cache) -> list[Finding]:
    free = free_bytes(cache.root) / _GIB
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    return [
        Finding(
            "disk",
            free >= _NEED_DISK,
            f"{free:.1f} GiB free at {cache.root}",
            f"make room for {_NEED_DISK:g} GiB, or name another folder in FAULTLOOP_CACHE",
        ),
        Finding("memory", memory >= _NEED_MEMORY, f"{memory:.1f} GiB", f"{_NEED_MEMORY:g} GiB are needed"),
        _attempt("cache folder", lambda: _writable(cache.root)),
        Finding(
            "results", True, f"in {layout.results_root().absolute()} (FAULTLOOP_RESULTS names another folder)"
        ),
        Finding("data files", True, _data()),
        _attempt("sandbox", _sandbox),
        _user_namespaces(),
        _attempt("limits of a build", lambda: limits.told(limits.of_environment())),
        Finding("limits are kept by", True, _keeper()),
        _attempt("b4", lambda: _version(mail_fetch.b4())),
        Finding(
            "KVM", True, "guests run under TCG" if os.uname().machine != "aarch64" else "ACCEL=kvm (untested)"
        ),
    ]


def _sources(cache: Cache) -> list[Finding]:
    known = kernels.cached(cache=cache)
    have = ", ".join(f"{k.name} ({k.version})" for k in known) or "none yet, fetched on first use"
    return [
        _attempt("Debian mirror", debian_host.mirror_origin),
        Finding("kernel sources in the cache", True, have),
    ]


def _setups() -> list[Finding]:
    """SVA preconditions that can be told without a guest."""
    found = []
    for setup in catalogue.setups(layout.project().setups):
        parange = PARANGE.get(setup.cpu)
        wide = parange is None or setup.oas >= parange
        seen = f"OAS {setup.oas}, PARange {parange or 'unknown'}, SSIDSIZE {setup.ssidsize}, stall {setup.stall}"
        ok = wide and setup.ssidsize > 0 and setup.stall != "off"
        found.append(
            Finding(
                f"SVA on {setup.name}", ok, seen, "setups.yaml: oas >= PARange, ssidsize > 0 and stall are needed"
            )
        )
    return found


def _data() -> str:
    here = layout.project()
    return f"installed, in {here.root}" if here.installed else f"checkout {here.root}"


def _attempt(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except FaultloopError as error:
        return Finding(name, False, error.message)
    except OSError as error:
        return Finding(name, False, str(error))


def _writable(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".probe-{os.getpid()}"
    probe.touch()
    probe.unlink()
    return f"{folder} can be written"


def _sandbox() -> str:
    box = of_user()
    box.run(["true"])
    return "bubblewrap works, without network" if box.confined else UNCONFINED


def _user_namespaces() -> Finding:
    """Root can do without them; anyone else has no sandbox then."""
    there = user_namespaces()
    seen = "there are some" if there else "none (user.max_user_namespaces)"
    remedy = "sysctl user.max_user_namespaces=10000, or run as root"
    return Finding("user namespaces", there or os.geteuid() == 0, seen, remedy)


def _keeper() -> str:
    """Who sees to it that a build keeps within its limits on memory and processes (docs/sandbox.md)."""
    places = {name: place.folder for place in cgroup.places() for name in sorted(place.controllers)}
    processes = f"control group below {places['pids']}" if "pids" in places else "RLIMIT_NPROC"
    if "pids" not in places and os.geteuid() == 0:
        processes = "a look four times a second (root is free of RLIMIT_NPROC, and may make no control group here)"
    memory = (
        f"control group below {places['memory']}" if "memory" in places else "RLIMIT_AS for each, a look for all"
    )
    return f"processes: {processes}; memory: {memory}"


def _version(path: str) -> str:
    """First line of ``--version``, or the path of a tool that has no such option."""
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return path
    lines = done.stdout.splitlines()
    return lines[0] if done.returncode == 0 and lines else path
