# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a YAML data file into a pydantic model; an error names the file, the line and the key."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from harness.errors import UserError

M = TypeVar("M", bound=BaseModel)

_LOADER = yaml.CSafeLoader
"""`SafeLoader` by libyaml, ten times faster: the catalogue of paths is read by every command."""


def load(path: Path, model: type[M]) -> M:
    """The file as ``model``; UserError with ``file:line`` when it is not valid."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    try:
        data = yaml.load(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = error.errors()
        # A misspelt key is also a missing one: the misspelling is what helps.
        first = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
        where = tuple(first["loc"])
        line = _line(yaml.compose(text, Loader=_LOADER), where)
        key = ".".join(str(part) for part in where)
        raise UserError(f"{path}:{line}: {key}: {first['msg']}{_hint(model, where, first['type'])}") from error


def nearest(name: str, known: list[str]) -> str:
    """``; did you mean a, b?`` or the whole list when nothing is near."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(known)}"


def _line(node: Any, where: tuple[Any, ...]) -> int:
    """Line (from 1) of the innermost node that exists on the way to ``where``."""
    line: int = node.start_mark.line + 1 if node is not None else 1
    for part in where:
        found = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, found = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = node.value[part]
            line = found.start_mark.line + 1
        if found is None:
            break
        node = found
    return line


def _hint(model: type[BaseModel], where: tuple[Any, ...], kind: str) -> str:
    if kind != "extra_forbidden" or len(where) != 1:
        return " (unknown key)" if kind == "extra_forbidden" else ""
    return " (unknown key; " + nearest(str(where[0]), list(model.model_fields)) + ")"
