"""The Dagster instance of a home: made, used in a `with`, told its pools and partitions.

Belongs here: what is done with an instance that is no run. Does not belong here: its storage (storage), runs
(execution).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from dagster import DagsterInstance

from resources.dagster_bindings.storage import close_connections
from resources.dagster_home import process_environment, write_instance_files
from resources.settings import Settings

PARTITIONS = "sources"


def instance_for(settings: Settings, database_url: str) -> DagsterInstance:
    """The Dagster instance of a home, for this process and, by the environment it sets, for its children.

    The database must be up. Use it in a `with`.
    """
    folder = write_instance_files(settings)
    os.environ.update(process_environment(settings, database_url))
    return DagsterInstance.from_config(str(folder))


def set_pool_limits(instance: DagsterInstance, limits: Mapping[str, int]) -> None:
    """Give every named pool its number of slots, which replaces what the database had."""
    storage = instance.event_log_storage
    known = {pool.name: pool.limit for pool in storage.get_pool_limits() if not pool.from_default}
    for name, limit in limits.items():
        if known.get(name) != limit:
            storage.set_concurrency_slots(name, limit)


@contextmanager
def closing(instance: DagsterInstance) -> Iterator[DagsterInstance]:
    """Dispose of the instance and of its connections at the end."""
    with instance:
        yield instance
    close_connections()


def add_partitions(instance: DagsterInstance, keys: Sequence[str]) -> None:
    """Make the partitions `keys` exist; those that do are left as they are."""
    instance.add_dynamic_partitions(PARTITIONS, list(keys))
