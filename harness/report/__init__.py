# SPDX-License-Identifier: GPL-2.0-or-later
"""Tell results: text, KTAP, JUnit, JSON. Pure."""
