"""Kept results, what drawing them needs of their models, and the audit log with its head.

Columns are written out: a migration must stay what it was when the tables change.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

FIRST_HASH = "0" * 64
# Appending is one statement: in SQLite this moves the chain's end along, or stops it where the chain ends elsewhere.
MOVE_HEAD = """
CREATE TRIGGER audit_head_moves AFTER INSERT ON audit_entries BEGIN
  UPDATE audit_head SET sequence = NEW.sequence, hash = NEW.hash WHERE id = 1 AND sequence = NEW.sequence - 1;
  SELECT RAISE(ABORT, 'the audit log ends elsewhere') WHERE changes() = 0;
END
"""
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables of an empty database."""
    _make_results()
    _make_audit_log()


def _make_results() -> None:
    op.create_table(
        "results",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("model_version", sa.String(200), nullable=False),
        sa.Column("model_digest", sa.String(100), nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
    )
    op.create_index("results_by_owner", "results", ["owner", "number"])
    op.create_index("results_by_expires", "results", ["expires"])
    op.create_index("results_by_model_digest", "results", ["model_digest"])
    op.create_table(
        "model_facts",
        sa.Column("digest", sa.String(100), primary_key=True),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )


def _make_audit_log() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("sequence", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("recorded", sa.String(40), nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("action", sa.String(60), nullable=False),
        sa.Column("model_digest", sa.String(100)),
        sa.Column("input_digest", sa.String(100)),
        sa.Column("output_digest", sa.String(100)),
        sa.Column("row", sa.Integer),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sequence", NUMBER, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "sequence": 0, "hash": FIRST_HASH}])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(MOVE_HEAD)
