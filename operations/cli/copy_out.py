"""`sourcebound get`: files out of the house, with nothing in them that leads back into it.

Belongs here: what is copied where, and what is said when it cannot be. Does not belong here: what was made.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from media_assets.declared import declared
from operations.cli.output import UsageProblem, fail, say
from operations.cli.sources import find_source, open_existing
from operations.session import Session
from processing.manifest import Manifest
from resources.house import open_published, open_store
from resources.ledger.rows import SourceRow
from resources.settings import Settings
from resources.store.store import Store


def get_files(settings: Settings, text: str, asset: str | None, to: Path) -> int:
    """Copy one asset's files, a pass's products each below its name, or the published folder with its links resolved.

    Raises `UsageProblem` for an unknown source or asset, and for a folder that cannot be written.
    """
    if asset is not None and asset not in declared():
        raise UsageProblem(f"there is no asset {asset}; the assets are {', '.join(declared())}")
    with open_existing(settings) as session:
        row = find_source(session, text)
        store = open_store(settings)
        if asset is None:
            return _published(session, store, row, to)
        return _artifact(session, store, row, asset, to)


def _published(session: Session, store: Store, row: SourceRow, to: Path) -> int:
    published = open_published(session.settings, store)
    if not published.exists(row.key):
        states = session.ledger.states(row.key)
        if "release" in states:
            fail(f"{row.key} has nothing published yet; `sourcebound status {row.key}` says why")
        else:
            made = ", ".join(states)
            fail(f"{row.key} was asked for {made} only, which publishes nothing; name one of them to copy it")
        return 1
    _make_target(to)
    count = published.copy_out(row.key, to)
    say(f"the published folder of {row.key}, {count} files, is in {to}")
    return 0


def _artifact(session: Session, store: Store, row: SourceRow, asset: str, to: Path) -> int:
    state = session.ledger.states(row.key).get(asset)
    manifest = store.find(asset, state.recipe_hash) if state and state.recipe_hash else None
    if manifest is None:
        why = f" ({state.state.value}{': ' + state.cause if state.cause else ''})" if state else ""
        fail(f"{row.key} has no {asset}{why}")
        return 1
    _make_target(to)
    count = _copy(store, manifest, to)
    for name, recipe_hash in manifest.products.items():
        product = store.find(asset, recipe_hash)
        if product is not None:
            count += _copy(store, product, to / name)
    say(f"{count} files of {asset} of {row.key} are in {to}")
    return 0


def _make_target(to: Path) -> None:
    """Make the folder. Raises `UsageProblem` where it cannot be, or cannot be written."""
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise UsageProblem(f"--to: {to} cannot be made ({reason}); name another folder") from None
    if not os.access(to, os.W_OK | os.X_OK):
        raise UsageProblem(f"--to: {to} cannot be written by this user; name another folder")


def _copy(store: Store, manifest: Manifest, to: Path) -> int:
    folder = store.as_input(manifest, manifest.asset).folder
    for entry in manifest.files:
        target = to / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / entry.path, target)
    return len(manifest.files)
