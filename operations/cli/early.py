"""What `process` begins before it imports anything: the process its first run will need, for which it would else wait.

Belongs here: nothing that imports for long. Does not belong here: what is done with the nursery (process).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from operations.cli.output import UsageProblem
from resources.postgres.server import EmbeddedPostgres
from resources.runs.nursery import Nursery
from resources.settings import Settings

WORKS = "media_assets.declared:works"  # what can be made, by name: only the run's process imports it


@contextlib.contextmanager
def begun_nursery(settings: Settings, assets: Sequence[str] | None, *, call_id: str, files: int) -> Iterator[Nursery]:
    """A nursery that gets ready while the caller gets ready, unless one answers; ended when left.

    For a single file it is that file's run that gets ready. Both wait for the database, which need not be up yet.
    Raises `UsageProblem` for an asset nobody declares.
    """
    if assets is not None:
        _require_declared(assets)
    nursery = Nursery(settings.home)
    try:
        address = settings.database_url or EmbeddedPostgres(settings.home).address()
        if files == 1:
            nursery.begin_first(settings, address, call_id, WORKS)
        else:
            nursery.begin(settings, address)
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
