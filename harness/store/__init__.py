# SPDX-License-Identifier: GPL-2.0-or-later
"""The history of runs: a database that no run can make again."""
