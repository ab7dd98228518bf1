"""Decisions on record: what was decided, by whom, why; and those a person takes about a source.

Belongs here: recording, control of sources, settings that changed. Does not belong here: what follows in a run that is
in progress; it asks `stop_requested` between two chunks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from resources.ledger.keys import as_stored
from resources.ledger.moves import Move, lock_source, sweep
from resources.ledger.rows import Action, DecisionKind, Stop
from resources.ledger.states import ENDED_BADLY, MOVING, AssetState

HURRIED_PRIORITY = 1000  # above every priority a setting, a rule or a sidecar can give
PAUSED = "paused by a person"
CANCELLED = "cancelled by a person; `sourcebound retry` starts it again"
_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]*@")

_RECORD = text("""
INSERT INTO ledger.decisions (kind, source, asset, actor, reason, payload)
SELECT kind, source, asset, actor, reason, payload
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
  kind text, source text, asset text, actor text, reason text, payload jsonb)
RETURNING seq
""")
_CONTROL = text("""
INSERT INTO ledger.controls AS c (source, stop, priority) VALUES (:source, :stop, :priority)
ON CONFLICT (source) DO UPDATE SET stop = excluded.stop, priority = coalesce(excluded.priority, c.priority)
RETURNING stop
""")
_STOP = text("""
SELECT c.stop, EXISTS (
  SELECT FROM ledger.asset_states s WHERE s.source = :source AND s.state = 'superseded'
) AS superseded
FROM (SELECT 1) AS one LEFT JOIN ledger.controls c ON c.source = :source
""")
_MOVES = text("""
SELECT EXISTS (SELECT FROM ledger.asset_states WHERE source = :source AND state = ANY(CAST(:moving AS text[])))
""")
_MOVING = [state.value for state in MOVING]
_HOLD = text("SELECT FROM ledger.controls WHERE source = :source FOR SHARE")
_SETTINGS = text("SELECT DISTINCT ON (name) name, value FROM ledger.settings_seen ORDER BY name, seq DESC")
_RECORD_SETTINGS = text("""
INSERT INTO ledger.settings_seen (name, value)
SELECT name, CAST(value AS jsonb) FROM unnest(CAST(:names AS text[]), CAST(:values AS text[])) AS r(name, value)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision; `payload` holds JSON values."""

    kind: DecisionKind
    actor: str
    reason: str
    source: str | None = None
    asset: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        return {
            "kind": DecisionKind(self.kind).value,
            "source": self.source,
            "asset": self.asset,
            "actor": self.actor,
            "reason": as_stored(self.reason),
            "payload": dict(self.payload),
        }


def record(connection: Connection, decisions: Sequence[Decision]) -> list[int]:
    """Put decisions on record; their numbers."""
    if not decisions:
        return []
    rows = json.dumps([decision.row() for decision in decisions])
    return list(connection.execute(_RECORD, {"rows": rows}).scalars())


def stop_requested(connection: Connection, source: str) -> Stop | None:
    """Why work on the source should stop, or None."""
    row = connection.execute(_STOP, {"source": source}).one()
    return Stop.SUPERSEDE if row.superseded else Stop(row.stop) if row.stop else None


def hold_stop(connection: Connection, source: str) -> Stop | None:
    """Why work on the source should stop; nobody changes that before the caller's transaction ends."""
    connection.execute(_HOLD, {"source": source})
    return stop_requested(connection, source)


@dataclass(frozen=True, slots=True)
class _Effect:
    """What an action does: the decision's kind, the stop it sets, which states it moves where, how it is told."""

    kind: DecisionKind
    sentence: str
    stop: Stop | None = None
    before: frozenset[AssetState] = frozenset()
    to: AssetState = AssetState.REGISTERED
    resumes: bool = False
    priority: int | None = None


