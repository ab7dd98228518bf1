"""Where work is made before it is published: folders that name their owner and go away.

Belongs here: making, naming and sweeping them. Does not belong here: who is alive (resources/identity) or publishing.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, unquote

from processing.manifest import FileEntry, list_files
from resources.store.troubles import translated

log = logging.getLogger(__name__)

_SEPARATOR = "--"
_PURPOSE_LENGTH = 40  # of 255 bytes a name may have; the rest is the owner's


class Staging:
    """A private folder for one making, on the store's own file system. Removed at the end of the `with` block."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.folder = place / "work"
        self._count = 0

    def __enter__(self) -> Self:
        with translated("making a folder to work in"):
            self.folder.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._place, ignore_errors=True)

    def files(self, folder: Path | None = None) -> tuple[FileEntry, ...]:
        """What was made so far below `folder`, default `work/out`, hashed. Raises OSError, ValueError for a link."""
        return list_files(folder or self.folder / "out")

    def contract_folder(self) -> Path:
        """A new folder for a contract to write to, apart from what it judges."""
        return self._another("contract")

    def empty_folder(self) -> Path:
        """A new empty folder: an artifact that consists of facts only is published from it."""
        return self._another("empty")

    def _another(self, name: str) -> Path:
        self._count += 1
        folder = self._place / f"{name}-{self._count}"
        with translated("making a folder to work in"):
            folder.mkdir()
        return folder


def new_staging(root: Path, purpose: str, owner: str) -> Staging:
    """A staging folder below `root`, not made yet. `owner` is any text that tells later whether its maker lives."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", purpose)[:_PURPOSE_LENGTH].strip("-")
    return Staging(root / _SEPARATOR.join((quote(owner, safe="").replace("-", "%2D"), slug, secrets.token_hex(4))))


def sweep(root: Path, is_alive: Callable[[str], bool]) -> int:
    """Remove the folders whose owner is dead and return how many; a name that tells no owner is left alone."""
    removed = 0
    for place in sorted(root.iterdir()) if root.is_dir() else []:
        owner, separator, _ = place.name.partition(_SEPARATOR)
        if separator and not is_alive(unquote(owner)):
            shutil.rmtree(place, ignore_errors=True)
            removed += 1
    if removed:
        log.info("removed %d staging folders of processes that are gone", removed)
    return removed
