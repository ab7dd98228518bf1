"""The tags a run carries, spelled once for those who write them and those who read them.

Belongs here: names, Dagster's own among them. Does not belong here: their values.
"""

from __future__ import annotations

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
