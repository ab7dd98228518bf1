"""What happened to one source: its arrivals, decisions about it, and how its assets moved.

Belongs here: reading that in its order. Does not belong here: what it means for a person (resources/explain).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

_EVENTS = text("""
SELECT * FROM (
  SELECT at, 'arrived' AS kind, NULL AS asset, actor, NULL AS cause, NULL AS run_id, NULL AS recipe_hash
  FROM ledger.arrivals WHERE source = :source
  UNION ALL
  SELECT at, kind, asset, actor, reason, payload ->> 'run_id', payload ->> 'recipe_hash'
  FROM ledger.decisions WHERE source = :source
  UNION ALL
  SELECT at, to_state, asset, actor, cause, run_id, recipe_hash FROM ledger.transitions WHERE source = :source
) happened ORDER BY at DESC LIMIT :limit
""")
_RECIPES = text("""
SELECT asset, recipe_hash, min(at) AS at, min(seq) AS first_seq FROM ledger.transitions
WHERE source = :source AND recipe_hash IS NOT NULL AND to_state IN ('ready', 'waiting', 'stale')
GROUP BY asset, recipe_hash ORDER BY asset, first_seq
""")
_SETTINGS = text("""
SELECT name, value, at, (
  SELECT value FROM ledger.settings_seen o WHERE o.name = s.name AND o.seq < s.seq ORDER BY o.seq DESC LIMIT 1
) AS before FROM ledger.settings_seen s WHERE at > :since ORDER BY seq DESC
""")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: `kind` is "arrived", that of a decision, or the state an asset moved to."""

    at: datetime
    kind: str
    asset: str | None
    actor: str
    cause: str | None
    run_id: str | None
    recipe_hash: str | None

    def to_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(timespec="milliseconds"),
            "kind": self.kind,
            "asset": self.asset,
            "actor": self.actor,
            "cause": self.cause,
            "run_id": self.run_id,
            "recipe_hash": self.recipe_hash,
        }


@dataclass(frozen=True, slots=True)
class Made:
    """When an asset was first made by a recipe."""

    asset: str
    recipe_hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that was changed, and its value before (None: it is new)."""

    name: str
    value: Any
    before: Any
    at: datetime


def events(connection: Connection, source: str, limit: int) -> list[Event]:
    """What happened to a source, the latest first."""
    rows = connection.execute(_EVENTS, {"source": source, "limit": limit})
    return [Event(row.at, row.kind, row.asset, row.actor, row.cause, row.run_id, row.recipe_hash) for row in rows]


def recipes(connection: Connection, source: str) -> dict[str, list[Made]]:
    """The recipes that each asset of a source was made by, the first one first."""
    found: dict[str, list[Made]] = {}
    for row in connection.execute(_RECIPES, {"source": source}):
        found.setdefault(row.asset, []).append(Made(row.asset, row.recipe_hash, row.at))
    return found


def settings_since(connection: Connection, since: datetime) -> list[Setting]:
    """Settings that were changed since then, the latest first."""
    rows = connection.execute(_SETTINGS, {"since": since})
    return [Setting(row.name, row.value, row.before, row.at) for row in rows if row.before is not None]
