"""The one house of this process: opened at the first use, shared by all steps and runs, asked to stop by signals.

Belongs here: who may open it, and a stop that was asked for before it was open. Does not belong here: what a house
consists of (resources/house).
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from processing.failures import WorkFailure
from resources import run_log
from resources.ledger.states import DONE

if TYPE_CHECKING:
    from resources.head_start import HeadStart
    from resources.house import House
    from resources.production import Produced

log = logging.getLogger(__name__)

_lock = threading.Lock()
_house: House | None = None
_stop_requested = False
_call_id: str | None = None
_head_start: HeadStart | None = None


def the_house() -> House:
    """The house of this process, opened from its settings if nobody did. Raises what opening raises."""
    global _house  # noqa: PLW0603 - one per process is the point of this module
    with _lock:
        if _house is None:
            from resources.house import open_house
            from resources.settings import load_settings

            settings = load_settings()
            run_log.configure(settings.log_level)
            if settings.database_url is None:
                raise RuntimeError("no database is named: SOURCEBOUND_DATABASE_URL is set by whoever starts a run")
            _house = open_house(settings, settings.database_url, workers=settings.workers, call_id=_call_id)
            if _stop_requested:
                _house.request_stop()
        return _house


def adopt(house: House | None) -> None:
    """Make `house`, which the caller opened and will close, the house of this process; None takes it back."""
    global _house  # noqa: PLW0603
    with _lock:
        _house = house


def work_for(call_id: str | None) -> None:
    """Share the bound of workers with all processes that work for this call. Before the house is opened."""
    global _call_id  # noqa: PLW0603
    _call_id = call_id


def expect_work(source: str) -> None:
    """Start what takes time to start, in the background, unless all of the source is made. Never fails."""
    try:
        house = the_house()
        if not all(row.state in DONE for row in house.ledger.states(source).values()):
            house.compute.warm()
    except WorkFailure as failure:
        log.info("nothing was started early for %s: %s", source, failure.sentence)


def run_ahead(head_start: HeadStart) -> None:
    """Begin the first assets of this process's run before their steps."""
    global _head_start  # noqa: PLW0603
    _head_start = head_start
    head_start.begin()


def begun(asset: str, run_id: str) -> Produced | None:
    """What became of an asset that was begun before its step; None where it was not. Raises what making it raised."""
    if _head_start is None or _head_start.run_id != run_id:
        return None
    return _head_start.take(asset)


def request_stop() -> None:
    """No new work starts in this process, now or when its house is opened later. Safe in a signal handler."""
    global _stop_requested  # noqa: PLW0603
    _stop_requested = True
    if _house is not None:
        _house.request_stop()


def end_work_now() -> None:
    """Kill what the workers of this process do: the time a stop leaves them is over. Safe in a signal handler."""
    request_stop()
    if _house is not None:
        _house.compute.kill_all()


def stop_requested() -> bool:
    """Whether this process was asked to stop."""
    return _stop_requested


def close() -> None:
    """Close the house of this process, if it was opened."""
    global _house  # noqa: PLW0603
    if _head_start is not None:
        _head_start.end()
    with _lock:
        if _house is not None:
            _house.close()
            _house = None


def _forget() -> None:
    """A forked child shares no connection and no worker with its parent."""
    global _lock, _house, _stop_requested  # noqa: PLW0603
    _lock = threading.Lock()
    _house = None
    _stop_requested = False


os.register_at_fork(after_in_child=_forget)
