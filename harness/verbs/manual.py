# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``--help`` says beyond options: groups of verbs, examples, exit statuses, environment, files; pure data and
the two classes that print it below typer's own text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

Rows = Sequence[tuple[str, str]]
_WHOLE = 1000
"""Characters of a verb's line: all of its first sentence."""

PATCH = "Judge a patch"
KERNEL = "Look at a kernel"
INSIDE = "Look inside"
RESULTS = "What was found"
HOST = "This host, this tool"
OTHERS = "More"
PANELS = (PATCH, KERNEL, INSIDE, RESULTS, HOST, OTHERS)


@dataclass(frozen=True, slots=True)
class Page:
    """What the help of one verb has besides its text and its options."""

    panel: str
    examples: Rows = ()
    """Command line -> what it does."""
    see: tuple[str, ...] = ()
    """Other verbs and documents."""


PAGES: Mapping[str, Page] = {
    "test-patch": Page(
        PATCH,
        (
            ("faultloop test-patch x.patch", "on the default kernel, 6.1"),
            ("faultloop test-patch series.mbox --base 6.12 --each", "the whole series, and each of its steps"),
            ("faultloop test-patch 20230725134214.1234-1-a@example.org", "a thread, by its Message-ID"),
            ("faultloop test-patch x.patch --workloads 'anon-*' --setup cortex-a57", "some paths, on one machine"),
        ),
        ("faultloop test", "faultloop compare", "docs/patches.md", "docs/verdicts.md"),
    ),
    "test": Page(
        PATCH,
        (
            ("faultloop test HEAD~2..", "the last two commits of the kernel tree at hand"),
            ("faultloop test v6.1.. --tree ~/linux", "all since a tag, of a tree elsewhere"),
        ),
        ("faultloop test-patch", "docs/patches.md"),
    ),
    "compare": Page(
        PATCH,
        (("faultloop compare a.patch b.patch c.patch", "three ways to mend the same, in one table"),),
        ("faultloop test-patch",),
    ),
    "catalogue": Page(
        PATCH,
        (
            ("faultloop catalogue --drift", "do our own patches still apply? builds nothing"),
            ("faultloop catalogue '6.1-wrong-*'", "those that must be found wrong"),
        ),
        ("docs/catalogue.md",),
    ),
    "run": Page(
        KERNEL,
        (
            ("faultloop run --kernel 6.12", "a series of kernels.yaml"),
            ("faultloop run --kernel ~/linux@v6.9 --json", "a tag of a git tree, for programs"),
        ),
        ("faultloop sweep", "docs/verdicts.md"),
    ),
    "bisect": Page(
        KERNEL,
        (
            (
                "faultloop bisect --tree ~/linux --good v6.1 --bad HEAD --workloads 'anon-*'",
                "which commit broke it?",
            ),
            ("faultloop bisect --tree ~/linux --good v6.10 --bad v6.6 --find fix", "what mended it?"),
            ("faultloop bisect --tree ~/linux --good A --bad B --repeat 10", "a path that fails at times"),
        ),
        ("faultloop bisect-step", "docs/bisect.md"),
    ),
    "bisect-step": Page(
        KERNEL,
        (("faultloop bisect-step --workloads anon-reuse", "after `git bisect run`, or for the commit at hand"),),
        ("faultloop bisect", "docs/bisect.md"),
    ),
    "sweep": Page(
        KERNEL,
        (("faultloop sweep --kernels 6.1,6.12,newest", "all paths, on all kernels and machines"),),
        ("docs/sweep.md", "docs/setups.md", "docs/expectations.md", "docs/pool.md"),
    ),
    "coverage": Page(
        KERNEL,
        (("faultloop coverage --kernel newest", "which functions that upgrade an entry were run, and which not"),),
        ("docs/coverage.md",),
    ),
    "selftests": Page(
        KERNEL,
        (("faultloop selftests --kernel newest mremap", "Linux's own test, with its memory bound to the device"),),
        ("docs/selftests.md",),
    ),
    "stress": Page(
        KERNEL,
        (("faultloop stress --kernel 6.1 --seed 7", "the operations of an earlier run again"),),
        ("faultloop shell",),
    ),
    "shell": Page(
        INSIDE,
        (("faultloop shell --kernel 6.1 --patch x.patch", "log in to a guest of the patched kernel"),),
        ("faultloop trace", "docs/guest.md"),
    ),
    "trace": Page(
        INSIDE,
        (
            ("faultloop trace anon-reuse", "SMMU and kernel functions of one path, in one timeline"),
            ("faultloop trace --export results/latest", "what a run recorded, for Perfetto"),
        ),
        ("faultloop shell", "docs/timeline.md"),
    ),
    "debug": Page(
        INSIDE,
        (
            ("faultloop debug anon-reuse", "gdb on the kernel, stopped at the 50th stall"),
            ("faultloop debug anon-reuse --command 'lx-ps'", "one command of gdb, no terminal needed"),
            ("faultloop debug anon-reuse --drgn", "drgn on a dump instead"),
        ),
        ("faultloop vmcore", "faultloop trace", "docs/getting-in.md"),
    ),
    "vmcore": Page(
        INSIDE,
        (
            ("faultloop vmcore munmap --patch x.patch", "memory and decoded trace, if the kernel panics"),
            ("faultloop vmcore --run 'echo c >/proc/sysrq-trigger'", "a command in place of a path"),
        ),
        ("faultloop debug", "docs/getting-in.md"),
    ),
    "report": Page(
        RESULTS,
        (("faultloop report", "report.html and the other files of the last run, made anew"),),
        ("faultloop reply", "docs/results.md", "docs/verdicts.md"),
    ),
    "compare-runs": Page(
        RESULTS,
        (
            ("faultloop compare-runs results/old results/latest", "which paths changed, on what"),
            ("faultloop compare-runs a b --html difference.html", "as a page, too"),
        ),
        ("faultloop compare", "docs/results.md"),
    ),
    "bundle": Page(
        RESULTS,
        (("faultloop bundle", "the last run, to send to somebody who shall see it too"),),
        ("faultloop reproduce", "docs/verdicts.md"),
    ),
    "reproduce": Page(
        RESULTS,
        (
            ("faultloop reproduce x.bundle.tar.xz", "with the emulator that was built here, if it is the same"),
            ("faultloop reproduce x.bundle.tar.xz --trust-emulator", "with the sender's"),
        ),
        ("faultloop bundle", "docs/sandbox.md"),
    ),
    "reply": Page(
        RESULTS,
        (("faultloop reply", "the last run, as text for the mailing list"),),
        ("faultloop test-patch",),
    ),
    "nightly": Page(
        KERNEL,
        (
            ("faultloop nightly", "the newest tag of linux-next"),
            ("faultloop nightly --tree ~/linux --branch master --budget 0", "a branch, without a bisection"),
        ),
        ("faultloop history", "faultloop bisect", "docs/nightly.md"),
    ),
    "history": Page(
        RESULTS,
        (
            ("faultloop history anon-reuse", "run by run, and night by night"),
            ("faultloop history 'anon-*' --kernel 6.1 --counter cmd-resume", "with a counter of the SMMU"),
            ("faultloop history --html history.html", "all paths over kernels and nights, as a page"),
        ),
        ("faultloop sweep", "docs/nightly.md"),
    ),
    "workloads": Page(
        HOST, (("faultloop workloads", "every path, with its kernel functions"),), ("docs/guest.md",)
    ),
    "doctor": Page(
        HOST, (("faultloop doctor", "what is missing, and the line that mends it"),), ("docs/sandbox.md",)
    ),
    "cache": Page(
        HOST,
        (
            ("faultloop cache", "what it holds, by kind"),
            ("faultloop cache --remove-unused 30", "what no run asked for in a month goes"),
        ),
        ("docs/troubleshooting.md",),
    ),
    "scheduler": Page(
        HOST,
        (
            ("faultloop scheduler", "of several workers on this machine"),
            ("faultloop scheduler tls://192.0.2.1:8786", "of a pool of machines"),
        ),
        ("faultloop worker", "docs/pool.md"),
    ),
    "worker": Page(
        HOST,
        (
            ("faultloop worker tls://192.0.2.1:8786", "run guests, one on each core"),
            ("faultloop worker tls://192.0.2.1:8786 --build --guests 0", "build kernels only"),
        ),
        ("faultloop scheduler", "docs/pool.md"),
    ),
    "setup": Page(HOST, (("faultloop setup 6.1 6.12", "build now what later runs need"),), ("faultloop doctor",)),
}

