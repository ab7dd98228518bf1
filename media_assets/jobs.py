"""One job a kind of source: the assets that kind can have, executed in the run's own process.

Belongs here: the selection and the executor. Does not belong here: when one is asked for (sensors).
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from media_assets.spec import KINDS, Declaration
from resources.dagster_bindings.executor import side_by_side_executor

Job = UnresolvedAssetJobDefinition


def build_jobs(declarations: Iterable[Declaration]) -> list[Job]:
    """The jobs `video`, `audio` and `image`, so that a photo's run does not drag every asset along."""
    known = list(declarations)
    jobs = []
    for kind in KINDS:
        names = [declaration.name for declaration in known if kind in declaration.kinds]
        if names:
            jobs.append(
                dg.define_asset_job(
                    kind,
                    selection=dg.AssetSelection.assets(*names),
                    description=f"Every derivative of one {kind} source.",
                    executor_def=side_by_side_executor,
                )
            )
    return jobs
