"""The first assets of a source, made before the steps of its run begin: while Dagster is still being imported.

Belongs here: making them in the background and handing each to its step, outcome and failure alike. Does not belong
here: making one (production) or the process that has the time for it (runs/first_process).

It only runs ahead until the steps have caught up: with the first step that asks, nothing new is begun here, so that
pools and order are Dagster's from then on. What it makes is made under the run's own id and claim.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from processing.work import Work
from resources import household
from resources.attempts import RunFacts
from resources.production import Produced, produce

log = logging.getLogger(__name__)


class HeadStart:
    """Makes `assets`, in that order, until a step asks for one. `works` is the whole catalogue."""

    def __init__(self, works: Mapping[str, Work], source: str, run: RunFacts, assets: Sequence[str]) -> None:
        self.run_id = run.run_id
        self._works = works
        self._source = source
        self._run = run
        self._assets = tuple(assets)
        self._lock = threading.Lock()
        self._caught_up = False
        self._begun: dict[str, Future[Produced]] = {}
        self._thread = threading.Thread(target=self._go, name="head-start")

    def begin(self) -> None:
        """Start making, in a thread."""
        self._thread.start()

    def take(self, asset: str) -> Produced | None:
        """What became of an asset that was begun, waiting for it; None where the step has to make it itself.

        Raises what making it raised. An asset is handed out once: a step that is tried again makes it anew.
        """
        with self._lock:
            self._caught_up = True
            begun = self._begun.pop(asset, None)
        return begun.result() if begun is not None else None

    def end(self) -> None:
        """Begin nothing more and wait for what is at work."""
        with self._lock:
            self._caught_up = True
        self._thread.join()

    def _go(self) -> None:
        for asset in self._assets:
            with self._lock:
                if self._caught_up:
                    return
                begun = self._begun[asset] = Future[Produced]()
            try:
                begun.set_result(
                    produce(household.the_house(), self._works[asset], self._works, self._source, self._run)
                )
            except BaseException as failure:  # noqa: BLE001 - it is raised where the step takes it
                begun.set_exception(failure)
                return
