"""Compute on this machine: a nursery that forks one locked-down child a task, within permits and bounds.

Belongs here: waiting for a place, trying again after a sick worker or a first crash, counting every try. Does not
belong here: the child's life (processing/child), what an end means (outcomes), any other failure's retry.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processing.failures import Interrupted, WorkFailure
from processing.manifest import Verdict
from processing.protocol import Kind, Order, Report, paths_named, prepare
from processing.sandbox.limits import Limits
from processing.work import Bounds, Result, Task
from resources.compute.nursery import NurseryGone, NurseryProcess
from resources.compute.outcomes import Again, Outcome, judge, nursery_gone
from resources.compute.permits import Permit, Permits
from resources.compute.port import Attempt, ComputePort, Done, Usage, attach_usage
from resources.store.troubles import disk_trouble

log = logging.getLogger(__name__)

CRASHES_OF_POISON = 2  # the first may have been the machine's memory; the same twice is the input
MOST_CRASHES = 3  # where each one differs
LOOK_S = 0.1  # how late it is seen that nobody waits for a permit any more
NURSERY_GRACE_S = 20.0  # past a task's wall clock, after which the nursery itself is taken for stuck
CPU_PER_WALL = 3  # a task has one core, two at the end of a pass; a backstop for the wall clock, not the bound


def tries_at_most(bounds: Bounds) -> int:
    """How often one call may try a task, whatever ends its tries."""
    return max(bounds.attempts, MOST_CRASHES)


@dataclass(frozen=True, slots=True)
class _Call:
    """What stays the same over the attempts of one call."""

    task: Task
    bounds: Bounds
    kind: Kind
    label: str
    wall_s: float

    @property
    def limits(self) -> Limits:
        return Limits(
            memory_bytes=self.bounds.memory_mb << 20,
            cpu_s=math.ceil(CPU_PER_WALL * self.wall_s),
            file_bytes=self.bounds.output_mb << 20,
        )


@dataclass(slots=True)
class _Tries:
    """The attempts of one call so far, and the rule when to give up."""

    made: list[Attempt] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    sick: int = 0

    def may_try_again(self, outcome: Outcome, bounds: Bounds) -> bool:
        """Count a failed outcome, then say whether another try is fair: never above `tries_at_most` in all."""
        if outcome.failure is None or outcome.again is Again.NEVER or len(self.made) >= tries_at_most(bounds):
            return False
        if outcome.again is Again.SICK:
            self.sick += 1
            return self.sick < bounds.attempts
        self.crashes.append(outcome.failure.cause)
        identical = self.crashes.count(outcome.failure.cause)
        return identical < CRASHES_OF_POISON and len(self.crashes) < MOST_CRASHES

    @property
    def usage(self) -> Usage | None:
        if not self.made:
            return None
        return Usage(
            wall_s=self.made[-1].ended_at - self.made[0].started_at,
            cpu_s=sum(attempt.cpu_s for attempt in self.made),
            peak_memory_bytes=max(attempt.peak_memory_bytes for attempt in self.made),
            started_at=self.made[0].started_at,
            ended_at=self.made[-1].ended_at,
            attempts=len(self.made),
        )


class LocalCompute(ComputePort):
    """Tasks on this machine; of those that need a permit at most `workers` at once, and never more than the permits.

    `share` are permits that several of these objects have in common below the machine's: those of one call.
    `on_attempt` hears of every try, in the thread that asked for it. `log_path` collects what the nursery prints.
    `operations` is for tests: folders whose modules are found as if they lay in `processing`.
    """

    def __init__(
        self,
        permits: Permits,
        *,
        workers: int,
        share: Permits | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
        log_path: Path | None = None,
        operations: Sequence[Path] = (),
    ) -> None:
        if workers < 1:
            raise ValueError("workers must be at least 1")
        self._permits = permits
        self._share = share
        self._on_attempt = on_attempt or (lambda attempt: None)
        self._log_path = log_path
        self._operations = operations
        self._changed = threading.Condition()
        self._places = workers
        self._stopping = False
        self._nursery: NurseryProcess | None = None
        self._numbers = itertools.count(1)

    def run(self, task: Task, bounds: Bounds, *, media_s: float, needs_permit: bool = True, label: str) -> Done:
        call = _Call(task, bounds, Kind.OPERATION, label, bounds.wall_s(media_s))
        result, usage = self._perform(call, needs_permit)
        return Done(result, usage)

    def check(
        self, task: Task, bounds: Bounds, *, media_s: float, needs_permit: bool = False, label: str
    ) -> tuple[tuple[Verdict, ...], Usage]:
        call = _Call(task, bounds, Kind.CONTRACT, label, bounds.wall_s(media_s))
        return self._perform(call, needs_permit)

    def permit(self, stopping: Callable[[], bool]) -> AbstractContextManager[object]:
        return self._permit(True, stopping)

    @contextmanager
    def spare_permit(self) -> Iterator[bool]:
        with contextlib.ExitStack() as held:
            with self._changed:
                is_granted = self._places > 0 and not self._stopping
                if is_granted:
                    held.enter_context(self._place())
            for permits in (self._share, self._permits):
                if is_granted and permits is not None:
                    permit = permits.spare()
                    is_granted = permit is not None
                    if permit is not None:
                        held.enter_context(permit)
            yield is_granted

    def warm(self) -> None:
        self._living_nursery()

    def request_stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def kill_all(self) -> None:
        self.request_stop()
        with self._changed:
            nursery = self._nursery
        if nursery is not None:
            nursery.kill()

    def close(self) -> None:
        self.request_stop()
        with self._changed:
            nursery, self._nursery = self._nursery, None
        if nursery is not None:
            nursery.kill()
            nursery.close()

    @property
    def nursery_pid(self) -> int | None:
        """The nursery's process id while there is one."""
        nursery = self._nursery
        return None if nursery is None or nursery.is_gone else nursery.pid

    def _perform(self, call: _Call, needs_permit: bool) -> tuple[Any, Usage]:
        """Try until there is a value or no further try is fair. Raises the last failure, with what all tries used."""
        tries = _Tries()
        try:
            with self._permit(needs_permit) as permit:
                while True:
                    outcome = self._attempt(call, permit, tries)
                    if outcome.failure is None:
                        break
                    if not tries.may_try_again(outcome, call.bounds):
                        raise outcome.failure
                    self._require_going()
        except WorkFailure as failure:
            attach_usage(failure, tries.usage)
            raise
        usage = tries.usage
        assert usage is not None
        return outcome.value, usage

    def _attempt(self, call: _Call, permit: Permit | None, tries: _Tries) -> Outcome:
        """One child from order to outcome, counted."""
        try:
            prepare(call.task)
        except OSError as error:
            raise disk_trouble(error, "unfinished work") from error
        order = self._order(call)
        started_at = time.time()
        report: Report | None = None
        try:
            report = self._child(order, permit)
            outcome = judge(order, report)
        except NurseryGone as gone:
            outcome = self._forsaken(gone)
        attempt = Attempt(
            label=call.label,
            number=len(tries.made) + 1,
            outcome="succeeded" if outcome.failure is None else outcome.failure.kind.value,
            cause="" if outcome.failure is None else outcome.failure.sentence,
            started_at=report.started_at if report else started_at,
            ended_at=report.ended_at if report else time.time(),
            cpu_s=report.cpu_s if report else 0.0,
            peak_memory_bytes=report.peak_memory_bytes if report else 0,
            encoder_calls=outcome.value.encoder_calls if isinstance(outcome.value, Result) else 0,
        )
        tries.made.append(attempt)
        self._on_attempt(attempt)
        _log_printed(call, outcome, report)
        return outcome

    def _order(self, call: _Call) -> Order:
        return Order(
            id=next(self._numbers),
            kind=call.kind,
            module=call.task.operation.partition(":")[0],
            scratch=call.task.scratch.absolute(),
            read=paths_named(call.task),
            wall_s=call.wall_s,
            limits=call.limits,
        )

    def _child(self, order: Order, permit: Permit | None) -> Report:
        """Have the child forked and wait for its end. Raises `NurseryGone`."""
        nursery = self._living_nursery()
        waiting = nursery.start(order, permit.fileno() if permit else None)
        try:
            return waiting.result(order.wall_s + NURSERY_GRACE_S)
        except TimeoutError:
            nursery.close()
            raise NurseryGone("it did not end a task whose time was over") from None
        finally:
            if not waiting.done():  # the caller is leaving by an exception of its own: nobody will want the result
                nursery.kill(order.id)

    def _forsaken(self, gone: NurseryGone) -> Outcome:
        if self._stopping:
            return Outcome(failure=Interrupted.by_a_stop())
        return nursery_gone(gone.last_words)

    def _living_nursery(self) -> NurseryProcess:
        with self._changed:
            if self._nursery is None or self._nursery.is_gone:
                self._require_going()
                self._nursery = NurseryProcess(log_path=self._log_path, operations=self._operations)
            return self._nursery

    @contextmanager
    def _permit(self, needed: bool, stopping: Callable[[], bool] = lambda: False) -> Iterator[Permit | None]:
        """A place of this object, a permit of its share and one of the machine's, or none where none is needed.

        Raises `Interrupted` when no new task may start, or when `stopping` says so.
        """

        def is_over() -> bool:
            return self._stopping or stopping()

        if not needed:
            self._require_going()
            yield None
            return
        with contextlib.ExitStack() as held:
            held.enter_context(self._place(is_over))
            if self._share is not None:
                held.enter_context(self._share.acquire(stopping=is_over))
            yield held.enter_context(self._permits.acquire(stopping=is_over))

    @contextmanager
    def _place(self, is_over: Callable[[], bool] = lambda: False) -> Iterator[None]:
        with self._changed:
            while self._places == 0 and not is_over():
                self._changed.wait(LOOK_S)
            if is_over():
                raise Interrupted.by_a_stop()
            self._places -= 1
        try:
            yield
        finally:
            with self._changed:
                self._places += 1
                self._changed.notify()

    def _require_going(self) -> None:
        if self._stopping:
            raise Interrupted.by_a_stop()


def _log_printed(call: _Call, outcome: Outcome, report: Report | None) -> None:
    """What a worker printed goes into this process's log, line by line: so each line carries the arrival's id."""
    failure = outcome.failure
    level = logging.DEBUG if failure is None else logging.INFO
    if log.isEnabledFor(level):
        printed = (report.log if report else "") if failure is None else failure.detail
        for line in printed.splitlines():
            log.log(level, "%s: %s", call.label, line)
