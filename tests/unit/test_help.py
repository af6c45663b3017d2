# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual: every verb has a page, its examples are command lines, and help costs no imports of jobs."""

from __future__ import annotations

import inspect
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from harness import layout
from harness.cli import app
from harness.verbs import complete, manual

ROOT = Path(__file__).resolve().parents[2]
GROUP = typer.main.get_command(app)
VERBS = list(GROUP.commands)  # type: ignore[attr-defined]
HEAVY = (
    *("paramiko", "pydantic", "yaml", "qemu", "jinja2", "sqlalchemy", "distributed", "drgn", "rich"),
    *("harness.jobs", "harness.model"),
)


def faultloop(*words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def offered(*words: str) -> list[str]:
    """What bash is offered for the last word."""
    line = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    return faultloop(_FAULTLOOP_COMPLETE="complete_bash", **line).split()


def examples() -> list[tuple[str, str]]:
    return [(verb, line) for verb, page in manual.PAGES.items() for line, _ in page.examples]


@pytest.mark.parametrize("verb", VERBS)
def test_types_of_a_verb_are_no_text_to_compile(verb: str) -> None:
    callback = GROUP.commands[verb].callback  # type: ignore[attr-defined]
    assert [name for name, said in inspect.unwrap(callback).__annotations__.items() if isinstance(said, str)] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_page(verb: str) -> None:
    page = manual.PAGES.get(verb)
    assert page is not None and page.panel in manual.PANELS, f"{verb}: no row in harness/verbs/manual.py"
    assert page.examples, f"{verb}: no example"


NO_JSON = {
    "reply": "is a mail",
    "report": "writes files",
    "shell": "is a shell",
    "debug": "is a debugger",
    "setup": "builds",
    "worker": "serves",
    "scheduler": "serves",
    "bisect-step": "is its status",
}


@pytest.mark.parametrize("verb", VERBS)
def test_what_prints_results_prints_them_for_programs_too(verb: str) -> None:
    options = {option for parameter in GROUP.commands[verb].params for option in parameter.opts}  # type: ignore[attr-defined]
    assert ("--json" in options) != (verb in NO_JSON)


def test_the_catalogue_for_programs() -> None:
    told = json.loads(faultloop("workloads", "--json"))
    assert told["schema"] == "faultloop/workloads/1"
    assert {"anon-reuse", "thp-reuse"} <= {row["path"] for row in told["workloads"]}


def test_no_page_without_its_verb() -> None:
    assert set(manual.PAGES) <= set(VERBS)


@pytest.mark.parametrize(("verb", "line"), examples())
def test_examples_are_command_lines(verb: str, line: str) -> None:
    words = shlex.split(line)
    assert words[:2] == ["faultloop", verb]
    command = GROUP.commands[verb]  # type: ignore[attr-defined]
    command.make_context(verb, words[2:])  # an option that is not there raises


def test_documents_that_are_named_exist() -> None:
    named = [word for page in manual.PAGES.values() for word in page.see if word.startswith("docs/")]
    missing = [name for name in {*named, *manual.SEE} if name.endswith(".md") and not (ROOT / name).is_file()]
    assert not missing


def test_the_manual_and_a_page_are_printed() -> None:
    told = faultloop("--help")
    for section in (*dict.fromkeys(p.panel for p in manual.PAGES.values()), "Exit status", "Environment", "Files"):
        assert section in told
    page = faultloop("test-patch", "--help")
    assert "Examples" in page and "See also" in page and "--base 6.12 --each" in page


def test_help_imports_no_job() -> None:
    code = (
        "import sys; from harness import cli; sys.argv = ['faultloop', '--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "print('\\nmodules', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = done.stdout.rpartition("\nmodules ")[2].split()
    assert not [m for m in modules if m.startswith(HEAVY)]


def test_what_the_shell_is_offered() -> None:
    assert offered("faultloop", "run", "--kernel", "n") == ["newest"]
    assert offered("faultloop", "run", "--workloads", "anon-reuse,thp-rem") == []
    assert "anon-reuse,thp-reuse" in offered("faultloop", "run", "--workloads", "anon-reuse,thp-r")
    assert offered("faultloop", "sweep", "--kernels", "6.1,6.1") == ["6.1,6.12"]
    assert "catalogue" in offered("faultloop", "cata")


def test_setups_patches_and_runs_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"sweep", "cortex-a57"} <= {name for name, _ in complete.setups("")}
    assert [name for name, _ in complete.patches("6.1-fix-tlb")] == ["6.1-fix-tlbflush"]
    monkeypatch.setenv("FAULTLOOP_RESULTS", str(tmp_path))
    for name in ("20260101-a", "20260102-b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
    assert [Path(name).name for name, _ in complete.runs("")] == ["20260102-b", "20260101-a"]


def test_a_damaged_table_offers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kernels.yaml").write_text("{")
    monkeypatch.setattr(layout, "project", lambda: layout.Layout(tmp_path))
    assert complete.kernels("") == []
    monkeypatch.setenv("FAULTLOOP_RESULTS", str(tmp_path / "none"))
    assert complete.runs("") == []
