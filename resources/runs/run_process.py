"""What a fork of the nursery does from its first line to its last: become a run, execute it, tell the end.

Belongs here: signals, output and death of such a process, and the three things it may be asked for. Does not belong
here: executing a run inside Dagster (resources/dagster_bindings) or forking (keeper).
"""

from __future__ import annotations

import ctypes
import functools
import gc
import logging
import os
import resource
import signal
import socket
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources import household, run_tags
from resources.run_log import log_file
from resources.runs.messages import Ended, say

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from resources.dagster_bindings.execution import RunOutcome

log = logging.getLogger(__name__)

SHORTEST_GRACE_S = 0.01  # a timer of nothing would never ring
PR_SET_PDEATHSIG = 1  # prctl(2)


def become(home: Path, parent: int, lifeline: int, grace_s: float) -> None:
    """Make the fork a process of its own: session, output, signals, and death together with the nursery."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, functools.partial(stop, grace_s))
    signal.signal(signal.SIGALRM, lambda *_: household.end_work_now())
    die_with(parent)
    os.setsid()
    os.close(lifeline)
    with log_file(home, "runs") as output:
        os.dup2(output, 1)
        os.dup2(output, 2)


def die_with(parent: int) -> None:
    """Be killed when the process that started this one ends, also where it has ended by now."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def stop(grace_s: float, _number: int, _frame: object) -> None:
    """Let running tasks end for `grace_s` seconds, then end them."""
    household.request_stop()
    signal.setitimer(signal.ITIMER_REAL, max(grace_s, SHORTEST_GRACE_S))


def preloaded() -> DagsterInstance:
    """Import and build all that a run needs. What is imported is no garbage: looking for some took a sixth of it."""
    gc.disable()
    from resources.dagster_bindings.preload import preload

    instance = preload()
    gc.freeze()  # what forks share stays shared: the collector of a run does not write into it
    gc.enable()
    return instance


def work(instance: DagsterInstance, message: dict[str, Any], connection: socket.socket) -> None:
    """Do what was asked, in the fork; a caller who waits gets one more line at the end."""
    from resources.dagster_bindings.instance import add_partitions

    last: dict[str, Any] | None = None
    if "run" in message:
        connection.close()
        _log_end(_launched(instance, message["run"]))
    elif "source" in message:
        order = message["source"]
        os.environ.update(order["environment"])
        household.work_for(order["call_id"])
        last = asdict(_ordered(instance, order))
    elif "partitions" in message:
        add_partitions(instance, message["partitions"])
        last = {"added": True}
    finish(connection, last)


def finish(connection: socket.socket, last: dict[str, Any] | None) -> None:
    """Give back what this process holds, then send the last line to a caller who waits for one."""
    from resources.dagster_bindings.storage import close_connections

    household.close()
    close_connections()
    if last is not None:
        if "cpu_seconds" in last:
            last["cpu_seconds"] = round(_cpu_s(), 3)  # the workers were waited for when the house was closed
        say(connection, last)


def _launched(instance: DagsterInstance, run_id: str) -> RunOutcome:
    """Execute a queued run. Another run at work on its source is waited for, but not for ever."""
    from resources import claims
    from resources.dagster_bindings import execution

    source = execution.source_of_run(instance, run_id) or ""
    with claims.claimed(source, run_id, patience_s=claims.QUEUED_RUN_PATIENCE_S):
        household.expect_work(source)
        return execution.run_to_end(instance, run_id)


def _ordered(instance: DagsterInstance, order: Mapping[str, Any]) -> Ended:
    """Make and execute the run a command waits for, once no other run is at work on the source: it then finds all made.

    There is no run before that, for Dagster would take one that does not begin for lost.
    """
    from resources import claims

    run_id = str(uuid.uuid4())
    with claims.claimed(order["source"], run_id, patience_s=None, call_id=order["call_id"]):
        if household.stop_requested():
            return Ended(True, "CANCELED")
        household.expect_work(order["source"])
        return execute_order(instance, order, run_id)


def execute_order(instance: DagsterInstance, order: Mapping[str, Any], run_id: str) -> Ended:
    """Make the run of an order, whose source is claimed, and execute it.

    Runs that died are ended first: no daemon need be there to do it, and they hold slots of the pools.
    """
    from resources.dagster_bindings import execution
    from resources.dagster_bindings.instance import add_partitions

    execution.reap_dead_runs(instance)
    add_partitions(instance, [order["source"]])
    tags = run_tags.of_order(order)
    outcome = execution.execute_run_here(instance, order["source"], order["job"], order["assets"], tags, run_id)
    _log_end(outcome)
    return Ended(True, outcome.status, outcome.run_id, outcome.seconds)


def _log_end(outcome: RunOutcome) -> None:
    log.info("run %s: %s after %.2f s", outcome.run_id, outcome.status, outcome.seconds)


def _cpu_s() -> float:
    """CPU seconds of this process and of those it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def leave(status: int) -> None:
    """End the fork without the clean-up of the nursery it was copied from."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
