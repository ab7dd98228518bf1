"""What `process` begins before it imports anything: the nursery of runs, which is what it would else wait for.

Belongs here: nothing that imports for long. Does not belong here: what is done with the nursery (process).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from operations.cli.output import UsageProblem
from resources.postgres import EmbeddedPostgres
from resources.runs.nursery import Nursery
from resources.settings import Settings


@contextlib.contextmanager
def begun_nursery(settings: Settings, assets: Sequence[str] | None) -> Iterator[Nursery]:
    """A nursery that gets ready while the caller gets ready, unless one answers; ended when left.

    It waits for the database, which need not be up yet. Raises `UsageProblem` for an asset nobody declares.
    """
    if assets is not None:
        _require_declared(assets)
    nursery = Nursery(settings.home)
    try:
        nursery.begin(settings, settings.database_url or EmbeddedPostgres(settings.home).address())
        yield nursery
    finally:
        nursery.stop()


def _require_declared(assets: Sequence[str]) -> None:
    from media_assets.declared import declared

    catalogue = declared()
    unknown = sorted(set(assets) - set(catalogue))
    if unknown or not assets:
        named = ", ".join(unknown) or "without a name"
        raise UsageProblem(f"--only: there is no asset {named}; the assets are {', '.join(catalogue)}")
