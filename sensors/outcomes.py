"""What is left to do: sources whose run died, was stopped with the house, or waited until now get another run.

Belongs here: the sensor `unfinished`. Does not belong here: new files (folder), the choice (requests), or finding that
a run died (run monitoring, by the launcher's answer).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import dagster as dg

from media_assets.jobs import Job
from media_assets.partitions import add_sources
from media_assets.spec import Declaration
from resources import household
from resources.house import House
from resources.ledger.rows import Unfinished
from resources.ledger.states import AssetState, IllegalMove
from sensors.requests import let_through, look_for_work, requests

log = logging.getLogger(__name__)

INTERVAL_S = 5
ACTOR = "sensor/unfinished"


def look(
    house: House, instance: dg.DagsterInstance, declarations: Mapping[str, Declaration]
) -> tuple[list[dg.RunRequest], str]:
    """The runs to ask for now, and a sentence about those that are not asked for."""
    house.sweep()
    house.ledger.requeue_abandoned(actor=ACTOR)
    unfinished = house.ledger.unfinished()
    if not unfinished:
        return [], "nothing is left to do"
    passed, held = let_through(house, declarations, unfinished)
    chosen, live = look_for_work(house, instance, passed)
    for item in chosen.give_up:
        _give_up(house, item)
    add_sources(instance, [item.source_key for item in chosen.start])
    asked = requests(house.ledger, chosen.start, declarations, actor=ACTOR)
    told = [f"{count} sources wait with their words: {reason}" for reason, count in held.items()]
    return asked, "; ".join([f"{len(unfinished)} sources have work left, {live} runs are queued or at work", *told])


def _give_up(house: House, item: Unfinished) -> None:
    cause = f"{item.restarts} runs ended without any progress; look at their logs, then retry the source"
    log.error("%s: %s", item.source_key, cause)
    try:
        house.ledger.move_many(item.source_key, item.assets, AssetState.FAILED, actor=ACTOR, cause=cause)
    except IllegalMove as refused:  # it moved meanwhile; the others do not wait for it
        log.warning("%s is looked at again: %s", item.source_key, refused)


def build(declarations: Mapping[str, Declaration], jobs: Sequence[Job]) -> dg.SensorDefinition:
    """The sensor `unfinished`."""

    @dg.sensor(
        name="unfinished",
        jobs=jobs,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for runs of sources with work left and no live run.",
    )
    def unfinished(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        asked, sentence = look(household.the_house(), context.instance, declarations)
        return dg.SensorResult(run_requests=asked) if asked else dg.SensorResult(skip_reason=sentence)

    return unfinished
