# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command line in the documents is run by a test, or says why not; and none names what is not there."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer

from harness.cli import app
from tests import documents
from tests.documents import DOCUMENTS, ROOT, Command
from tests.vm import doc_commands

GROUP = typer.main.get_command(app)
ALL = [command for document in DOCUMENTS for command in documents.commands(document)]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(
    re.findall(r"^([a-z -]+):", MAKEFILE, re.M) and " ".join(re.findall(r"^([a-z -]+):", MAKEFILE, re.M)).split()
)
VARIABLES = set(re.findall(r"\$\((?:call option,|if \$\()?([A-Z_]+)", MAKEFILE)) | {"SANDBOX"}


def test_there_are_some() -> None:
    assert len(ALL) > 50 and len([c for c in ALL if c.runs]) > 5


def test_each_that_is_not_marked_is_run() -> None:
    """tests/vm/doc_commands.py says how; a new one is entered there, or marked."""
    new = [f"{c.where}: {c.line}" for c in ALL if c.runs and c.line not in doc_commands.RUN]
    assert not new, "run by no test and not marked (CONTRIBUTING.md, 'Command lines')"


def test_a_mark_has_a_reason_and_names_tests_that_exist() -> None:
    for command in ALL:
        assert len(command.reason) > 5 or not command.reason, command.where
        named = re.findall(r"tests/[\w/]+\.py", command.reason)
        assert all((ROOT / name).is_file() for name in named), f"{command.where}: {named}"


def test_no_test_of_a_command_that_is_gone() -> None:
    assert set(doc_commands.RUN) <= {c.line for c in ALL if c.runs}


@pytest.mark.parametrize("command", ALL, ids=lambda c: c.where)
def test_what_it_names_is_there(command: Command) -> None:
    line = re.sub(r"^cd \S+ && ", "", command.line)
    words = line.replace("[", " ").replace("]", " ").split() if command.form else shlex.split(line, comments=True)
    program, *rest = words
    if program == "make":
        targets = [w for w in rest if re.fullmatch(r"[a-z-]+", w)]
        assert not set(targets) - TARGETS, f"{command.where}: no such target of make"
        variables = {w.partition("=")[0] for w in rest if re.match(r"[A-Z_]+=", w)}
        assert not variables - VARIABLES, f"{command.where}: no such variable"
        return
    verb, *arguments = rest
    if verb.startswith("-") or verb in ("...", "VERB"):
        return
    assert verb in GROUP.commands, f"{command.where}: no such verb"  # type: ignore[attr-defined]
    known = {option for p in GROUP.commands[verb].params for option in p.opts} | {"--help"}  # type: ignore[attr-defined]
    options = {w.partition("=")[0] for w in arguments if w.startswith("--") and w != "--"}
    assert not options - known, f"{command.where}: no such option"


TEXT = """\
Text with `make run KERNEL=6.1` and the name `make shell`; `make run KERNEL=...` is a form.

<!-- not run: takes a day -->
```
make sweep KERNELS=6.1     everything     ./faultloop sweep --kernels 6.1   # a remark
$ cd linux && faultloop test HEAD~2..
```
```
make doctor
```

<!-- not run (make a B=1): one of two -->
Of `make a B=1` and `make c D=1`.

| `faultloop run --kernel x` | in a table <!-- not run: a reason --> |
| `faultloop reproduce FILE` | a form |

Of `make shell SHARE=` the value; `faultloop vmcore --run 'echo c >/x | cat'` has none.
"""


def test_how_command_lines_are_found(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text(TEXT)
    found = {c.line: (c.runs, c.reason) for c in documents.commands(tmp_path / "x.md")}
    assert found == {
        "make run KERNEL=6.1": (True, ""),
        "make shell": (False, ""),
        "make run KERNEL=...": (False, ""),
        "make sweep KERNELS=6.1": (False, "takes a day"),
        "./faultloop sweep --kernels 6.1": (False, "takes a day"),
        "cd linux && faultloop test HEAD~2..": (False, "takes a day"),
        "make doctor": (True, ""),
        "make a B=1": (False, "one of two"),
        "make c D=1": (True, ""),
        "faultloop run --kernel x": (False, "a reason"),
        "faultloop reproduce FILE": (False, ""),
        "make shell SHARE=": (False, ""),
        "faultloop vmcore --run 'echo c >/x | cat'": (True, ""),
    }


def templates() -> list[str]:
    """Every text of the source, with a line feed for each gap that the program fills."""
    found = []
    for file in sorted((ROOT / "harness").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(v.value) if isinstance(v, ast.Constant) else "\n" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return [*found, (ROOT / "tools" / "setup.sh").read_text()]


def messages() -> list[str]:
    """First column of the tables of docs/troubleshooting.md."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    return re.findall(r"^\| `([^`]+)` \|", text, re.M)


SOURCE = templates()


def in_source(message: str) -> bool:
    parts = [re.escape(" ".join(part.split())) for part in message.split("...")]
    wanted = re.compile(r"[^\0]*".join(parts))
    return any(wanted.search(" ".join(text.split(" "))) for text in SOURCE)


@pytest.mark.parametrize("message", messages())
def test_a_message_is_one_that_the_code_prints(message: str) -> None:
    assert in_source(message), "no text of the source is like this"


def test_messages_are_told_apart() -> None:
    assert len(messages()) > 30
    assert not in_source("unknown kernel of ...") and not in_source("no such words as these")


def test_every_document_is_in_the_index_and_links_lead_somewhere() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    missing = [
        d.name for d in DOCUMENTS if d.parent.name == "docs" and d.name != "README.md" and d.name not in index
    ]
    assert not missing
    for document in DOCUMENTS:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
