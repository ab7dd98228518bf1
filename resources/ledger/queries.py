"""What the ledger can be asked.

Belongs here: reading, the number of the next run, and progress, which is no part of the record. Does not belong here:
anything else that changes a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, text

from resources.ledger.keys import as_named, as_stored
from resources.ledger.leases import live_claims
from resources.ledger.moves import UnknownSource
from resources.ledger.rows import AssetRow, Progress, SourceRow, Unfinished
from resources.ledger.states import AssetState

_SOURCE = """
SELECT s.key, s.location, s.content, s.size_bytes, s.job, s.arrival_id,
       a.mtime_ns, a.options, a.title, a.language, a.tags, coalesce(c.priority, a.priority) AS priority,
       coalesce(h.generation, 1) AS generation, coalesce(h.source = s.key, false) AS is_head
FROM ledger.sources s
JOIN LATERAL (
  SELECT * FROM ledger.arrivals a WHERE a.source = s.key ORDER BY a.seen_at DESC, a.id DESC LIMIT 1
) a ON true
LEFT JOIN ledger.source_heads h ON h.location = s.location
LEFT JOIN ledger.controls c ON c.source = s.key
"""
_BY_KEYS = text(f"{_SOURCE} WHERE s.key = ANY(CAST(:keys AS text[]))")
_LISTED = text(f"""
{_SOURCE}
WHERE s.seq > :after
  AND (CAST(:state AS text) IS NULL OR EXISTS (
    SELECT FROM ledger.asset_states x WHERE x.source = s.key AND x.state = :state))
  AND (CAST(:content AS text) IS NULL OR s.content = :content)
ORDER BY s.seq LIMIT :limit
""")
_LATEST = text(f"""
{_SOURCE}
WHERE h.source = s.key AND (CAST(:before AS bigint) IS NULL OR s.seq < :before)
  AND (CAST(:state AS text) IS NULL OR EXISTS (
    SELECT FROM ledger.asset_states x WHERE x.source = s.key AND x.state = :state))
  AND (CAST(:job AS text) IS NULL OR s.job = :job)
ORDER BY s.seq DESC LIMIT :limit
""")
_FOUND = text(f"""
{_SOURCE}
WHERE s.key = :text OR starts_with(s.key, :text) OR (s.location = :location AND h.source = s.key)
ORDER BY s.key = :text DESC, s.seq LIMIT :limit
""")
_SEQ_OF = text("SELECT seq FROM ledger.sources WHERE key = :key")
_STATES = text("""
SELECT source, asset, state, cause, run_id, recipe_hash, data_version, uri, wake_at, since
FROM ledger.asset_states WHERE source = ANY(CAST(:sources AS text[])) ORDER BY source, first_seq
""")
_UNFINISHED = text("""
WITH moving AS (
  SELECT source, array_agg(asset ORDER BY first_seq) AS assets FROM ledger.asset_states
  WHERE state IN ('registered', 'queued', 'running') OR state IN ('waiting', 'stale') AND wake_at <= clock_timestamp()
  GROUP BY source
)
SELECT m.source, m.assets, s.job, a.priority, c.priority AS hurried, a.id AS arrival_id, h.generation,
       r.generation AS run_generation, r.attempt, coalesce(tries.restarts, 0) AS restarts,
       CASE WHEN r.at > started.at THEN r.at END AS requested_at
