# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs, guests, outcomes, counters, splats."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "kernel",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.UniqueConstraint("digest", "name", name="uq_kernel_digest_name"),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("job", sa.String(16), nullable=False),
        sa.Column("started", sa.String(32), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("patches", sa.String(64), nullable=False),
        sa.Column("emulator", sa.String(64), nullable=False),
        sa.Column("guest_image", sa.String(64), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
    )
    op.create_index("ix_run_started", "run", ["started"])
    op.create_table(
        "guest",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("run_id", sa.Integer(), sa.ForeignKey("run.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kernel_id", sa.Integer(), sa.ForeignKey("kernel.id"), nullable=False),
        sa.Column("variant", sa.String(64), nullable=False),
        sa.Column("setup", sa.String(64), nullable=False),
        sa.Column("image_sha256", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("end", sa.String(16), nullable=False),
        sa.Column("booted", sa.Boolean(), nullable=False),
        sa.Column("boot_seconds", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
    )
    op.create_index("ix_guest_run_id", "guest", ["run_id"])
    op.create_table(
        "outcome",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("guest_id", sa.Integer(), sa.ForeignKey("guest.id", ondelete="CASCADE"), nullable=False),
        sa.Column("path", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("stalls", sa.Integer(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("tlbi", sa.Integer(), nullable=False),
        sa.Column("tlbi_wide", sa.Integer(), nullable=False),
        sa.Column("notifier_calls", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
    )
    op.create_index("ix_outcome_guest_id", "outcome", ["guest_id"])
    op.create_index("ix_outcome_path", "outcome", ["path"])
    op.create_table(
        "counter",
        sa.Column("outcome_id", sa.Integer(), sa.ForeignKey("outcome.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Integer(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "splat",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("guest_id", sa.Integer(), sa.ForeignKey("guest.id", ondelete="CASCADE"), nullable=False),
        sa.Column("path", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
    )
    op.create_index("ix_splat_guest_id", "splat", ["guest_id"])
