"""At the end of a pass: cores that have nothing more to do are lent to the units that are still at work.

Belongs here: which task gets a core, and for how long the permit for it is held. Does not belong here: what a task does
with a second core (processing/chunks/beside), or permits (compute/permits).

Without it a core is idle for half a unit at the end of every source, on average.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from processing.work import Task
from resources.compute.port import ComputePort

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
            with self.compute.spare_permit() as granted, self._changed:
                while granted and unit in self._at_work:
                    self._at_work[unit].lend()  # again, for a try that begins anew clears its folder
                    self._changed.wait(LOOK_S)
                self._lent.discard(unit)

    def _next(self) -> str | None:
        if len(self._at_work) + len(self._lent) >= self.workers:
            return None
        return next((unit for unit in self._at_work if unit not in self._lent), None)
