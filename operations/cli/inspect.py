"""Commands that look: status and artifacts.

Belongs here: tables and JSON. Does not belong here: computing what is shown (resources/status).
"""

from __future__ import annotations

import time
from collections import Counter
from fractions import Fraction
from typing import Any

from operations.cli.output import print_json, say, show, show_table, shown_state
from operations.cli.sources import find_source, open_existing
from operations.session import Session, has_state
from processing.failures import ContractBroken
from processing.timeline import from_rational
from resources.house import open_store
from resources.ledger.rows import AssetRow, SourceRow
from resources.settings import Settings
from resources.status import exit_status, overall, report, source_entry
from resources.store.store import Store

SHOWN_SOURCES = 500  # rows of a table; --json has all of them
SHOWN_HASH = 12  # characters of a recipe's hash: enough to find its folder


def show_status(settings: Settings, text: str | None, *, as_json: bool) -> int:
    """Print one source or all of them. Raises `UsageProblem` where none is meant."""
    started = time.monotonic()
    if text is None and not has_state(settings):
        if as_json:
            print_json(report([], time.monotonic() - started))
        else:
            say(f"nothing was done in {settings.home} yet; SOURCEBOUND_HOME names another home")
        return 0
    with open_existing(settings) as session:
        if text is not None:
            return _show_source(session, find_source(session, text), as_json=as_json)
        rows = session.ledger.sources()
        if not as_json:
            return _show_sources(session, rows)
        store = open_store(settings)
        entries = [source_entry(session.ledger, store, row) for row in rows]
        print_json(report(entries, time.monotonic() - started))
        return exit_status(entry["state"] for entry in entries)


def show_artifacts(settings: Settings, text: str, *, as_json: bool) -> int:
    """Print every artifact of a source. Raises `UsageProblem` where none is meant."""
    with open_existing(settings) as session:
        entry = source_entry(session.ledger, open_store(settings), find_source(session, text))
    if as_json:
        print_json(entry)
    else:
        made = {name: asset for name, asset in entry["assets"].items() if asset["recipe_hash"]}
        show_table(
            ("asset", "recipe", "files", "bytes", "class", "checks"),
            [_artifact_row(name, asset) for name, asset in made.items()],
        )
        say("files, hashes, addresses and every check: --json; the files themselves: sourcebound get")
    return exit_status([entry["state"]])


def _show_sources(session: Session, rows: list[SourceRow]) -> int:
    if not rows:
        say(f"no sources yet: drop a media file into {session.settings.inbox}, or `sourcebound process FILE`")
        return 0
    known = session.ledger.states_of([row.key for row in rows])
    found = [(row.key, *overall(known[row.key])) for row in rows]
    show_table(
        ("source", "state", "cause"),
        [(key, shown_state(state.value), cause or "") for key, state, cause in found[:SHOWN_SOURCES]],
    )
    if len(found) > SHOWN_SOURCES:
        say(f"{len(found) - SHOWN_SOURCES} more; --json prints all")
    counts = Counter(state.value for _, state, _ in found)
    say(", ".join(f"{count} {state}" for state, count in sorted(counts.items())))
    return exit_status(counts)


def _show_source(session: Session, row: SourceRow, *, as_json: bool) -> int:
    if as_json:
        entry = source_entry(session.ledger, open_store(session.settings), row)
        print_json(entry)
        return exit_status([entry["state"]])
    states = session.ledger.states(row.key)
    state, cause = overall(states)
    show(f"{row.key} is {state.value}{': ' + cause if cause else ''}")
    show(row.location)
    store = open_store(session.settings)
    show_table(
        ("asset", "state", "cause"),
        [(name, shown_state(item.state.value), item.cause or _part(store, item)) for name, item in states.items()],
    )
    return exit_status([state.value])


def _part(store: Store, row: AssetRow) -> str:
    """How much of the source an artifact holds, where that is not all of it."""
    try:
        manifest = store.find(row.asset, row.recipe_hash) if row.recipe_hash else None
    except ContractBroken as failure:
        return failure.cause
    share = from_rational(dict(manifest.completeness)) if manifest else Fraction(1)
    return f"{float(share):.0%} of the source: the rest is damaged or missing" if share < 1 else ""


def _artifact_row(name: str, asset: dict[str, Any]) -> tuple[str, ...]:
    verdicts = Counter(asset["checks"].values())
    return (
        name,
        asset["recipe_hash"][:SHOWN_HASH],
        str(len(asset["files"])),
        f"{sum(file['bytes'] for file in asset['files']):,}",
        asset["determinism"] or "",
        ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())),
    )
