"""How a run waits for its turn in a pool, or to try a step again: asleep, and until it is told to stop.

Belongs here: how long to sleep, and the one method of Dagster that says it for pools. Does not belong here: taking a
slot (storage).

As shipped the method takes the least of zero and the times left, which is never above zero: a run that waits spins, on
a whole core, and hears of no stop.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dagster import DagsterExecutionInterruptedError, DagsterInstance, DagsterRunStatus
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext

from resources import household

if TYPE_CHECKING:
    from dagster._core.execution.plan.active import ActiveExecution

STOPPED = "the run was stopped while it waited for its turn"
LOOK_S = 0.25  # how soon a run that waits hears of a stop


def _until_next_look(context: InstanceConcurrencyContext) -> float:
    """Seconds to sleep before slots are asked for again. Raises where this process was asked to stop."""
    _require_going(context._instance, context._run_id)  # noqa: SLF001
    waits = [at - time.time() for at in context._pending_timeouts.values()]  # noqa: SLF001
    return min(LOOK_S, max(0.0, min(waits, default=0.0)))


def sleep_til_ready(active: ActiveExecution, instance: DagsterInstance, run_id: str) -> None:
    """Sleep until a step of the run may begin or be tried again, or the next look. Raises where a stop was asked for.

    Dagster's own sleeps through the whole wait of a step that is tried again, which may be longer than a stop has time.
    """
    _require_going(instance, run_id)
    time.sleep(min(LOOK_S, max(0.0, active.sleep_interval())))  # type: ignore[no-untyped-call]


def _require_going(instance: DagsterInstance, run_id: str) -> None:
    if household.stop_requested():
        _call_canceled(instance, run_id)
        raise DagsterExecutionInterruptedError(STOPPED)


def _call_canceled(instance: DagsterInstance, run_id: str) -> None:
    """Without this the run would be called failed: Dagster cancels only what somebody told it to cancel."""
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status is DagsterRunStatus.STARTED:
        instance.report_run_canceling(run, message=STOPPED)


def sleep_while_waiting() -> None:
    """Let the runs of this process and of its forks wait so."""
    InstanceConcurrencyContext.interval_to_next_pending_claim_check = _until_next_look  # type: ignore[assignment]
