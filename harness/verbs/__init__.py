# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs of the command line, by subject; each module has a Typer of its own, which ``harness.cli`` joins."""
