# SPDX-License-Identifier: GPL-2.0-or-later
"""What the sandbox would show at fixed paths, as the paths of the host: for ``FAULTLOOP_SANDBOX=off``.

Without mounts nothing can lie over anything, so what is bound must not lie below another (variant_tree.py makes a
copy of the tree for this).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence

from harness.temporary import temporary


@contextlib.contextmanager
def scratch() -> Iterator[str]:
    """An empty folder in place of the sandbox's /tmp."""
    with temporary("unconfined") as folder:
        yield str(folder)


def translate(
    argv: Sequence[str], env: Mapping[str, str], cwd: str, paths: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Command line and environment with the sandbox's ``paths`` made the host's; it ends with its parent."""
    for target in paths:
        if any(target.startswith(f"{other}/") for other in paths):
            raise ValueError(f"{target} lies in another bind")
    # A path ends where a word of it ends: /build/out is not the beginning of /build/output.
    known = re.compile("|".join(rf"(?<![\w./-]){re.escape(t)}(?![\w.-])" for t in paths)) if paths else None

    def host(text: str) -> str:
        return known.sub(lambda found: paths[found.group()], text) if known else text

    guard = ["setpriv", "--pdeathsig", "KILL", "--", "env", "--chdir", host(cwd), "--"]
    return [*guard, *map(host, argv)], {key: host(value) for key, value in env.items()}
