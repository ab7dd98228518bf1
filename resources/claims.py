"""One run at a time works on a source: a run claims it before its first step and gives it back at its end.

Belongs here: who waits for whom, and for how long. Does not belong here: the claims themselves (resources/ledger) or
executing a run (resources/dagster_bindings/execution).

Claims keep states truthful: what a dead run left as running is queued again by the claim of the next one. That nothing
is made twice does not rest on them but on the leases of recipes, so a run may go on without its claim.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from processing.failures import WorkFailure
from resources import household
from resources.identity import Identity
from resources.ledger.ledger import Ledger

log = logging.getLogger(__name__)

POLL_S = 0.25
QUEUED_RUN_PATIENCE_S = 20.0  # it holds a run slot and is watched: after 60 s its start is taken for failed


@contextmanager
def claimed(source: str, run_id: str, *, patience_s: float | None, call_id: str | None = None) -> Iterator[bool]:
    """Work under the claim on `source`; False where another run still held it after `patience_s` (None: wait for ever).

    The turn of the call that asked for this run is taken over.

    A stop of this process ends the wait. A database that is gone is no reason not to start: the steps will say so.
    """
    mine = _claim(source, run_id, patience_s, turn_of(call_id) if call_id else None)
    try:
        yield mine
    finally:
        if mine:
            _release(household.the_house().ledger, source, run_id)


def turn_of(call_id: str) -> str:
    """By what a call claims the sources that wait for their turn in it: else a sensor would start them meanwhile."""
    return f"call-{call_id}"


def _claim(source: str, run_id: str, patience_s: float | None, after: str | None) -> bool:
    until = None if patience_s is None else time.monotonic() + patience_s
    identity = Identity.current()
    told = False
    try:
        ledger = household.the_house().ledger
        while not ledger.claim_run(source, run_id, identity, after=after):
            if household.stop_requested() or (until is not None and time.monotonic() > until):
                return False
            if not told:
                log.info("run %s waits for another run of %s", run_id, source)
                told = True
            time.sleep(POLL_S)
    except WorkFailure as failure:
        log.warning("run %s goes on without claiming %s: %s", run_id, source, failure.sentence)
        return False
    return True


def _release(ledger: Ledger, source: str, run_id: str) -> None:
    try:
        ledger.release_run(source, run_id)
    except WorkFailure as failure:  # the claim of a process that ended counts no more
        log.warning("the claim of run %s on %s was not given back: %s", run_id, source, failure.sentence)
