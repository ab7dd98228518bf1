"""Which model a source's words are asked of, and the gateway to it, opened at the first question.

Belongs here: the choice for one source among the releases that settings name, and what the gateway is made of. Does not
belong here: what releases there are (resources/releases) or how one is asked (resources/gateway).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from processing.asking import AskTask
from processing.failures import Throttled
from resources.compute.port import ComputePort
from resources.gateway.budget import Budget, Purse
from resources.gateway.calls import Calls
from resources.gateway.clock import DatabaseClock
from resources.gateway.gateway import Gateway, Order
from resources.gateway.governor import Governor
from resources.gateway.limits import CallClass
from resources.gateway.pressure import held_back
from resources.gateway.status import dependencies
from resources.ledger.rows import SourceRow
from resources.postgres.database import engine
from resources.providers.port import Provider
from resources.providers.registry import by_name
from resources.releases.registry import Missing, Registry, read_registry
from resources.releases.release import ANY_LANGUAGE, Release, ReleaseError
from resources.settings import Settings
from resources.store.store import Store

BUDGET_OF_A_DAY = "day"
MENDED_AFTER_S = 600.0  # a person has to mend the settings; until then a run now and then finds out


@dataclass(frozen=True, slots=True)
class Choice:
    """The release chosen for a task, or why there is none."""

    release: Release | None
    reason: str = ""


@dataclass(slots=True)
class WordsDesk:
    """The releases of one house and its gateway. Safe for threads."""

    settings: Settings
    database_url: str
    store: Store
    compute: ComputePort
    owner: str
    lease: Callable[[str, Callable[[], None]], AbstractContextManager[None]]
    _registry: Registry | None = None
    _gateway: Gateway | None = None
    _connections: Engine | None = None
    _providers: dict[str, Provider] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def options(self, source: SourceRow, tasks: Collection[AskTask], without: Collection[str] = ()) -> dict[str, Any]:
        """What plans read: the identity of each task's model, why a task has none, and the prompts."""
        choices = {task: self.choice(source, task, without) for task in tasks}
        return {
            "models": {task.value: each.release.identity for task, each in choices.items() if each.release is not None},
            "no_model": {task.value: each.reason for task, each in choices.items() if each.release is None},
            "prompts": self.registry.prompt_identities(),
        }

    def configured(self) -> dict[str, Any]:
        """Which tasks have a model at all, for whoever only asks that: cheap, for no release is read."""
        named = {task.value: getattr(self.settings, task.value) for task in AskTask}
        return {"models": {task: {"id": names[0]} for task, names in named.items() if names}}

    def choice(self, source: SourceRow, task: AskTask, without: Collection[str] = ()) -> Choice:
        """The first of the task's releases that may see the source and speaks its language, if that is known."""
        if not getattr(self.settings, task.value):
            return Choice(None, f"no model for {task.value} is configured")
        reasons = []
        for each in self.registry.chosen.get(task, ()):
            if isinstance(each, Missing):
                reasons.append(each.why)
            elif each.id not in without:
                reason = _refusal(each, source.options)
                if reason is None:
                    return Choice(each)
                reasons.append(reason)
        return Choice(None, "; ".join(reasons) or f"no other model for {task.value} is configured")

    def chosen(self, source: SourceRow, tasks: Collection[AskTask], without: Collection[str]) -> dict[AskTask, Release]:
        """The release of each task that has one."""
        choices = {task: self.choice(source, task, without) for task in tasks}
        return {task: each.release for task, each in choices.items() if each.release is not None}

    @property
    def registry(self) -> Registry:
        """The releases there are, read at the first use: digests of models are worked out over all their bytes."""
        with self._lock:
            if self._registry is None:
                try:
                    self._registry = registry_of(self.settings)
                except ReleaseError as error:
                    raise Throttled(
                        f"the settings name models as none can be: {error}",
                        cure="mend `models` or the list of its task in sourcebound.toml, then start again",
                        retry_after_s=MENDED_AFTER_S,
                    ) from None
            return self._registry

    @property
    def gateway(self) -> Gateway:
        """The way to them, made at the first use: most runs ask nothing."""
        with self._lock:
            if self._gateway is None:
                self._gateway = self._open()
            return self._gateway

    def held_back(
        self, tasks: Collection[AskTask], call_class: CallClass, has_passed: Callable[[str], bool]
    ) -> str | None:
        """Why no more work should be begun that asks models of `tasks`: too much of it waits, or nobody answers.

        Where another release stands in, one that `has_passed` by its sha256, both have to be held back.
        """
        held = {each.name: held_back(each, call_class) for each in dependencies(self.connections)}
        if not any(held.values()):
            return None
        for task in tasks:
            used = self.registry.used(task)
            reasons = [held.get(each.dependency) for each in used[:1]]
            reasons += [held.get(each.dependency) for each in used[1:] if has_passed(each.sha256)]
            if reasons and all(reasons):
                return reasons[0]
        return None

    @property
    def connections(self) -> Engine:
        """To the gateway's state. A commit does not wait for the disk: what half a second decided may be forgotten."""
        with self._lock:
            if self._connections is None:
                self._connections = engine(self.database_url, durable=False)
            return self._connections

    def _open(self) -> Gateway:
        connections = self.connections
        clock = DatabaseClock()
        return Gateway(
            governor=Governor(connections, self.owner, clock),
            purse=Purse(connections, clock),
            calls=Calls(connections),
            clock=clock,
            store=self.store,
            owner=self.owner,
            lease=self.lease,
            provider=self._provider,
            budgets=self._budgets,
        )

    def _provider(self, kind: str) -> Provider:
        """One of each kind, made when it is first asked for."""
        with self._lock:
            if kind not in self._providers:
                self._providers[kind] = by_name(kind, compute=self.compute, scratch=self.settings.home / "run" / "asks")
            return self._providers[kind]

    def _budgets(self, order: Order, day: str) -> Sequence[Budget]:
        if self.settings.budget_usd_a_day is None:
            return ()
        return [Budget(BUDGET_OF_A_DAY, day, self.settings.budget_usd_a_day)]

    def close(self) -> None:
        """Give connections and providers back."""
        for provider in self._providers.values():
            provider.close()
        if self._connections is not None:
            self._connections.dispose()


def registry_of(settings: Settings) -> Registry:
    """The releases and prompts there are by these settings. Raises ReleaseError."""
    chosen = {task.value: getattr(settings, task.value) or () for task in AskTask}
    return read_registry(settings.models, chosen, settings.prompts)


def _refusal(release: Release, options: Mapping[str, Any]) -> str | None:
    """Why a release may not see a source, or cannot understand it."""
    settings = release.settings
    allowed = options.get("providers_allowed")
    if allowed is not None and not {release.id, settings["provider"]} & set(allowed):
        return f"the source may not be shown to {release.id}"
    region, own = options.get("region"), settings.get("region")
    if region is not None and not release.is_local and own != region:
        return f"{release.id} is not in {region}"
    language = str(options.get("language") or "")
    spoken = {tag.partition("-")[0].lower() for tag in release.languages}
    if language and ANY_LANGUAGE not in spoken and language.partition("-")[0].lower() not in spoken:
        return f"{release.id} does not speak {language}"
    return None
