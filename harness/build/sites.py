# SPDX-License-Identifier: GPL-2.0-or-later
"""Where in a built kernel's code the functions are that raise a page-table entry.

The kernels have no debug information, and most of these functions are inlined. So the objects that hold them are
compiled once more, by the command that kbuild kept, with ``-g``. GCC promises the same code (``-fcompare-debug``);
it is checked: every function of such an object must lie in the kernel's ``System.map`` as it lies in the object.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from harness.build import dwarf, products
from harness.build.cache import Cache, digest
from harness.build.sandbox import Bind, CommandFailed, Sandbox
from harness.build.variant_tree import Touched, mounts
from harness.coverage import How, Site, Sites, Upgrader
from harness.errors import InfrastructureError, UserError
from harness.model import BuiltKernel

_RECIPE = 2
_ROOM = "sites"
_RESULT = "sites.json"
_OUT = "/build/out"
_OBJECTS = "/build/sites"
_SECONDS = 300.0
_TEXT = (".text", ".text.")
"""Sections of functions that stay: code that only runs while the kernel starts is freed after it."""

OnOutput = Callable[[str], None]


def find(
    built: BuiltKernel,
    base: BuiltKernel,
    upgraders: Sequence[Upgrader],
    *,
    cache: Cache,
    sandbox: Sandbox,
    jobs: int = 1,
    on_output: OnOutput | None = None,
) -> Sites:
    """Sites of ``upgraders`` in ``built``; ``base`` is the unpatched kernel, whose object tree is whole."""
    if not (built.confined and base.confined):
        raise UserError("objects are compiled again at the sandbox's paths: coverage needs FAULTLOOP_SANDBOX=on")
    names = sorted({u.name for u in upgraders})
    files = sorted({u.file for u in upgraders if u.file.endswith(".c")})
    entry, whole = built.config.parent, base.config.parent
    key = digest("sites", _RECIPE, entry.name, names, files)

    def maker(folder: Path) -> None:
        commands = {file: command for file in files if (command := _command(whole / "out", file))}
        (folder / "objects").mkdir()
        _compile(built, folder, commands, sandbox, jobs, on_output or (lambda line: None))
        symbols = _symbols((entry / "System.map").read_text(encoding="utf-8"))
        found = [s for file in commands for s in _sites(folder, file, names, upgraders, symbols)]
        shutil.rmtree(folder / "objects")
        document = {
            "sites": [asdict(site) for site in dict.fromkeys(found)],
            "not_built": [file for file in files if file not in commands],
        }
        (folder / _RESULT).write_text(json.dumps(document, indent=1), encoding="utf-8")

    document = json.loads((cache.make(_ROOM, key, maker) / _RESULT).read_text(encoding="utf-8"))
    return Sites(
        sites=tuple(Site(**{**row, "how": How(row["how"])}) for row in document["sites"]),
        not_built=tuple(document["not_built"]),
    )


def _command(out: Path, file: str) -> list[str] | None:
    """The compiler's command line for ``file``, as kbuild kept it; None when the kernel has no such object."""
    pure = PurePosixPath(file)
    kept = out / pure.parent / f".{pure.stem}.o.cmd"
    if not os.path.lexists(kept):
        return None
    _, _, line = products.read_text(out, str(kept.relative_to(out))).partition(":=")
    words = shlex.split(line.partition("\n")[0].partition(";")[0])
    words = [word for word in words if not word.startswith("-Wp,-MMD")]
    words[words.index("-o") + 1] = f"{_OBJECTS}/{_object(file)}"
    return [*words, "-g", "-gdwarf-5"]


def _object(file: str) -> str:
    return file.replace("/", "-") + ".o"


def _compile(
    built: BuiltKernel,
    folder: Path,
    commands: Mapping[str, Sequence[str]],
    sandbox: Sandbox,
    jobs: int,
    on_output: OnOutput,
) -> None:
    entry = built.config.parent
    touched = Touched(entry / "touched", ()) if (entry / "touched").is_dir() else None
    binds = [
        *mounts(built.kernel.tree, touched, folder, 0.0),
        Bind(entry / "out", _OUT),
        Bind(folder / "objects", _OBJECTS, writable=True),
    ]

    def one(file: str) -> None:
        on_output(f"  CC      {file}")
        sandbox.run(commands[file], binds=binds, cwd=_OUT, timeout=_SECONDS)

    try:
        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            list(pool.map(one, commands))
    except CommandFailed as error:
        raise InfrastructureError(
            f"Linux {built.kernel.version}: an object cannot be compiled again with debug information: "
            f"{error.message}",
            detail=error.detail,
        ) from error


def _sites(
    folder: Path,
    file: str,
    names: Collection[str],
    upgraders: Sequence[Upgrader],
    symbols: Mapping[str, Sequence[int]],
) -> list[Site]:
    """Sites in one object, placed in the kernel."""
    made = folder / _object(file)
    products.keep(folder / "objects", made.name, made)
    read = dwarf.read(made.read_bytes(), names)
    made.unlink()
    bases = _placed(file, read.symbols, symbols)
    found = []
    for place in read.places:
        owner = _owner(place.function, file, upgraders)
        if place.section in bases and owner is not None:
            found.append(
                Site(
                    function=place.function,
                    file=owner,
                    offset=bases[place.section] + place.address - symbols["_text"][0],
                    how=place.how,
                    within="" if place.within == place.function else place.within,
                    callee=place.callee,
                    register=place.register,
                    address=bases[place.section] + place.address,
                )
            )
    return found


def _owner(function: str, file: str, upgraders: Sequence[Upgrader]) -> str | None:
    """The file that defines it: the object's own, or a header; a function of this name elsewhere is another."""
    files = [u.file for u in upgraders if u.name == function]
    if file in files:
        return file
    return next((f for f in files if f.endswith(".h")), None)


def _placed(
    file: str, functions: Sequence[tuple[str, str, int]], symbols: Mapping[str, Sequence[int]]
) -> dict[str, int]:
    """Where each section of the object lies in the kernel.

    InfrastructureError when its functions do not lie there as they do in the object: other code was compiled.
    """
    bases = {}
    for section in {s for s, _, _ in functions if s == _TEXT[0] or s.startswith(_TEXT[1])}:
        mine = [(name, address) for s, name, address in functions if s == section and name in symbols]
        starts = Counter(place - address for name, address in mine for place in symbols[name])
        if not starts:
            continue
        start, _ = starts.most_common(1)[0]
        moved = [name for name, address in mine if start + address not in symbols[name]]
        if moved:
            raise InfrastructureError(
                f"{file}: compiled again with debug information, {moved[0]}() is not where the kernel has it: "
                "its sites cannot be told"
            )
        bases[section] = start
    return bases


def _symbols(system_map: str) -> dict[str, list[int]]:
    """Text symbols of the kernel: name -> addresses (static functions share names)."""
    found: dict[str, list[int]] = {}
    for line in system_map.splitlines():
        address, kind, name = line.split(maxsplit=2)
        if kind in "tTwW":
            found.setdefault(name, []).append(int(address, 16))
    return found
