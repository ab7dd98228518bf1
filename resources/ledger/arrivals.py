"""Arrivals become sources: at least once, in any order, with one result.

Belongs here: registration in lots, heads of locations, what is known of files. Does not belong here: reading files
(resources/intake).

The order of sightings of one location is the order in which they were seen, not in which they are told. Everything a
lot does to one location happens under that location's lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, text

from resources.ledger import decisions
from resources.ledger.keys import arrival_id, as_named, as_stored, source_key
from resources.ledger.moves import Move, add_assets, sweep
from resources.ledger.rows import DecisionKind, Incoming, KnownFile, Registration
from resources.ledger.states import DONE, AssetState, legal_before

A_MOMENT = timedelta(microseconds=1)  # the finest that a timestamp of PostgreSQL tells apart
SUPERSEDING = frozenset(legal_before(AssetState.SUPERSEDED)) - {AssetState.SUPERSEDED}
ARRIVED = "a file arrived"  # why a source is accepted

_LOCK = text("""
SELECT pg_advisory_xact_lock(hashtextextended(location, 0))
FROM (SELECT DISTINCT unnest(CAST(:locations AS text[])) AS location ORDER BY 1) AS sorted
""")
_BEFORE = text("""
SELECT w.location, w.source, h.source AS head, h.generation, h.seen_at AS head_seen_at, h.arrival_id AS head_arrival,
       a.seen_at, a.id, a.options, a.title, a.language, a.tags
FROM unnest(CAST(:locations AS text[]), CAST(:sources AS text[])) AS w(location, source)
LEFT JOIN ledger.source_heads h ON h.location = w.location
LEFT JOIN LATERAL (
  SELECT * FROM ledger.arrivals a WHERE a.source = w.source ORDER BY a.seen_at DESC, a.id DESC LIMIT 1
) a ON true
""")
_RECORD_ARRIVALS = text("""
INSERT INTO ledger.arrivals
  (id, source, location, size_bytes, mtime_ns, version, seen_at, content, job, title, language, tags, options, priority,
   actor)
SELECT id, source, location, size_bytes, mtime_ns, version, seen_at, content, job, title, language, tags, options,
       priority, actor
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
  id text, source text, location text, size_bytes bigint, mtime_ns bigint, version text, seen_at timestamptz,
  content text, job text, title text, language text, tags jsonb, options jsonb, priority int, actor text)
ON CONFLICT (id) DO NOTHING RETURNING id
""")
_RECORD_SOURCES = text("""
INSERT INTO ledger.sources (key, location, content, size_bytes, job, arrival_id)
SELECT source, location, content, size_bytes, job, id
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
  source text, location text, content text, size_bytes bigint, job text, id text)
ON CONFLICT (key) DO NOTHING RETURNING key
""")
_SET_HEADS = text("""
INSERT INTO ledger.source_heads (location, source, generation, seen_at, arrival_id)
SELECT location, source, generation, seen_at, id
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
  location text, source text, generation int, seen_at timestamptz, id text)
ON CONFLICT (location) DO UPDATE SET source = excluded.source, generation = excluded.generation,
  seen_at = excluded.seen_at, arrival_id = excluded.arrival_id
""")
_SET_KNOWN = text("""
INSERT INTO ledger.known_files (location, size_bytes, mtime_ns, source)
SELECT location, size_bytes, mtime_ns, source
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(location text, size_bytes bigint, mtime_ns bigint, source text)
ON CONFLICT (location) DO UPDATE SET size_bytes = excluded.size_bytes, mtime_ns = excluded.mtime_ns,
  source = excluded.source
""")


@dataclass(slots=True)
class _Item:
    """One arrival of a lot on its way."""

    incoming: Incoming
    location: str
    key: str
    id: str
    seen_at: datetime
    is_seen_now: bool
    generation: int = 0
    supersedes: str | None = None
    is_head: bool = True
    is_new: bool = False
    changed: bool = False

    @property
    def order(self) -> tuple[datetime, str]:
        return (self.seen_at, self.id)

    def row(self) -> dict[str, Any]:
        said, arrival = self.incoming, self.incoming.arrival
        return {
            "id": self.id,
            "source": self.key,
            "location": self.location,
            "size_bytes": arrival.size_bytes,
            "mtime_ns": arrival.mtime_ns,
            "version": arrival.version,
            "seen_at": self.seen_at.isoformat(),
            "content": said.content,
            "job": said.job,
            "title": as_stored(said.title) if said.title else None,
            "language": said.language,
            "tags": list(said.tags),
            "options": dict(said.options),
            "priority": said.priority,
            "actor": arrival.actor,
            "generation": self.generation,
        }


@dataclass(slots=True)
class _Lot:
    """What a lot changes, gathered before it is written."""

    heads: list[_Item] = field(default_factory=list)
    late: list[_Item] = field(default_factory=list)

    @property
    def replaced(self) -> list[_Item]:
        return [item for item in self.heads if item.supersedes]


def register(connection: Connection, incoming: Sequence[Incoming]) -> list[Registration]:
    """Record arrivals, in a transaction of the caller's; what each became, in the same order."""
    items = [_item(one) for one in incoming]
    for wave in _waves(items):
        _register_wave(connection, wave)
    return [Registration(item.key, item.id, item.is_new, item.supersedes, item.generation) for item in items]


def _item(incoming: Incoming) -> _Item:
    arrival = incoming.arrival
    seen_at = arrival.seen_at or datetime.now(UTC)
    if seen_at.tzinfo is None:
        raise ValueError(f"seen_at needs a time zone: {seen_at}")
    location = as_stored(arrival.location)
    name = arrival_id(location, arrival.version, arrival.size_bytes, arrival.mtime_ns, incoming.content, seen_at)
    key = source_key(location, incoming.content)
    return _Item(incoming, location, key, name, seen_at, is_seen_now=arrival.seen_at is None)


