# SPDX-License-Identifier: GPL-2.0-or-later
"""The model against a reference: random structures, accesses and commands, and what the specification says.

The reference (``reference.py``, ``config.py``, ``walk.py``, ``iotlb.py``, ``records.py``) is written from Arm IHI
0070 and Arm ARM D8, and from docs/emulator.md where those leave a choice; never from the model's source, or both
would be wrong alike.
"""
