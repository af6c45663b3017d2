# SPDX-License-Identifier: GPL-2.0-or-later
"""A git tree of real kernel sources with a history that was made up: what breaks and mends is known.

The 80,000 files are packed once, in the cache; a repository borrows them and adds commits of a few files each.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.build.cache import digest
from harness.jobs.workshop import Workshop
from harness.model import Kernel
from harness.sources import patch, patch_apply
from tests.vm.command import ROOT

FIX = ROOT / "patches/linux/6.1-fix-fault-paths.patch"
_WHO = "A U Thor <author@example.invalid>"
_EPOCH = 1_700_000_000

MEMORY, MINCORE = "mm/memory.c", "mm/mincore.c"
_NOTIFY = """\
\t\tmmu_notifier_invalidate_range(vma->vm_mm, vmf->address,
\t\t\t\t\t      vmf->address + PAGE_SIZE);
"""
_NO_REUSE = "\t}\n\tpte_unmap_unlock(vmf->pte, vmf->ptl);\n\tcount_vm_event(PGREUSE);\n"
_REUSE = _NOTIFY + _NO_REUSE
_CLEAN = "\t\tif (vmf->flags & FAULT_FLAG_WRITE)\n\t\t\tmmu_notifier_invalidate_range(vmf->vma"
_HEAD = "// SPDX-License-Identifier: GPL-2.0\n"
_TAIL = "\n/* the end */\n"
_PANIC = """
static int __init planted_panic(void)
{
\tpanic("planted");
}
core_initcall(planted_panic);
"""

Edit = tuple[str, str, str]
"""File, text in it, and what stands there afterwards. Without a text to find: what is added at the end."""


@dataclass(frozen=True)
class Planted:
    """One commit of the history."""

    name: str
    subject: str
    edits: tuple[Edit, ...] = ()


def _harmless(number: int) -> Planted:
    file = ("README", "Documentation/mm/highmem.rst", "drivers/net/dummy.c", "fs/xfs/xfs_super.c")[number % 4]
    mark = f"\n.. planted {number}\n" if file.endswith(("README", ".rst")) else f"\n/* planted {number} */\n"
    return Planted(f"harmless-{number}", f"{file}: change nothing that is built ({number})", ((file, "", mark),))


HISTORY = (
    *map(_harmless, range(5)),
    Planted("comment", "mm/mincore: a word at the end", ((MINCORE, "", _TAIL),)),
    *map(_harmless, range(5, 8)),
    Planted("no-build-1", "mm/mincore: make it faster", ((MINCORE, _HEAD, f"{_HEAD}#error planted one\n"),)),
    Planted("builds-1", "mm/mincore: make it build", ((MINCORE, "#error planted one\n", ""),)),
    _harmless(8),
    Planted("break", "mm: do not tell anybody when a page is reused", ((MEMORY, _REUSE, _NO_REUSE),)),
    Planted("panic", "mm/mincore: check something at boot", ((MINCORE, _TAIL, _TAIL + _PANIC),)),
    Planted("boots", "mm/mincore: check nothing at boot", ((MINCORE, _PANIC, ""),)),
    *map(_harmless, range(9, 12)),
    Planted("no-build-2", "mm/mincore: clean up", ((MINCORE, _HEAD, f"{_HEAD}#error planted two\n"),)),
    Planted("builds-2", "mm/mincore: finish the clean-up", ((MINCORE, "#error planted two\n", ""),)),
    _harmless(12),
    Planted("mend", "mm: tell secondary MMUs of a page that is reused", ((MEMORY, _NO_REUSE, _REUSE),)),
    *map(_harmless, range(13, 15)),
    Planted(
        "flaky",
        "mm: tell secondary MMUs of clean pages when the moon is right",
        ((MEMORY, _CLEAN, _CLEAN.replace("FAULT_FLAG_WRITE)", "FAULT_FLAG_WRITE && !(get_random_u32() & 3))")),),
    ),
    *map(_harmless, range(15, 18)),
)
"""On Linux 6.1 with the fault paths mended (``root``)."""


@dataclass
class Tree:
    """A repository with the history in it."""

    path: Path
    commits: dict[str, str] = field(default_factory=dict)
    """Name -> commit."""

    def state(self) -> dict[str, str]:
        """All that a bisection must leave as it is: refs, configuration, index, files of the repository."""
        found = {}
        for file in sorted(self.path.rglob("*")):
            if file.is_file():
                found[str(file.relative_to(self.path))] = digest(file.stat().st_mtime_ns, file.stat().st_size)
        return found


def git(where: Path, *argv: str, feed: bytes = b"") -> str:
    """A git command, without any configuration of the user's."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    words = ["git", "-C", str(where), *argv]
    return subprocess.run(words, check=True, capture_output=True, input=feed, env=env).stdout.decode().strip()