_CAUSES: Mapping[Action, str] = {Action.CANCEL: CANCELLED, Action.PAUSE: PAUSED}
_STARTED = frozenset({AssetState.RUNNING})
_NOT_STARTED = frozenset({AssetState.REGISTERED, AssetState.QUEUED})
_EFFECTS: Mapping[Action, _Effect] = {
    Action.CANCEL: _Effect(
        DecisionKind.CANCELLED,
        "is cancelled; what is published stays",
        stop=Stop.CANCEL,
        before=_NOT_STARTED | {AssetState.WAITING},
        to=AssetState.CANCELLED,
    ),
    Action.PAUSE: _Effect(
        DecisionKind.PAUSED,
        "is paused: nothing more is made of it until it is retried or hurried",
        stop=Stop.PAUSE,
        before=_NOT_STARTED,
        to=AssetState.WAITING,
    ),
    Action.RETRY: _Effect(
        DecisionKind.RETRIED,
        "is tried again",
        before=ENDED_BADLY | {AssetState.CANCELLED, AssetState.STALE, AssetState.WAITING},
        resumes=True,
    ),
    Action.HURRY: _Effect(DecisionKind.HURRIED, "goes before the others", resumes=True, priority=HURRIED_PRIORITY),
}


def control(connection: Connection, source: str, action: Action, actor: str, reason: str, *, runs: bool) -> str:
    """Act on a source, in a transaction of the caller's; what happened, as one sentence for a person.

    `runs` says whether a run is at work on it: that run moves what it has started when it stops. Raises
    `UnknownSource`.
    """
    lock_source(connection, source)
    effect = _EFFECTS[action]
    stop, sentence = effect.stop, effect.sentence
    is_cancelled = stop_requested(connection, source) is Stop.CANCEL
    if action is Action.PAUSE and is_cancelled:
        return "is cancelled and stays so until it is retried"
    if (
        action is Action.CANCEL
        and not runs
        and not connection.execute(_MOVES, {"source": source, "moving": _MOVING}).scalar()
    ):
        return "has no work that could be cancelled; it stays as it is"
    if action is Action.HURRY and is_cancelled:
        stop = Stop.CANCEL  # only a retry brings a cancelled source back
        sentence = "is cancelled; once it is retried it goes before the others"
    connection.execute(_CONTROL, {"source": source, "stop": stop, "priority": effect.priority})
    payload = {"action": action.value, "stop": stop, "priority": effect.priority}
    decision = Decision(kind=effect.kind, actor=actor, reason=reason, source=source, payload=payload)
    record(connection, [decision])
    moved = 0
    before = effect.before | (_STARTED if effect.stop and not runs else frozenset())
    if before:
        cause = _CAUSES.get(action, reason)
        moved = sweep(connection, [source], before, Move(to=effect.to, actor=actor, cause=cause))
    if effect.resumes:
        move = Move(to=AssetState.REGISTERED, actor=actor, cause=reason)
        moved += sweep(connection, [source], {AssetState.WAITING}, move, only_cause=PAUSED)
    if action is Action.RETRY and not moved:
        return "has nothing to try again; it stays as it is"
    return f"{sentence}; what is at work ends at its chunk" if effect.stop and runs else sentence


def settings_changed(connection: Connection, settings: Mapping[str, Any], actor: str) -> list[str]:
    """Record the settings of this start; the names of those that differ from the last one, each a decision.

    Passwords in addresses are left out. The first start changes nothing.
    """
    now = {name: json.loads(_PASSWORD.sub(r"\1***@", json.dumps(value))) for name, value in settings.items()}
    seen = {row.name: row.value for row in connection.execute(_SETTINGS)}
    differing = [name for name, value in now.items() if name not in seen or seen[name] != value]
    if differing:
        values = {"names": differing, "values": [json.dumps(now[name]) for name in differing]}
        connection.execute(_RECORD_SETTINGS, values)
    changed = sorted(name for name in differing if name in seen)
    record(
        connection,
        [
            Decision(
                kind=DecisionKind.CONFIGURED,
                actor=actor,
                reason=f"{name} changed since the last start",
                payload={"setting": name, "before": seen[name], "after": now[name]},
            )
            for name in changed
        ],
    )
    return changed
