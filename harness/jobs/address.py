# SPDX-License-Identifier: GPL-2.0-or-later
"""Which scheduler may be used, and with whose certificates.

A Dask worker runs what it is sent, as the user who started it. So whoever reaches a scheduler or a worker must
have a certificate (``tls://``), or be on this very machine (``tcp://`` on loopback).
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import dask
from distributed.security import Security

from harness.errors import UserError

Role = Literal["client", "scheduler", "worker"]

_TLS = {"ca": "FAULTLOOP_TLS_CA", "cert": "FAULTLOOP_TLS_CERT", "key": "FAULTLOOP_TLS_KEY"}
_DEFAULT_PORT = 8786


@dataclass(frozen=True, slots=True)
class Address:
    """Of a scheduler."""

    host: str
    port: int
    tls: bool

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol}://{host}:{self.port}"

    @property
    def protocol(self) -> str:
        return "tls" if self.tls else "tcp"

    @property
    def loopback(self) -> bool:
        """No other machine reaches it."""
        return _is_loopback(self.host)


def parse(text: str) -> Address:
    """``tls://host:port``, or ``tcp://`` on loopback; UserError, with the reason, for anything else."""
    parts, port = _split(text)
    host = parts.hostname or ""
    if parts.scheme not in ("tls", "tcp") or not host or parts.path.strip("/") or parts.username:
        raise UserError(f"'{text}' is no address of a scheduler: tls://host:port, or tcp://127.0.0.1:port")
    if parts.scheme == "tcp" and not _is_loopback(host):
        raise UserError(
            f"{text}: refused: tcp:// is not protected, and a worker runs what it is sent: whoever reaches it is "
            "its user. Plain tcp:// is for 127.0.0.1 only; use tls:// (docs/pool.md says how)"
        )
    return Address(host, _DEFAULT_PORT if port is None else port, parts.scheme == "tls")


def security(address: Address, role: Role) -> Security | None:
    """Dask's configuration of TLS for one side; None for plain tcp. UserError when a file is wanting."""
    if not address.tls:
        return None
    ca = os.environ.get(_TLS["ca"]) or dask.config.get("distributed.comm.tls.ca-file")
    cert = os.environ.get(_TLS["cert"]) or dask.config.get(f"distributed.comm.tls.{role}.cert")
    key = os.environ.get(_TLS["key"]) or dask.config.get(f"distributed.comm.tls.{role}.key")
    files = {_TLS["ca"]: ca, _TLS["cert"]: cert, _TLS["key"]: key}
    unnamed = [name for name, file in files.items() if not file]
    absent = [f"{name}={file}" for name, file in files.items() if file and not Path(file).is_file()]
    if unnamed or absent:
        wrong = [f"not named: {', '.join(unnamed)}"] if unnamed else []
        wrong += [f"no such file: {', '.join(absent)}"] if absent else []
        raise UserError(
            f"{address.url}: TLS needs the certificate of the pool's CA, and a certificate of it with its key: "
            f"{'; '.join(wrong)} (or set distributed.comm.tls in Dask's configuration; docs/pool.md)"
        )
    made = Security(
        require_encryption=True,
        tls_ca_file=str(ca),
        **{f"tls_{role}_cert": str(cert), f"tls_{role}_key": str(key)},
    )
    try:
        made.get_connection_args(role)
    except (ssl.SSLError, OSError) as error:
        named = ", ".join(f"{name}={file}" for name, file in files.items())
        raise UserError(f"{address.url}: these do not serve for TLS ({error}): {named}") from error
    return made


def _split(text: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(text)
        return parts, parts.port
    except ValueError as error:
        raise UserError(f"'{text}' is no address of a scheduler: {error}") from error


def _is_loopback(host: str) -> bool:
    """By its number: what a name means is decided elsewhere, all but ``localhost``."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
