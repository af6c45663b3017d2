# SPDX-License-Identifier: GPL-2.0-or-later
"""Which functions of a kernel's source raise a page-table entry: make it writable or dirty, or commit one that is.

On arm64 an entry lets a device write when ``PTE_RDONLY`` is clear. So the scan begins with the functions of
arch/arm64 that clear that bit, and goes on by calls:

- a function (or macro) that clears it in a value and returns the value, or calls one that does, is a *raiser*
  (``pte_mkdirty()``, ``pte_mkwrite()``, ``maybe_mkwrite()``, ``pte_modify()``, ...);
- every other function that calls a raiser, or ``*_set_access_flags()``, or clears the bit in place, is found.

What is found is every function that may upgrade a present entry, and some that only fill an empty one: the source
alone does not tell them apart. C is read as it stands (tree-sitter), all branches of ``#if`` alike.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tree_sitter
import tree_sitter_c

from harness.coverage import Call, Kind, Scan, Upgrader
from harness.errors import InfrastructureError

FOLDERS = (
    "arch/arm64",
    "block",
    "drivers",
    "fs",
    "include",
    "io_uring",
    "ipc",
    "kernel",
    "lib",
    "mm",
    "net",
    "virt",
)
"""Of a kernel tree, all that can be built for arm64 and may know of page tables."""
_ARCH = "arch/arm64"
_OTHER_STAGES = ("arch/arm64/kvm/", "arch/arm64/include/asm/kvm")
"""Page tables of virtual machines and of the hypervisor: another format, and no process's."""

_BIT_WORD = "(PTE|PMD_SECT|PUD_SECT)_RDONLY"
_BIT = re.compile(rf"\b{_BIT_WORD}\b")
_SETS = re.compile(r"\bset_pte_bit\([^;]*?_RDONLY\b\)*")
_TESTS = re.compile(rf"(?<!~)[(\s]\w+(?:\([^()]*\))* & {_BIT_WORD}\b|== {_BIT_WORD}\b")
_FLAGS_WORD = r"\w*(pte|pmd|pud)p_set_access_flags(_anysz)?"
_SET_ACCESS_FLAGS = re.compile(_FLAGS_WORD)
_DIRTY_ARGUMENT = 4
_ENTRY_TYPES = frozenset({"pte_t", "pmd_t", "pud_t", "pteval_t"})
_DECLARATION = re.compile(r"\s*(?:extern|static|int|pte_t|pmd_t|pud_t|bool|void)\b|#")
# Words that a C grammar takes for a type or a declarator, and that say nothing here.
_DECORATION = re.compile(
    rb"\b(?:__always_inline|__must_check|noinline|__maybe_unused|__sched|__kprobes|__ref|__init|__meminit|asmlinkage|"
    rb"noinline_for_stack|__cold|notrace|nokprobe_inline|__latent_entropy|noinstr|__weak|__used|__naked|__user)\b"
)


@dataclass(frozen=True, slots=True)
class _Function:
    """A definition: of a function, or of a macro with parameters."""

    file: str
    name: str
    line: int
    end: int
    returns_entry: bool
    makes_entry: bool
    """Returns one that is made of values, and not made read-only. One that reads the page table may call
    ``pte_mkdirty()`` to add up the entries of a contiguous range: it changes none."""
    macro: bool
    clears_bit: bool
    calls: tuple[tuple[str, int, tuple[str, ...]], ...]
    """Callee, line, arguments as text."""


def scan(tree: Path, changed: Path | None = None) -> Scan:
    """Scan the kernel source in ``tree``; files below ``changed`` stand for those of the same name in it."""
    texts = _Texts(tree, changed)
    in_arch = texts.with_words(_BIT_WORD, [_ARCH])
    raisers = {f.name for file in in_arch for f in texts.functions(file) if f.clears_bit and f.makes_entry}
    files: list[str] = []
    while True:
        files = texts.with_words("|".join(sorted(raisers | {_FLAGS_WORD})))
        calling = (f for file in files for f in texts.functions(file) if f.makes_entry or f.macro)
        more = {f.name for f in calling if any(name in raisers for name, _, _ in f.calls)}
        if more <= raisers:
            break
        raisers |= more
    found = [u for file in sorted({*files, *in_arch}) for u in _upgraders(texts.functions(file), raisers)]
    return Scan(
        upgraders=tuple(sorted(found, key=lambda u: (u.file, u.line))),
        raisers=tuple(sorted(raisers)),
        unseen=tuple(_unseen(texts, files, raisers)),
    )


class _Texts:
    """The tree's C sources: found by the words in them, read and parsed once."""

    def __init__(self, tree: Path, changed: Path | None) -> None:
        self._trees = [changed, tree] if changed else [tree]
        self._texts: dict[str, str] = {}
        self._parsed: dict[str, tuple[_Function, ...]] = {}

    def with_words(self, pattern: str, folders: Sequence[str] = FOLDERS) -> list[str]:
        """Files in which a word matches ``pattern`` (extended regular expression)."""
        found = {file for tree in self._trees for file in _grep(tree, pattern, folders)}
        return sorted(file for file in found if not file.startswith(_OTHER_STAGES))

    def functions(self, file: str) -> tuple[_Function, ...]:
        if file not in self._parsed:
            self._parsed[file] = tuple(functions(file, self.text(file)))
        return self._parsed[file]

    def text(self, file: str) -> str:
        if file not in self._texts:
            path = next(tree / file for tree in self._trees if (tree / file).is_file())
            self._texts[file] = path.read_text(encoding="utf-8", errors="replace")
        return self._texts[file]


