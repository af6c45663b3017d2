# SPDX-License-Identifier: GPL-2.0-or-later
"""Alembic calls this for each upgrade; the connection, and its transaction, are the caller's."""

from alembic import context

from harness.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
