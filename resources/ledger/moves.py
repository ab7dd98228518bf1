"""Moves of assets from state to state, each with its row in the record.

Belongs here: the move of one source's assets, the sweep over whatever is in certain states, assets that are new to a
source. Does not belong here: which moves are legal (states).

A move is one statement: it locks the rows, looks whether every one of them may move, and then moves all or none. The
transition row holds the state that results, so that the newest one of an asset is its state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from resources.ledger.keys import as_stored
from resources.ledger.states import DONE, ENDED_BADLY, AssetState, IllegalMove, legal_before

CAUSE_CHARACTERS = 2000  # a sentence, not a log

_MOVED = """
 logged AS (
  INSERT INTO ledger.transitions
    (source, asset, from_state, to_state, actor, cause, run_id, recipe_hash, data_version, uri, wake_at)
  SELECT l.source, l.asset, l.state, :to, :actor, :cause, :run_id,
         coalesce(CAST(:recipe_hash AS text), CASE WHEN NOT :empties THEN l.recipe_hash END),
         coalesce(CAST(:data_version AS text), CASE WHEN NOT :empties THEN l.data_version END),
         coalesce(CAST(:uri AS text), CASE WHEN NOT :empties THEN l.uri END),
         clock_timestamp() + make_interval(secs => CAST(:wake_after_s AS double precision))
  FROM locked l, verdict v WHERE v.ok
  RETURNING seq, at, source, asset, to_state, cause, run_id, recipe_hash, data_version, uri, wake_at
 ),
 moved AS (
  UPDATE ledger.asset_states s
  SET seq = g.seq, since = g.at, state = g.to_state, cause = g.cause, run_id = g.run_id,
      recipe_hash = g.recipe_hash, data_version = g.data_version, uri = g.uri, wake_at = g.wake_at
  FROM logged g WHERE s.source = g.source AND s.asset = g.asset
 )
"""

_MOVE = text(f"""
WITH locked AS MATERIALIZED (
  SELECT * FROM ledger.asset_states
  WHERE source = :source AND asset = ANY(CAST(:assets AS text[])) ORDER BY asset FOR UPDATE
 ),
 verdict AS MATERIALIZED (
  SELECT count(*) = cardinality(CAST(:assets AS text[])) AND bool_and(state = ANY(CAST(:before AS text[]))) AS ok
  FROM locked
 ),
 {_MOVED}
SELECT l.asset, l.state, v.ok FROM locked l, verdict v
""")  # noqa: S608 - two constants of this module

_SWEEP = text(f"""
WITH locked AS MATERIALIZED (
  SELECT * FROM ledger.asset_states
  WHERE source = ANY(CAST(:sources AS text[])) AND state = ANY(CAST(:before AS text[]))
    AND (CAST(:only_cause AS text) IS NULL OR cause = :only_cause)
    AND (CAST(:only_assets AS text[]) IS NULL OR asset = ANY(CAST(:only_assets AS text[])))
  ORDER BY source, asset FOR UPDATE
 ),
 verdict AS (SELECT true AS ok),
 {_MOVED}
SELECT count(*) FROM locked
""")  # noqa: S608

_ADD = text("""
WITH wanted AS (
  SELECT w.source, w.asset, w.position
  FROM unnest(CAST(:sources AS text[]), CAST(:assets AS text[])) WITH ORDINALITY AS w(source, asset, position)
  WHERE NOT EXISTS (SELECT FROM ledger.asset_states s WHERE s.source = w.source AND s.asset = w.asset)
  ORDER BY w.position
 ),
 logged AS (
  INSERT INTO ledger.transitions (source, asset, to_state, actor)
  SELECT source, asset, 'registered', :actor FROM wanted ORDER BY position
  RETURNING seq, at, source, asset
 )
