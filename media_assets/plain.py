"""The graph without Dagster: what a source requires of it, and every asset of a source made in order by plain calls.

Belongs here: which assets a job or a wish comes to, for sensors, commands and intake; the walk, for tests, debugging
and taking many small sources in one process. Does not belong here: making an asset (resources/production).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from media_assets.spec import Declaration, works_of
from processing.failures import Interrupted, WorkFailure
from processing.work import Work
from resources.attempts import RunFacts
from resources.house import House
from resources.intake import Door
from resources.lineage import ancestors
from resources.production import Produced, produce

WORDS = "words"  # the job of what is said and shown, for sources of every kind


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
                needs = works[name].comes_after
                blocked = [
                    failure for need in works[name].depends_on if isinstance(failure := outcomes.get(need), WorkFailure)
                ]
                if blocked:
                    outcomes[name] = blocked[0]
                elif len(running) == at_once or not all(need in outcomes for need in needs if need in selected):
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


def assets_of_part(declarations: Iterable[Declaration], job: str) -> list[str]:
    """All assets that runs of a job make: the media part of a kind, or of words with what is published after them."""
    if job == WORDS:
        found = [each for each in declarations if each.part == "words" or each.work.awaits]
        return [each.name for each in found] if any(each.part == "words" for each in found) else []
    return [each.name for each in declarations if job in each.kinds and each.part == "media"]


def parts_of(
    declarations: Mapping[str, Declaration], kind: str, wanted: Collection[str]
) -> list[tuple[str, tuple[str, ...]]]:
    """The jobs that make `wanted` of a source of `kind`, in their order, each with what it makes of it."""
    of_media = tuple(name for name in assets_of_part(declarations.values(), kind) if name in wanted)
    of_words = tuple(name for name in assets_of_part(declarations.values(), WORDS) if name in wanted)
    has_words = any(declarations[name].part == "words" for name in of_words)
    return [(kind, of_media), *([(WORDS, of_words)] if has_words else [])]


def next_job(declarations: Mapping[str, Declaration], kind: str, left: Collection[str]) -> tuple[str, list[str]]:
    """The job that comes next for a source of `kind` with these assets left, and those of them it makes.

    Picture and sound come first. Words take with them what awaits them, for it is made once more.
    """
    of_media = [name for name in assets_of_part(declarations.values(), kind) if name in left]
    of_words = [name for name in declarations if name in left and declarations[name].part == "words"]
    if of_words and not any(not declarations[name].work.awaits for name in of_media):
        of_job = (declarations[name] for name in assets_of_part(declarations.values(), WORDS))
        awaiting = [each.name for each in of_job if each.part != "words" and kind in each.kinds]
        return WORDS, [*of_words, *awaiting]
    return kind, of_media


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
    return {*assets}.union(*(ancestors(works, name, awaiting=False) for name in assets))