_STATUS: Rows = (
    ("0", "FIXES; not affected; nothing to complain of"),
    ("1", "PARTIAL, NO-EFFECT, REGRESSES; affected; something differs from what is expected"),
    ("2", "the input: a patch that does not apply or build, an unknown kernel, a wrong option"),
    ("3", "BASE-UNAFFECTED, INCONCLUSIVE: nothing can be said"),
    ("4", "the harness or the host"),
    ("130, 143", "interrupted (128 and the signal's number)"),
)
_ENVIRONMENT: Rows = (
    ("FAULTLOOP_CACHE", "everything built; by default ~/.cache/faultloop"),
    ("FAULTLOOP_RESULTS", "what runs found"),
    ("FAULTLOOP_HISTORY", "the database of all runs; by default history.sqlite beside what runs found"),
    ("FAULTLOOP_KCIDB_ORIGIN", "who submits to KCIDB, in kcidb.json"),
    ("FAULTLOOP_ARCHIVE", "folders of mails, where a Message-ID is looked up before the network"),
    ("FAULTLOOP_DEBIAN_MIRROR", "a Debian mirror, where apt knows none"),
    ("FAULTLOOP_SANDBOX", "off: build without bubblewrap, for patches that you trust"),
    ("FAULTLOOP_LIMITS", "of a build: hours=6,disk=32"),
    ("FAULTLOOP_POOL", "scheduler of other machines, where guests and builds run; the option --pool"),
    ("FAULTLOOP_STORE", "URL of what these machines share"),
    ("FAULTLOOP_TLS_CA, _CERT, _KEY", "files for tls://"),
    ("FAULTLOOP_QEMU_SOURCE", "a tree or tarball of QEMU in place of Debian's"),
    ("NO_COLOR", "plain lines, without colours and without a line that moves"),
)
_FILES: Rows = (
    (
        "results/<run>/",
        "a run: report.html, run.json, report.txt, results.ktap, junit.xml, reproduce.sh, logs of each guest",
    ),
    ("results/latest", "the last one. Of a checkout; when installed ~/.local/state/faultloop/results"),
)
_FIRST: Rows = (
    ("faultloop doctor", "is all there that is needed?"),
    ("faultloop run", "is Linux 6.1 affected?"),
    ("faultloop test-patch x.patch", "what does this patch do?"),
    ("cd linux && faultloop test HEAD~2..", "what do my last two commits do?"),
)
SEE = ("README.md", "docs/README.md", "docs/verdicts.md", "docs/troubleshooting.md", "faultloop VERB --help")


