"""The one place where everything is put together, and the only wiring that happens at import.

Belongs here: which declarations, sensors and resources there are. Does not belong here: anything else.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from media_assets.build import HOUSE_KEY, HouseResource, build_asset
from media_assets.declared import declared
from media_assets.golden import golden_job, golden_scores
from media_assets.jobs import build_jobs
from media_assets.policies import POOLS
from media_assets.spec import Declaration, catalogue, works_of
from resources.dagster_bindings.executor import side_by_side_executor
from resources.dagster_bindings.preload import POOL_LIMITS

# Named, not imported: sensors know the assets, and an arrow back would make the two rooms one.
NOTICING = ("sensors.folder", "sensors.outcomes")


def build_defs(
    *, declarations: Iterable[Declaration] | None = None, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Everything Dagster is told, of `declarations` or of all there are. Raises `IncompleteDeclaration`."""
    known = declared() if declarations is None else catalogue(declarations)
    works = works_of(known)
    jobs = build_jobs(known.values())
    return dg.Definitions(
        assets=[*(build_asset(declaration, works) for declaration in known.values()), golden_scores],
        jobs=[*jobs, golden_job],
        sensors=[importlib.import_module(name).build(known, jobs) for name in NOTICING],
        resources={HOUSE_KEY: HouseResource(), **(resource_overrides or {})},
        executor=side_by_side_executor,
        metadata={POOL_LIMITS: {pool.name: pool.limit for pool in POOLS}},
    )


defs = build_defs()
