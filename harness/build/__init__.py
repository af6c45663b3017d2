# SPDX-License-Identifier: GPL-2.0-or-later
"""Make artefacts of sources: emulator, kernels, guest image; all cached by content."""
