"""`sourcebound open`: the page of a source in a browser, from the library where it is up, else from the disk.

Belongs here: where the page is, and opening it. Does not belong here: the page (processing/pages), copying (copy_out).
"""

from __future__ import annotations

import shutil
import sys
import webbrowser
from pathlib import Path

from operations.cli.copy_out import copy_whole
from operations.cli.output import fail, print_json, show
from operations.cli.sources import find_source, open_existing
from operations.session import Session, port_of_up
from processing.manifest import Manifest
from processing.pages.dossier_plan import ASSET, PAGE
from resources.house import open_store
from resources.ledger.rows import SourceRow
from resources.settings import Settings
from resources.store.store import Store

LAID_OUT = "pages"  # in the home: pages that were opened while no library was up


def open_page(settings: Settings, text: str, *, as_json: bool) -> int:
    """Open a source's page and print its address. Raises `UsageProblem` where no source is meant."""
    with open_existing(settings) as session:
        row = find_source(session, text)
        store = open_store(settings)
        made = page_of(session, store, row)
        if made is None:
            return 1
        address = _address(session, store, row, made)
    if as_json:
        print_json({"source": row.key, "page": address})
        return 0
    show(address)
    if sys.stdout.isatty():  # who pipes the address wants no window
        webbrowser.open(address)
    return 0


def page_of(session: Session, store: Store, row: SourceRow) -> Manifest | None:
    """The page of a source; where there is none that is said."""
    state = session.ledger.states(row.key).get(ASSET)
    made = store.find(ASSET, state.recipe_hash) if state is not None and state.recipe_hash else None
    if made is not None:
        return made
    if state is None:
        fail(f"{row.key} was asked for some assets only; `sourcebound process FILE --only {ASSET}` makes its page")
    elif state.cause:
        fail(f"{row.key} has no page: {state.cause}")
    else:
        fail(f"{row.key} has no page yet; `sourcebound status {row.key}` says how far it is")
    return None


def _address(session: Session, store: Store, row: SourceRow, made: Manifest) -> str:
    settings = session.settings
    if port_of_up(settings) is not None:
        return f"http://localhost:{settings.library_at}/s/{row.key}/"
    folder = settings.home / LAID_OUT / row.key
    _laid_out(store, made, folder)
    return (folder / PAGE).as_uri()


def _laid_out(store: Store, made: Manifest, folder: Path) -> None:
    """The page and all that it plays, as of now: what lay there may be of before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    copy_whole(store, made, folder)
