# SPDX-License-Identifier: GPL-2.0-or-later
"""Judge what a guest did. Pure: reads recorded data only."""
