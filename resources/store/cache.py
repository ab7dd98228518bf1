"""Local copies of artifacts that lie in a bucket, each fetched once and verified before anybody reads it.

Belongs here: the copies. Does not belong here: how bytes are fetched (bucket). Copies are immutable like what they copy
and may be deleted at any time while nothing runs.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from processing.failures import Transient
from processing.manifest import Manifest, list_files


class Cache:
    """Copies below `root`, one folder for each artifact, keyed by what it contains."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, manifest: Manifest, fetch: Callable[[Path], None]) -> Path:
        """The local copy; `fetch(into)` is called when there is none. Raises `Transient` for bytes that differ."""
        final = self._root / manifest.asset / f"{manifest.recipe_hash}-{manifest.data_version[:16]}"
        if final.is_dir():
            return final
        partial = final.with_name(f"{final.name}.{secrets.token_hex(4)}")
        partial.mkdir(parents=True)
        try:
            fetch(partial)
            if list_files(partial) != tuple(sorted(manifest.files, key=lambda entry: entry.path)):
                raise Transient(
                    f"the bucket holds other bytes of {manifest.asset} {manifest.recipe_hash[:12]} than were published",
                    cure="run `sourcebound verify`",
                )
            try:
                partial.rename(final)
            except OSError:
                if not final.is_dir():  # else another process fetched the same meanwhile
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return final
