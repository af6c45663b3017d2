# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of the harness need around ``fake_qemu.py``: its keys, its files, a spec that starts it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from harness.model import Setup
from harness.vm.spec import Deadlines, GuestSpec

_FAKE = Path(__file__).with_name("fake_qemu.py")


@dataclass(frozen=True)
class Keys:
    """Private keys of both sides, and the host's public one."""

    client: Path
    host: Path
    host_key: str

    @classmethod
    def make(cls, folder: Path) -> Keys:
        client, host = folder / "client", folder / "host"
        _write(client)
        public = _write(host)
        return cls(client, host, public)


def spec(folder: Path, keys: Keys, *words: str, **deadlines: float) -> GuestSpec:
    """A guest of the fake emulator, whose ``words`` say what goes wrong."""
    emulator = folder / "fake-qemu"
    emulator.write_text(
        f"#!{sys.executable}\nimport os, runpy\n"
        f"os.environ.update(FAKE_HOST_KEY={str(keys.host)!r}, FAKE_CLIENT_KEY={str(keys.client)!r})\n"
        f"runpy.run_path({str(_FAKE)!r}, run_name='__main__')\n"
    )
    emulator.chmod(0o755)
    for name in ("Image", "initramfs", "disk"):
        (folder / name).touch()
    return GuestSpec(
        emulator=emulator,
        kernel=folder / "Image",
        initramfs=folder / "initramfs",
        disk=folder / "disk",
        setup=Setup(name="fake", cpu="cortex-a57"),
        client_key=keys.client,
        host_key=keys.host_key,
        append=words,
        deadlines=Deadlines(**deadlines),
    )


def _write(path: Path) -> str:
    key = Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
