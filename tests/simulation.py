"""The governor on a simulated clock: its real functions in a real database, callers and a provider that are not.

Belongs here: the clock, the provider's model, the callers, what was seen. Does not belong here: which situations are
played (tests, benchmarks). Everything follows from a seed.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from resources.gateway.clock import Clock
from resources.gateway.governor import Governor, Outcome, Permit, Reply, Wish
from resources.gateway.limits import CallClass, Limits

START = datetime(2026, 1, 1, tzinfo=UTC)
REFUSED_AFTER_S = 0.02  # how long a provider takes to say no
TRIES = 3  # of an item in one run, as the gateway has it
PATIENCE_S = 30.0  # who would have to wait longer goes away, and comes back as a new run
NAME = "simulated"


class SimulatedClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.at_s)

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits in a simulation")


@dataclass(slots=True)
class Bucket:
    """A provider's own limit a minute."""

    a_minute: float
    burst: float
    level: float = 0.0
    filled_at_s: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.burst

    def take(self, now_s: float, amount: float) -> bool:
        self.level = min(self.burst, self.level + (now_s - self.filled_at_s) * self.a_minute / 60)
        self.filled_at_s = now_s
        if self.level < amount:
            return False
        self.level -= amount
        return True


@dataclass(slots=True, kw_only=True)
class Provider:
    """How the other side behaves, as functions of the time in seconds.

    `places` is how many calls it works on at once; more of them are refused, or wait when it `queues`. A call takes
    `median_s` times `slower`, spread log-normally by `spread`. It fails while `is_down`.
    """

    places: Callable[[float], int] = lambda _: 1_000_000
    queues: bool = False
    median_s: float = 1.0
    spread: float = 0.2
    slower: Callable[[float], float] = lambda _: 1.0
    is_down: Callable[[float], bool] = lambda _: False
    requests: Bucket | None = None
    tokens: Bucket | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One call as the provider saw it: when it came, how it ended, what it took from coming to its end."""

    at_s: float
    outcome: Outcome
    took_s: float
    call_class: CallClass
    is_retry: bool
    waited_s: float
    tokens: float


@dataclass(slots=True)
class Item:
    """One thing to be done: its class, the most tokens it may use and what it really will."""

    call_class: CallClass = CallClass.NORMAL
    most_tokens: float = 0.0
    tokens: float = 0.0
    since_s: float = 0.0
    tries: int = 0
    ticket: int | None = None
    asked_s: float | None = None


@dataclass(slots=True)
class Simulation:
    """Callers of one dependency over a stretch of simulated time."""

    engine: Engine
    limits: Limits
    provider: Provider
    seed: int = 1
    timeout_s: float = 10.0
    deadline_s: float = 1e9
    fixed_at_once: int | None = None
    seen: list[Seen] = field(default_factory=list)
    done: int = 0
    away: int = 0
    most_under_way: int = 0
    at_once: list[tuple[float, float]] = field(default_factory=list)
    breaker: list[tuple[float, str]] = field(default_factory=list)
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _busy: int = 0
    _queue: deque[tuple[float, Callable[[float], None]]] = field(default_factory=deque)
    _random: random.Random = field(init=False)
    _governor: Governor = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._governor = Governor(self.engine, "simulation", self.clock, lease_s=120.0)
        with self.engine.begin() as connection:
            connection.execute(text("SELECT setseed(:seed)"), {"seed": (self.seed % 1000) / 1000})
            for table in ("dependencies", "permits", "tickets", "slots"):
                connection.execute(text(f"DELETE FROM gateway.{table}"))
        limits = self.limits
        if self.fixed_at_once is not None:
            fixed = float(self.fixed_at_once)
            limits = Limits(least_at_once=fixed, most_at_once=fixed, start_at_once=fixed, queue_bound=10**6)
        self._governor.configure(NAME, limits)

    @property
    def now_s(self) -> float:
        """Simulated seconds since the start."""
        return self.clock.at_s

    def at(self, when_s: float, what: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._events, (when_s, next(self._numbers), what))

    def submit(self, when_s: float, item: Item) -> None:
        """Let an item come in at a time."""

        def come() -> None:
            item.since_s = self.now_s
            self._try(item)

        self.at(when_s, come)

    def keep_busy(self, callers: int, make: Callable[[], Item], until_s: float) -> None:
        """Let callers take one item after the other for a while."""

        def next_one() -> None:
            if self.now_s < until_s:
                item = make()
                item.since_s = self.now_s
                self._try(item, then=next_one)

        for _ in range(callers):
            self.at(self._random.random() * 0.1, next_one)

    def watch(self, every_s: float, until_s: float) -> None:
        """Write down the limit and the breaker now and then."""

        def look() -> None:
            with self.engine.connect() as connection:
                row = connection.execute(text("SELECT at_once, breaker FROM gateway.dependencies")).one()
            self.at_once.append((self.now_s, row.at_once))
            self.breaker.append((self.now_s, row.breaker))
            if self.now_s + every_s < until_s:
                self.at(self.now_s + every_s, look)

        self.at(0.0, look)

    def run(self, until_s: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= until_s:
            self.clock.at_s, _, what = heapq.heappop(self._events)
            what()
        self.clock.at_s = until_s

    def _try(self, item: Item, then: Callable[[], None] | None = None) -> None:
        wish = Wish(NAME, item.call_class, item.most_tokens, self.deadline_s, is_retry=item.tries > 0)
        reply = self._governor.ask(wish, item.ticket)
        if reply.outcome == "granted":
            item.ticket = item.asked_s = None
            self._call(item, reply, then)
        elif reply.outcome == "wait" and self._has_patience(item, reply):
            item.ticket = reply.ticket
            pause_s = max(0.01, reply.look_s) * (1 + 0.1 * self._random.random())
            self.at(self.now_s + pause_s, lambda: self._try(item, then))
        else:
            if reply.ticket is not None:
                self._governor.leave(wish, reply.ticket)
            self._go_away(item, max(1.0, reply.wait_s), then)

    def _has_patience(self, item: Item, reply: Reply) -> bool:
        if item.asked_s is None:
            item.asked_s = self.now_s
        return self.now_s - item.asked_s + reply.wait_s <= PATIENCE_S

    def _go_away(self, item: Item, wait_s: float, then: Callable[[], None] | None) -> None:
        """End the run; another one comes when the wait is over."""
        item.ticket = item.asked_s = None
        item.tries = 0
        self.away += 1
        self.at(self.now_s + wait_s * (1 + 0.2 * self._random.random()), lambda: self._try(item, then))

    def _call(self, item: Item, reply: Reply, then: Callable[[], None] | None) -> None:
        assert reply.fence is not None
        permit, begun_s, is_retry = Permit(NAME, reply.fence, item.most_tokens), self.now_s, item.tries > 0
        item.tries += 1

        def end(outcome: Outcome, tokens: float | None) -> None:
            took_s = self.now_s - begun_s
            waited_s = begun_s - item.since_s
            self.seen.append(Seen(begun_s, outcome, took_s, item.call_class, is_retry, waited_s, tokens or 0.0))
            self._governor.release(permit, outcome, tokens=tokens, took_s=took_s, size=1.0)
            if outcome is Outcome.WELL:
                self.done += 1
                if then is not None:
                    then()
            elif item.tries < TRIES:
                self.at(self.now_s + self._random.random(), lambda: self._try(item, then))
            else:
                self._go_away(item, PATIENCE_S, then)

        self._serve(item, end)

    def _serve(self, item: Item, end: Callable[[Outcome, float | None], None]) -> None:
        provider, now_s = self.provider, self.now_s
        if provider.is_down(now_s):
            self.at(now_s + REFUSED_AFTER_S, lambda: end(Outcome.FAILED, None))
            return
        refused = (provider.requests is not None and not provider.requests.take(now_s, 1)) or (
            provider.tokens is not None and not provider.tokens.take(now_s, item.tokens)
        )
        if refused or (not provider.queues and self._busy >= provider.places(now_s)):
            self.at(now_s + REFUSED_AFTER_S, lambda: end(Outcome.REFUSED, 0.0))
            return
        ended = [False]

        def finish() -> None:
            self._busy -= 1
            if self._queue and self._busy < provider.places(self.now_s):
                self._queue.popleft()[1](self.now_s)
            if not ended[0]:
                ended[0] = True
                end(Outcome.WELL, item.tokens)

        def begin(at_s: float) -> None:
            self._busy += 1
            self.most_under_way = max(self.most_under_way, self._busy)
            service_s = provider.median_s * provider.slower(at_s) * math.exp(self._random.gauss(0, provider.spread))
            self.at(at_s + service_s, finish)

        def give_up() -> None:
            if not ended[0]:
                ended[0] = True
                end(Outcome.FAILED, None)

        self.at(now_s + self.timeout_s, give_up)
        if self._busy >= provider.places(now_s):
            self._queue.append((now_s, begin))
        else:
            begin(now_s)


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
