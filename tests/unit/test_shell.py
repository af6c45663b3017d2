# SPDX-License-Identifier: GPL-2.0-or-later
"""The one process that runs a guest's commands (serve.c, compiled for the host), and its output in any pieces."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.vm import shell
from harness.vm.shell import Stream

MARK = "5f" * 16


OWN = "/own/program"
_PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include "ktap.h"
#include "serve.h"

void die_errno(const char *format, ...)
{
	abort();
}

static int run(int argc, char **argv)
{
	int i;

	printf("forked\\n");
	for (i = 0; i < argc; i++)
		printf("[%s]", argv[i]);
	return argc;
}

int main(int argc, char **argv)
{
	return serve(argv[1], argv[2], run);
}
"""

Ask = Callable[..., tuple[bytes, bytes]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """What the guest's process says to commands."""
    folder = tmp_path_factory.mktemp("serve")
    sources = Path(__file__).parents[2] / "guest-tests" / "workloads"
    (folder / "main.c").write_text(_PROGRAM)
    program = folder / "serve"
    argv = ["gcc", "-Wall", "-Werror", f"-I{sources}", "-o", program, folder / "main.c", sources / "serve.c"]
    subprocess.run(argv, check=True)

    def said(*commands: Sequence[str]) -> tuple[bytes, bytes]:
        # One after another, as from the other side: no command is sent before the last one was answered.
        with subprocess.Popen([program, MARK, OWN], stdin=-1, stdout=-1, stderr=-1) as serve:
            assert serve.stdin and serve.stdout and serve.stderr
            out = err = b""
            for argv in commands:
                serve.stdin.write(shell.line(argv).encode())
                serve.stdin.flush()
                out += _to_end(serve.stdout.readline)
                err += _to_end(serve.stderr.readline)
            serve.stdin.close()
            assert serve.wait(60) == 0
        return out, err

    return said


def _to_end(readline: Callable[[], bytes]) -> bytes:
    found = b""
    while line := readline():
        found += line
        if line.startswith(f"{MARK} end ".encode()):
            break
    return found


def read(data: bytes, size: int = 0) -> tuple[Stream, list[str]]:
    lines: list[str] = []
    stream = Stream(MARK, lines.append)
    for start in range(0, len(data), size or len(data)):
        stream.take(data[start : start + (size or len(data))])
    return stream, lines


@pytest.mark.parametrize(
    "words",
    [["a b", "$HOME; `id` 'x' \"y\" \\"], ["two\nlines\n", "it's\n'quoted'\n"], ["", " ", "*"], ["-n", "é\x7f"]],
)
def test_words_reach_the_program_as_they_are(ask: Ask, words: list[str]) -> None:
    out, _ = ask(["printf", "%s\\0", *words])
    stream, _ = read(out)
    assert stream.text().split("\0") == [*words, ""]
    assert (stream.begun, stream.status) == (True, 0)


@pytest.mark.parametrize(
    ("argv", "status"), [(["sh", "-c", "exit 3"], 3), (["sh", "-c", "kill -SEGV $$"], 139), (["/no/such"], 127)]
)
def test_status_on_both_streams(ask: Ask, argv: list[str], status: int) -> None:
    out, err = ask(argv)
    assert (read(out)[0].status, read(err)[0].status) == (status, status)


def test_program_cannot_eat_the_commands_that_follow(ask: Ask) -> None:
    out, _ = ask(["cat"], ["echo", "still here"])
    assert b"still here" in out


def test_no_command_changes_the_shell_for_the_next(ask: Ask) -> None:
    out, _ = ask(["sh", "-c", "cd /; exit 7"], ["cd", "/"], ["exit", "3"], ["pwd"])
    assert out.count(f"{MARK} end".encode()) == 4


def test_a_command_of_its_own_is_a_fork_and_not_a_program(ask: Ask) -> None:
    """The program is not there: what answers is the process itself."""
    out, _ = ask([OWN, "--uncached", "anon-reuse"], [OWN, "mremap"])
    assert read(out)[0].text() == f"forked\n[{OWN}][--uncached][anon-reuse]\nforked\n[{OWN}][mremap]"
    assert f"{MARK} end 3\n".encode() in out and f"{MARK} end 2\n".encode() in out


@pytest.mark.parametrize("words", [[OWN, "two words"], [OWN, "$HOME"], [OWN + "s", "x"], [OWN, "a\nb"]])
def test_what_is_quoted_or_another_program_is_left_to_a_shell(ask: Ask, words: list[str]) -> None:
    out, err = ask(words)
    assert b"forked" not in out and read(err)[0].status == 127


def test_more_words_than_there_is_room_for_are_refused(ask: Ask) -> None:
    out, err = ask([OWN, *["x"] * 5000])
    assert (read(out)[0].status, b"more than 4096 words" in err) == (4, True)


@given(text=st.binary(max_size=200).filter(lambda b: MARK.encode() not in b), size=st.integers(1, 50))
@settings(max_examples=300, deadline=None)
def test_output_in_any_pieces(text: bytes, size: int) -> None:
    stream, lines = read(f"{MARK} begin\n".encode() + text + f"\n{MARK} end 5\n".encode(), size)
    assert stream.status == 5
    assert stream.text() == text.decode(errors="replace")
    assert stream.size == len(text)
    wanted = text.split(b"\n")
    if not wanted[-1]:
        wanted.pop()
    assert lines == [line.decode(errors="replace") for line in wanted]


def test_line_is_told_when_it_ends_and_not_with_the_next() -> None:
    _, lines = read(f"{MARK} begin\none\n".encode())
    assert lines == ["one"]


def test_flood_without_a_line_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "OUTPUT_LIMIT", 100_000)
    stream, _ = read(f"{MARK} begin\n".encode() + b"x" * 300_000 + f"\n{MARK} end 0\n".encode(), 7000)
    assert (len(stream.text()), stream.size, stream.truncated, stream.status) == (100_000, 300_000, True, 0)


def test_flood_of_lines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are kept by whoever asked for them."""
    monkeypatch.setattr(shell, "OUTPUT_LIMIT", 1000)
    stream, lines = read(f"{MARK} begin\n".encode() + b"ok 1\n" * 5000 + f"\n{MARK} end 0\n".encode(), 700)
    assert sum(map(len, lines)) <= 1000 and (stream.truncated, stream.status) == (True, 0)


def test_mark_inside_of_a_line_is_output() -> None:
    stream, _ = read(f"{MARK} begin\nx {MARK} end 1\n\n{MARK} end 2\n".encode())
    assert (stream.text(), stream.status) == (f"x {MARK} end 1\n", 2)
