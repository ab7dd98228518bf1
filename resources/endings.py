"""What follows from a failure: the state of the failed asset, and of those that cannot be made without it.

Belongs here: failures to states and back, and recording them. Does not belong here: which moves are legal
(ledger/states) or making anything (production).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from processing.failures import BadInput, ContractBroken, FailureKind, Interrupted, OutOfBudget, WorkFailure
from processing.work import Work
from resources.attempts import RunFacts
from resources.house import House
from resources.ledger.decisions import CANCELLED, PAUSED
from resources.ledger.rows import AssetRow, DecisionKind, Stop
from resources.ledger.states import DONE, AssetState, is_legal
from resources.lineage import descendants

NEEDS = "needs "  # begins the cause of what could not be made for want of another asset
STATE_AFTER: Mapping[FailureKind, AssetState] = {
    FailureKind.BAD_INPUT: AssetState.QUARANTINED,
    FailureKind.POISON: AssetState.QUARANTINED,
    FailureKind.OUT_OF_BUDGET: AssetState.BOUNDED,
    FailureKind.CONTRACT: AssetState.FAILED,
    FailureKind.SICK_WORKER: AssetState.FAILED,
    FailureKind.TRANSIENT: AssetState.WAITING,
    FailureKind.THROTTLED: AssetState.WAITING,
    FailureKind.INTERRUPTED: AssetState.QUEUED,
}
STATE_AFTER_STOP: Mapping[Stop, AssetState] = {
    Stop.CANCEL: AssetState.CANCELLED,
    Stop.PAUSE: AssetState.WAITING,
    Stop.SUPERSEDE: AssetState.SUPERSEDED,
}
CAUSE_AFTER_STOP: Mapping[Stop | None, str] = {Stop.CANCEL: CANCELLED, Stop.PAUSE: PAUSED}
TRANSIENT_WAIT_S = 30.0  # a blip that outlived the step's own retries: the next try belongs to a new run
FAILURE_AFTER: Mapping[AssetState, type[WorkFailure]] = {
    AssetState.QUARANTINED: BadInput,
    AssetState.BOUNDED: OutOfBudget,
    AssetState.FAILED: ContractBroken,
}


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one asset of one source by `failure`. `works` is the whole catalogue."""

    house: House
    work: Work
    works: Mapping[str, Work]
    source: str
    run: RunFacts
    failure: WorkFailure

    def record(self) -> None:
        """Move the asset, and what depends on it, to the state that follows."""
        if not isinstance(self.failure, Interrupted):
            self._record(None)
            return
        with self.house.ledger.held_stop(self.source) as stopped:  # who resumes now resumes what is put aside here too
            self._record(stopped)

    def _record(self, stopped: Stop | None) -> None:
        state, cause = STATE_AFTER[self.failure.kind], self.failure.sentence
        wake_after_s = None
        if stopped is not None:
            state = STATE_AFTER_STOP[stopped]
        if stopped in CAUSE_AFTER_STOP:
            cause = CAUSE_AFTER_STOP[stopped]
        elif state is AssetState.WAITING:
            wake_after_s = getattr(self.failure, "retry_after_s", None) or TRANSIENT_WAIT_S
        known = self.house.ledger.states(self.source)
        self._move(known, state, cause, wake_after_s)
        if state is AssetState.QUARANTINED:
            self._decide(cause)
        if state is not AssetState.QUEUED:
            self._block(known, state, cause if stopped else needed_cause(self.work.asset, cause), wake_after_s)
            wake_awaiting(self.house, self.works, self.source, self.work.asset, self.run.actor)

    def _move(self, known: Mapping[str, AssetRow], state: AssetState, cause: str, wake_after_s: float | None) -> None:
        before = known[self.work.asset].state if self.work.asset in known else AssetState.REGISTERED
        if is_legal(before, state) and not (isinstance(self.failure, Interrupted) and before in DONE):
            self.house.ledger.move(
                self.source,
                self.work.asset,
                state,
                actor=self.run.actor,
                cause=cause,
                run_id=self.run.run_id,
                wake_after_s=wake_after_s,
            )

    def _decide(self, cause: str) -> None:
        self.house.ledger.decide(
            DecisionKind.QUARANTINED,
            actor=self.run.actor,
            reason=cause,
            source=self.source,
            asset=self.work.asset,
            payload={"kind": self.failure.kind.value, "run_id": self.run.run_id},
        )

    def _block(self, known: Mapping[str, AssetRow], state: AssetState, cause: str, wake_after_s: float | None) -> None:
        blocked = [name for name in descendants(self.works, self.work.asset, awaiting=False) if name in known]
        self.house.ledger.move_many(
            self.source,
            [name for name in blocked if not known[name].state.is_settled],
            state,
            actor=self.run.actor,
            cause=cause,
            run_id=self.run.run_id,
            wake_after_s=wake_after_s,
        )


def still_awaited(work: Work, states: Mapping[str, AssetRow]) -> list[str]:
    """What a work is made without for now, because it is not settled yet."""
    return [name for name in work.awaits if name in states and not states[name].state.is_settled]


def wake_awaiting(house: House, works: Mapping[str, Work], source: str, asset: str, actor: str) -> None:
    """Let what was made without `asset` be made once more, where that was the last it awaited."""
    for name, work in works.items():
        if asset not in work.awaits:
            continue
        states = house.ledger.states(source)
        if name in states and states[name].state is AssetState.WAITING and not still_awaited(work, states):
            house.ledger.move(source, name, AssetState.QUEUED, actor=actor, cause=f"{asset} is settled")


def needed_cause(asset: str, cause: str) -> str:
    """Why something that needs `asset` cannot be made; a cause that tells of a need already stays as it is."""
    return cause if cause.startswith(NEEDS) else f"{NEEDS}{asset}: {cause}"
