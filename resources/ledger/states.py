"""The life of one asset of one source: the closed set of states, which may follow which, what a source is from them.

Belongs here: the states and pure functions of them. Does not belong here: where they are kept (moves) or who moves
what (resources/production, control).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum


class AssetState(StrEnum):
    """Every (source, asset) is in exactly one of these."""

    REGISTERED = "registered"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    BOUNDED = "bounded"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    READY = "ready"
    STALE = "stale"
    SUPERSEDED = "superseded"
    NOT_APPLICABLE = "not_applicable"
    CANCELLED = "cancelled"
    FORGOTTEN = "forgotten"

    @property
    def is_settled(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self not in MOVING


_S = AssetState
UNFINISHED = frozenset({_S.REGISTERED, _S.QUEUED, _S.RUNNING})  # somebody works on it, or is to
MOVING = UNFINISHED | {_S.WAITING}
ENDED_BADLY = frozenset({_S.BOUNDED, _S.QUARANTINED, _S.FAILED})
DONE = frozenset({_S.READY, _S.NOT_APPLICABLE})
USABLE = DONE | {_S.STALE}  # what is made of it goes on with what is there
_ENDINGS = ENDED_BADLY | DONE | {_S.WAITING, _S.CANCELLED, _S.SUPERSEDED}

# A state may always be stated again, with another cause, run or recipe; what follows are the true moves.
LEGAL: Mapping[AssetState, frozenset[AssetState]] = {
    # An artifact that exists already makes an asset ready without a run of its own.
    _S.REGISTERED: _ENDINGS | {_S.QUEUED, _S.RUNNING, _S.FORGOTTEN},
    _S.QUEUED: _ENDINGS | {_S.RUNNING, _S.REGISTERED, _S.FORGOTTEN},
    # What runs is stopped before it is forgotten; an interrupted run puts its assets back into the queue. Where a model
    # cannot be had, the output of before goes on as stale.
    _S.RUNNING: _ENDINGS | {_S.QUEUED, _S.STALE},
    _S.WAITING: _ENDINGS | {_S.REGISTERED, _S.QUEUED, _S.RUNNING, _S.FORGOTTEN},
    # A person may run these again, directly or by `retry`. What went wrong is only left by trying again.
    _S.BOUNDED: frozenset({_S.REGISTERED, _S.QUEUED, _S.RUNNING, _S.SUPERSEDED, _S.FORGOTTEN}),
    _S.QUARANTINED: frozenset({_S.REGISTERED, _S.QUEUED, _S.RUNNING, _S.SUPERSEDED, _S.FORGOTTEN}),
    _S.FAILED: frozenset({_S.REGISTERED, _S.QUEUED, _S.RUNNING, _S.SUPERSEDED, _S.FORGOTTEN}),
    _S.CANCELLED: frozenset({_S.REGISTERED, _S.QUEUED, _S.RUNNING, _S.SUPERSEDED, _S.FORGOTTEN}),
    # An output may prove damaged (verify) or out of date; it is not cancelled or quarantined.
    _S.READY: frozenset(
        {_S.REGISTERED, _S.QUEUED, _S.RUNNING, _S.FAILED, _S.STALE, _S.NOT_APPLICABLE, _S.SUPERSEDED, _S.FORGOTTEN}
    ),
    _S.NOT_APPLICABLE: frozenset(
        {_S.REGISTERED, _S.QUEUED, _S.RUNNING, _S.READY, _S.STALE, _S.SUPERSEDED, _S.FORGOTTEN}
    ),
    # Whose runs lead nowhere has failed, though what was made before is still there.
    _S.STALE: DONE | {_S.REGISTERED, _S.QUEUED, _S.RUNNING, _S.FAILED, _S.SUPERSEDED, _S.FORGOTTEN},
    # Its bytes are back at the head of their place.
    _S.SUPERSEDED: frozenset({_S.REGISTERED, _S.FORGOTTEN}),
    _S.FORGOTTEN: frozenset(),
}

# A source is as bad as its worst required asset. What will not become ready by itself outranks what still moves, so
# that a failure shows at once; of what moves, the liveliest shows.
PRECEDENCE = (
    _S.FORGOTTEN,
    _S.SUPERSEDED,
    _S.QUARANTINED,
    _S.FAILED,
    _S.BOUNDED,
    _S.CANCELLED,
    _S.RUNNING,
    _S.WAITING,
    _S.QUEUED,
    _S.REGISTERED,
    _S.STALE,
)


class IllegalMove(ValueError):
    """A move the table of legal moves does not have. Nothing was changed."""

    def __init__(self, source: str, asset: str, before: AssetState, to: AssetState) -> None:
        super().__init__(f"{asset} of {source} is {before} and cannot become {to}")
        self.source = source
        self.asset = asset
        self.before = before
        self.to = to


def is_legal(before: AssetState, to: AssetState) -> bool:
    """Whether `to` may follow `before`. Stating a state again is legal."""
    return before is to or to in LEGAL[before]


def legal_before(to: AssetState) -> list[AssetState]:
    """Every state that `to` may follow, in the order of the declaration."""
    return [before for before in AssetState if is_legal(before, to)]


def source_state(states: Mapping[str, AssetState], required: Iterable[str]) -> AssetState:
    """What a source is: the first of `PRECEDENCE` that a required asset is in, else ready.

    A required asset without a state is registered. A source that requires nothing is registered.
    """
    found = {states.get(asset, AssetState.REGISTERED) for asset in required}
    if not found:
        return AssetState.REGISTERED
    return next((state for state in PRECEDENCE if state in found), AssetState.READY)