FROM moving m
JOIN ledger.sources s ON s.key = m.source
JOIN ledger.source_heads h ON h.location = s.location
JOIN LATERAL (
  SELECT id, priority FROM ledger.arrivals a WHERE a.source = m.source ORDER BY a.seen_at DESC, a.id DESC LIMIT 1
) a ON true
LEFT JOIN ledger.controls c ON c.source = m.source
CROSS JOIN (
  SELECT coalesce(max(at), '-infinity') AS at FROM ledger.decisions WHERE source IS NULL AND kind = 'resumed'
) started
LEFT JOIN LATERAL (
  SELECT generation, attempt, at FROM ledger.run_requests r WHERE r.source = m.source ORDER BY seq DESC LIMIT 1
) r ON true
LEFT JOIN LATERAL (
  SELECT count(*) AS restarts FROM ledger.run_requests r WHERE r.source = m.source AND r.at > coalesce(greatest(
    (SELECT max(t.at) FROM ledger.transitions t
     WHERE t.source = m.source AND t.to_state IN ('ready', 'not_applicable', 'waiting')),
    (SELECT max(d.at) FROM ledger.decisions d
     WHERE d.source = m.source AND d.kind IN ('retried', 'resumed', 'hurried')),
    started.at,
    (SELECT max(e.at) FROM ledger.attempts x JOIN ledger.attempt_ends e ON e.attempt = x.seq
     WHERE x.source = m.source AND e.outcome = 'succeeded')
  ), '-infinity')
) tries ON true
WHERE c.stop IS NULL
ORDER BY coalesce(c.priority, a.priority) DESC, s.seq
""")
_NEXT_RUN = text("""
INSERT INTO ledger.run_requests (source, generation, attempt, job, actor)
SELECT w.source, h.generation, 1 + coalesce((
    SELECT max(r.attempt) FROM ledger.run_requests r WHERE r.source = w.source AND r.generation = h.generation
  ), 0), :job, :actor
FROM unnest(CAST(:sources AS text[])) AS w(source)
JOIN ledger.sources s ON s.key = w.source JOIN ledger.source_heads h ON h.location = s.location
ON CONFLICT DO NOTHING RETURNING source, generation, attempt
""")
_SET_PROGRESS = text("""
INSERT INTO ledger.progress (source, asset, done_s, total_s) VALUES (:source, :asset, :done_s, :total_s)
ON CONFLICT (source, asset) DO UPDATE SET done_s = excluded.done_s, total_s = excluded.total_s
""")
_PROGRESS = text(
    "SELECT source, asset, done_s, total_s FROM ledger.progress WHERE source = ANY(CAST(:sources AS text[]))"
)
_NEWS = text("""
SELECT coalesce(max(seq), 0) AS newest, coalesce(array_agg(DISTINCT source ORDER BY source), '{}') AS sources
FROM ledger.transitions WHERE seq > :after
""")
_WAITED = text("""
SELECT extract(epoch FROM clock_timestamp() - min(t.at)) FROM ledger.transitions t
WHERE t.source = :source AND t.asset = :asset AND t.to_state = 'waiting' AND t.seq > coalesce((
  SELECT max(d.seq) FROM ledger.transitions d
  WHERE d.source = :source AND d.asset = :asset AND d.to_state NOT IN ('queued', 'running', 'waiting', 'stale')), 0)
""")
_PASSED = text("""
SELECT coalesce((SELECT d.payload ->> 'passed' = 'true' FROM ledger.decisions d
  WHERE d.kind = 'gated' AND d.payload ->> 'sha256' = :sha256 ORDER BY d.seq DESC LIMIT 1), false)
