# SPDX-License-Identifier: GPL-2.0-or-later
"""What of a host decides results: our own sources, tools, libraries. A worker that differs is not used.

Only content counts: paths, cores and names do not. Kernels, emulator and guest image themselves come out of the
store by their content and cannot differ.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from harness import __version__
from harness.build import toolchain
from harness.build.cache import digest, file_sha256
from harness.build.sandbox import Sandbox
from harness.build.store import Store
from harness.layout import project

Identity = Mapping[str, str]
"""What -> which. Compared word by word, and shown."""

_SHORT = 12
_NOT_SOURCE = (".pyc", ".o", ".ko", ".cmd", ".mod")


def identity(store: Store, sandbox: Sandbox) -> dict[str, str]:
    """Of this host. InfrastructureError when a tool is missing."""
    root = project().root
    emulator = toolchain.emulator_versions()
    parts = {
        "faultloop": __version__,
        "architecture": os.uname().machine,
        "harness": _content(root / "harness"),
        "guest-tests": _content(root / "guest-tests"),
        "kconfigs": _content(root / "kconfigs"),
        "emulator": digest(_content(root / "patches" / "qemu"), emulator)[:_SHORT],
        "python": platform.python_version(),
        "python libraries": file_sha256(root / "requirements.lock")[:_SHORT],
        "sandbox": "bubblewrap" if sandbox.confined else "off",
        "store": store.identity(),
    }
    return parts | emulator | toolchain.kernel_versions() | toolchain.versions(["bwrap"])


def differences(here: Identity, there: Identity) -> list[str]:
    """What is not the same, a phrase each; empty for hosts that give the same results."""
    names = [name for name in dict.fromkeys([*here, *there]) if here.get(name) != there.get(name)]
    return [f"{name} (here {here.get(name) or 'none'}, there {there.get(name) or 'none'})" for name in names]


def resource(parts: Identity) -> str:
    """The Dask resource by which work finds hosts of this identity, and no others."""
    return f"faultloop-{digest(dict(parts))[:16]}"


def _content(folder: Path) -> str:
    """Names and contents of the sources below ``folder``, in short."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(_NOT_SOURCE))
    seen = [
        (path.relative_to(folder).as_posix(), file_sha256(path)) for path in files if not path.name.startswith(".")
    ]
    return digest(seen)[:_SHORT]
