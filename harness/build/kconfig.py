# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel configuration: fragments over ``allnoconfig``, and the check that every option asked for came out.

A fragment is what Kconfig reads (``CONFIG_X=y``, ``# CONFIG_X is not set``, comments), with one addition: a
trailing ``# since 6.9`` or ``# before 6.12`` (or both) limits a line to the kernels that have the option.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import KernelConfigError, UserError

NOT_SET = "n"
"""Value of an option that is off or does not exist."""

_ASSIGNMENT = re.compile(r'CONFIG_(?P<name>\w+)=(?P<value>"(?:[^"\\]|\\.)*"|[^\s"#]+)(?P<rest>.*)')
_OFF = re.compile(r"#\s*CONFIG_(?P<name>\w+) is not set(?P<rest>.*)")
_LIMITS = re.compile(r"(?:\s+# (?P<limits>(?:since|before) \d+\.\d+(?:,? (?:since|before) \d+\.\d+)?))?\s*")


@dataclass(frozen=True, slots=True)
class Option:
    """One option that was asked for."""

    name: str
    """Without ``CONFIG_``."""
    value: str
    """As in ``.config``: ``y``, ``m``, ``n``, a number, a string with its quotes."""
    where: str
    """``base.config:12``."""

    @property
    def line(self) -> str:
        """As Kconfig reads it."""
        return f"# CONFIG_{self.name} is not set" if self.value == NOT_SET else f"CONFIG_{self.name}={self.value}"


def read_fragments(paths: Sequence[Path], version: str) -> tuple[Option, ...]:
    """The options that the fragments ask of a kernel of this version; a later one overrides an earlier one.

    UserError with file and line for anything else than options and comments.
    """
    options: dict[str, Option] = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: kernel configuration fragment cannot be read: {error}") from error
        for option in _parse(path, text, _numbers(version)):
            options.pop(option.name, None)
            options[option.name] = option
    return tuple(options.values())


def merged(options: Iterable[Option]) -> str:
    """The text of a ``KCONFIG_ALLCONFIG`` file, sorted: moving a line between fragments rebuilds nothing."""
    return "".join(f"{option.line}\n" for option in sorted(options, key=lambda option: option.name))


def read_config(text: str) -> dict[str, str]:
    """Options of a ``.config``: name without ``CONFIG_`` -> value."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        found = _ASSIGNMENT.fullmatch(line) or _OFF.fullmatch(line)
        if found is not None:
            values[found["name"]] = found.groupdict().get("value") or NOT_SET
    return values


def check(options: Iterable[Option], config: str) -> None:
    """KernelConfigError that names every option which did not come out as asked."""
    got = read_config(config)
    lost = [option for option in options if got.get(option.name, NOT_SET) != option.value]
    if not lost:
        return
    names = ", ".join(f"CONFIG_{option.name}" for option in lost[:5]) + (", ..." if len(lost) > 5 else "")
    plural = "options" if len(lost) > 1 else "option"
    raise KernelConfigError(
        f"{len(lost)} kernel {plural} did not come out as asked: {names} (a dependency is missing, or this kernel "
        f"has no such option: see its Kconfig; `# since X.Y` or `# before X.Y` behind a line limits it)",
        detail="\n".join(_described(option, got) for option in lost),
    )


def _described(option: Option, got: dict[str, str]) -> str:
    result = got.get(option.name, "absent")
    return f"{option.where}: CONFIG_{option.name}: asked {option.value}, got {result}"


def _parse(path: Path, text: str, version: tuple[int, int]) -> Iterable[Option]:
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{path.name}:{number}"
        found = _ASSIGNMENT.fullmatch(line) or _OFF.fullmatch(line)
        if found is None:
            if line.strip() and not line.lstrip().startswith("#"):
                raise UserError(f"{path}:{number}: neither an option (CONFIG_X=...) nor a comment: {line.strip()}")
            continue
        limits = _LIMITS.fullmatch(found["rest"])
        if limits is None:
            raise UserError(
                f"{path}:{number}: not understood: '{found['rest'].strip()}' (known: # since X.Y, # before X.Y)"
            )
        if _applies(limits["limits"] or "", version):
            yield Option(found["name"], found.groupdict().get("value") or NOT_SET, where)


def _applies(limits: str, version: tuple[int, int]) -> bool:
    for word, limit in re.findall(r"(since|before) (\S+?)(?:,|\s|$)", limits):
        if (version >= _numbers(limit)) != (word == "since"):
            return False
    return True


def _numbers(version: str) -> tuple[int, int]:
    """``(6, 1)`` of ``6.1.192``."""
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        raise UserError(f"not a kernel version: '{version}'")
    return int(found[1]), int(found[2])