""")
_NEWEST = text("SELECT coalesce(max(seq), 0) FROM ledger.transitions")
_SOURCES_IN = text("SELECT DISTINCT source FROM ledger.asset_states WHERE state = :state ORDER BY source")


def source(connection: Connection, key: str) -> SourceRow:
    """One source. Raises `UnknownSource`."""
    row = connection.execute(_BY_KEYS, {"keys": [key]}).first()
    if row is None:
        raise UnknownSource(key)
    return _source(row)


def sources(
    connection: Connection, *, state: AssetState | None, content: str | None, after: str | None, limit: int | None
) -> list[SourceRow]:
    """Sources in the order of their registration: those with an asset in `state`, of that content, after that key."""
    seq = connection.execute(_SEQ_OF, {"key": after}).scalar() if after else 0
    if seq is None:
        raise UnknownSource(after)
    rows = connection.execute(_LISTED, {"state": state, "content": content, "after": seq, "limit": limit})
    return [_source(row) for row in rows]


def latest(
    connection: Connection, *, state: AssetState | None, job: str | None, before: str | None, limit: int
) -> list[SourceRow]:
    """Sources that are current in their place, the latest first: of a kind, in a state, before that key."""
    seq = connection.execute(_SEQ_OF, {"key": before}).scalar() if before else None
    if before and seq is None:
        raise UnknownSource(before)
    return [
        _source(row) for row in connection.execute(_LATEST, {"state": state, "job": job, "before": seq, "limit": limit})
    ]


def find_sources(connection: Connection, said: str, location: str | None, limit: int) -> list[SourceRow]:
    """The source called `said`, else those whose key begins so and the current one at `location`."""
    place = as_stored(location) if location else None
    rows = connection.execute(_FOUND, {"text": as_stored(said), "location": place, "limit": limit}).all()
    exact = [row for row in rows if row.key == said]
    return [_source(row) for row in exact or rows]


def states(connection: Connection, keys: Sequence[str]) -> dict[str, dict[str, AssetRow]]:
    """States by source and asset, assets in the order in which they were registered."""
    found: dict[str, dict[str, AssetRow]] = {key: {} for key in keys}
    for row in connection.execute(_STATES, {"sources": list(keys)}):
        found[row.source][row.asset] = AssetRow(
            row.asset,
            AssetState(row.state),
            row.cause,
            row.run_id,
            row.recipe_hash,
            row.data_version,
            row.uri,
            row.wake_at,
            row.since,
        )
    return found


def unfinished(connection: Connection) -> list[Unfinished]:
    """Sources with work that can go on now and no live run, the most urgent first."""
    rows = connection.execute(_UNFINISHED).all()
    busy = live_claims(connection, [row.source for row in rows]) if rows else {}
    return [_unfinished(row) for row in rows if row.source not in busy]


def next_runs(connection: Connection, keys: Sequence[str], job: str, actor: str) -> dict[str, str]:
    """Number the next run of each source: by source, the run key `source:generation:attempt`.

    Asked for by two at once, one of them gets it.
    """
    rows = connection.execute(_NEXT_RUN, {"sources": list(keys), "job": job, "actor": actor})
    return {row.source: _run_key(row.source, row.generation, row.attempt) for row in rows}


def set_progress(connection: Connection, key: str, asset: str, progress: Progress) -> None:
    """Note how far an asset is."""
    values = {"source": key, "asset": asset, "done_s": progress.done_s, "total_s": progress.total_s}
    connection.execute(_SET_PROGRESS, values)


def progress(connection: Connection, keys: Iterable[str]) -> dict[str, dict[str, Progress]]:
    """How far assets are, by source and asset; absent where nothing was noted."""
    found: dict[str, dict[str, Progress]] = {}
    for row in connection.execute(_PROGRESS, {"sources": list(keys)}):
        found.setdefault(row.source, {})[row.asset] = Progress(row.done_s, row.total_s)
    return found


def has_passed(connection: Connection, sha256: str) -> bool:
    """Whether the last golden set that a release was held against let it through."""
    return bool(connection.execute(_PASSED, {"sha256": sha256}).scalar_one())


def waited_s(connection: Connection, key: str, asset: str) -> float | None:
    """How long ago an asset that is not settled began to wait, whatever it was tried since; None where it never did."""
    found = connection.execute(_WAITED, {"source": key, "asset": asset}).scalar()
    return None if found is None else float(found)


def news(connection: Connection, after: int | None) -> tuple[int, list[str]]:
    """The newest move's number and the sources that were moved `after` one; of None only the number.

    A move that is committed late may be missed: this is for people to watch, not for work to rest on.
    """
    if after is None:
        return int(connection.execute(_NEWEST).scalar_one()), []
    row = connection.execute(_NEWS, {"after": after}).one()
    return max(after, int(row.newest)), list(row.sources)


def sources_in(connection: Connection, state: AssetState) -> list[str]:
    """The keys of sources with an asset in `state`."""
    return list(connection.execute(_SOURCES_IN, {"state": state.value}).scalars())


def _source(row: Any) -> SourceRow:
    values = {name: getattr(row, name) for name in SourceRow.__dataclass_fields__}
    return SourceRow(**{**values, "location": as_named(row.location), "tags": tuple(row.tags)})


def _unfinished(row: Any) -> Unfinished:
    asked = row.attempt is not None
    return Unfinished(
        source_key=row.source,
        job=row.job,
        priority=row.priority if row.hurried is None else row.hurried,
        arrival_id=row.arrival_id,
        generation=row.generation,
        assets=tuple(row.assets),
        run_key=_run_key(row.source, row.run_generation, row.attempt) if asked else None,
        requested_at=row.requested_at,
        restarts=row.restarts,
    )


def _run_key(key: str, generation: int, attempt: int) -> str:
    return f"{key}:{generation}:{attempt}"
