"""A command's first run (`python -m resources.runs.first_process`): it imports Dagster while its first work is made.

Belongs here: waiting for the one order beside the imports, the head start, executing the run. Does not belong here:
what a run is (run_process) or who orders it (first).

The main thread imports; a thread of its own opens the house, reads the order, claims the source and begins.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import logging
import os
import pkgutil
import signal
import socket
import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

# What the first work needs comes before Dagster: both are imported by one thread at a time.
from resources import claims, household, run_log, run_tags
from resources.attempts import RunFacts
from resources.head_start import HeadStart
from resources.identity import Identity
from resources.postgres.database import wait_for_database
from resources.runs import run_process
from resources.runs.messages import Ended, read_line, say
from resources.settings import load_settings

log = logging.getLogger("resources.runs.first_process")  # also where this module is __main__


class _Beginning(threading.Thread):
    """From the order to the first work. `order` is None where none came; then there is nothing to execute."""

    def __init__(self, control: socket.socket, works: str) -> None:
        super().__init__(name="beginning", daemon=True)
        self.run_id = str(uuid.uuid4())
        self.order: Mapping[str, Any] | None = None
        self.held = contextlib.ExitStack()  # the claim
        self._control = control
        self._works = works

    def run(self) -> None:
        try:
            self._begin()
        except Exception:
            log.exception("the run could not begin")
            self.order = None
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)

    def _begin(self) -> None:
        wait_for_database(os.environ["SOURCEBOUND_DATABASE_URL"])
        household.the_house()
        line = read_line(self._control)
        if not line:
            return
        order = json.loads(line)
        self.order = order
        say(self._control, {"worker": Identity.current().to_text()})
        run_log.follow(order["arrival"])
        claim = claims.claimed(order["source"], self.run_id, patience_s=None, call_id=order["call_id"])
        self.held.enter_context(claim)
        if household.stop_requested():
            return
        household.expect_work(order["source"])
        works = pkgutil.resolve_name(self._works)()
        run = RunFacts.of_tags(self.run_id, run_tags.of_order(order), order["assets"] or (), by_hand=run_tags.CLI)
        household.run_ahead(HeadStart(works, order["source"], run, order["begin"]))


def _stop(beginning: _Beginning, grace_s: float, number: int, frame: FrameType | None) -> None:
    """Drain what was begun; with nothing begun there is nothing to wait for, not even the imports."""
    if beginning.order is None:
        os._exit(0)
    run_process.stop(grace_s, number, frame)


def main() -> None:
    """`python -m resources.runs.first_process`: be the first run of a command."""
    parser = argparse.ArgumentParser(description="The first run of a command (started by sourcebound itself).")
    parser.add_argument("--owner", type=int, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--call", required=True)
    parser.add_argument("--works", required=True)
    given = parser.parse_args()
    settings = load_settings()
    run_log.configure(settings.log_level)
    control = socket.socket(fileno=given.control)
    beginning = _Beginning(control, given.works)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, functools.partial(_stop, beginning, settings.stop_grace_s))
    signal.signal(signal.SIGALRM, lambda *_: household.end_work_now())
    run_process.die_with(given.owner)
    household.work_for(given.call)
    beginning.start()
    instance = run_process.preloaded()
    beginning.join()
    last = Ended(True, "CANCELED")
    with beginning.held:
        if beginning.order is not None and not household.stop_requested():
            last = run_process.execute_order(instance, beginning.order, beginning.run_id)
    if beginning.order is not None:
        run_process.finish(control, asdict(last))
    run_process.leave(0)


if __name__ == "__main__":
    main()
