"""The tables of the service's database, as the newest migration leaves them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Column, Dialect, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# SQLite numbers rows by itself only where the column is called INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")


class Moment(TypeDecorator[datetime]):
    """A time with its zone, kept as microseconds since 1970 in UTC: SQLite knows no times, and no zones."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Return what the database keeps."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Return what was put in, in UTC."""
        return None if value is None else _EPOCH + value * _MICROSECOND


metadata = MetaData()

results = Table(
    "results",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),  # the order of keeping
    Column("id", String(64), nullable=False, unique=True),
    Column("owner", String(200), nullable=False),
    Column("label", String(200), nullable=False),  # ours ("Visit", "line 3"), never a participant's
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("status", String(20), nullable=False),
    Column("model_version", String(200), nullable=False),
    Column("model_digest", String(100), nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Index("results_by_owner", "owner", "number"),
    Index("results_by_expires", "expires"),
    Index("results_by_model_digest", "model_digest"),
)

# What drawing a kept answer needs of its model; once per model, as long as one of its answers is kept.
model_facts = Table(
    "model_facts",
    metadata,
    Column("digest", String(100), primary_key=True),
    Column("document", LargeBinary, nullable=False),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=False),  # 1, 2, 3, ... without a gap
    Column("recorded", String(40), nullable=False),  # as it was hashed: UTC, ISO 8601, microseconds
    Column("owner", String(200), nullable=False),
    Column("action", String(60), nullable=False),
    Column("model_digest", String(100)),
    Column("input_digest", String(100)),
    Column("output_digest", String(100)),
    Column("row", Integer),
    Column("hash", String(64), nullable=False),
)

# One row: who appends to the chain locks it, so that several processes share one chain.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", Number, nullable=False),
    Column("hash", String(64), nullable=False),
)

# A key is revoked, never deleted: that one was ever made is what closes the service to everybody else.
access_keys = Table(
    "access_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("hash", String(64), nullable=False),  # of the whole key; the key itself is kept nowhere
    Column("name", String(100), nullable=False),  # the operator's own note
    Column("scopes", String(100), nullable=False),  # with blanks between
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
    Column("revoked", Moment),
    Column("last_used", String(10)),  # a day: enough to find forgotten keys, too little to follow a person
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("hash", String(64), primary_key=True),  # of the browser's cookie
    Column("key_id", String(40), ForeignKey("access_keys.id"), nullable=False),
    Column("expires", Moment, nullable=False),
)