def packed(shop: Workshop, kernel: Kernel) -> Path:
    """A bare repository with one commit, the tree of ``kernel``, as branch ``root``."""

    def maker(folder: Path) -> None:
        git(folder, "init", "-q", "--bare", "--initial-branch=root", str(folder / "git"))
        with tempfile.TemporaryFile() as stream:
            _stream(kernel.tree, stream.write)
            stream.seek(0)
            subprocess.run(
                ["git", "-C", str(folder / "git"), "-c", "core.compression=1", "fast-import", "--quiet"],
                check=True,
                stdin=stream,
            )

    return shop.cache.make("checks", digest("planted", 1, kernel.digest), maker) / "git"


def _stream(tree: Path, out: Callable[[bytes], object]) -> None:
    files = []
    for folder, folders, names in os.walk(tree):
        here = Path(folder)
        files += [here / name for name in names]
        files += [here / name for name in folders if (here / name).is_symlink()]
    out(f"commit refs/heads/root\ncommitter {_WHO} {_EPOCH} +0000\n".encode() + _data(b"Linux 6.1"))
    for path in sorted(files):
        if path.is_symlink():
            mode, content = "120000", os.fsencode(path.readlink())
        else:
            mode, content = "100755" if path.stat().st_mode & 0o100 else "100644", path.read_bytes()
        out(f'M {mode} inline "{path.relative_to(tree)}"\n'.encode() + _data(content))


def _data(content: bytes) -> bytes:
    return b"data %d\n" % len(content) + content + b"\n"


def plant(
    shop: Workshop,
    folder: Path,
    history: tuple[Planted, ...] = HISTORY,
    *,
    series: str = "6.1",
    fix: Path | None = FIX,
) -> Tree:
    """A repository of ``history``, on Linux 6.1 with the fault paths mended, as branch ``main``; no checkout."""
    kernel = shop.kernel(series)
    base = packed(shop, kernel)
    git(folder.parent, "init", "-q", "--initial-branch=main", str(folder))
    (folder / ".git/objects/info/alternates").write_text(f"{base}/objects\n")
    texts: dict[str, bytes] = {}
    if fix is not None:
        with tempfile.TemporaryDirectory() as scratch:
            fixed = patch_apply.apply(kernel.tree, patch.read(fix), Path(scratch, "applied"))
        texts = {name: content for name, content in fixed.items() if content is not None}
    stream = [_commit(1, git(base, "rev-parse", "root"), "mm: tell secondary MMUs", texts)]
    for number, planted in enumerate(history, 2):
        changed = {}
        for name, old, new in planted.edits:
            before = texts.get(name) or (kernel.tree / name).read_bytes()
            if old:
                assert before.count(old.encode()) == 1, f"{planted.name}: {name} does not hold it once"
                texts[name] = before.replace(old.encode(), new.encode())
            else:
                texts[name] = before + new.encode()
            changed[name] = texts[name]
        stream.append(_commit(number, f":{number - 1}", planted.subject, changed))
    marks = folder / ".git" / "marks"
    git(folder, "fast-import", "--quiet", f"--export-marks={marks}", feed=b"".join(stream))
    rows = sorted((line[1:].split() for line in marks.read_text().splitlines()), key=lambda row: int(row[0]))
    shas = [row[1] for row in rows]
    marks.unlink()
    return Tree(folder, dict(zip(["root", *(p.name for p in history)], shas, strict=True)))


def _commit(number: int, parent: str, subject: str, files: Mapping[str, bytes]) -> bytes:
    head = f"commit refs/heads/main\nmark :{number}\ncommitter {_WHO} {_EPOCH + 60 * number} +0000\n"
    rows = [head.encode(), _data(subject.encode()), f"from {parent}\n".encode()]
    for name, content in files.items():
        rows += [f'M 100644 inline "{name}"\n'.encode(), _data(content)]
    return b"".join(rows)
