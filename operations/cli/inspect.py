"""Commands that look and steer: status, artifacts, get, cancel, retry, pause, hurry.

Belongs here: finding the source a person means, tables, JSON, copying out. Does not belong here: computing what is shown
(resources/status).
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from operations.cli.output import err, fail, out, print_json, shown_state
from operations.session import Session, open_session
from processing.manifest import Manifest
from resources.house import open_published, open_store
from resources.ledger.rows import SourceRow
from resources.settings import Settings
from resources.status import exit_status, overall, report, source_entry
from resources.store.store import Store

SHOWN_SOURCES = 500  # rows of a table; --json has all of them


class NoSuchSource(ValueError):
    """No source is meant, or more than one."""


def find_source(session: Session, text: str) -> SourceRow:
    """The source whose key is or begins with `text`, or the current one of that file. Raises `NoSuchSource`."""
    matches = session.ledger.find_sources(text, location=os.path.abspath(text))
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise NoSuchSource(f"no source is called {text}; `sourcebound status` lists them")
    keys = ", ".join(row.key for row in matches[:5])
    raise NoSuchSource(
        f"{text} fits {len(matches)} sources ({keys}{', ...' if len(matches) > 5 else ''}); say more of it"
    )


def show_status(settings: Settings, text: str | None, *, as_json: bool) -> int:
    """Print one source or all of them."""
    started = time.monotonic()
    with open_session(settings) as session:
        try:
            rows = [find_source(session, text)] if text else session.ledger.sources()
        except NoSuchSource as error:
            fail(str(error))
            return 2
        if as_json:
            store = open_store(settings)
            entries = [source_entry(session.ledger, store, row) for row in rows]
            print_json(entries[0] if text else report(entries, time.monotonic() - started))
            return exit_status(entry["state"] for entry in entries)
        if text:
            return _print_source(session, rows[0])
        return _print_sources(session, rows)


def _print_sources(session: Session, rows: list[SourceRow]) -> int:
    from rich.table import Table

    if not rows:
        err().print(f"No sources yet: drop a media file into {session.settings.inbox}, or `sourcebound process FILE`.")
        return 0
    table = Table("source", "state", "cause", box=None, pad_edge=False)
    states = []
    known = session.ledger.states_of([row.key for row in rows[:SHOWN_SOURCES]])
    for row in rows[:SHOWN_SOURCES]:
        state, cause = overall(known[row.key])
        states.append(state.value)
        table.add_row(row.key, shown_state(state.value), cause or "")
    out().print(table)
    if len(rows) > SHOWN_SOURCES:
        err().print(f"{len(rows) - SHOWN_SOURCES} more; --json prints all")
    return exit_status(states)


def _print_source(session: Session, row: SourceRow) -> int:
    from rich.table import Table

    states = session.ledger.states(row.key)
    state, cause = overall(states)
    out().print(f"{row.key}: {shown_state(state.value)}{'  ' + cause if cause else ''}", soft_wrap=True)
    out().print(f"{row.location}", soft_wrap=True, markup=False)
    table = Table("asset", "state", "cause", box=None, pad_edge=False)
    for name, item in states.items():
        table.add_row(name, shown_state(item.state.value), item.cause or "")
    out().print(table)
    return exit_status([state.value])


def show_artifacts(settings: Settings, text: str, *, as_json: bool) -> int:
    """Print every artifact of a source."""
    from rich.table import Table

    with open_session(settings) as session:
        try:
            row = find_source(session, text)
        except NoSuchSource as error:
            fail(str(error))
            return 2
        entry = source_entry(session.ledger, open_store(settings), row)
        if as_json:
            print_json(entry)
            return exit_status([entry["state"]])
        for name, asset in entry["assets"].items():
            if asset["recipe_hash"] is None:
                continue
            size = sum(file["bytes"] for file in asset["files"])
            out().print(
                f"[bold]{name}[/bold]  {asset['recipe_hash'][:12]}  {size:,} bytes  {asset['uri']}", soft_wrap=True
            )
            table = Table("check", "verdict", box=None, pad_edge=False)
            for clause, verdict in asset["checks"].items():
                table.add_row(clause, verdict)
            out().print(table)
        return exit_status([entry["state"]])


def get_files(settings: Settings, text: str, asset: str | None, to: Path) -> int:
    """Copy one asset's files, or the published folder with its links resolved, into `to`."""
    with open_session(settings) as session:
        try:
            row = find_source(session, text)
        except NoSuchSource as error:
            fail(str(error))
            return 2
        store = open_store(settings)
        if asset is None:
            published = open_published(settings, store)
            if not published.exists(row.key):
                fail(f"{row.key} has nothing published yet; `sourcebound status {row.key}` says why")
                return 1
            published.copy_out(row.key, to)
            err().print(f"published folder of {row.key} is in {to}", markup=False)
            return 0
        state = session.ledger.states(row.key).get(asset)
        manifest = store.find(asset, state.recipe_hash) if state and state.recipe_hash else None
        if manifest is None:
            fail(f"{row.key} has no {asset}" + (f": {state.cause}" if state and state.cause else ""))
            return 1
        count = _copy_artifact(store, manifest, to)
        err().print(f"{count} files of {asset} of {row.key} are in {to}", markup=False)
        return 0


def _copy_artifact(store: Store, manifest: Manifest, to: Path) -> int:
    count = _copy_files(store, manifest, to)
    for name, recipe_hash in manifest.products.items():
        product = store.find(manifest.asset, recipe_hash)
        if product is not None:
            count += _copy_files(store, product, to / name)
    return count


def _copy_files(store: Store, manifest: Manifest, to: Path) -> int:
    folder = store.as_input(manifest, manifest.asset).folder
    for entry in manifest.files:
        target = to / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / entry.path, target)
    return len(manifest.files)


def control(settings: Settings, text: str, action: str) -> int:
    """Cancel, retry, pause or hurry a source, as a recorded decision."""
    with open_session(settings) as session:
        try:
            row = find_source(session, text)
        except NoSuchSource as error:
            fail(str(error))
            return 2
        sentence = session.ledger.control(row.key, action, actor="cli", reason="asked for on the command line")
        err().print(f"{row.key}: {sentence}", markup=False)
        return 0
