"""Attempts: what was tried and what it used, whether or not it succeeded.

Belongs here: their rows and sums over them. Does not belong here: prices.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from processing.failures import FailureKind
from resources.ledger.keys import as_stored
from resources.ledger.rows import Used

SUCCEEDED = "succeeded"
OUTCOMES = frozenset({SUCCEEDED, *(kind.value for kind in FailureKind)})

_STARTED = text("""
INSERT INTO ledger.attempts (source, asset, unit, recipe_hash, run_id, call_id, correlation)
VALUES (:source, :asset, :unit, :recipe_hash, :run_id, :call_id, :correlation) RETURNING seq
""")
_ENDED = text("""
INSERT INTO ledger.attempt_ends
  (attempt, outcome, cause, wall_s, cpu_s, peak_memory_bytes, bytes_in, bytes_out, encoder_calls, media_s,
   intervals)
VALUES
  (:attempt, :outcome, :cause, :wall_s, :cpu_s, :peak_memory_bytes, :bytes_in, :bytes_out, :encoder_calls, :media_s,
   CAST(:intervals AS jsonb))
""")
_SUMS = """
count(*) AS attempts, coalesce(sum(wall_s), 0) AS wall_s, coalesce(sum(cpu_s), 0) AS cpu_s,
coalesce(max(peak_memory_bytes), 0) AS peak_memory_bytes, coalesce(sum(bytes_in), 0)::bigint AS bytes_in,
coalesce(sum(bytes_out), 0)::bigint AS bytes_out, coalesce(sum(encoder_calls), 0)::bigint AS encoder_calls,
coalesce(sum(media_s), 0) AS media_s
"""
_USAGE = text(f"""
SELECT a.asset, {_SUMS} FROM ledger.attempts a LEFT JOIN ledger.attempt_ends e ON e.attempt = a.seq
WHERE (CAST(:source AS text) IS NULL OR a.source = :source)
  AND (CAST(:call_id AS text) IS NULL OR a.call_id = :call_id)
  AND (CAST(:run_id AS text) IS NULL OR a.run_id = :run_id)
GROUP BY a.asset
""")  # noqa: S608 - a constant of this module
_MADE_WITH = text(f"""
SELECT w.name, {_SUMS}
FROM unnest(CAST(:names AS text[]), CAST(:recipes AS text[])) AS w(name, recipe_hash)
JOIN ledger.attempts a ON a.recipe_hash = w.recipe_hash LEFT JOIN ledger.attempt_ends e ON e.attempt = a.seq
GROUP BY w.name
""")  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one piece of work; `unit` is a chunk or track of a pass, `correlation` the arrival's id."""

    source: str
    asset: str
    recipe_hash: str
    unit: str | None = None
    run_id: str | None = None
    call_id: str | None = None
    correlation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """How an attempt ended: `succeeded` or the kind of its failure, and what it used.

    `intervals` are start and end of each of its workers, seconds since the epoch.
    """

    attempt: int
    outcome: str
    cause: str | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    encoder_calls: int = 0
    media_s: float = 0.0
    intervals: Sequence[tuple[float, float]] = ()

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(f"an attempt cannot end as {self.outcome!r}, only as {', '.join(sorted(OUTCOMES))}")


def started(connection: Connection, attempt: Attempt) -> int:
    """Record that work begins; the attempt's number."""
    return int(connection.execute(_STARTED, _values(attempt)).scalar_one())


def ended(connection: Connection, ends: Iterable[AttemptEnd]) -> None:
    """Record how attempts ended."""
    rows = [
        {
            **_values(end),
            "cause": as_stored(end.cause) if end.cause else None,
            "intervals": json.dumps([[round(start, 3), round(stop, 3)] for start, stop in end.intervals]),
        }
        for end in ends
    ]
    if rows:
        connection.execute(_ENDED, rows)


def usage(connection: Connection, source: str | None, call_id: str | None, run_id: str | None) -> dict[str, Used]:
    """What attempts used, by asset. One that has not ended counts as an attempt and as nothing else."""
    rows = connection.execute(_USAGE, {"source": source, "call_id": call_id, "run_id": run_id})
    return {row.asset: _used(row) for row in rows}


def made_with(connection: Connection, recipes: Mapping[str, Iterable[str]]) -> dict[str, Used]:
    """What the attempts at the given recipes used, whoever made them; names and recipe hashes are the caller's."""
    pairs = [(name, recipe) for name, hashes in recipes.items() for recipe in dict.fromkeys(hashes)]
    values = {"names": [name for name, _ in pairs], "recipes": [recipe for _, recipe in pairs]}
    return {row.name: _used(row) for row in connection.execute(_MADE_WITH, values)}


def _values(row: Attempt | AttemptEnd) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def _used(row: Any) -> Used:
    return Used(**{name: getattr(row, name) for name in Used.__dataclass_fields__})
