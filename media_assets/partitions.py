"""The one partition set: a source is a partition, its key the source key.

Belongs here: the set and adding to it in lots. Does not belong here: registering sources (resources/intake).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import dagster as dg

from resources.dagster_bindings.instance import PARTITIONS, add_partitions

LOT = 1_000  # each call invalidates every asset's status cache once; tens of thousands in one call failed elsewhere

sources = dg.DynamicPartitionsDefinition(name=PARTITIONS)


def in_lots(keys: Iterable[str], lot: int = LOT) -> Iterator[list[str]]:
    """`keys` in lists of at most `lot`, in order."""
    remaining = iter(keys)
    while batch := list(islice(remaining, lot)):
        yield batch


def add_sources(instance: dg.DagsterInstance, keys: Sequence[str]) -> None:
    """Add the partitions that are missing; one that exists is left as it is."""
    for batch in in_lots(keys):
        add_partitions(instance, batch)
