"""One derivative of one source: found, or made, judged and published, and its state recorded.

Belongs here: the eight steps of docs/architecture.md, the same for an asset, the command line and a test. Does not
belong here: Dagster (media_assets/build), the pass over many units (passes), what follows from a failure (endings), or
any decoding.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from processing.asking import Ask
from processing.completeness import carried, each_once
from processing.failures import FAULT_OF_OURS, BadInput, ContractBroken, Interrupted, WorkFailure
from processing.manifest import Manifest, Verdict
from processing.rounds import until_answered
from processing.words.corrections_plan import UNCORRECTED
from processing.work import NOT_APPLICABLE, Input, Result, SourceFile, Task, Work
from resources.asking import answered, reader_of
from resources.attempts import CountedAttempt, RunFacts, require_kept
from resources.compute.port import Usage
from resources.degradation import Degradation
from resources.endings import Ending, still_awaited, wake_awaiting
from resources.gateway.gateway import Unavailable
from resources.house import LEASE_POLL_S, House
from resources.intake import was_refused
from resources.ledger.moves import UnknownSource
from resources.ledger.rows import AssetRow, DecisionKind, SourceRow
from resources.ledger.states import AssetState, IllegalMove
from resources.lineage import descendants
from resources.passes import PassOrder, run_pass
from resources.planned import MEDIA_INFO, Planned, Planner
from resources.search.taking_in import take_in
from resources.store.staging import Staging
from resources.store.troubles import disk_trouble

log = logging.getLogger(__name__)

REFRESHED_AFTER_S = 600.0  # an output of before is tried again, where the provider named no time


@dataclass(frozen=True, slots=True)
class Produced:
    """What became of one derivative. `manifest` is None where it does not apply; `location` is that of the source."""

    asset: str
    state: AssetState
    cause: str | None
    manifest: Manifest | None
    uri: str | None
    reused: bool
    seconds: float
    cpu_seconds: float
    encoder_calls: int
    location: str = ""


@dataclass(slots=True)
class _Spent:
    """What the tasks of one derivative used."""

    cpu_s: float = 0.0
    encoder_calls: int = 0

    def add(self, usage: Usage, encoder_calls: int = 0) -> None:
        self.cpu_s += usage.cpu_s
        self.encoder_calls += encoder_calls


def produce(house: House, work: Work, works: Mapping[str, Work], source_key: str, run: RunFacts) -> Produced:
    """Make sure that `work` exists for the source, and say how it ended.

    Raises a `WorkFailure` after the ledger has the state that follows from it, for this asset and for every wanted
    asset that cannot be made without it. `works` is the whole catalogue.
    """
    try:
        source = house.ledger.source(source_key)
    except UnknownSource:
        raise BadInput(
            f"{source_key} is no source; nothing was taken in under that key",
            cure="put the file into the inbox, and remove this partition",
        ) from None
    states = house.ledger.states(source_key)
    if was_refused(states):
        raise BadInput(next(iter(states.values())).cause or "it was refused at the door")
    try:
        return _Order(house, work, works, source, run, states).fulfil()
    except Exception as error:
        failure = _as_failure(error, house, work, source_key)
        if failure is error or not failure.detail:
            log.warning("%s of %s: %s", work.asset, source_key, failure.sentence)
        else:
            log.exception("%s of %s: %s", work.asset, source_key, failure.sentence)
        Ending(house, work, works, source_key, run, failure).record()
        if failure is error:
            raise
        raise failure from error


def _as_failure(error: Exception, house: House, work: Work, source_key: str) -> WorkFailure:
    """Whatever ended the work as one failure of the taxonomy: troubles of the disk wait, faults of ours have failed."""
    if isinstance(error, WorkFailure):
        return error
    if isinstance(error, IllegalMove) and house.ledger.stop_requested(source_key) is not None:
        return Interrupted(f"{work.asset} was stopped because its source was, a moment ago")
    if isinstance(error, OSError):
        return disk_trouble(error, f"making {work.asset}")
    return ContractBroken(
        f"{work.asset} could not be made: {type(error).__name__}: {error}",
        cure=FAULT_OF_OURS,
        detail=repr(error),
    )


def _upload(inputs: Mapping[str, Input]) -> dict[str, str]:
    """Which version of the upload an output was made of: what is published together must agree in it."""
    return {MEDIA_INFO: inputs[MEDIA_INFO].data_version} if MEDIA_INFO in inputs else {}


@dataclass(slots=True)
class _Order:
    """The one making of one derivative, step by step."""

    house: House
    work: Work
    works: Mapping[str, Work]
    source: SourceRow
    run: RunFacts
    states: Mapping[str, AssetRow]
    degraded: Degradation = field(init=False)
    spent: _Spent = field(default_factory=_Spent)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.degraded = Degradation(self.house, self.work, self.source, self.states.get(self.work.asset))

    def fulfil(self) -> Produced:
        self._require_going()
        self.house.ledger.move(
            self.source.key, self.work.asset, AssetState.RUNNING, actor=self.run.actor, run_id=self.run.run_id
        )
        while True:
            try:
                return self._fulfil()
            except Unavailable as failure:
                if not self.degraded.is_due():
                    raise
                if self.degraded.step_down(failure):
                    continue
                previous = self.degraded.previous()
                if previous is None:
                    raise
                cause = f"{failure.cause}; what was made before is kept"
                wake_after_s = failure.retry_after_s or REFRESHED_AFTER_S
                return self._done(AssetState.STALE, cause, previous, reused=True, wake_after_s=wake_after_s)

    def _fulfil(self) -> Produced:
        planner = Planner(self.house, self.works, self.source, self.states, tuple(self.degraded.without))
        planned = planner.plan(self.work, self.run.wanted)
        if isinstance(planned, str):
            return self._done(AssetState.NOT_APPLICABLE, planned, None, reused=True)
        found = self.house.store.find(self.work.asset, planned.recipe.hash)
        if found is not None:
            manifest, reused = found, True
        elif self.work.is_pass:
            manifest, reused = self._pass(planned)
        else:
            manifest, reused = self._derivative(planned)
        if NOT_APPLICABLE in manifest.facts:
            return self._done(AssetState.NOT_APPLICABLE, str(manifest.facts[NOT_APPLICABLE]), manifest, reused=reused)
        if self.work.publishes:
            self._publish(manifest)
        awaited = still_awaited(self.work, self.states)
        if awaited:
            cause = f"it is there without {', '.join(awaited)}, and is made once more when that is done"
            return self._done(AssetState.WAITING, cause, manifest, reused=reused)
        return self._done(AssetState.READY, None, manifest, reused=reused)

    def _require_going(self) -> None:
        stopped = self.house.ledger.stop_requested(self.source.key)
        if stopped is not None:
            raise Interrupted(f"{self.work.asset} was not started because the source was told to {stopped}")

    def _derivative(self, planned: Planned) -> tuple[Manifest, bool]:
        with self.house.lease(planned.recipe.hash, poll_s=LEASE_POLL_S, going=self._require_going):
            found = self.house.store.find(self.work.asset, planned.recipe.hash)
            if found is not None:
                return found, True
            inputs = {name: self.house.store.as_input(made, name) for name, made in planned.made_of.items()}
            return self._make(planned, inputs)

    def _make(self, planned: Planned, inputs: Mapping[str, Input]) -> tuple[Manifest, bool]:
        work, recipe = planned.work, planned.recipe
        media_s = work.media_s(planned.info)
        with self.house.store.stage(self.work.asset, self.house.identity.to_text()) as staging:
            task = Task(
                operation=work.operation,
                parameters=recipe.parameters,
                scratch=staging.folder,
                source=self._original(),
                inputs=inputs,
                correlation=self.run.correlation,
                seed=recipe.seed,
                texts=self.house.texts(self.source) if self.work.reads_texts else (),
            )
            attempt = CountedAttempt(
                self.house.ledger,
                self.house.compute,
                self.run,
                source=self.source.key,
                asset=self.work.asset,
                recipe_hash=recipe.hash,
                unit=None,
            )
            result, answers = self._answered(attempt, work, task, media_s)
            completeness = self._completeness(work, inputs, result)
            inputs = {**inputs, **{name: self.house.store.as_input(made, name) for name, made in answers.items()}}
            facts = {**result.facts, **_upload(inputs)}
            verdicts = self._judged(attempt, work, task, staging, inputs, facts, media_s, answers)
            self._original()  # a referred original may have been written to while it was read
            published = self.house.store.publish(
                asset=self.work.asset,
                recipe=recipe.to_json(),
                folder=staging.empty_folder() if NOT_APPLICABLE in facts else task.out,
                facts=facts,
                verdicts=[*verdicts, *self.degraded.verdicts()],
                determinism=work.determinism,
                made_by=self.house.made_by(self.run, attempt.id),
                made_of={name: item.recipe_hash for name, item in sorted(inputs.items())},
                completeness=completeness,
                gaps=each_once([*result.gaps, *(gap for item in inputs.values() for gap in item.gaps)]),
            )
            return published.manifest, not published.created

    def _judged(
        self,
        attempt: CountedAttempt,
        work: Work,
        task: Task,
        staging: Staging,
        inputs: Mapping[str, Input],
        facts: Mapping[str, Any],
        media_s: float,
        answers: Mapping[str, Manifest],
    ) -> tuple[Verdict, ...]:
        """What the contract says of what was made. Raises `ContractBroken`, and then no answer is used again."""
        made = Input(self.work.asset, task.out, staging.files(), facts, data_version="")
        judged = Task(
            operation=work.contract,
            parameters=task.parameters,
            scratch=staging.contract_folder(),
            source=task.source,
            inputs=inputs,
            made=made,
            correlation=self.run.correlation,
        )
        with self._rejecting(answers):
            verdicts, usage = attempt.check(judged, work.bounds, media_s=media_s)
            self.spent.add(usage)
            require_kept(work.asset, verdicts)
        return verdicts

    def _answered(
        self, attempt: CountedAttempt, work: Work, task: Task, media_s: float
    ) -> tuple[Result, Mapping[str, Manifest]]:
        """The operation's last word, and the answers it was given on the way."""
        answers: dict[str, Manifest] = {}

        def run(task: Task) -> Result:
            with self._rejecting(answers):
                done = attempt.run(task, work.bounds, media_s=media_s, needs_permit=work.encodes)
            self.spent.add(done.usage, done.result.encoder_calls)
            return done.result

        def ask(task: Task, asks: Sequence[Ask]) -> Mapping[str, Input]:
            new = answered(
                self.house,
                self.source,
                work,
                asks,
                task.asks,
                self.run,
                attempt.id,
                going=self._require_going,
                without=self.degraded.without,
            )
            answers.update(new)
            return {name: self.house.store.as_input(made, name) for name, made in new.items()}

        try:
            _, result = until_answered(task, run, ask)
        except WorkFailure as failure:
            attempt.give_up(failure)
            raise
        return result, answers

    @contextmanager
    def _rejecting(self, answers: Mapping[str, Manifest]) -> Iterator[None]:
        """Answers that prove useless are not used again: those that are to blame, or all."""
        try:
            yield
        except ContractBroken as failure:
            blamed = [answers[name] for name in failure.answers if name in answers]
            useless = blamed or list(answers.values())
            if useless:
                self.house.words.gateway.reject(useless, reader_of(self.work), failure.cause)
            raise

    def _completeness(self, work: Work, inputs: Mapping[str, Input], result: Result) -> dict[str, int]:
        """How much of the source is in what was made, given how much is in what it was made of, answers apart."""
        artifacts = {*work.needs, *work.awaits, UNCORRECTED}
        needs = {name: item.completeness for name, item in inputs.items() if name in artifacts}
        products = [item.completeness for name, item in inputs.items() if name not in artifacts]
        return carried(result.completeness, needs, products)

    def _original(self) -> SourceFile | None:
        return self.house.original(self.source) if self.work.reads_source else None

    def _pass(self, planned: Planned) -> tuple[Manifest, bool]:
        order = PassOrder(self.house, self.work, self.source, self.run, planned.units, planned.info, planned.recipe)
        outcome = run_pass(order)
        self.spent.cpu_s += outcome.cpu_s
        self.spent.encoder_calls += outcome.encoder_calls
        return outcome.manifest, outcome.units_made == 0

    def _publish(self, release: Manifest) -> None:
        """Switch the published folder, and put it on record when it was not this release already."""
        address = self.house.published.switch(self.source.key, release)
        before = self.house.ledger.states(self.source.key).get(self.work.asset)
        if before is None or before.recipe_hash != release.recipe_hash:
            self.house.ledger.decide(
                DecisionKind.PUBLISHED,
                actor=self.run.actor,
                reason="every output of this moment kept its contract",
                source=self.source.key,
                asset=self.work.asset,
                payload={"recipe_hash": release.recipe_hash, "address": address, "run_id": self.run.run_id},
            )
        take_in(self.house, self.source.key, release.recipe_hash)

    def _outdate(self, manifest: Manifest | None) -> None:
        """Words that became others by a correction, or because their model is back: what came of those before, and was
        not made anew since, is of before.
        """
        before = self.states.get(self.work.asset)
        if self.work.corrected is None or before is None or before.data_version is None or manifest is None:
            return
        if before.data_version != manifest.data_version:
            came_of_it = descendants(self.works, self.work.asset, awaiting=True)
            cause = f"{self.work.asset} was made anew"
            self.house.ledger.outdate(self.source.key, came_of_it, actor=self.run.actor, cause=cause)

    def _done(
        self,
        state: AssetState,
        cause: str | None,
        manifest: Manifest | None,
        *,
        reused: bool,
        wake_after_s: float | None = None,
    ) -> Produced:
        self._outdate(manifest)  # before it is ready: whoever is killed in between does it again
        uri = self.house.store.uri(manifest) if manifest else None
        self.house.ledger.move(
            self.source.key,
            self.work.asset,
            state,
            actor=self.run.actor,
            cause=cause,
            run_id=self.run.run_id,
            recipe_hash=manifest.recipe_hash if manifest else None,
            data_version=manifest.data_version if manifest else None,
            uri=uri,
            wake_after_s=wake_after_s,
        )
        wake_awaiting(self.house, self.works, self.source.key, self.work.asset, self.run.actor)
        log.info("%s of %s is %s%s", self.work.asset, self.source.key, state, ", found" if reused else "")
        return Produced(
            asset=self.work.asset,
            state=state,
            cause=cause,
            manifest=manifest,
            uri=uri,
            reused=reused,
            seconds=time.monotonic() - self.started,
            cpu_seconds=self.spent.cpu_s,
            encoder_calls=self.spent.encoder_calls,
            location=self.source.location,
        )
