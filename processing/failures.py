"""The closed taxonomy of what can go wrong, each with one sentence of cause and cure.

Belongs here: the types and how they cross a process border (as JSON). Does not belong here: what is done about
them: who tries again (docs/decisions/retries.md) and which state follows (resources/production).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar

FAULT_OF_OURS = "this is a fault in sourcebound, not in the file: report it with the log of the run"


class FailureKind(StrEnum):
    """Every way work can end other than well.

    Only `TRANSIENT` and `THROTTLED` are tried again by a step or a later run; compute has tried `SICK_WORKER` and
    `POISON` again before it raises them.
    """

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    BAD_INPUT = "bad_input"
    CONTRACT = "contract"
    OUT_OF_BUDGET = "out_of_budget"
    POISON = "poison"
    SICK_WORKER = "sick_worker"
    INTERRUPTED = "interrupted"


class WorkFailure(Exception):
    """One failure: `cause` says what happened, `cure` what to do, both for a person, no traceback inside."""

    kind: ClassVar[FailureKind]

    def __init__(self, cause: str, *, cure: str = "", detail: str = "") -> None:
        super().__init__(cause)
        self.cause = " ".join(cause.split())
        self.cure = " ".join(cure.split())
        self.detail = detail  # for the operator's log only: may hold a traceback, never shown as the cause

    @property
    def sentence(self) -> str:
        """Cause and cure as one sentence for status pages and asset states."""
        return f"{self.cause}; {self.cure}" if self.cure else self.cause

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind.value, "cause": self.cause, "cure": self.cure, "detail": self.detail}


class Transient(WorkFailure):
    """May work when tried again: an object store that timed out, a database that restarts."""

    kind = FailureKind.TRANSIENT


class Throttled(WorkFailure):
    """Refused for now; `retry_after_s` is the other side's hint in seconds, if it gave one."""

    kind = FailureKind.THROTTLED

    def __init__(self, cause: str, *, cure: str = "", detail: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(cause, cure=cure, detail=detail)
        self.retry_after_s = retry_after_s

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "retry_after_s": self.retry_after_s}


class BadInput(WorkFailure):
    """The file's own fault: quarantined, never retried."""

    kind = FailureKind.BAD_INPUT


class ContractBroken(WorkFailure):
    """The output does not keep its contract, or code of ours broke while making it: not published, never retried.

    `answers` are the names of the answers of models that are to blame, none where all may be.
    """

    kind = FailureKind.CONTRACT

    def __init__(self, cause: str, *, cure: str = "", detail: str = "", answers: Sequence[str] = ()) -> None:
        super().__init__(cause, cure=cure, detail=detail)
        self.answers = tuple(answers)

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "answers": list(self.answers)}


class OutOfBudget(WorkFailure):
    """A declared bound of time, memory, attempts or money was crossed: the work ends as `bounded`."""

    kind = FailureKind.OUT_OF_BUDGET


class Poison(WorkFailure):
    """The input kills whoever touches it (crash of the worker on the same bytes): quarantined."""

    kind = FailureKind.POISON


class SickWorker(WorkFailure):
    """The worker died for a reason that is not the file's (killed from outside, no memory left on the machine)."""

    kind = FailureKind.SICK_WORKER


class Interrupted(WorkFailure):
    """Someone asked the work to stop (shutdown, cancel, pause): what is finished stays, the rest goes on later."""

    kind = FailureKind.INTERRUPTED

    @classmethod
    def by_a_stop(cls) -> Interrupted:
        """The one sentence for work that ends because its process was asked to stop."""
        return cls("the work was interrupted by a stop; it goes on at the next start")


_BY_KIND: dict[str, type[WorkFailure]] = {
    cls.kind.value: cls
    for cls in (Transient, Throttled, BadInput, ContractBroken, OutOfBudget, Poison, SickWorker, Interrupted)
}


def from_json(value: dict[str, Any]) -> WorkFailure:
    """The failure a worker wrote down. Raises KeyError for a kind outside the taxonomy."""
    cls = _BY_KIND[value["kind"]]
    failure = cls(value["cause"], cure=value.get("cure", ""), detail=value.get("detail", ""))
    if isinstance(failure, Throttled):
        failure.retry_after_s = value.get("retry_after_s")
    if isinstance(failure, ContractBroken):
        failure.answers = tuple(value.get("answers", ()))
    return failure
