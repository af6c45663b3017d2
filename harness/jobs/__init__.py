# SPDX-License-Identifier: GPL-2.0-or-later
"""What users ask for; joins the rooms below."""
