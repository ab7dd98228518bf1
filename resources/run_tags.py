"""The tags a run carries, spelled once for those who write them and those who read them.

Belongs here: names, Dagster's own among them, and the tags of an order. Does not belong here: what a step makes of them
(resources/attempts).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLI = "cli"  # the actor of whatever a command asks for

ARRIVAL = "sourcebound/arrival"  # the id that goes through run, workers, manifests and log lines
ATTEMPT = "sourcebound/attempt"  # counts the runs of a source, from 1
CALL = "sourcebound/call"  # the command-line call that asked
ACTOR = "sourcebound/actor"
SOURCE = "sourcebound/source"
WORKER = "sourcebound/worker"  # resources.identity.Identity, as text, of the process that executes the run

# Dagster's own, as its core spells them.
PARTITION = "dagster/partition"
PRIORITY = "dagster/priority"
RUN_KEY = "dagster/run_key"


def of_order(order: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a run a command asked for, from a `SourceOrder` as JSON."""
    named = {ACTOR: CLI, CALL: order["call_id"], ARRIVAL: order["arrival"]}
    return {name: value for name, value in named.items() if value}
