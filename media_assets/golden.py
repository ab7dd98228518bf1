"""The scores of the models in use, as an asset of its own: a table a release, and a check a task.

Belongs here: what Dagster is told of them. Does not belong here: holding a release against its set (resources/golden).

It is no derivative of a source and has no partition: it is made anew when somebody asks for it, and its checks say
which of the models in use keep their bars. Nothing of a source waits for it.
"""

# No postponed annotations here: Dagster looks at the class that annotates an asset's context.
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster import AssetExecutionContext

from media_assets.policies import WORDS_POOL
from processing.asking import AskTask
from processing.failures import WorkFailure
from resources import household

NAME = "golden_scores"


def _check(task: AskTask) -> str:
    return f"{task.value}_keeps_its_bars"


@dg.asset(
    key=NAME,
    group_name="models",
    owners=["team:words"],
    pool=WORDS_POOL.name,
    description="How well the models in use do on the golden set of their task; tables as Parquet in the home.",
    check_specs=[
        dg.AssetCheckSpec(_check(task), asset=NAME, description=f"The first model of {task.value} keeps every bar.")
        for task in AskTask
    ],
)
def golden_scores(context: AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]  # so by Dagster
    """Hold the first release of each task against its golden set."""
    checks, metadata = [], dict[str, Any]()
    for task, passed, found in _held(context.run_id):
        checks.append(
            dg.AssetCheckResult(
                check_name=_check(task), passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata={"found": found}
            )
        )
        metadata[task.value] = found
    return dg.MaterializeResult(metadata=metadata, check_results=checks)


def _held(run_id: str) -> Iterator[tuple[AskTask, bool, str]]:
    """Each task, whether its first release keeps the bars, and a sentence about it."""
    from resources import golden

    house = household.the_house()
    for task in AskTask:
        if not house.words.registry.chosen.get(task):
            yield task, True, f"no model for {task.value} is configured"
            continue
        releases = house.words.registry.used(task)
        if not releases:
            yield task, False, "no model of it can be had"
            continue
        try:
            held = golden.hold(house, releases[0], actor="dagster", run_id=run_id, told=lambda _item: None)
        except WorkFailure as failure:
            yield task, False, failure.sentence
        else:
            yield task, held.passed, golden.told_of(held)


golden_job = dg.define_asset_job(
    "golden",
    selection=dg.AssetSelection.assets(NAME),
    description="Hold the models in use against their golden sets.",
    executor_def=dg.in_process_executor,
)
