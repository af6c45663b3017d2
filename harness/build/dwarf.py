# SPDX-License-Identifier: GPL-2.0-or-later
"""Where in an object's code a function writes a page-table entry, inlined or not. Pure: bytes of an object in.

The compiler's own debug information says which code was inlined from where (DWARF 5, sections 3.3.8 and 3.4). What
is looked for in each instance of a function: calls of what writes an entry, and the store in what was inlined of
``set_pte()``. A store is volatile there (``WRITE_ONCE()``): unlike the arithmetic before it, the compiler does not
move it out of its branch.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.dwarf.ranges import BaseAddressEntry, RangeEntry
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness.coverage import How
from harness.errors import InfrastructureError

FLAGS = re.compile(r"\w*(?:pte|pmd|pud)p_set_access_flags(?:_anysz)?")
_CALLS = re.compile(
    r"(?:__)?set_huge_pte_at|(?:huge_)?ptep_modify_prot_commit|modify_prot_commit_ptes|contpte_set_ptes"
)
_STORES = re.compile(r"_*set_(?:pte|pmd|pud)(?:_nosync)?")
_SECTION_SHIFT = 40
"""Sections of an object all begin at 0: to tell them apart, each gets its number above this bit."""
_SYMBOL = struct.Struct("<IBBHQQ")
_EXECUTABLE = 4
# Arm ARM C4.1: STR (64-bit general register) unsigned offset, unscaled, post- and pre-indexed, register offset
_ZERO = 31
_STR = ((0xFFC00000, 0xF9000000), (0xFFE00000, 0xF8000000), (0xFFE00C00, 0xF8200800))


@dataclass(frozen=True, slots=True)
class Place:
    """An instruction at which a function writes an entry."""

    function: str
    section: str
    address: int
    """In its section."""
    how: How
    within: str
    """Function that holds the instruction."""
    callee: str = ""
    register: int = -1
    """Of a store: the general register that holds the entry."""


@dataclass(frozen=True, slots=True)
class Objects:
    """What an object says of itself."""

    places: tuple[Place, ...]
    symbols: tuple[tuple[str, str, int], ...]
    """Functions: section, name, address in the section."""


def read(content: bytes, wanted: Collection[str]) -> Objects:
    """Places of the functions ``wanted`` in an object with debug information."""
    data = bytearray(content)
    sections = _tell_sections_apart(data)
    elf = ELFFile(BytesIO(bytes(data)))
    code = _Code(elf, sections)
    reader = _Reader(elf.get_dwarf_info(), code, frozenset(wanted))
    places = dict.fromkeys(reader.places())
    return Objects(tuple(places), tuple(_functions(elf, sections)))


def _tell_sections_apart(data: bytearray) -> list[str]:
    """Move each section with code to an address of its own; the names of all sections."""
    elf = ELFFile(BytesIO(bytes(data)))
    sections = list(elf.iter_sections())
    symtab = elf.get_section_by_name(".symtab")
    if not isinstance(symtab, SymbolTableSection) or elf.get_section_by_name(".debug_info") is None:
        raise InfrastructureError("an object was compiled without debug information, though that was asked for")
    for number in range(symtab.num_symbols()):
        at = symtab["sh_offset"] + number * _SYMBOL.size
        name, info, other, index, value, size = _SYMBOL.unpack_from(data, at)
        if index < len(sections) and sections[index]["sh_flags"] & _EXECUTABLE:
            _SYMBOL.pack_into(data, at, name, info, other, index, value + (index << _SECTION_SHIFT), size)
    return [section.name for section in sections]


def _functions(elf: ELFFile, sections: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    symtab = elf.get_section_by_name(".symtab")
    assert isinstance(symtab, SymbolTableSection)
    for symbol in symtab.iter_symbols():
        info = symbol["st_info"]
        # A weak function is not the one in the kernel where another file has it, too.
        if info["type"] == "STT_FUNC" and info["bind"] != "STB_WEAK" and isinstance(symbol["st_shndx"], int):
            address = symbol["st_value"]
            yield sections[address >> _SECTION_SHIFT], symbol.name, address & ((1 << _SECTION_SHIFT) - 1)


class _Code:
    """Instructions of an object, by address."""

    def __init__(self, elf: ELFFile, names: Sequence[str]) -> None:
        self.names = names
        self._elf = elf
        self._bytes: dict[int, bytes] = {}

    def store(self, ranges: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
        """The first store in ``ranges`` that is not of zero: its address, and the register that it stores."""
        for start, end in ranges:
            for address in range(start, end, 4):
                word = self._word(address)
                if any(word & mask == value for mask, value in _STR) and word & _ZERO != _ZERO:
                    return address, word & _ZERO
        return None

    def _word(self, address: int) -> int:
        number = address >> _SECTION_SHIFT
        if number not in self._bytes:
            self._bytes[number] = self._elf.get_section(number).data()
        at = address & ((1 << _SECTION_SHIFT) - 1)
        return int.from_bytes(self._bytes[number][at : at + 4], "little")


@dataclass(frozen=True, slots=True)
class _Frame:
    """A function that the code at hand belongs to."""

    name: str
    start: int | None


class _Reader:
    """Walks the debug information of one object."""

    def __init__(self, dwarf: DWARFInfo, code: _Code, wanted: frozenset[str]) -> None:
        self._dwarf = dwarf
        self._code = code
        self._wanted = wanted
        self._found: dict[tuple[str, int], bool] = {}

    def places(self) -> Iterator[Place]:
        for unit in self._dwarf.iter_CUs():
            for die in unit.get_top_DIE().iter_children():
                ranges = self._ranges(die, unit) if die.tag == "DW_TAG_subprogram" else []
                if ranges:
                    frame = _Frame(_name(die), ranges[0][0])
                    yield from self._in(die, unit, (frame,))

    def _in(self, die: DIE, unit: CompileUnit, frames: tuple[_Frame, ...]) -> Iterator[Place]:
        """Places in the code of ``die``; those of a wanted function without any are its entry."""
        found = False
        for place in self._below(die, unit, frames):
            found = found or place.function == frames[-1].name
            yield place
        if not found and frames[-1].name in self._wanted and frames[-1].start is not None:
            yield self._place(frames[-1].name, frames[-1].start, How.ENTRY, frames, "")

    def _below(self, die: DIE, unit: CompileUnit, frames: tuple[_Frame, ...]) -> Iterator[Place]:
        for child in die.iter_children():
            if child.tag == "DW_TAG_lexical_block":
                yield from self._below(child, unit, frames)
            elif child.tag == "DW_TAG_call_site":
                yield from self._call(child, frames)
            elif child.tag == "DW_TAG_inlined_subroutine":
                name, ranges = _name(child), self._ranges(child, unit)
                inner = (*frames, _Frame(name, min((start for start, _ in ranges), default=None)))
                store = self._code.store(ranges) if _STORES.fullmatch(name) else None
                if store is not None:
                    yield from self._of_wanted(store[0], How.STORE, frames, name, store[1])
                yield from self._in(child, unit, inner)

    def _call(self, die: DIE, frames: tuple[_Frame, ...]) -> Iterator[Place]:
        if "DW_AT_call_origin" not in die.attributes or "DW_AT_call_return_pc" not in die.attributes:
            return
        name = _name(die.get_DIE_from_attribute("DW_AT_call_origin"))
        if FLAGS.fullmatch(name) or _CALLS.fullmatch(name):
            yield from self._of_wanted(die.attributes["DW_AT_call_return_pc"].value - 4, How.CALL, frames, name)

    def _of_wanted(
        self, address: int, how: How, frames: tuple[_Frame, ...], callee: str, register: int = -1
    ) -> Iterator[Place]:
        """A place belongs to the innermost wanted function, and to each ``*_set_access_flags()`` around it."""
        for frame in reversed(frames):
            if frame.name in self._wanted:
                yield self._place(frame.name, address, how, frames, callee, register)
                if not FLAGS.fullmatch(frame.name):
                    return

    def _place(
        self, function: str, address: int, how: How, frames: tuple[_Frame, ...], callee: str, register: int = -1
    ) -> Place:
        return Place(
            function=function,
            section=self._code.names[address >> _SECTION_SHIFT],
            address=address & ((1 << _SECTION_SHIFT) - 1),
            how=how,
            within=frames[0].name,
            callee=callee,
            register=register,
        )

    def _ranges(self, die: DIE, unit: CompileUnit) -> list[tuple[int, int]]:
        """Addresses of a function's or inlined function's code, in the order of the compiler."""
        if "DW_AT_low_pc" in die.attributes and "DW_AT_high_pc" in die.attributes:
            low, high = die.attributes["DW_AT_low_pc"].value, die.attributes["DW_AT_high_pc"]
            return [(low, low + high.value if high.form != "DW_FORM_addr" else high.value)]
        lists = self._dwarf.range_lists()
        if "DW_AT_ranges" not in die.attributes or lists is None:
            return []
        base = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
        start = base.value if base is not None else 0
        found = []
        for entry in lists.get_range_list_at_offset(die.attributes["DW_AT_ranges"].value, unit):
            if isinstance(entry, BaseAddressEntry):
                start = entry.base_address
            elif isinstance(entry, RangeEntry):
                shift = 0 if entry.is_absolute else start
                found.append((entry.begin_offset + shift, entry.end_offset + shift))
        return found


def _name(die: DIE) -> str:
    """Name of a function, inlined or called; empty for one without."""
    while "DW_AT_name" not in die.attributes:
        for origin in ("DW_AT_abstract_origin", "DW_AT_specification"):
            if origin in die.attributes:
                die = die.get_DIE_from_attribute(origin)
                break
        else:
            return ""
    value = die.attributes["DW_AT_name"].value
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
