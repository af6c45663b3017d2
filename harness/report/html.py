# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages in HTML: one file each, that needs nothing else, and in which nothing runs but the page's own script.

Text of strangers goes through autoescape and `harness.shown`; a content security policy names the page's style and
script by their hashes and forbids everything else, should something get through all the same.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness import __version__
from harness.report.evidence import Evidence
from harness.report.figure import LANES
from harness.report.page import FAMILIES, OUTCOMES, build
from harness.report.schema import RunFile
from harness.shown import printable

__all__ = ["FAMILIES", "OUTCOMES", "anchor", "page", "render"]

_TEMPLATES = Path(__file__).with_name("templates")


def page(run: RunFile, evidence: Evidence) -> str:
    """The page of a run."""
    made = build(run, evidence)
    return render("run.html.j2", page=made, run=run, outcomes=OUTCOMES, families=FAMILIES, lanes=LANES)


def render(template: str, **values: Any) -> str:
    """A page made from ``template``, which extends ``base.html.j2``."""
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    # Markup: these two files are our own.
    shared = {"style": Markup(style), "script": Markup(script), "policy": policy, "version": __version__}
    return _environment().get_template(template).render(**shared, **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_inert,
    )
    environment.filters["anchor"] = anchor
    environment.filters["link"] = quote
    return environment


def anchor(path: str) -> str:
    """The fragment that leads to a path."""
    return "path-" + quote(path, safe="").replace("%", "_")


def _inert(value: object) -> object:
    """What any expression of a template shows: no control characters, and no reordering of text."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _asset(name: str) -> str:
    return "\n" + (_TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
