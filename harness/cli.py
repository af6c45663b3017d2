# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``faultloop``: its verbs (``harness.verbs``), signals, errors and exit statuses; no logic.

Imports of jobs stay inside the verbs: ``--help`` must not pay for paramiko.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

import typer
from typer.exceptions import TyperException

from harness.errors import ExitStatus, FaultloopError
from harness.interruption import unwinding
from harness.verbs import bisect, bundles, host, inside, kernels, manual, nightly, patches, pool, reports

app = typer.Typer(
    cls=manual.Manual,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Does an arm64 kernel leave a device in an endless page-fault loop, and does a patch mend it?\n\n"
    "Builds a kernel with and without a patch, boots both in an emulated machine whose SMMUv3 shares page tables "
    "with the CPU, drives every path by which an entry is upgraded under a device that faults, and compares.",
)
for _group in (patches, kernels, bisect, nightly, inside, reports, bundles, pool, host):
    manual.enter(_group.verbs)
    app.add_typer(_group.verbs)


def main() -> None:
    """Entry point: errors become one message and an exit status, never a traceback."""
    caught: list[int] = []
    with unwinding(caught):
        status = _call(caught)
    gc.freeze()  # the interpreter would look through all that is left, once more: a quarter of a second
    sys.exit(_for_git(status))


def _for_git(status: int) -> int:
    """`git bisect run` takes 1 to 127 for a bad commit, and stops at what is above: so must trouble of ours."""
    if sys.argv[1:2] == ["bisect-step"] and status not in (0, 1, 125) and status < 128:
        return ExitStatus.STOP_BISECT
    return status


def _call(caught: list[int]) -> int:
    try:
        result = app(prog_name="faultloop", standalone_mode=False)
        if caught:
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except FaultloopError as error:
        _tell(error)
        return error.status
    except (KeyboardInterrupt, typer.Abort):
        print("faultloop: interrupted", file=sys.stderr)
        return 128 + (caught[0] if caught else signal.SIGINT)
    except TyperException as error:
        show = getattr(error, "show", None)
        show() if show else print(f"faultloop: {error}", file=sys.stderr)
        return ExitStatus.USER
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.INFRASTRUCTURE
    except OSError as error:
        print(f"faultloop: {error}", file=sys.stderr)
        return ExitStatus.INFRASTRUCTURE


def _tell(error: FaultloopError) -> None:
    from harness.shown import one_line, printable

    print(f"faultloop: {one_line(error.message)}", file=sys.stderr)
    if error.detail:
        print(printable(error.detail.rstrip()), file=sys.stderr)
