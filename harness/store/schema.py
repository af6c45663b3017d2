# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of the history, as the newest migration leaves them.

A change here is a new file in ``migrations/versions``, and its number in `HEAD`; a test holds the two together.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

HEAD = "0002"
"""The newest migration."""
KNOWN = ("0001", HEAD)
"""All of them, oldest first."""

metadata = MetaData()

kernel = Table(
    "kernel",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("origin", Text, nullable=False),
    UniqueConstraint("digest", "name", name="uq_kernel_digest_name"),
)

run = Table(
    "run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("job", String(16), nullable=False),
    Column("started", String(32), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("status", Integer, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("summary", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("patches", String(64), nullable=False),
    Column("emulator", String(64), nullable=False),
    Column("guest_image", String(64), nullable=False),
    Column("version", String(32), nullable=False),
    Column("folder", Text, nullable=False),
    Index("ix_run_started", "started"),
)

guest = Table(
    "guest",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), nullable=False),
    Column("kernel_id", ForeignKey("kernel.id"), nullable=False),
    Column("variant", String(64), nullable=False),
    Column("setup", String(64), nullable=False),
    Column("image_sha256", String(64), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("error", Text, nullable=False),
    Column("end", String(16), nullable=False),
    Column("booted", Boolean, nullable=False),
    Column("boot_seconds", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Index("ix_guest_run_id", "run_id"),
)

outcome = Table(
    "outcome",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("guest_id", ForeignKey("guest.id", ondelete="CASCADE"), nullable=False),
    Column("path", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("stalls", Integer, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("tlbi", Integer, nullable=False),
    Column("tlbi_wide", Integer, nullable=False),
    Column("notifier_calls", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Index("ix_outcome_guest_id", "guest_id"),
    Index("ix_outcome_path", "path"),
)

counter = Table(
    "counter",
    metadata,
    Column("outcome_id", ForeignKey("outcome.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""What the SMMU counted over a path. A counter that is not here stood still."""

splat = Table(
    "splat",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("guest_id", ForeignKey("guest.id", ondelete="CASCADE"), nullable=False),
    Column("path", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("title", Text, nullable=False),
    Index("ix_splat_guest_id", "guest_id"),
)
"""Kernel text that says something is wrong; ``path`` is empty outside any workload."""

night = Table(
    "night",
    metadata,
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("tree", Text, nullable=False),
    Column("branch", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("commit", String(64), nullable=False),
    Column("what", String(64), nullable=False),
    Index("ix_night_tree_branch", "tree", "branch"),
)
"""Of a nightly run: which tag (``ref``) of which tree, and a digest of ``what`` was run on it."""

finding = Table(
    "finding",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("night.run_id", ondelete="CASCADE"), nullable=False),
    Column("path", Text, nullable=False),
    Column("setup", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("first_bad", String(64), nullable=False),
    Index("ix_finding_run_id", "run_id"),
)
"""What a night says of a path beside its outcome: new, mended, still failing, flaky, not run."""
