"""`sourcebound get`: files out of the house, with nothing in them that leads back into it.

Belongs here: what is copied where, that it is what was published, and what is said when it cannot be. Does not belong
here: what was made.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from media_assets.declared import declared
from operations.cli.output import UsageProblem, fail, print_json, say, shortened
from operations.cli.sources import find_source, open_existing
from operations.session import Session
from processing.manifest import FileEntry, Manifest
from processing.release import INDEX_NAME
from processing.work import NOT_APPLICABLE
from resources.house import open_published, open_store
from resources.ledger.rows import SourceRow
from resources.ledger.states import AssetState
from resources.settings import Settings
from resources.store.links import linked_files
from resources.store.published import names_of
from resources.store.store import Store

SHOWN_NAMES = 3  # of damaged files


def get_files(settings: Settings, text: str, asset: str | None, to: Path, *, as_json: bool) -> int:
    """Copy one asset's files, a pass's products each below its name, or the published folder with its links resolved.

    Raises `UsageProblem` for an unknown source or asset, and for a folder that cannot be written.
    """
    if asset is not None and asset not in declared():
        raise UsageProblem(f"there is no asset {asset}; the assets are {', '.join(declared())}")
    with open_existing(settings) as session:
        row = find_source(session, text)
        store = open_store(settings)
        status = _published(session, store, row, to) if asset is None else _artifact(session, store, row, asset, to)
    if as_json and not status:
        print_json({"source": row.key, "asset": asset, "to": str(to.absolute())})
    return status


def _published(session: Session, store: Store, row: SourceRow, to: Path) -> int:
    published = open_published(session.settings, store)
    if not published.exists(row.key):
        states = session.ledger.states(row.key)
        if "release" in states and states["release"].state is AssetState.READY:
            fail(f"the published folder of {row.key} is gone; `sourcebound retry {row.key}` publishes it again")
        elif "release" in states:
            fail(f"{row.key} has nothing published yet; `sourcebound status {row.key}` says why")
        else:
            made = ", ".join(states)
            fail(f"{row.key} was asked for {made} only, which publishes nothing; name one of them to copy it")
        return 1
    _make_target(session.settings, to)
    _require_own(to, row.key)
    count = published.copy_out(row.key, to)
    if _tell_damage(row.key, to, _published_files(session, store, row)):
        return 1
    say(f"the published folder of {row.key}, {count} files, is in {to}")
    return 0


def _artifact(session: Session, store: Store, row: SourceRow, asset: str, to: Path) -> int:
    state = session.ledger.states(row.key).get(asset)
    manifest = store.find(asset, state.recipe_hash) if state and state.recipe_hash else None
    if manifest is None:
        why = f" ({state.state.value}{': ' + state.cause if state.cause else ''})" if state else ""
        fail(f"{row.key} has no {asset}{why or ': it was not asked for, or is not made of ' + row.job + ' files'}")
        return 1
    if NOT_APPLICABLE in manifest.facts:
        fail(f"{row.key} has no {asset}: {manifest.facts[NOT_APPLICABLE]}")
        return 1
    products = {name: store.find(asset, recipe_hash) for name, recipe_hash in manifest.products.items()}
    if lost := [name for name, product in products.items() if product is None]:
        fail(
            f"{shortened(lost, SHOWN_NAMES)} of {row.key} is gone from the store; "
            f"`sourcebound retry {row.key}` makes it again"
        )
        return 1
    _make_target(session.settings, to)
    _require_own(to, row.key)
    files = copy_whole(store, manifest, to)
    for name, product in products.items():
        if product is not None:
            files |= _copy(store, product, to, f"{name}/")
    if _tell_damage(row.key, to, files.items()):
        return 1
    say(f"{len(files)} {'file' if len(files) == 1 else 'files'} of {asset} of {row.key} are in {to}")
    return 0


def _published_files(session: Session, store: Store, row: SourceRow) -> Iterable[tuple[str, FileEntry]]:
    """The names of the release on record. Another may have been published since: then nothing is said of its bytes."""
    state = session.ledger.states(row.key).get("release")
    release = store.find("release", state.recipe_hash) if state and state.recipe_hash else None
    is_it = release is not None and open_published(session.settings, store).shows(row.key, release)
    return names_of(store, release) if release is not None and is_it else ()


def _tell_damage(source: str, to: Path, files: Iterable[tuple[str, FileEntry]]) -> bool:
    """Compare what was copied with what was published; True when something differs, which is told."""
    damaged = [name for name, entry in files if not _is(to / name, entry)]
    if damaged:
        fail(
            f"{shortened(damaged, SHOWN_NAMES)} of {source} is damaged in the store; "
            f"`sourcebound retry {source}` makes it again"
        )
    return bool(damaged)


def _is(path: Path, entry: FileEntry) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
    except FileNotFoundError:
        return False


def _require_own(to: Path, source: str) -> None:
    """Refuse a folder that holds what was published of another source. Raises `UsageProblem`."""
    try:
        found = json.loads((to / INDEX_NAME).read_bytes())
        other = found.get("source") if isinstance(found, dict) else None
    except (OSError, ValueError):
        return
    if other not in (None, source):
        raise UsageProblem(f"--to: {to} holds what was published of {other}; name a folder of its own for {source}")


def _make_target(settings: Settings, to: Path) -> None:
    """Make the folder. Raises `UsageProblem` where it cannot be, cannot be written, or is one of the house's own."""
    real = Path(os.path.realpath(to))
    if real.is_relative_to(os.path.realpath(settings.inbox)):
        raise UsageProblem(f"--to: {to} lies in the inbox, where every file becomes a source; name another folder")
    if any(real.is_relative_to(os.path.realpath(folder)) for folder in settings.own_folders):
        raise UsageProblem(f"--to: {to} lies among what sourcebound keeps itself; name another folder")
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise UsageProblem(f"--to: {to} cannot be made ({reason}); name another folder") from None
    if not os.access(to, os.W_OK | os.X_OK):
        raise UsageProblem(f"--to: {to} cannot be written by this user; name another folder")


def copy_whole(store: Store, manifest: Manifest, to: Path) -> dict[str, FileEntry]:
    """Copy an artifact's files, and those of others that it names as its own; all by their names below `to`."""
    return {**_copy(store, manifest, to, ""), **_copy_links(store, manifest, to)}


def _copy_links(store: Store, manifest: Manifest, to: Path) -> dict[str, FileEntry]:
    """Copy the files of others that an artifact names as its own, such as what a page plays, under those names."""
    copied: dict[str, FileEntry] = {}
    for name, made, entry in linked_files(store, manifest):
        copied[name] = entry
        _copy_file(store.as_input(made, made.asset).folder / entry.path, to / name)
    return copied


def _copy(store: Store, manifest: Manifest, to: Path, below: str) -> dict[str, FileEntry]:
    """Copy an artifact's files that are there; all that it has, by their names below `to`."""
    folder = store.as_input(manifest, manifest.asset).folder
    copied = {f"{below}{entry.path}": entry for entry in manifest.files}
    for name, entry in copied.items():
        _copy_file(folder / entry.path, to / name)
    return copied


def _copy_file(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # what is gone from the store must not be taken for what lay here
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(file, target)
