"""Asking for runs: which sources get one now, with what key, tags and assets.

Belongs here: the choice, as a pure function, and its Dagster form. Does not belong here: noticing files (folder) or
ends (outcomes), which both ask through here.

The queue is kept short on purpose: what waits in the ledger can still be hurried, paused or cancelled, and a sensor's
look at the queue costs what the queue is long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from media_assets.plain import WORDS, assets_of_part, next_job
from media_assets.spec import Declaration
from processing.asking import AskTask
from resources import run_tags
from resources.gateway.limits import CallClass, class_of_priority
from resources.house import House
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


def is_fresh(item: Unfinished, now: datetime) -> bool:
    """Whether its last run was asked for so lately that Dagster may not have it yet. `now` has a time zone."""
    return item.requested_at is not None and now - item.requested_at < timedelta(seconds=REQUEST_SETTLES_S)


def choose(
    unfinished: Iterable[Unfinished],
    live: Collection[str],
    ended: Collection[str],
    now: datetime,
    *,
    room: int,
    max_restarts: int,
) -> Choice:
    """Which sources get a run, in the order given. Pure.

    `live` are the sources with a run queued or at work, `ended` the run keys whose runs are over, `room` how many more
    runs may be asked for.
    """
    start: list[Unfinished] = []
    give_up: list[Unfinished] = []
    for item in unfinished:
        if item.source_key in live or (is_fresh(item, now) and item.run_key not in ended):
            continue
        if item.restarts > max_restarts:
            give_up.append(item)
        elif len(start) < room:
            start.append(item)
    return Choice(tuple(start), tuple(give_up))


def live_sources(instance: dg.DagsterInstance) -> list[str]:
    """The source of every run that is queued or at work, one entry a run."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=list(LIVE)))
    return [run.tags.get(run_tags.PARTITION, "") for run in runs]


def ended_requests(
    instance: dg.DagsterInstance, unfinished: Iterable[Unfinished], live: Collection[str], now: datetime
) -> set[str]:
    """Run keys of fresh requests whose run Dagster has and is over: a run that was killed need not be waited for."""
    keys = [item.run_key for item in unfinished if item.run_key and item.source_key not in live and is_fresh(item, now)]
    return {key for key in keys[:IN_FLIGHT] if instance.get_runs(dg.RunsFilter(tags={run_tags.RUN_KEY: key}), limit=1)}


def look_for_work(house: House, instance: dg.DagsterInstance, unfinished: Sequence[Unfinished]) -> tuple[Choice, int]:
    """The choice among `unfinished` as Dagster's queue is now, and how many runs are queued or at work."""
    now = datetime.now(UTC)
    live = live_sources(instance)
    ended = ended_requests(instance, unfinished, set(live), now)
    room = max(0, IN_FLIGHT - len(live))
    choice = choose(unfinished, set(live), ended, now, room=room, max_restarts=house.settings.max_restarts)
    return choice, len(live)


def let_through(
    house: House, declarations: Mapping[str, Declaration], unfinished: Sequence[Unfinished]
) -> tuple[list[Unfinished], dict[str, int]]:
    """Those whose next run may begin, and why the others may not, with how many they are.

    Only words are held back, while the models they ask are; pictures never are.
    """
    passed, held = [], Counter[str]()
    known: dict[tuple[frozenset[AskTask], CallClass], str | None] = {}
    for item in unfinished:
        job, left = next_job(declarations, item.job, item.assets)
        tasks = frozenset(task for name in left for task in declarations[name].work.asks)
        key = (tasks, class_of_priority(item.priority))
        if job == WORDS and tasks and key not in known:
            known[key] = house.words.held_back(*key, house.ledger.has_passed)
        reason = known.get(key) if job == WORDS else None
        if reason is None:
            passed.append(item)
        else:
            held[reason] += 1
    return passed, dict(held)


def requests(
    ledger: Ledger, chosen: Sequence[Unfinished], declarations: Mapping[str, Declaration], *, actor: str
) -> list[dg.RunRequest]:
    """Number the runs of the chosen sources in the ledger and put them into Dagster's words.

    Where less is left to do than a job makes, or less was wished for, the run has only that.
    """
    found = []
    by_job: dict[str, list[tuple[Unfinished, list[str]]]] = {}
    for item in chosen:
        job, left = next_job(declarations, item.job, item.assets)
        by_job.setdefault(job, []).append((item, left))
    for job, items in by_job.items():
        whole = set(assets_of_part(declarations.values(), job))
        keys = ledger.next_runs([item.source_key for item, _ in items], job=job, actor=actor)
        found += [
            _request(item, keys[item.source_key], job, None if set(left) == whole else left, actor)
            for item, left in items
            if item.source_key in keys
        ]
    return found


def _request(item: Unfinished, run_key: str, job: str, left: Sequence[str] | None, actor: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=run_key,
        job_name=job,
        partition_key=item.source_key,
        asset_selection=[dg.AssetKey(name) for name in left] if left is not None else None,
        tags={
            run_tags.PARTITION: item.source_key,  # said here, Dagster need not look it up once more for each request
            run_tags.SOURCE: item.source_key,
            run_tags.ARRIVAL: item.arrival_id,
            run_tags.ATTEMPT: run_key.rpartition(":")[2],
            run_tags.ACTOR: actor,
            run_tags.PRIORITY: str(item.priority),
        },
    )
