# SPDX-License-Identifier: GPL-2.0-or-later
"""Run one guest: QEMU, QMP, console, SSH."""