def _waves(items: Iterable[_Item]) -> list[list[_Item]]:
    """Split so that no wave holds one location twice."""
    waves: list[dict[str, _Item]] = []
    for item in items:
        wave = next((wave for wave in waves if item.location not in wave), None)
        if wave is None:
            waves.append(wave := {})
        wave[item.location] = item
    return [list(wave.values()) for wave in waves]


def _register_wave(connection: Connection, items: list[_Item]) -> None:
    locations = [item.location for item in items]
    connection.execute(_LOCK, {"locations": locations})
    before = {
        row.location: row
        for row in connection.execute(_BEFORE, {"locations": locations, "sources": [item.key for item in items]})
    }
    lot = _Lot()
    for item in items:
        _place(item, before[item.location], lot)
    rows = json.dumps([item.row() for item in items])
    connection.execute(_RECORD_ARRIVALS, {"rows": rows})
    created = set(connection.execute(_RECORD_SOURCES, {"rows": rows}).scalars())
    for item in items:
        item.is_new = item.key in created
    if lot.heads:
        head_rows = json.dumps([item.row() for item in lot.heads])
        connection.execute(_SET_HEADS, {"rows": head_rows})
        connection.execute(_SET_KNOWN, {"rows": head_rows})
    _settle(connection, items, lot)


def _place(item: _Item, before: Row[Any], lot: _Lot) -> None:
    """Decide whether the arrival is the newest of its location, and whether something else was said than before."""
    item.generation = before.generation or 1
    if before.head is not None and item.is_seen_now and item.seen_at <= before.head_seen_at:
        item.seen_at = before.head_seen_at + A_MOMENT  # the clock was set back since; what is there now is there now
    if before.head is not None and item.order <= (before.head_seen_at, before.head_arrival):
        item.is_head = before.head == item.key
        if not item.is_head:
            lot.late.append(item)
        return
    if before.head is not None and before.head != item.key:
        item.supersedes = before.head
        item.generation += 1
    row = item.row()
    item.changed = before.id is not None and any(
        row[name] != getattr(before, name) for name in ("options", "title", "language", "tags")
    )
    lot.heads.append(item)


def _settle(connection: Connection, items: list[_Item], lot: _Lot) -> None:
    """Give the assets the states that follow, and put the decisions on record."""
    pairs = [
        (item.key, asset)
        for item in items
        if item.is_new or item in lot.heads
        for asset in dict.fromkeys(item.incoming.assets)
    ]
    add_assets(connection, pairs, _actor(items))
    if lot.replaced:
        _supersede(connection, [item.supersedes or "" for item in lot.replaced], lot.replaced)
        _sweep(connection, lot.replaced, {AssetState.SUPERSEDED}, "its bytes are back in their place")
    late = [item for item in lot.late if item.is_new]
    if late:
        _supersede(connection, [item.key for item in late], late)
    changed = [item for item in lot.heads if item.changed]
    if changed:
        _sweep(connection, changed, DONE, "something else was said about it than before")
    decisions.record(connection, [_decision(item) for item in items if item.is_new or item.supersedes])


def _supersede(connection: Connection, keys: list[str], by: list[_Item]) -> None:
    cause = "a newer file is in its place"
    sweep(connection, keys, SUPERSEDING, Move(to=AssetState.SUPERSEDED, actor=_actor(by), cause=cause))


def _sweep(connection: Connection, items: list[_Item], before: Iterable[AssetState], cause: str) -> None:
    move = Move(to=AssetState.REGISTERED, actor=_actor(items), cause=cause)
    sweep(connection, [item.key for item in items], frozenset(before), move)


def _decision(item: _Item) -> decisions.Decision:
    kind = DecisionKind.SUPERSEDED if item.supersedes else DecisionKind.ACCEPTED
    said = {"arrival": item.id, "generation": item.generation, "head": item.is_head}
    return decisions.Decision(
        kind=kind,
        source=item.supersedes or item.key,
        actor=item.incoming.arrival.actor,
        reason=f"{item.key} is in its place" if item.supersedes else ARRIVED,
        payload={**said, "by": item.key} if item.supersedes else said,
    )


def _actor(items: list[_Item]) -> str:
    return items[0].incoming.arrival.actor


_KNOWN = text("""
SELECT location, size_bytes, mtime_ns, source FROM ledger.known_files
WHERE location >= :prefix AND location < :beyond
""")


def known_files(connection: Connection, prefix: str) -> dict[str, KnownFile]:
    """What is known of the files whose location begins with `prefix`."""
    low = as_stored(prefix)
    found = connection.execute(_KNOWN, {"prefix": low, "beyond": low + chr(0x10FFFF)})
    rows = found.cursor.fetchall()  # the driver's tuples: SQLAlchemy's rows cost more than the query
    return {as_named(location): KnownFile(size, mtime, source) for location, size, mtime, source in rows}


def leave_alone(connection: Connection, files: Mapping[str, tuple[int, int]], actor: str) -> None:
    """Record files (location to size in bytes and mtime in ns) that were looked at and are no sources."""
    now = datetime.now(UTC)
    rows = [
        {
            "id": arrival_id(as_stored(location), None, size_bytes, mtime_ns, "", now),
            "location": as_stored(location),
            "size_bytes": size_bytes,
            "mtime_ns": mtime_ns,
            "seen_at": now.isoformat(),
            "tags": [],
            "options": {},
            "priority": 0,
            "actor": actor,
        }
        for location, (size_bytes, mtime_ns) in files.items()
    ]
    connection.execute(_RECORD_ARRIVALS, {"rows": json.dumps(rows)})
    connection.execute(_SET_KNOWN, {"rows": json.dumps(rows)})
