"""The port behind which tasks run: what is asked, what comes back, what is counted.

Belongs here: the interface every place of execution implements, and its types. Does not belong here: any one place
(local is the first), or what a task costs in money (resources/economics).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.work import Bounds, Result, Task


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used over all its attempts.

    `wall_s` runs from the start of the first attempt to the end of the last, without the wait for a permit; `cpu_s`
    is user and system time of all attempts; `peak_memory_bytes` the largest resident peak of one of them; times are
    seconds since the epoch.
    """

    wall_s: float
    cpu_s: float
    peak_memory_bytes: int
    started_at: float
    ended_at: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Done:
    """A task that ended well."""

    result: Result
    usage: Usage


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, whatever came of it: nothing that used the machine goes uncounted.

    `outcome` is "succeeded" or the failure's kind; `cause` its sentence. `number` counts from 1 within one call.
    `encoder_calls` is 0 where the try did not live to say.
    """

    label: str
    number: int
    outcome: str
    cause: str
    started_at: float
    ended_at: float
    cpu_s: float
    peak_memory_bytes: int
    encoder_calls: int


class ComputePort(ABC):
    """Runs tasks somewhere, each isolated and bounded. Safe to call from several threads at once.

    Every failure is one of the closed taxonomy and carries what was used: `usage_of(failure)`.
    """

    @abstractmethod
    def run(self, task: Task, bounds: Bounds, *, media_s: float, needs_permit: bool = True, label: str) -> Done:
        """Run an operation over `media_s` seconds of media and return its result. Raises a `WorkFailure`.

        `needs_permit` says that it keeps a core busy for long, so that it waits for one of the machine's permits.
        The task's scratch folder must exist; what an earlier attempt left below it is removed.
        """

    @abstractmethod
    def check(
        self, task: Task, bounds: Bounds, *, media_s: float, needs_permit: bool = False, label: str
    ) -> tuple[tuple[Verdict, ...], Usage]:
        """Run a contract in the same way and return its verdicts. Raises a `WorkFailure`."""

    @abstractmethod
    def permit(self, stopping: Callable[[], bool]) -> AbstractContextManager[object]:
        """One of the permits, for a core that something else than a task keeps busy.

        Waits for it; raises `Interrupted` as soon as `stopping()` is true, or when nothing may start.
        """

    @abstractmethod
    def spare_permit(self) -> AbstractContextManager[bool]:
        """One of the permits that nobody waits for, at once; False where there is none, or nothing may start."""

    @abstractmethod
    def warm(self) -> None:
        """Start early whatever takes time to start. Returns at once."""

    @abstractmethod
    def request_stop(self) -> None:
        """Let no new task start (`Interrupted`); what runs may finish."""

    @abstractmethod
    def kill_all(self) -> None:
        """End what runs, now (`Interrupted` to whoever waits for it), and let nothing new start."""

    @abstractmethod
    def close(self) -> None:
        """End everything and leave no process behind. May be called twice."""


def usage_of(failure: WorkFailure) -> Usage | None:
    """What the attempts behind a failure used; None where none was started."""
    found = getattr(failure, "usage", None)
    return found if isinstance(found, Usage) else None


def attach_usage(failure: WorkFailure, usage: Usage | None) -> None:
    """Let a failure carry what its attempts used. For implementations of the port."""
    failure.__dict__["usage"] = usage
