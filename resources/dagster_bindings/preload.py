"""All that executing a run needs, imported and built once, in the process that forks runs.

Belongs here: what is loaded beforehand, and the instance of such a process. Does not belong here: forking
(resources/runs/keeper).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import cast

from dagster import DagsterInstance

from resources.dagster_bindings.execution import code_location
from resources.dagster_bindings.instance import set_pool_limits
from resources.postgres.database import wait_for_database

POOL_LIMITS = "pool_limits"  # in the metadata of the definitions: pool name to number of slots
IMPORTED_BY_RUNS = (  # else every run imports them for itself
    "dagster._core.execution.api",
    "dagster._core.execution.plan.active",
    "dagster._core.execution.context_creation_job",
    "dagster._core.execution.plan.execute_plan",
    "dagster._core.execution.plan.instance_concurrency_context",
    "dagster._core.instance.runs.run_domain",
    "dagster._core.storage.noop_compute_log_manager",
    "dagster._core.system_config.composite_descent",
    "dagster._grpc.impl",
    "dagster._utils.hosted_user_process",
    "resources.claims",
    "resources.production",
)


def preload() -> DagsterInstance:
    """Import and build all that executing a run needs, and return the instance of this process's DAGSTER_HOME."""
    for name in IMPORTED_BY_RUNS:
        importlib.import_module(name)

    definition = code_location()[0].get_definition()
    definition.load_all_definitions()
    for job in definition.get_all_jobs():
        job.get_job_snapshot_id()
    wait_for_database(os.environ["SOURCEBOUND_DATABASE_URL"])  # whoever started us may still be starting it
    instance = DagsterInstance.get()
    # Before the first run: two runs that meet a pool without a limit both insert the default, and one of them fails.
    set_pool_limits(instance, cast("Mapping[str, int]", (definition.metadata or {})[POOL_LIMITS].value))
    return instance
