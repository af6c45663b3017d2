# SPDX-License-Identifier: GPL-2.0-or-later
"""A signed Debian mirror on this machine, over HTTP: one kernel source, and it can stall or cut off in its middle.

The command checks its signature with the host's keyring. So it runs in a mount namespace of its own, in which the
test's key lies over that.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from harness.sources.debian_host import KEYRINGS, host_architecture
from tests.tools.test_debian import Archive, Key

PACKAGE = "linux-source-6.1"
SUITES = ("bookworm-security", "bookworm")
_MIDDLE = 1 << 20


class Mirror(http.server.ThreadingHTTPServer):
    """Serves ``folder``; what is done in the middle of a package: ``""``, ``stall`` or ``cut``."""

    daemon_threads = True

    def __init__(self, folder: Path, ring: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
        self.ring = ring
        self.fault = ""
        self.stalled = threading.Event()
        """Somebody is in the middle of a package."""
        self.go_on = threading.Event()

    @property
    def environment(self) -> dict[str, str]:
        return {"FAULTLOOP_DEBIAN_MIRROR": f"http://127.0.0.1:{self.server_port}/debian"}

    def trusted(self) -> list[str]:
        """The beginning of a command line: what follows takes the mirror's key for Debian's."""
        (there, *_) = [path for path in KEYRINGS if Path(path).is_file()]
        return [*MOUNTS, f'mount --bind "{self.ring}" "{there}" && exec "$@"', "sh"]


MOUNTS = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c"]
"""A command line for the shell follows: what it mounts, only it and its children see."""


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: Mirror

    def copyfile(self, source: object, outputfile: object) -> None:
        if self.server.fault and self.path.endswith(".deb"):
            assert hasattr(source, "read") and hasattr(outputfile, "write")
            outputfile.write(source.read(_MIDDLE))
            self.server.stalled.set()
            if self.server.fault == "stall":
                self.server.go_on.wait(60)
            self.close_connection = True
            return
        super().copyfile(source, outputfile)  # type: ignore[type-var]

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serve(folder: Path, tarball: Path) -> Iterator[Mirror]:
    """A mirror of ``tarball`` as the package of Linux 6.1, in ``folder``."""
    key = Key(folder / "gpg")
    content = _package(folder / "package", tarball)
    for site, suite in (("debian-security", SUITES[0]), ("debian", SUITES[1])):
        found = [(PACKAGE, "6.1.999-1", content)] if suite == SUITES[0] else []
        Archive(folder / "www" / site, key).publish(suite, host_architecture(), *found)
    mirror = Mirror(folder / "www", key.ring)
    thread = threading.Thread(target=mirror.serve_forever)
    thread.start()
    try:
        yield mirror
    finally:
        mirror.go_on.set()
        mirror.shutdown()
        thread.join()
        mirror.server_close()
        key.stop()


def ask_again(cache: Path) -> None:
    """Have the indexes of the suites in question read anew, from the mirror."""
    for suite in SUITES:
        shutil.rmtree(cache / "apt" / f"{suite}-{host_architecture()}", ignore_errors=True)


def _package(folder: Path, tarball: Path) -> bytes:
    (folder / "usr/src").mkdir(parents=True)
    (folder / "DEBIAN").mkdir()
    shutil.copy(tarball, folder / "usr/src" / "linux-source-6.1.tar.gz")
    control = f"Package: {PACKAGE}\nVersion: 6.1.999-1\nArchitecture: all\nMaintainer: x <x@example.org>\n"
    (folder / "DEBIAN" / "control").write_text(control + "Description: a test's\n")
    deb = folder.with_suffix(".deb")
    subprocess.run(["dpkg-deb", "-Znone", "--build", str(folder), str(deb)], check=True, capture_output=True)
    return deb.read_bytes()