INSERT INTO ledger.asset_states (source, asset, first_seq, seq, state, since)
SELECT source, asset, seq, seq, 'registered', at FROM logged
""")

_LOCK_OF_SOURCE = text("""
SELECT pg_advisory_xact_lock(hashtextextended(location, 0)) FROM ledger.sources WHERE key = :source
""")


class UnknownSource(KeyError):
    """No source has this key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Where to, by whom and why. `wake_after_s` seconds from now a waiting asset may go on."""

    to: AssetState
    actor: str
    cause: str | None = None
    run_id: str | None = None
    recipe_hash: str | None = None
    data_version: str | None = None
    uri: str | None = None
    wake_after_s: float | None = None

    def parameters(self) -> dict[str, object]:
        """As the statements take them."""
        return {
            "to": self.to.value,
            "actor": self.actor,
            "cause": as_stored(self.cause)[:CAUSE_CHARACTERS] if self.cause else None,
            "run_id": self.run_id,
            "recipe_hash": self.recipe_hash,
            "data_version": self.data_version,
            "uri": self.uri,
            "wake_after_s": self.wake_after_s,
            "empties": self.to in (AssetState.NOT_APPLICABLE, AssetState.FORGOTTEN),
        }


def try_move(connection: Connection, source: str, assets: Sequence[str], move: Move) -> Mapping[str, AssetState] | None:
    """Move all the assets or none: their states before, or None where the source lacks one of them.

    Raises `IllegalMove`.
    """
    wanted = list(dict.fromkeys(assets))
    before = [state.value for state in legal_before(move.to)]
    rows = connection.execute(_MOVE, {"source": source, "assets": wanted, "before": before, **move.parameters()}).all()
    found = {row.asset: AssetState(row.state) for row in rows}
    if rows and rows[0].ok:
        return found
    for asset, state in found.items():
        if state.value not in before:
            raise IllegalMove(source, asset, state, move.to)
    return None


def sweep(
    connection: Connection,
    sources: Sequence[str],
    before: Collection[AssetState],
    move: Move,
    *,
    only_cause: str | None = None,
    only_assets: Sequence[str] | None = None,
) -> int:
    """Move every asset of the sources that is in one of the states `before`; how many.

    Where it is said, only those that are there for that cause, or only the named ones.
    """
    illegal = set(before) - set(legal_before(move.to))
    if illegal:
        raise ValueError(f"a sweep to {move.to} cannot begin at {', '.join(sorted(illegal))}")
    values = {
        "sources": list(sources),
        "before": [s.value for s in before],
        "only_cause": only_cause,
        "only_assets": None if only_assets is None else list(only_assets),
    }
    return int(connection.execute(_SWEEP, {**values, **move.parameters()}).scalar_one())


def outdate(connection: Connection, source: str, assets: Sequence[str], *, actor: str, cause: str) -> int:
    """Let assets be made anew at once: what is there is of before, what ended badly is tried again. How many.

    What is at work or still to be made stays as it is.
    """
    stale = Move(to=AssetState.STALE, actor=actor, cause=cause, wake_after_s=0)
    again = Move(to=AssetState.REGISTERED, actor=actor, cause=cause)
    moved = sweep(connection, [source], DONE | {AssetState.STALE}, stale, only_assets=assets)
    return moved + sweep(connection, [source], ENDED_BADLY, again, only_assets=assets)


def add_assets(connection: Connection, pairs: Sequence[tuple[str, str]], actor: str) -> None:
    """Register (source, asset) pairs that are new, in order. The caller holds the locks of the sources' locations."""
    if pairs:
        sources, assets = zip(*pairs, strict=True)
        connection.execute(_ADD, {"sources": list(sources), "assets": list(assets), "actor": actor})


def lock_source(connection: Connection, source: str) -> None:
    """Keep registrations at the source's location out until the transaction ends. Raises `UnknownSource`."""
    if connection.execute(_LOCK_OF_SOURCE, {"source": source}).first() is None:
        raise UnknownSource(source)
