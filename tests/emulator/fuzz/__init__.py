# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever a guest writes to the SMMU, to sva-testdev and to what they read: QEMU neither ends nor hangs."""
