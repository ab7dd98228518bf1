"""The one way to a model: a question becomes an answer that is kept, asked once, paid once, whoever asks.

Belongs here: the order of what happens to a question: found, allowed, affordable, admitted, asked, put on record, kept.
Does not belong here: who may call now (governor), money (budget), what is said to a provider (providers) or what an
answer means (the operation that asked).

The raw answer is an artifact under the recipe of the call: the cache, the evidence, and what a mended parser reads
again without paying. One found to say nothing stays as evidence, and the next who asks gets another.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from processing.asking import ANSWER_FILE, Ask, AskTask
from processing.failures import ContractBroken, OutOfBudget, Throttled, Transient, WorkFailure
from processing.manifest import DeterminismClass, Manifest, Outcome, Verdict, hash_file
from processing.recipe import Recipe
from resources.gateway.budget import Budget, BudgetSpent, Purse, Reservation, today
from resources.gateway.calls import Calls, Try
from resources.gateway.clock import Clock
from resources.gateway.governor import Governor, NotAdmitted, Permit, Refusal, Wish
from resources.gateway.governor import Outcome as CallOutcome
from resources.gateway.limits import TRIES, CallClass, Limits
from resources.providers.port import (
    Answer,
    CallFailure,
    Cancelled,
    Failed,
    Faulty,
    Provider,
    Question,
    Refused,
    Vacuous,
)
from resources.recipes import digest_of
from resources.store.store import Store

log = logging.getLogger(__name__)

ANSWER = "answer"  # the asset that raw answers are kept as
CODE_VERSION = "1"  # raised when the same question would be put in other words
PATIENCE_S = 30.0  # longer waits end the run: they hold neither its slot nor a thread
FIRST_PAUSE_S = 0.5  # about what a short call takes: sooner the same overload answers again
LONGEST_PAUSE_S = 8.0  # so that all tries and their pauses fit into the patience
MOST_REJECTED = 3  # answers that said nothing, after which the same question is not paid for again
LOOK_S = 0.2  # how late a call ends that nobody wants any more
SETTLED_S = 60.0  # from a call's end to its cost being booked, at the most
OUTCOMES: Mapping[type[CallFailure], CallOutcome] = {
    Refused: CallOutcome.REFUSED,
    Failed: CallOutcome.FAILED,
    Faulty: CallOutcome.FAULTY,
    Cancelled: CallOutcome.FAULTY,
    Vacuous: CallOutcome.FAULTY,
}


class Unavailable(Throttled):
    """A model that cannot be had for now: another may be asked in its stead. `release` names it."""

    def __init__(self, cause: str, *, release: str, retry_after_s: float | None, cure: str = "") -> None:
        super().__init__(cause, cure=cure, retry_after_s=retry_after_s)
        self.release = release


class ReleaseOf(Protocol):
    """What the gateway must know of a release of a model besides its identity."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The whole of it, as its provider reads it: id, version, sha256, provider, model, base_url, key_env..."""

    @property
    def dependency(self) -> str:
        """Whose limits its calls count against."""

    @property
    def limits(self) -> Limits | None:
        """Those limits; None for a model of this house, which the permits of its workers ration."""

    @property
    def timeout_s(self) -> float:
        """How long one call may take, beside what its media asks for."""

    @property
    def timeout_per_media_s(self) -> float:
        """Seconds more for each second of media."""

    def cost_usd(self, tokens_in: float, tokens_out: float, media_s: float, requests: int = 1) -> float:
        """What an answer costs by the price file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A question with all that decides how it is put.

    `files` are its payload by role. `reader` is who makes something of the answer, in which version. `going` is asked
    now and then and raises where nobody wants the answer any more.
    """

    ask: Ask
    files: Mapping[str, Path]
    release: ReleaseOf
    source: str
    asset: str
    reader: str
    run_id: str
    correlation: str
    call_class: CallClass = CallClass.NORMAL
    going: Callable[[], None] = field(default=lambda: None)
    made_by: Mapping[str, Any] = field(default_factory=dict)


