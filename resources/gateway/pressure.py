"""Whether more work for a dependency should be begun: what waits already is asked before anything new is.

Belongs here: the decision, pure. Does not belong here: how a dependency is (status) or who begins work (sensors).
"""

from __future__ import annotations

from resources.gateway.limits import CallClass
from resources.gateway.status import DependencyStatus

# How long a class may wait at a dependency before no more of it is begun: a person waits for an interactive call.
LONGEST_WAIT_S = {CallClass.INTERACTIVE: 60.0, CallClass.NORMAL: 300.0, CallClass.BACKFILL: 1800.0}


def held_back(dependency: DependencyStatus, call_class: CallClass) -> str | None:
    """Why nothing new of a class should be begun for a dependency, as a sentence; None where it may."""
    if dependency.breaker == "open" and (dependency.probe_in_s or 0) > 0:
        return f"{dependency.name} is left alone for {dependency.probe_in_s:.0f} s: {dependency.breaker_reason}"
    if dependency.held_for_s is not None:
        return f"{dependency.name} asked to wait for {dependency.held_for_s:.0f} s"
    longest_s = LONGEST_WAIT_S[call_class]
    for each in CallClass:
        queue = dependency.queues.get(each.name.lower())
        if each <= call_class and queue is not None and max(queue.oldest_s, queue.drained_s or 0) > longest_s:
            waiting = f"{queue.waiting} {each.name.lower()} calls wait for {dependency.name}"
            return f"{waiting}, the oldest for {queue.oldest_s:.0f} s"
    return None
