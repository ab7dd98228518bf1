"""Who asks for work, and one counted attempt at it.

Belongs here: the facts of a run that go into manifests, logs and the ledger, and the pairing of compute with the
ledger's attempt rows. Does not belong here: what is made (resources/production, resources/passes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from processing.failures import ContractBroken, WorkFailure
from processing.manifest import Outcome, Verdict
from processing.work import Bounds, Input, Task
from resources import run_tags
from resources.compute.port import ComputePort, Done, Usage, usage_of
from resources.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Who asks: the run, the arrival whose id goes through everything (correlation), the call, and what is wanted.

    `wanted` are the assets of this run; empty means all that the source requires. `attempt` counts runs of the source.
    """

    run_id: str
    correlation: str
    actor: str
    wanted: tuple[str, ...] = ()
    call_id: str | None = None
    attempt: int = 1

    @classmethod
    def of_tags(cls, run_id: str, tags: Mapping[str, str], wanted: Iterable[str], *, by_hand: str) -> RunFacts:
        """What a run's tags say; one that somebody started by hand has no arrival and is its own correlation."""
        return cls(
            run_id=run_id,
            correlation=tags.get(run_tags.ARRIVAL, run_id),
            actor=tags.get(run_tags.ACTOR, by_hand),
            wanted=tuple(sorted(wanted)),
            call_id=tags.get(run_tags.CALL),
            attempt=int(tags.get(run_tags.ATTEMPT, "1")),
        )


class CountedAttempt:
    """One attempt at one recipe: whatever it uses is a row in the ledger, also when it fails or is killed.

    The row of the start is written first, so that an attempt whose process was killed is still counted.
    """

    def __init__(
        self,
        ledger: Ledger,
        compute: ComputePort,
        run: RunFacts,
        *,
        source: str,
        asset: str,
        recipe_hash: str,
        unit: str | None,
    ) -> None:
        self._ledger = ledger
        self._compute = compute
        self._label = f"{asset}{'/' + unit if unit else ''} of {source}"
        self.id = ledger.attempt_started(
            source=source,
            asset=asset,
            unit=unit,
            recipe_hash=recipe_hash,
            run_id=run.run_id,
            call_id=run.call_id,
            correlation=run.correlation,
        )
        self._is_closed = False
        self._usage: list[Usage] = []
        self._encoder_calls = 0
        self._media_s = 0.0
        self._bytes_in = 0
        self._bytes_out = 0

    def run(self, task: Task, bounds: Bounds, *, media_s: float, needs_permit: bool) -> Done:
        """Run the task within its bounds. Raises a `WorkFailure`, after its row was written."""
        self._media_s = media_s
        self._bytes_in = (task.source.bytes if task.source else 0) + _bytes_of(task.inputs.values())
        try:
            done = self._compute.run(task, bounds, media_s=media_s, needs_permit=needs_permit, label=self._label)
        except WorkFailure as failure:
            self.give_up(failure)
            raise
        self._usage.append(done.usage)
        self._encoder_calls = done.result.encoder_calls
        return done

    def check(self, task: Task, bounds: Bounds, *, media_s: float) -> tuple[tuple[Verdict, ...], Usage]:
        """Judge what was made, and close the attempt's row with the outcome.

        What was made is `task.made`, or the inputs of the contract of a unit, which judges all its products.
        """
        self._bytes_out = _bytes_of([task.made] if task.made else task.inputs.values())
        try:
            verdicts, usage = self._compute.check(task, bounds, media_s=media_s, label=self._label)
        except WorkFailure as failure:
            self.give_up(failure)
            raise
        self._usage.append(usage)
        broken = any(verdict.outcome is Outcome.FAILED for verdict in verdicts)
        self._end("contract" if broken else "succeeded", None)
        return verdicts, usage

    def give_up(self, failure: WorkFailure) -> None:
        """Close the row, if it is open, with what the failed tries used: what used the machine goes into the count."""
        if self._is_closed:
            return
        used = usage_of(failure)
        if used is not None:
            self._usage.append(used)
        self._end(failure.kind.value, failure.sentence)

    def _end(self, outcome: str, cause: str | None) -> None:
        self._is_closed = True
        self._ledger.attempt_ended(
            self.id,
            outcome=outcome,
            cause=cause,
            wall_s=sum(usage.wall_s for usage in self._usage),
            cpu_s=sum(usage.cpu_s for usage in self._usage),
            peak_memory_bytes=max((usage.peak_memory_bytes for usage in self._usage), default=0),
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            encoder_calls=self._encoder_calls,
            media_s=self._media_s,
            intervals=[(usage.started_at, usage.ended_at) for usage in self._usage],
        )


def _bytes_of(artifacts: Iterable[Input]) -> int:
    return sum(entry.bytes for artifact in artifacts for entry in artifact.files)


def require_kept(what: str, verdicts: Sequence[Verdict]) -> None:
    """Raise `ContractBroken` naming the first clause that failed, or that there was none to keep."""
    failed = [verdict for verdict in verdicts if verdict.outcome is Outcome.FAILED]
    if failed:
        first = failed[0]
        raise ContractBroken(
            f"{what} breaks its contract: {first.clause} found {first.found or 'nothing'}"
            + (f" where {first.expected} is expected" if first.expected else "")
            + (f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""),
            cure="look at the check in the UI; the output was not published",
        )
    if not verdicts:
        raise ContractBroken(f"{what} was judged by no clause", cure="give its contract at least one")
