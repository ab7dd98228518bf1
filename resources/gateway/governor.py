"""The governor: who may call a dependency now, shared by all processes through the database.

Belongs here: asking for permits, waiting for them, holding and giving them back. Does not belong here: what decides
(the functions of the schema `gateway`, ledger/migrations), what is called (providers), or money (budget).

Every decision about a dependency is one call of one function that holds its lock, so that processes see one
state. A permit is a lease with a fence: whoever was killed loses it at its expiry, and whoever was slow cannot give
back what somebody else holds by then.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, text

from resources.gateway.clock import Clock, DatabaseClock
from resources.gateway.limits import CallClass, Limits
from resources.postgres.database import each_statement_alone

log = logging.getLogger(__name__)

LEASE_S = 15.0  # how long the permit of a process that was killed stays out
RENEWALS = 3  # in the time of a lease
SHORTEST_WAIT_S = 0.01  # below that a wait costs more than it waits
LOOK_S = 0.5  # how often who waits is asked whether it still wants to


class Outcome(StrEnum):
    """What a call says of its dependency: it went well, a limit refused it, it failed, or the fault was ours."""

    WELL = "well"
    REFUSED = "refused"
    FAILED = "failed"
    FAULTY = "faulty"


class Refusal(StrEnum):
    """Why a call was not started."""

    LATE = "late"
    SHED = "shed"
    NEVER = "never"


class NotAdmitted(Exception):
    """A call was not started; `wait_s` is when it is worth another try."""

    def __init__(self, dependency: str, refusal: Refusal, reason: str, wait_s: float) -> None:
        super().__init__(f"{dependency}: {reason}")
        self.dependency = dependency
        self.refusal = refusal
        self.reason = reason
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Permit:
    """One call's place at a dependency; `tokens` are reserved for it."""

    dependency: str
    fence: int
    tokens: float


@dataclass(frozen=True, slots=True)
class Wish:
    """What a call asks of its dependency.

    `tokens` is the most it can use, prompt and answer; what it did not use is given back. `requests` is how often its
    dependency is called for it. `deadline_s` is by when its answer must be there, from now; a call that cannot make it
    is not started.
    """

    dependency: str
    call_class: CallClass = CallClass.NORMAL
    tokens: float = 0.0
    deadline_s: float = 60.0
    is_retry: bool = False
    requests: int = 1


@dataclass(frozen=True, slots=True)
class Reply:
    """What the database answered to a wish.

    `wait_s` is how long it will take at the most as things stand, `look_s` when it is worth another look.
    """

    outcome: str
    fence: int | None
    wait_s: float
    look_s: float
    ticket: int | None
    reason: str


_ACQUIRE = text("""
SELECT outcome, fence, wait_s, look_s, ticket, reason FROM gateway.acquire(
  :dependency, :class, :requests, :tokens, :holder, :lease_s, :deadline_s, :is_retry, :ticket, :now)
""")
_RELEASE = text("SELECT gateway.release(:dependency, :fence, :outcome, :tokens, :took_s, :size, :retry_after_s, :now)")
_RENEW = text("SELECT gateway.renew(:dependency, :fence, :lease_s, :now)")
_LEAVE = text("SELECT gateway.leave(:dependency, :class, :ticket)")
_LOCK = text("SELECT gateway.lock(:name)")
_CONFIGURE = text("""
INSERT INTO gateway.dependencies AS d (name, requests_a_minute, request_burst, tokens_a_minute, token_burst,
  least_at_once, most_at_once, follows, shares, queue_bound, requests, tokens, filled_at,
  at_once, at_once_reason, at_once_since, epoch_at_once, breaker_since)
VALUES (:name, :requests_a_minute, :request_burst, :tokens_a_minute, :token_burst,
  :least_at_once, :most_at_once, :follows, :shares, :queue_bound, :request_burst, :token_burst,
  coalesce(:now, clock_timestamp()), :start_at_once, 'as configured', coalesce(:now, clock_timestamp()),
  :start_at_once, coalesce(:now, clock_timestamp()))
ON CONFLICT (name) DO UPDATE SET
  requests_a_minute = excluded.requests_a_minute, request_burst = excluded.request_burst,
  tokens_a_minute = excluded.tokens_a_minute, token_burst = excluded.token_burst,
  least_at_once = excluded.least_at_once, most_at_once = excluded.most_at_once, follows = excluded.follows,
  shares = excluded.shares, queue_bound = excluded.queue_bound,
  requests = least(d.requests, excluded.request_burst), tokens = least(d.tokens, excluded.token_burst),
  at_once = greatest(excluded.least_at_once, least(excluded.most_at_once, d.at_once))
WHERE (d.requests_a_minute, d.request_burst, d.tokens_a_minute, d.token_burst, d.least_at_once, d.most_at_once,
    d.follows, d.shares, d.queue_bound)
  IS DISTINCT FROM (excluded.requests_a_minute, excluded.request_burst, excluded.tokens_a_minute, excluded.token_burst,
    excluded.least_at_once, excluded.most_at_once, excluded.follows, excluded.shares, excluded.queue_bound)
""")


