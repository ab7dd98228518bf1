"""The ledger's tables, as SQLAlchemy sees them. The migrations make them; a test compares the two.

Belongs here: columns and indexes. Three sorts: the record, which is only ever added to (triggers refuse anything else);
what is derived from it, kept because it is asked for often, rebuilt by `rebuild`; and what is worth nothing tomorrow.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Double, Identity, Index, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType

SCHEMA = "ledger"
metadata = MetaData(schema=SCHEMA)


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's xid8. Sealing goes by it: a row with a smaller `seq` may be committed later."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


def _record(name: str, *columns: Column[Any] | Index) -> Table:
    """A table of the record: numbered, with the transaction and the time of each row."""
    return Table(
        name,
        metadata,
        Column("seq", BigInteger, Identity(always=True), primary_key=True),
        Column("tx", TransactionId, nullable=False, server_default=text("pg_current_xact_id()")),
        Column("at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
        *columns,
    )


arrivals = _record(
    "arrivals",
    Column("id", Text, nullable=False),
    Column("source", Text),
    Column("location", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("version", Text),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Column("content", Text),
    Column("job", Text),
    Column("title", Text),
    Column("language", Text),
    Column("tags", JSONB, nullable=False),
    Column("options", JSONB, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Index("arrivals_id", "id", unique=True),
    Index("arrivals_location", "location", "seen_at"),
    Index("arrivals_source", "source", "seen_at"),
)
sources = _record(
    "sources",
    Column("key", Text, nullable=False),
    Column("location", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("job", Text, nullable=False),
    Column("arrival_id", Text, nullable=False),
    Index("sources_key", "key", unique=True),
    Index("sources_location", "location"),
    Index("sources_content", "content"),
)
transitions = _record(
    "transitions",
    Column("source", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("cause", Text),
    Column("run_id", Text),
    Column("recipe_hash", Text),
    Column("data_version", Text),
    Column("uri", Text),
    Column("wake_at", DateTime(timezone=True)),
    Index("transitions_source", "source", "asset", "seq"),
)
decisions = _record(
    "decisions",
    Column("kind", Text, nullable=False),
    Column("source", Text),
    Column("asset", Text),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Index("decisions_source", "source", "seq"),
)
attempts = _record(
    "attempts",
    Column("source", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("unit", Text),
    Column("recipe_hash", Text, nullable=False),
    Column("run_id", Text),
    Column("call_id", Text),
    Column("correlation", Text),
    Index("attempts_source", "source"),
    Index("attempts_recipe", "recipe_hash"),
    Index("attempts_call", "call_id", postgresql_where=text("call_id IS NOT NULL")),
    Index("attempts_run", "run_id"),
)
attempt_ends = _record(
    "attempt_ends",
    Column("attempt", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("cause", Text),
    Column("wall_s", Double, nullable=False),
    Column("cpu_s", Double, nullable=False),
    Column("peak_memory_bytes", BigInteger, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("encoder_calls", Integer, nullable=False),
    Column("media_s", Double, nullable=False),
    Column("intervals", JSONB, nullable=False, server_default=text("'[]'")),
    Index("attempt_ends_attempt", "attempt", unique=True),
)
settings_seen = _record(
    "settings_seen",
    Column("name", Text, nullable=False),
    Column("value", JSONB, nullable=False),
    Index("settings_seen_name", "name", "seq"),
)
run_requests = _record(
    "run_requests",
    Column("source", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("job", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Index("run_requests_key", "source", "generation", "attempt", unique=True),
)
RECORD = (arrivals, sources, transitions, decisions, attempts, attempt_ends, settings_seen, run_requests)

asset_states = Table(
    "asset_states",
    metadata,
    Column("source", Text, primary_key=True),
    Column("asset", Text, primary_key=True),
    Column("first_seq", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("cause", Text),
    Column("run_id", Text),
    Column("recipe_hash", Text),
    Column("data_version", Text),
    Column("uri", Text),
    Column("wake_at", DateTime(timezone=True)),
    Column("since", DateTime(timezone=True), nullable=False),
    Index(
        "asset_states_moving",
        "source",
        postgresql_where=text("state IN ('registered', 'queued', 'running', 'waiting')"),
    ),
)
source_heads = Table(
    "source_heads",
    metadata,
    Column("location", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Column("arrival_id", Text, nullable=False),
)
known_files = Table(
    "known_files",
    metadata,
    Column("location", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("source", Text),
)
controls = Table(
    "controls",
    metadata,
    Column("source", Text, primary_key=True),
    Column("stop", Text),
    Column("priority", Integer),
)
DERIVED = (asset_states, source_heads, known_files, controls)

progress = Table(
    "progress",
    metadata,
    Column("source", Text, primary_key=True),
    Column("asset", Text, primary_key=True),
    Column("done_s", Double, nullable=False),
    Column("total_s", Double, nullable=False),
)
prints = Table(
    "prints",
    metadata,
    Column("artifact", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("start_ms", BigInteger),
    Column("end_ms", BigInteger),
    Column("print", BigInteger, nullable=False),
)
printed = Table("printed", metadata, Column("artifact", Text, primary_key=True))
leases = Table(
    "leases",
    metadata,
    Column("key", Text, primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("note", Text),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
