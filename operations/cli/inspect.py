"""Commands that look: status and artifacts.

Belongs here: tables and JSON. Does not belong here: computing what is shown (resources/status).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from operations.cli.output import UsageProblem, print_json, say, show, show_table, shown_state
from operations.cli.sources import find_source, open_existing
from operations.session import Session, has_state, port_of_up
from processing.failures import ContractBroken
from processing.timeline import from_rational
from resources.house import open_store
from resources.ledger.rows import AssetRow, Progress, SourceRow
from resources.ledger.states import UNFINISHED, AssetState
from resources.settings import Settings
from resources.status import exit_status, overall, report, source_entry, warnings_of
from resources.store.store import Store

SHOWN_SOURCES = 500  # rows of a table; --json has all of them
SHOWN_HASH = 12  # characters of a recipe's hash: enough to find its folder


def show_status(settings: Settings, text: str | None, *, state: str | None, as_json: bool) -> int:
    """Print one source, or all of them, or those in one state. Raises `UsageProblem` where none is meant."""
    started = time.monotonic()
    if state is not None and (text is not None or state not in set(AssetState)):
        states = ", ".join(AssetState)
        raise UsageProblem(f"--state narrows the list of all sources to one of {states}; it was {state}")
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
            return _show_sources(session, rows, state)
        store = open_store(settings)
        entries = [source_entry(session.ledger, store, row) for row in rows]
        entries = [entry for entry in entries if state in (None, entry["state"])]
        print_json(report(entries, time.monotonic() - started))
        return exit_status(entry["state"] for entry in entries)


def show_artifacts(settings: Settings, text: str, *, as_json: bool) -> int:
    """Print every artifact of a source. Raises `UsageProblem` where none is meant."""
    with open_existing(settings) as session:
        entry = source_entry(session.ledger, open_store(settings), find_source(session, text))
    if as_json:
        print_json(entry)
    elif not any(asset["recipe_hash"] for asset in entry["assets"].values()):
        why = entry["cause"] or f"it is {entry['state']}"
        say(f"nothing is made of {entry['source']}: {why}")
    else:
        made = {name: asset for name, asset in entry["assets"].items() if asset["recipe_hash"]}
        show_table(
            ("asset", "recipe", "files", "bytes", "class", "checks"),
            [_artifact_row(name, asset) for name, asset in made.items()],
        )
        say("files, hashes, addresses and every check: --json; the files themselves: sourcebound get")
    return exit_status([entry["state"]])


def _show_sources(session: Session, rows: list[SourceRow], only: str | None) -> int:
    if not rows:
        say(f"no sources yet: drop a media file into {session.settings.inbox}, or `sourcebound process FILE`")
        return 0
    known = session.ledger.states_of([row.key for row in rows])
    found = [(row, *overall(known[row.key])) for row in rows]
    found = [(row, state, cause) for row, state, cause in found if only in (None, state.value)]
    running = [row.key for row, state, _ in found if state in UNFINISHED]
    progress = session.ledger.progress_of(running)
    show_table(
        ("source", "state", "file", "cause"),
        [
            (row.key, shown_state(state.value), row.path.name, cause or _how_far(progress.get(row.key, {})))
            for row, state, cause in found[:SHOWN_SOURCES]
        ],
    )
    if len(found) > SHOWN_SOURCES:
        say(f"{len(found) - SHOWN_SOURCES} more; --json prints all")
    counts = Counter(state.value for _, state, _ in found)
    say(", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or f"no source is {only}")
    _tell_if_nobody_works(session, running)
    return exit_status(counts)


def _tell_if_nobody_works(session: Session, running: list[str]) -> None:
    """Say that work waits for somebody to do it: its state is that of the last one who did."""
    if running and port_of_up(session.settings) is None and not session.ledger.live_claims(running):
        say("nothing is at work on what is not finished: `sourcebound up`, or `process` of its file, goes on with it")


def _how_far(progress: Mapping[str, Progress]) -> str:
    done, total = (sum(getattr(each, part) for each in progress.values()) for part in ("done_s", "total_s"))
    return f"{done:.0f} of {total:.0f} media seconds" if total else ""


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
    progress = session.ledger.progress_of([row.key]).get(row.key, {})
    show_table(
        ("asset", "state", "cause"),
        [
            (name, shown_state(item.state.value), _remark(store, item, progress.get(name)))
            for name, item in states.items()
        ],
    )
    _tell_if_nobody_works(session, [row.key] if state in UNFINISHED else [])
    return exit_status([state.value])


def _remark(store: Store, row: AssetRow, progress: Progress | None) -> str:
    """What there is to say of an asset: its cause, how far it is, what of the source it lacks, what it warns of."""
    if row.state is AssetState.RUNNING and progress is not None:
        return _how_far({row.asset: progress})
    return row.cause or _part(store, row) or "; ".join(warnings_of(store, row))


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
