"""What the end of a child means: a value, a failure of the closed taxonomy, and whether another try is fair.

Belongs here: reading what a child left (it may have been taken over by what it read, so nothing in its folder is
trusted) and naming ends it could not name itself. Does not belong here: trying again (local).
"""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from processing.failures import Interrupted, OutOfBudget, Poison, SickWorker, WorkFailure, from_json
from processing.manifest import Verdict
from processing.naming import disk_full, file_too_large, out_of_memory
from processing.protocol import (
    FAILURE_FILE,
    RESULT_FILE,
    STATUS_DISK_FULL,
    STATUS_NOT_LOCKED_DOWN,
    Kind,
    Order,
    Report,
    StoppedBy,
)
from processing.work import Result

MOST_OUTCOME_BYTES = 256 << 20  # facts of ten hours of video are some 10 MB; more is a child that lost its mind
NEAR_THE_BOUND = 0.9  # a crash this close to the memory bound is a library that did not check its allocation

_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS}


class Again(Enum):
    """Whether another try may end differently."""

    NEVER = auto()
    CRASHED = auto()
    SICK = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """Either a value (`Result`, or a tuple of `Verdict`) or a failure."""

    value: Any = None
    failure: WorkFailure | None = None
    again: Again = Again.NEVER


def judge(order: Order, report: Report) -> Outcome:
    """The outcome of a child that was reported on."""
    found = (
        (_by_what_it_left(order) if report.status == 0 else None)  # it may have ended just before it was stopped
        or _by_whom_it_was_stopped(order, report)
        or _by_signal(order, report)
        or _by_status(report.status)
    )
    if found.failure is not None and report.log:
        found.failure.detail = f"{found.failure.detail}\n--- printed by the worker ---\n{report.log}".strip()
    return found


def nursery_gone(last_words: str) -> Outcome:
    """The outcome of a child whose nursery ended before it could report."""
    return Outcome(
        failure=SickWorker(
            "the process that starts media workers was ended from outside",
            cure="look for an operator's kill or the kernel's out-of-memory killer, then retry",
            detail=last_words,
        ),
        again=Again.SICK,
    )


def _by_whom_it_was_stopped(order: Order, report: Report) -> Outcome | None:
    match report.stopped_by:
        case StoppedBy.WALL_CLOCK:
            return Outcome(failure=too_long(order.wall_s))
        case StoppedBy.MEMORY:
            return Outcome(failure=out_of_memory(order.limits))
        case StoppedBy.OWNER:
            return Outcome(failure=Interrupted.by_a_stop())
        case StoppedBy.NO_PROCESS:
            sick = SickWorker("the machine refused a new process", cure="raise the limit on processes, then retry")
            return Outcome(failure=sick, again=Again.SICK)
        case StoppedBy.NOBODY:
            return None


def too_long(wall_s: float) -> OutOfBudget:
    """The sentence for a task that passed its wall clock."""
    return OutOfBudget(
        f"it took longer than the {round(wall_s, 1):g} s it may take",
        cure="retry on a less busy machine, or raise the wall bounds of this derivative",
    )


def _by_signal(order: Order, report: Report) -> Outcome | None:
    if report.status >= 0:
        return None
    number = -report.status
    if number == signal.SIGXCPU or (number == signal.SIGKILL and report.cpu_s >= order.limits.cpu_s):
        return Outcome(
            failure=OutOfBudget(
                f"it used more than the {order.limits.cpu_s} s of CPU it may use",
                cure="raise the wall bounds of this derivative",
            )
        )
    if number == signal.SIGXFSZ:
        return Outcome(failure=file_too_large(order.limits))
    if number in _CRASHES:
        if report.peak_memory_bytes >= NEAR_THE_BOUND * order.limits.memory_bytes:
            return Outcome(failure=out_of_memory(order.limits))
        return _crashed(signal.Signals(number).name)
    sick = SickWorker(
        f"the media worker was ended from outside (signal {number})",
        cure="look for an operator's kill or the kernel's out-of-memory killer, then retry",
    )
    return Outcome(failure=sick, again=Again.SICK)


def _by_status(status: int) -> Outcome:
    if status == STATUS_DISK_FULL:
        return Outcome(failure=disk_full())
    if status == STATUS_NOT_LOCKED_DOWN:
        sick = SickWorker(
            "the media worker could not be locked down, so it did not start",
            cure="run `sourcebound doctor`, which says what this machine offers",
        )
        return Outcome(failure=sick, again=Again.SICK)
    return _crashed(f"it left with status {status}")


def _crashed(how: str) -> Outcome:
    return Outcome(
        failure=Poison(
            f"the media worker crashes on this input ({how})",
            cure="convert the file with another tool and send it again; keep this one for a bug report",
        ),
        again=Again.CRASHED,
    )


def _by_what_it_left(order: Order) -> Outcome:
    try:
        if (left := _read(order.scratch / RESULT_FILE)) is not None:
            return Outcome(value=_VALUES[order.kind](left))
        if (left := _read(order.scratch / FAILURE_FILE)) is not None:
            return Outcome(failure=from_json(left))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return _crashed("it left no readable outcome")
    return _crashed("it left no outcome")


def _read(path: Path) -> Any:
    """The JSON of a regular, not too large file; None where there is none. Raises OSError, ValueError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_OUTCOME_BYTES:
            raise ValueError(f"{path.name} is not an outcome")
        return json.loads(file.read(MOST_OUTCOME_BYTES))


def _verdicts(left: Any) -> tuple[Verdict, ...]:
    return tuple(Verdict.from_json(value) for value in left)


_VALUES: dict[Kind, Callable[[Any], Any]] = {Kind.OPERATION: Result.from_json, Kind.CONTRACT: _verdicts}