class Governor:
    """Admission to dependencies. Safe for threads; `holder` names this process for people who look."""

    def __init__(self, engine: Engine, holder: str, clock: Clock | None = None, *, lease_s: float = LEASE_S) -> None:
        self._engine = engine
        self._holder = holder
        self._clock = clock or DatabaseClock()
        self._lease_s = lease_s

    def configure(self, name: str, limits: Limits) -> None:
        """Make a dependency known, or its limits what they are now; what was learnt of it stays."""
        values = {
            "name": name,
            "requests_a_minute": limits.requests.a_minute,
            "request_burst": limits.requests.holds,
            "tokens_a_minute": limits.tokens.a_minute,
            "token_burst": limits.tokens.holds,
            "least_at_once": limits.least_at_once,
            "most_at_once": limits.most_at_once,
            "start_at_once": limits.start_at_once,
            "follows": limits.follows,
            "shares": list(limits.shares),
            "queue_bound": limits.queue_bound,
            "now": self._clock.now(),
        }
        with self._engine.begin() as connection:
            connection.execute(_LOCK, {"name": name})
            connection.execute(_CONFIGURE, values)

    def ask(self, wish: Wish, ticket: int | None = None) -> Reply:
        """One look: a permit, a place in the queue and when to look again, or why not."""
        values = {
            "dependency": wish.dependency,
            "class": int(wish.call_class),
            "requests": wish.requests,
            "tokens": wish.tokens,
            "holder": self._holder,
            "lease_s": self._lease_s,
            "deadline_s": wish.deadline_s,
            "is_retry": wish.is_retry,
            "ticket": ticket,
            "now": self._clock.now(),
        }
        row = self._one(_ACQUIRE, values)
        return Reply(row.outcome, row.fence, row.wait_s, row.look_s, row.ticket, row.reason or "")

    def leave(self, wish: Wish, ticket: int) -> None:
        """Give up a place in the queue."""
        self._one(_LEAVE, {"dependency": wish.dependency, "class": int(wish.call_class), "ticket": ticket})

    def acquire(self, wish: Wish, *, patience_s: float, going: Callable[[], None] = lambda: None) -> Permit:
        """A permit, waiting for it up to `patience_s`. Raises `NotAdmitted`, and whatever `going` raises meanwhile."""
        waited_s = 0.0
        ticket: int | None = None
        while True:
            reply = self.ask(_later(wish, waited_s), ticket)
            if reply.outcome == "granted" and reply.fence is not None:
                return Permit(wish.dependency, reply.fence, wish.tokens)
            if reply.outcome != "wait":
                raise NotAdmitted(wish.dependency, Refusal(reply.outcome), reply.reason, reply.wait_s)
            ticket = reply.ticket
            if waited_s + reply.wait_s > patience_s:
                if ticket is not None:
                    self.leave(wish, ticket)
                raise NotAdmitted(wish.dependency, Refusal.SHED, reply.reason, reply.wait_s)
            pause_s = max(SHORTEST_WAIT_S, reply.look_s) * (1 + 0.1 * random.random())
            until_s = waited_s + pause_s
            while waited_s < until_s:
                step_s = min(LOOK_S, until_s - waited_s)
                self._clock.sleep(step_s)
                waited_s += step_s
                going()

    def release(
        self,
        permit: Permit,
        outcome: Outcome,
        *,
        tokens: float | None = None,
        took_s: float = 0.0,
        size: float = 0.0,
        retry_after_s: float | None = None,
    ) -> bool:
        """Give a permit back; False where it had expired, which changes nothing.

        `tokens` are those used, None where nobody knows; `size` is what the answer's time is measured against (seconds
        of media, tokens), 0 where it should not be.
        """
        values = {
            "dependency": permit.dependency,
            "fence": permit.fence,
            "outcome": outcome.value,
            "tokens": tokens,
            "took_s": took_s,
            "size": size,
            "retry_after_s": retry_after_s,
            "now": self._clock.now(),
        }
        return bool(self._one(_RELEASE, values)[0])

    @contextmanager
    def held(self, permit: Permit, lost: threading.Event) -> Iterator[None]:
        """Renew a permit while a call is under way; `lost` is set once it is not ours, and the call has to end then."""
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self._lease_s / RENEWALS):
                if not self.renew(permit):
                    lost.set()
                    return

        thread = threading.Thread(target=renew, name="permit", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def renew(self, permit: Permit) -> bool:
        """Hold on to a permit for another lease; False where it is lost."""
        values = {
            "dependency": permit.dependency,
            "fence": permit.fence,
            "lease_s": self._lease_s,
            "now": self._clock.now(),
        }
        try:
            return bool(self._one(_RENEW, values)[0])
        except Exception:
            log.warning("the permit of %s could not be renewed", permit.dependency, exc_info=True)
            return False

    def _one(self, statement: Any, values: dict[str, Any]) -> Any:
        with self._engine.connect() as connection, each_statement_alone(connection):
            return connection.execute(statement, values).one()


def _later(wish: Wish, waited_s: float) -> Wish:
    """The same wish with less time left."""
    return replace(wish, deadline_s=wish.deadline_s - waited_s)
