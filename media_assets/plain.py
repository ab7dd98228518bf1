"""The graph without Dagster: what a source requires of it, and every asset of a source made in order by plain calls.

Belongs here: which assets a job or a wish comes to, for sensors, commands and intake; the walk, for tests, debugging
and taking many small sources in one process. Does not belong here: making an asset (resources/production).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from media_assets.spec import KINDS, Declaration, works_of
from processing.failures import Interrupted, WorkFailure
from processing.work import Work
from resources.attempts import RunFacts
from resources.house import House
from resources.intake import Door
from resources.production import Produced, produce


def make_source(
    house: House,
    declarations: Mapping[str, Declaration],
    source_key: str,
    run: RunFacts,
    assets: Sequence[str],
    *,
    at_once: int = 1,
) -> dict[str, Produced | WorkFailure]:
    """Make `assets` and what they need, in catalogue order, up to `at_once` side by side.

    An asset whose need failed has that failure. Raises `Interrupted` when the house is stopped or the source is
    cancelled or paused.
    """
    works = works_of(declarations)
    selected = with_needs(works, assets)
    waiting = [name for name in works if name in selected]
    outcomes: dict[str, Produced | WorkFailure] = {}
    running: dict[Future[Produced], str] = {}
    with ThreadPoolExecutor(at_once, thread_name_prefix="asset") as threads:
        while waiting or running:
            for name in [*waiting]:
                needs = works[name].depends_on
                blocked = [failure for need in needs if isinstance(failure := outcomes.get(need), WorkFailure)]
                if blocked:
                    outcomes[name] = blocked[0]
                elif len(running) == at_once or not all(need in outcomes for need in needs):
                    continue
                else:
                    running[threads.submit(produce, house, works[name], works, source_key, run)] = name
                waiting.remove(name)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                try:
                    outcomes[name] = future.result()
                except Interrupted:
                    raise
                except WorkFailure as failure:
                    outcomes[name] = failure
    return {name: outcomes[name] for name in works if name in selected}


def required_assets(declarations: Mapping[str, Declaration], job: str, assets: Sequence[str] | None) -> list[str]:
    """What a source of `job` must have, in catalogue order: `assets` and their needs, or everything of the job."""
    works = works_of(declarations)
    wanted = with_needs(works, assets) if assets else {n for n, d in declarations.items() if job in d.kinds}
    return [name for name in declarations if name in wanted]


def assets_by_job(declarations: Mapping[str, Declaration]) -> dict[str, list[str]]:
    """All assets of each job."""
    return {kind: required_assets(declarations, kind, None) for kind in KINDS}


def door_of(
    declarations: Mapping[str, Declaration], only: Sequence[str] | None = None, *, else_only: Sequence[str] = ()
) -> Door:
    """What intake must know of the catalogue.

    With `only`, a source requires no more than that, whatever is said of it; with `else_only` where nothing is said.
    """
    return Door(
        known_assets=frozenset(declarations),
        required=lambda job, named: required_assets(declarations, job, only or named or else_only or None),
        made_by=lambda job: required_assets(declarations, job, None),
    )


def with_needs(works: Mapping[str, Work], assets: Sequence[str]) -> set[str]:
    """`assets` and all that they need, directly or through others. Raises KeyError for an unknown asset."""
    wanted: set[str] = set()
    frontier = list(assets)
    while frontier:
        name = frontier.pop()
        if name not in wanted:
            wanted.add(name)
            frontier.extend(works[name].depends_on)
    return wanted