class Gateway:
    """Obtains answers. Safe for threads; its state is shared with all processes through the database.

    `provider(kind)` is who asks releases of a kind, `budgets(order, day)` what a call has to fit.
    `lease(key, going)` holds the lease on a recipe while one is made; `owner` names this process in folders of
    unfinished work.
    """

    def __init__(
        self,
        *,
        governor: Governor,
        purse: Purse,
        calls: Calls,
        clock: Clock,
        store: Store,
        owner: str,
        lease: Callable[[str, Callable[[], None]], AbstractContextManager[None]],
        provider: Callable[[str], Provider],
        budgets: Callable[[Order, str], Sequence[Budget]],
    ) -> None:
        self._governor = governor
        self._purse = purse
        self._calls = calls
        self._clock = clock
        self._store = store
        self._owner = owner
        self._lease = lease
        self._provider_of = provider
        self._budgets = budgets
        self._configured: set[str] = set()

    def obtain(self, order: Order) -> Manifest:
        """The kept answer to a question, asked now if nobody has.

        Raises `Unavailable` where the model cannot be had for now, `OutOfBudget` before anything is sent,
        `ContractBroken` where the provider answers nothing or the fault is ours, `Interrupted`.
        """
        recipe = self._recipe(order)
        found = self._store.find(ANSWER, recipe.hash)
        if found is not None:
            return found
        with self._lease(recipe.hash, order.going):
            found = self._store.find(ANSWER, recipe.hash)
            return found if found is not None else self._ask(order, recipe)

    def reject(self, answers: Sequence[Manifest], reader: str, cause: str) -> None:
        """Let answers not be used again that a reader, or the contract of what it made, found to say nothing."""
        for manifest in answers:
            self._calls.reject(manifest.recipe_hash, reader, cause)

    def _recipe(self, order: Order) -> Recipe:
        """The recipe of the call: the same question again where the answer so far was rejected."""
        release = order.release.settings
        inputs = {role: hash_file(path)[1] for role, path in sorted(order.files.items())}
        for again in range(MOST_REJECTED + 1):
            recipe = Recipe(
                asset=ANSWER,
                code_version=CODE_VERSION,
                parameters={
                    "task": order.ask.task.value,
                    "release": {name: release[name] for name in ("id", "version", "sha256")},
                    "ask": dict(order.ask.parameters),
                    "most_tokens": order.ask.most_tokens,
                    **({"again": again} if again else {}),
                },
                inputs=inputs or {"ask": digest_of(order.ask.to_json())},
                tools={"provider": str(release["provider"])},
                models={str(release["id"]): str(release["sha256"])},
            )
            if not self._calls.is_rejected(recipe.hash, order.reader):
                return recipe
        raise ContractBroken(
            f"{release['id']} answered {MOST_REJECTED + 1} times and never anything that could be used",
            cure="choose another model for this task, or report it to the provider with the kept answers",
        )

    def _ask(self, order: Order, recipe: Recipe) -> Manifest:
        release = order.release
        provider = self._provider(order)
        question = Question(
            task=order.ask.task,
            release=release.settings,
            parameters=order.ask.parameters,
            payload=order.files,
            idempotency_key=recipe.hash,
            deadline_s=release.timeout_s + release.timeout_per_media_s * order.ask.media_s,
            media_s=order.ask.media_s,
            most_tokens=order.ask.most_tokens,
        )
        try:
            tokens = provider.tokens_at_most(question)
        except CallFailure as fault:
            raise _as_work_failure(fault, str(release.settings["id"])) from None
        asked = max(0.0, tokens - order.ask.most_tokens)  # `tokens` holds the longest answer already
        requests = provider.requests_of(question)
        most_usd = release.cost_usd(asked, order.ask.most_tokens, order.ask.media_s, requests)
        reserved_s = PATIENCE_S + question.deadline_s + SETTLED_S
        began = time.monotonic()
        failure: CallFailure | None = None
        before = self._calls.tries(recipe.hash)
        for trial in range(before + 1, before + TRIES + 1):
            if failure is not None:
                self._clock.sleep(_pause_s(trial - before, failure))
            order.going()
            reservation = self._reserved(order, most_usd, reserved_s)
            answer = failure = None
            used_usd = 0.0
            try:
                is_retry = trial > before + 1  # a later run, after its wait, is no repetition of a moment ago
                answer, failure, used_usd = self._try(
                    order, question, provider, recipe, trial, tokens, most_usd, is_retry=is_retry
                )
            finally:
                self._purse.settle(reservation, used_usd)
            if answer is not None:
                return self._keep(order, recipe, answer, used_usd, trial)
            if not isinstance(failure, Refused | Failed):
                break
            if time.monotonic() - began + (failure.retry_after_s or 0) > PATIENCE_S:
                break
        assert failure is not None
        raise _as_work_failure(failure, str(release.settings["id"]))

    def _reserved(self, order: Order, most_usd: float, for_s: float) -> Reservation:
        """Room in every budget; where there is some again in the next period, the model cannot be had until then."""
        try:
            return self._purse.reserve(self._budgets(order, today(self._clock)), most_usd, for_s=for_s)
        except BudgetSpent as spent:
            raise Unavailable(
                spent.cause,
                cure="raise the budget, or wait for its next day",
                release=str(order.release.settings["id"]),
                retry_after_s=spent.wait_s,
            ) from None

    def _provider(self, order: Order) -> Provider:
        settings = order.release.settings
        provider = self._provider_of(str(settings["provider"]))
        reason = provider.unavailable(settings)
        if reason is not None:
            raise Unavailable(reason, release=str(settings["id"]), retry_after_s=None)
        return provider

    def _try(
        self,
        order: Order,
        question: Question,
        provider: Provider,
        recipe: Recipe,
        trial: int,
        tokens: float,
        most_usd: float,
        *,
        is_retry: bool,
    ) -> tuple[Answer | None, CallFailure | None, float]:
        """One try: the answer or how it failed, and what it cost."""
        asked = time.monotonic()
        permit = self._admitted(order, question, provider, tokens, is_retry=is_retry)
        waited_s = time.monotonic() - asked
        began = time.monotonic()
        answer: Answer | None = None
        failure: CallFailure | None = None
        outcome = CallOutcome.FAULTY
        try:
            answer, failure = self._call(order, question, provider, permit)
            outcome = CallOutcome.WELL if failure is None else OUTCOMES[type(failure)]
        finally:
            took_s = time.monotonic() - began
            usage = answer.usage if answer is not None else failure.usage if failure is not None else None
            ended = (
                "well" if answer is not None else (type(failure) if failure is not None else Cancelled).__name__.lower()
            )
            used = usage.tokens if usage is not None else None
            if failure is not None and used is None and outcome is not CallOutcome.FAILED:
                used = 0  # what was refused was not worked on
            if permit is not None:
                self._governor.release(
                    permit,
                    outcome,
                    tokens=used,
                    took_s=took_s,
                    size=order.ask.media_s or float(used or 0),
                    retry_after_s=failure.retry_after_s if failure is not None else None,
                )
            if answer is not None or isinstance(failure, Vacuous):
                cost_usd = order.release.cost_usd(
                    (usage.tokens_in if usage else None) or 0,
                    (usage.tokens_out if usage else None) or 0,
                    order.ask.media_s,
                    provider.requests_of(question),
                )
            else:  # nobody says what it was charged for: all of it where they were working on it until the end
                cost_usd = most_usd if outcome is not CallOutcome.REFUSED and took_s >= question.deadline_s else 0.0
            self._calls.note(
                Try(
                    key=recipe.hash,
                    trial=trial,
                    recipe_hash=recipe.hash,
                    task=order.ask.task.value,
                    release=str(question.release["id"]),
                    dependency=order.release.dependency,
                    source=order.source,
                    asset=order.asset,
                    run_id=order.run_id,
                    correlation=order.correlation,
                    outcome=ended,
                    cause=failure.sentence if failure is not None else None,
                    request_id=answer.request_id if answer is not None else None,
                    tokens_in=usage.tokens_in if usage is not None else None,
                    tokens_out=usage.tokens_out if usage is not None else None,
                    waited_s=waited_s,
                    took_s=took_s,
                    cost_usd=cost_usd,
                )
            )
        return answer, failure, cost_usd

    def _admitted(
        self, order: Order, question: Question, provider: Provider, tokens: float, *, is_retry: bool
    ) -> Permit | None:
        """A permit; None for models of this house. Raises `Unavailable` where it would take too long."""
        limits = order.release.limits
        if limits is None:
            return None
        dependency = order.release.dependency
        if dependency not in self._configured:
            self._governor.configure(dependency, limits)
            self._configured.add(dependency)
        deadline_s = PATIENCE_S + question.deadline_s
        requests = provider.requests_of(question)
        wish = Wish(dependency, order.call_class, tokens, deadline_s, is_retry, requests)
        try:
            return self._governor.acquire(wish, patience_s=PATIENCE_S, going=order.going)
        except NotAdmitted as refused:
            name = str(order.release.settings["id"])
            if refused.refusal is Refusal.NEVER:
                raise OutOfBudget(f"{name}: {refused.reason}", cure="raise its token_burst, or ask for less") from None
            raise Unavailable(
                f"{name} cannot be asked now: {refused.reason}", release=name, retry_after_s=refused.wait_s
            ) from None

    def _call(
        self, order: Order, question: Question, provider: Provider, permit: Permit | None
    ) -> tuple[Answer | None, CallFailure | None]:
        """The call itself, ended when its permit is lost or nobody wants it any more."""
        cancelled, done = threading.Event(), threading.Event()
        stop: list[WorkFailure] = []

        def watch() -> None:
            while not done.wait(LOOK_S):
                try:
                    order.going()
                except WorkFailure as failure:
                    stop.append(failure)
                    cancelled.set()
                    return

        watcher = threading.Thread(target=watch, name="wanted", daemon=True)
        watcher.start()
        try:
            if permit is None:
                return provider.answer(question, cancelled), None
            with self._governor.held(permit, lost=cancelled):
                return provider.answer(question, cancelled), None
        except Cancelled as failure:
            if stop:
                raise stop[0] from None
            return None, failure
        except Vacuous as failure:
            # Silence and an empty page are answers: whether there was something is the contract's to say.
            may_be_empty = order.ask.task in (AskTask.SPEECH, AskTask.READING)
            return (failure.answer, None) if may_be_empty and failure.answer is not None else (None, failure)
        except CallFailure as failure:
            return None, failure
        finally:
            done.set()
            watcher.join()

    def _keep(self, order: Order, recipe: Recipe, answer: Answer, cost_usd: float, trial: int) -> Manifest:
        release = order.release.settings
        with self._store.stage(ANSWER, self._owner) as staging:
            out = staging.folder / "out"
            out.mkdir()
            (out / ANSWER_FILE).write_bytes(answer.body)
            published = self._store.publish(
                asset=ANSWER,
                recipe=recipe.to_json(),
                folder=out,
                facts={
                    "format": answer.format,
                    "task": order.ask.task.value,
                    "release": {name: release[name] for name in ("id", "version", "sha256")},
                    "model": answer.model,
                    "usage": answer.usage.to_json(),
                    "request_id": answer.request_id,
                },
                verdicts=[Verdict("answered", Outcome.PASSED, found=f"{len(answer.body)} bytes")],
                determinism=DeterminismClass.C,
                made_by={**order.made_by, "try": trial, "cost_usd": cost_usd},
            )
        return published.manifest


def _as_work_failure(failure: CallFailure, release: str) -> WorkFailure:
    """What a call's last failure means for the work that asked."""
    if isinstance(failure, Refused | Failed):
        return Unavailable(
            f"{release}: {failure.cause}", cure=failure.cure, release=release, retry_after_s=failure.retry_after_s
        )
    if isinstance(failure, Cancelled):
        return Transient(f"{release}: the call lost its permit before it was answered")
    if isinstance(failure, Vacuous):
        return ContractBroken(f"{release} answered nothing: {failure.cause}", cure=failure.cure)
    return ContractBroken(f"{release}: {failure.cause}", cure=failure.cure)


def _pause_s(trial: int, failure: CallFailure) -> float:
    """Full jitter: apart from each other, but never before the provider's own word."""
    spread = float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (trial - 1)))
    return (failure.retry_after_s or 0.0) + spread * random.random()
