"""What goes into the ledger and comes out of it, as plain values.

Belongs here: the types. Does not belong here: how they are stored (tables) or found (the other modules).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from resources.ledger.keys import as_stored
from resources.ledger.states import AssetState


class DecisionKind(StrEnum):
    """Every kind of decision on record. `configured`: a setting changed since the last start."""

    ACCEPTED = "accepted"
    RETRIED = "retried"
    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    RESUMED = "resumed"
    HURRIED = "hurried"
    CONFIGURED = "configured"
    GATED = "gated"
    CORRECTED = "corrected"


class Action(StrEnum):
    """What a person can ask of a source."""

    CANCEL = "cancel"
    RETRY = "retry"
    PAUSE = "pause"
    HURRY = "hurry"


class Stop(StrEnum):
    """Why work on a source should stop at the next chunk."""

    CANCEL = "cancel"
    PAUSE = "pause"
    SUPERSEDE = "supersede"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One sighting of an uploaded object. Times of the object in ns since 1970, `version` as the store names it.

    `seen_at` orders sightings of one location; None means now.
    """

    location: str
    size_bytes: int
    mtime_ns: int
    actor: str
    version: str | None = None
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """An arrival with what was found out and said about it. `content` is the sha256 (hex) of its bytes."""

    arrival: Arrival
    content: str
    job: str
    assets: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    title: str | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Registration:
    """What became of an arrival. `supersedes` is the source whose place this one took; `generation` counts those."""

    source_key: str
    arrival_id: str
    is_new: bool
    supersedes: str | None
    generation: int


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One version of one uploaded object; what was said of it is what its latest arrival says."""

    key: str
    location: str
    content: str
    size_bytes: int
    mtime_ns: int
    job: str
    options: Mapping[str, Any]
    priority: int
    title: str | None
    language: str | None
    tags: tuple[str, ...]
    arrival_id: str
    generation: int
    is_head: bool

    @property
    def path(self) -> Path:
        """The location of a file."""
        return Path(self.location)

    def facts(self) -> dict[str, Any]:
        """What enters the recipe of an output that names its source: nothing of when or where it was taken in."""
        return {
            "source": self.key,
            "file_name": as_stored(self.path.name),
            "title": self.title,
            "language": self.language,
            "tags": list(self.tags),
        }


@dataclass(frozen=True, slots=True)
class AssetRow:
    """The state of one asset of one source. `recipe_hash` stays that of the last artifact while a new one is made."""

    asset: str
    state: AssetState
    cause: str | None
    run_id: str | None
    recipe_hash: str | None
    data_version: str | None
    uri: str | None
    wake_at: datetime | None
    since: datetime


class KnownFile(NamedTuple):
    """A file as it was when it was last taken in. `source_key` is None for a file that is to be left alone.

    A tuple, because a sensor reads 100,000 of them: a frozen dataclass takes three times as long to make.
    """

    size_bytes: int
    mtime_ns: int
    source_key: str | None


@dataclass(frozen=True, slots=True)
class Used:
    """Sums over attempts; `peak_memory_bytes` is the largest."""

    attempts: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    encoder_calls: int = 0
    media_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A hold on `key`; only the holder of the newest `fence` holds it."""

    key: str
    fence: int


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A source with work left and no live run.

    `requested_at` is None where the last request was made before the house was started: nobody answers it any more.
    `run_key` names the last run that was asked for, `restarts` how many were asked for since the last progress
    or start of the house.
    """

    source_key: str
    job: str
    priority: int
    arrival_id: str
    generation: int
    assets: tuple[str, ...]
    run_key: str | None
    requested_at: datetime | None
    restarts: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an asset of a source is, in media seconds."""

    done_s: float
    total_s: float
