"""What is allowed of a dependency: the limits its provider states, and the bounds within which ours adapts.

Belongs here: the numbers and what they mean. Does not belong here: keeping to them (governor).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

TRIES = 3  # of one call in one run, each of them counted against the retry budget of its dependency
SHARE = 0.985  # of a provider's limit that is used: its clock is not ours
ON_THE_WAY_S = 0.5  # from being let go here to being counted there, on a busy machine
BURST_S = 1.0  # of a limit a minute, where no burst is stated: what a second brings


class CallClass(IntEnum):
    """Who goes first. A class's share is how much of every limit it may use while the others use nothing."""

    INTERACTIVE = 0
    NORMAL = 1
    BACKFILL = 2


def class_of_priority(priority: int) -> CallClass:
    """A source's class follows from its priority: above 0 interactive, below 0 backfill."""
    if priority == 0:
        return CallClass.NORMAL
    return CallClass.INTERACTIVE if priority > 0 else CallClass.BACKFILL


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one dependency: a model at an endpoint, as one account sees it.

    `requests_a_minute` and `tokens_a_minute` are the provider's own, None where it states none; bursts are how much of
    them may be used at once. `at_once` adapts between `least_at_once` and `most_at_once`: to refusals and timeouts, or
    to `latency`, which suits a model server of one's own that queues instead of refusing. `shares` are for the classes
    in their order. `queue_bound` is how many calls may wait, all processes together; beyond that they are sent away.

    The defaults are for a provider of which nothing is known: it begins with what one person's program would send and
    goes up to what one account is commonly allowed; normal work leaves a tenth to interactive calls, a backfill three
    tenths to both; and what waits is served within the patience of 30 s at eight calls a second.
    """

    requests_a_minute: float | None = None
    request_burst: float | None = None
    tokens_a_minute: float | None = None
    token_burst: float | None = None
    least_at_once: float = 1.0
    most_at_once: float = 64.0
    start_at_once: float = 4.0
    follows: Literal["refusals", "latency"] = "refusals"
    shares: tuple[float, float, float] = (1.0, 0.9, 0.7)
    queue_bound: int = 256

    def __post_init__(self) -> None:
        for name in ("requests_a_minute", "request_burst", "tokens_a_minute", "token_burst"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be positive, or left out")
        if not 1 <= self.least_at_once <= self.start_at_once <= self.most_at_once:
            raise ValueError("least_at_once, start_at_once and most_at_once must be at least 1 and in this order")
        if self.shares[0] != 1 or not 0 < self.shares[2] <= self.shares[1] <= 1:
            raise ValueError("shares begin with 1 for the interactive and do not rise")
        if self.queue_bound < 1:
            raise ValueError("queue_bound must be at least 1")

    @property
    def requests(self) -> Bucket:
        """How requests are let through."""
        return _bucket(self.requests_a_minute, self.request_burst)

    @property
    def tokens(self) -> Bucket:
        """How tokens are let through."""
        return _bucket(self.tokens_a_minute, self.token_burst)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: how much flows in a minute, None for no limit, and how much it holds."""

    a_minute: float | None
    holds: float


def _bucket(a_minute: float | None, burst: float | None) -> Bucket:
    """Within the provider's limit although a call is counted there a moment after it was let go here.

    In that moment ours fills up while theirs, still full, does not: by the rate times the moment, which is kept free.
    """
    if a_minute is None:
        return Bucket(None, 1.0)
    a_second = a_minute / 60
    stated = burst or max(1.0, a_second * BURST_S)
    return Bucket(a_minute * SHARE, max(1.0, stated - a_second * ON_THE_WAY_S))
