"""One job a kind of source: its picture and sound, executed in the run's own process; and one job for words.

Belongs here: the selection and the executor. Does not belong here: when one is asked for (sensors).
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from media_assets.plain import WORDS, assets_of_part
from media_assets.spec import KINDS, Declaration
from resources.dagster_bindings.executor import side_by_side_executor

Job = UnresolvedAssetJobDefinition


def build_jobs(declarations: Iterable[Declaration]) -> list[Job]:
    """The jobs `video`, `audio` and `image`, so that a photo's run does not drag every asset along, and `words`.

    Words are a run of their own: who waits for a provider neither delays a picture nor holds its slot.
    """
    known = list(declarations)
    named: dict[str, str] = {kind: f"Picture and sound of one {kind} source." for kind in KINDS}
    named[WORDS] = "What is said and shown in one source, and the release again with it."
    jobs = []
    for job, description in named.items():
        names = assets_of_part(known, job)
        if names:
            jobs.append(
                dg.define_asset_job(
                    job,
                    selection=dg.AssetSelection.assets(*names),
                    description=description,
                    executor_def=side_by_side_executor,
                )
            )
    return jobs
