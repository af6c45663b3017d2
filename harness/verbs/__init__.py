# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs of the command line, by subject; each module has a Typer of its own, which ``harness.cli`` joins.

They do without ``from __future__ import annotations``: typer needs the types of every verb for each command, and
to compile them from text took a fifth of what ``--help`` takes.
"""
