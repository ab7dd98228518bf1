"""At the end of a pass: cores that have nothing more to do are lent to the units that are still at work.

Belongs here: which task gets a core, and for how long the permit for it is held. Does not belong here: what a task does
with a second core (processing/chunks/beside), or permits (compute/permits).

Without it a core is idle for half a unit at the end of every source, on average.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from processing.protocol import TASK_FILE
from processing.work import Task
from resources.compute.port import ComputePort

log = logging.getLogger(__name__)

LOOK_S = 0.1  # whether a core is idle, whether a task has ended


@dataclass(slots=True)
class Borrowers:
    """The tasks of one pass that are at work, at most `workers` of them, by unit."""

    compute: ComputePort
    workers: int
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _at_work: dict[str, Task] = field(default_factory=dict)
    _lent: set[str] = field(default_factory=set)
    _ended: bool = False

    @contextmanager
    def at_work(self, unit: str, task: Task) -> Iterator[None]:
        """While a task runs."""
        with self._changed:
            self._at_work[unit] = task
        try:
            yield
        finally:
            with self._changed:
                del self._at_work[unit]
                self._changed.notify_all()

    @contextmanager
    def served(self, nothing_missing: Callable[[], bool]) -> Iterator[None]:
        """Lend to them what is idle, once no unit is left that has not begun."""
        lenders = [
            threading.Thread(target=self._lend, args=(nothing_missing,), name="lender") for _ in range(self.workers - 1)
        ]
        for lender in lenders:
            lender.start()
        try:
            yield
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            for lender in lenders:
                lender.join()

    def _lend(self, nothing_missing: Callable[[], bool]) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended, LOOK_S)
                if self._ended:
                    return
                unit = self._next() if nothing_missing() else None
                if unit is None:
                    continue
                self._lent.add(unit)
            try:
                self._lend_to(unit)
            except OSError as error:  # a full disk, no descriptors: the unit goes on alone
                log.info("no core was lent to %s: %s", unit, error)
            finally:
                with self._changed:
                    self._lent.discard(unit)

    def _lend_to(self, unit: str) -> None:
        with self.compute.spare_permit() as granted, self._changed:
            if granted and unit in self._at_work:
                self._at_work[unit].lend()
                self._changed.wait_for(lambda: unit not in self._at_work)

    def _next(self) -> str | None:
        """A unit that has its own permit, which it gets before its task is written down, and no second one."""
        if len(self._at_work) + len(self._lent) >= self.workers:
            return None
        begun = (unit for unit, task in self._at_work.items() if (task.scratch / TASK_FILE).exists())
        return next((unit for unit in begun if unit not in self._lent), None)
