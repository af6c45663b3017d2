# SPDX-License-Identifier: GPL-2.0-or-later
"""faultloop: does an arm64 kernel leave a device in an endless page-fault loop?"""

__version__ = "0.1.0"