def _grep(tree: Path, pattern: str, folders: Sequence[str]) -> list[str]:
    there = [folder for folder in folders if Path(tree, folder).is_dir()]
    if not there:
        return []
    argv = ["grep", "-rlwE", "--include=*.[ch]", "-e", pattern, "--", *there]
    found = subprocess.run(argv, cwd=tree, capture_output=True, text=True, errors="replace", check=False)
    if found.returncode > 1:
        raise InfrastructureError(f"{tree}: its C sources cannot be searched: {found.stderr.strip()}")
    return found.stdout.splitlines()


def _upgraders(found: Iterable[_Function], raisers: set[str]) -> Iterator[Upgrader]:
    for f in found:
        kind, calls = _kind(f, raisers)
        if kind is not None:
            yield Upgrader(f.file, f.name, f.line, f.end, kind, calls)


def _kind(function: _Function, raisers: set[str]) -> tuple[Kind | None, tuple[Call, ...]]:
    if function.macro or function.returns_entry:
        return None, ()
    flags = [c for c in function.calls if _SET_ACCESS_FLAGS.fullmatch(c[0])]
    raising = [c for c in function.calls if c[0] in raisers]
    calls = tuple(Call(name, line) for name, line, _ in [*flags, *raising])
    if any(len(args) <= _DIRTY_ARGUMENT or args[_DIRTY_ARGUMENT] != "0" for _, _, args in flags):
        return Kind.FLAGS, calls
    if function.clears_bit and function.file.startswith(_ARCH):
        return Kind.BIT, calls
    if raising:
        return Kind.RAISE, calls
    return (Kind.ACCESS, calls) if flags else (None, ())


def _unseen(texts: _Texts, files: Iterable[str], raisers: set[str]) -> Iterator[str]:
    """Calls by their text alone that no definition holds: where the parser lost its way."""
    word = re.compile(rf"\b({'|'.join(sorted(raisers))}|{_FLAGS_WORD})\s*\(")
    for file in files:
        seen = [(f.line, f.end) for f in texts.functions(file)]
        for number, line in enumerate(_without_comments(texts.text(file)).split("\n"), 1):
            found = word.search(line)
            if found is None or any(first <= number <= last for first, last in seen):
                continue
            if not _DECLARATION.match(line):
                yield f"{file}:{number}: {found[1]}"


def functions(file: str, text: str) -> Iterator[_Function]:
    """Every definition in a C source, by the parser's light."""
    source = _DECORATION.sub(lambda m: b" " * len(m[0]), text.encode())
    for node in _walk(_parser().parse(source).root_node):
        if node.type == "function_definition":
            made = _definition(file, node)
            if made is not None:
                yield made
        elif node.type == "preproc_function_def":
            yield _macro(file, node)


@cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_c.language()))


def _walk(root: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """Nodes at file level: also in ``#if`` and in what could not be parsed, but not inside of functions."""
    todo = [root]
    while todo:
        node = todo.pop()
        yield node
        if node.type not in ("function_definition", "preproc_function_def"):
            todo.extend(reversed(node.children))


def _definition(file: str, node: tree_sitter.Node) -> _Function | None:
    declarator = node.child_by_field_name("declarator")
    pointer = False
    while declarator is not None and declarator.type != "identifier":
        pointer = pointer or declarator.type == "pointer_declarator"
        declarator = declarator.child_by_field_name("declarator") or next(
            (c for c in declarator.children if c.type in ("identifier", "function_declarator")), None
        )
    body = node.child_by_field_name("body")
    if declarator is None or body is None:
        return None
    returns = node.child_by_field_name("type")
    code = _without_comments(_text(body))
    entry = returns is not None and _text(returns) in _ENTRY_TYPES and not pointer
    from_table = re.search(r"\b(?:pte|pmd|pud)_t\s*\*", _text(node)[: -len(_text(body))]) is not None
    return _Function(
        file=file,
        name=_text(declarator),
        line=node.start_point.row + 1,
        end=node.end_point.row + 1,
        returns_entry=entry,
        makes_entry=entry and not from_table and not _SETS.search(code),
        macro=False,
        clears_bit=_clears_bit(code),
        calls=tuple(_calls(body)),
    )


def _macro(file: str, node: tree_sitter.Node) -> _Function:
    name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
    code = _text(value) if value is not None else ""
    line = node.start_point.row + 1
    return _Function(
        file=file,
        name=_text(name) if name is not None else "",
        line=line,
        end=max(line, node.end_point.row),
        returns_entry=False,
        makes_entry=False,
        macro=True,
        clears_bit=False,
        calls=tuple((word, line, ()) for word in re.findall(r"\b(\w+)\s*\(", code)),
    )


def _calls(body: tree_sitter.Node) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    todo = [body]
    while todo:
        node = todo.pop()
        todo.extend(node.children)
        if node.type != "call_expression":
            continue
        called, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
        if called is not None and called.type == "identifier":
            given = arguments.named_children if arguments is not None else []
            texts = tuple(_text(a).strip() for a in given if a.type != "comment")
            yield _text(called), node.start_point.row + 1, texts


def _clears_bit(code: str) -> bool:
    """Whether the bit is named otherwise than to set or to test it."""
    return _BIT.search(_TESTS.sub(" ", _SETS.sub(" ", code))) is not None


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode("utf-8", errors="replace")
