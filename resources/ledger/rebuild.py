"""Derived state from the record alone.

Belongs here: one statement a table that says how it follows from the record. Does not belong here: the ways it is kept
up to date as things happen (arrivals, moves, decisions); a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from resources.ledger.tables import DERIVED

_STATEMENTS = (
    """
    INSERT INTO ledger.asset_states
      (source, asset, first_seq, seq, state, cause, run_id, recipe_hash, data_version, uri, wake_at, since)
    SELECT DISTINCT ON (source, asset) source, asset, min(seq) OVER (PARTITION BY source, asset), seq, to_state, cause,
           run_id, recipe_hash, data_version, uri, wake_at, at
    FROM ledger.transitions ORDER BY source, asset, seq DESC
    """,
    """
    INSERT INTO ledger.source_heads (location, source, generation, seen_at, arrival_id)
    SELECT DISTINCT ON (a.location) a.location, a.source, 1 + coalesce(replaced.times, 0), a.seen_at, a.id
    FROM ledger.arrivals a
    LEFT JOIN (
      SELECT s.location, count(*) AS times FROM ledger.decisions d JOIN ledger.sources s ON s.key = d.source
      WHERE d.kind = 'superseded' GROUP BY s.location
    ) replaced ON replaced.location = a.location
    WHERE a.source IS NOT NULL ORDER BY a.location, a.seen_at DESC, a.id DESC
    """,
    """
    INSERT INTO ledger.known_files (location, size_bytes, mtime_ns, source)
    SELECT DISTINCT ON (location) location, size_bytes, mtime_ns, source
    FROM ledger.arrivals ORDER BY location, seen_at DESC, id DESC
    """,
    """
    INSERT INTO ledger.controls (source, stop, priority)
    SELECT DISTINCT ON (d.source) d.source, d.payload ->> 'stop', hurried.priority
    FROM ledger.decisions d
    LEFT JOIN (
      SELECT DISTINCT ON (source) source, (payload ->> 'priority')::int AS priority FROM ledger.decisions
      WHERE payload ->> 'priority' IS NOT NULL ORDER BY source, seq DESC
    ) hurried ON hurried.source = d.source
    WHERE d.payload ? 'action' ORDER BY d.source, d.seq DESC
    """,
)


def rebuild(connection: Connection) -> None:
    """Throw the derived tables away and make them anew, in a transaction of the caller's that locks them."""
    for table in DERIVED:
        connection.execute(text(f"TRUNCATE {table.fullname}"))
    for statement in _STATEMENTS:
        connection.execute(text(statement))
