"""Named policies: pools, retries, targets. A policy is spelled once, here, and referred to by name.

Belongs here: the names and their values with reasons. Does not belong here: which derivative uses which (the
declarations) or how Dagster is told (build).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Pool:
    """A Dagster concurrency pool and the number of steps, over all runs, that may be in it at once."""

    name: str
    limit: int


@dataclass(frozen=True, slots=True)
class Retry:
    """How often Dagster repeats a step after a transient failure, and how long it waits (seconds, exponential)."""

    name: str
    max_retries: int
    delay_s: float


INTAKE_POOL = Pool("intake", limit=4)  # short and mostly waiting for the disk
PICTURE_POOL = Pool("picture", limit=4)  # steps, not encoders: those are rationed by machine-wide permits
SOUND_POOL = Pool("sound", limit=4)
OUT_POOL = Pool("out", limit=4)
WORDS_POOL = Pool("words", limit=8)  # steps that mostly wait for answers; who may ask is the gateway's to say

POOLS = (INTAKE_POOL, PICTURE_POOL, SOUND_POOL, OUT_POOL, WORDS_POOL)

STORAGE = Retry("storage", max_retries=2, delay_s=1.0)  # a database or object store that blinks; nothing else
PROVIDER = Retry("provider", max_retries=0, delay_s=1.0)  # calls are tried again by the gateway, and by nobody else

MAX_ATTEMPTS_PRODUCT = 12  # tries over all layers multiplied; loading the definitions fails above it

DAY = timedelta(days=1)
