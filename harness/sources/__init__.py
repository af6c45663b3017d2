# SPDX-License-Identifier: GPL-2.0-or-later
"""Bring things in: kernel and QEMU sources, Debian packages, patches."""