def enter(verbs: typer.Typer) -> None:
    """Give each verb its page."""
    for info in verbs.registered_commands:
        info.cls = Verb


class Verb(TyperCommand):
    """A verb whose help ends with examples."""

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        super().format_help(ctx, formatter)
        page = PAGES.get(self.name or "")
        if page is not None:
            _write(formatter, "Examples", page.examples)
            _write(formatter, "See also", [(", ".join(page.see), "")] if page.see else [])


class Manual(TyperGroup):
    """The command, whose help is a manual page; verbs stand in their groups."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return sorted(super().list_commands(ctx), key=lambda name: PANELS.index(_panel(name)))

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        names = self.list_commands(ctx)
        width = max(map(len, names))
        for panel in PANELS:
            mine = [self.commands[name] for name in names if _panel(name) == panel]
            rows = [((c.name or "").ljust(width), c.get_short_help_str(_WHOLE)) for c in mine if not c.hidden]
            if rows:
                with formatter.section(panel):
                    formatter.write_dl(rows)

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        super().format_help(ctx, formatter)
        _write(formatter, "Exit status", _STATUS)
        _write(formatter, "Environment", _ENVIRONMENT)
        _write(formatter, "Files", _FILES)
        _write(formatter, "Examples", _FIRST)
        _write(formatter, "See also", [(", ".join(SEE), "")])


def _panel(name: str) -> str:
    return PAGES[name].panel if name in PAGES else OTHERS


def _write(formatter: Any, title: str, rows: Rows) -> None:
    """One section. Not by rich: to import what it needs for this takes longer than all the rest."""
    if not rows:
        return
    with formatter.section(title):
        for name, text in rows if title == "Examples" else ():
            formatter.write(f"{'':{formatter.current_indent}}{name}\n")
            with formatter.indentation(), formatter.indentation():
                formatter.write_text(text)
        if title != "Examples":
            plain = [row for row in rows if row[1]]
            if plain:
                formatter.write_dl(plain)
            for name, text in rows:
                if not text:
                    formatter.write_text(name)
