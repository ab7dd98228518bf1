"""Asking for runs: which sources get one now, with what key, tags and assets.

Belongs here: the choice, as a pure function, and its Dagster form. Does not belong here: noticing files (folder) or
ends (outcomes), which both ask through here.

The queue is kept short on purpose: what waits in the ledger can still be hurried, paused or cancelled, and a sensor's
look at the queue costs what the queue is long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from resources import run_tags
from resources.dagster_bindings import PARTITION_TAG, PRIORITY_TAG
from resources.ledger.ledger import Ledger
from resources.ledger.rows import Unfinished

IN_FLIGHT = 64  # runs queued or at work: more than any machine's slots, few enough to list in 50 ms
REQUEST_SETTLES_S = 20.0  # a request is a queued run within a second or two; until then it is not asked for again
LIVE = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


@dataclass(frozen=True, slots=True)
class Choice:
    """`start` get a run now; `give_up` had too many that led nowhere."""

    start: tuple[Unfinished, ...]
    give_up: tuple[Unfinished, ...]


def choose(
    unfinished: Iterable[Unfinished], live: Collection[str], now: datetime, *, room: int, max_restarts: int
) -> Choice:
    """Which sources get a run, in the order given. Pure.

    `live` are the sources with a run queued or at work, `room` how many more runs may be asked for, `now` has a time
    zone.
    """
    start: list[Unfinished] = []
    give_up: list[Unfinished] = []
    settles = timedelta(seconds=REQUEST_SETTLES_S)
    for item in unfinished:
        if item.source_key in live or (item.requested_at is not None and now - item.requested_at < settles):
            continue
        if item.restarts > max_restarts:
            give_up.append(item)
        elif len(start) < room:
            start.append(item)
    return Choice(tuple(start), tuple(give_up))


def live_sources(instance: dg.DagsterInstance) -> list[str]:
    """The source of every run that is queued or at work, one entry a run."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=list(LIVE)))
    return [run.tags.get(PARTITION_TAG, "") for run in runs]


def requests(
    ledger: Ledger, chosen: Sequence[Unfinished], jobs: Mapping[str, Collection[str]], *, actor: str
) -> list[dg.RunRequest]:
    """Number the runs of the chosen sources in the ledger and put them into Dagster's words.

    `jobs` maps a job to its assets: where less is left to do, or less was wished for, the run has only that.
    """
    found = []
    by_job: dict[str, list[Unfinished]] = {}
    for item in chosen:
        by_job.setdefault(item.job, []).append(item)
    for job, items in by_job.items():
        keys = ledger.next_runs([item.source_key for item in items], job=job, actor=actor)
        found += [_request(item, keys[item.source_key], jobs[job], actor) for item in items if item.source_key in keys]
    return found


def _request(item: Unfinished, run_key: str, job_assets: Collection[str], actor: str) -> dg.RunRequest:
    left = [name for name in item.assets if name in job_assets]
    return dg.RunRequest(
        run_key=run_key,
        job_name=item.job,
        partition_key=item.source_key,
        asset_selection=[dg.AssetKey(name) for name in left] if set(left) != set(job_assets) else None,
        tags={
            PARTITION_TAG: item.source_key,  # said here, Dagster need not look it up once more for each request
            run_tags.SOURCE: item.source_key,
            run_tags.ARRIVAL: item.arrival_id,
            run_tags.ATTEMPT: run_key.rpartition(":")[2],
            run_tags.ACTOR: actor,
            PRIORITY_TAG: str(item.priority),
        },
    )
