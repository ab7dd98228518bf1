"""`sourcebound doctor`: what this machine offers, what is missing, and what to do about it.

Belongs here: gathering the reports of the parts and naming cures. Does not belong here: how a part finds out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from operations.cli.output import out, print_json
from resources.settings import Settings

LOW_DISK_BYTES = 5 * 1024**3  # an hour of 1080p makes about 6 GB of ladder


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: `cure` is empty where nothing needs doing."""

    part: str
    ok: bool
    found: str
    cure: str = ""


def examine(settings: Settings, *, as_json: bool) -> int:
    """Print every finding. Status 1 when something needs doing."""
    findings = list(_findings(settings))
    if as_json:
        print_json({"ok": all(item.ok for item in findings), "findings": [_as_json(item) for item in findings]})
    else:
        from rich.table import Table

        table = Table("", "part", "found", "what to do", box=None, pad_edge=False)
        for item in findings:
            table.add_row("[green]ok[/green]" if item.ok else "[red]!![/red]", item.part, item.found, item.cure)
        out().print(table)
    return 0 if all(item.ok for item in findings) else 1


def _findings(settings: Settings) -> Iterator[Finding]:
    yield Finding("home", True, str(settings.home))
    parts: tuple[tuple[str, Callable[[Settings], Iterator[Finding]]], ...] = (
        ("disk", _disk),
        ("inbox", _inbox),
        ("lock-down", _sandbox),
        ("encoders", _permits),
        ("media libraries", _libraries),
        ("database", _database),
    )
    for part, find in parts:
        try:
            yield from find(settings)
        except OSError as error:
            yield Finding(part, False, str(error), "see the message")


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    cure = "" if free > LOW_DISK_BYTES else "make room: work waits when the disk is full, nothing is lost"
    yield Finding("disk", free > LOW_DISK_BYTES, f"{free / 1024**3:.1f} GiB free for the home", cure)


def _inbox(settings: Settings) -> Iterator[Finding]:
    inbox = settings.inbox
    if not inbox.exists():
        yield Finding("inbox", True, f"{inbox} is made at the first start")
    elif os.access(inbox, os.R_OK | os.X_OK):
        yield Finding("inbox", True, str(inbox))
    else:
        yield Finding("inbox", False, f"{inbox} cannot be read", "grant this user read access to the folder")


def _sandbox(settings: Settings) -> Iterator[Finding]:
    from processing.sandbox.lockdown import report

    for layer, state in report().items():
        active = state is True or (isinstance(state, str) and not state.startswith("no"))
        yield Finding(
            f"lock-down: {layer}",
            active,
            "active" if state is True else str(state),
            "" if active else "the other layers hold; a newer kernel or fewer container restrictions give this one",
        )


def _permits(settings: Settings) -> Iterator[Finding]:
    from resources.compute.permits import Permits

    permits = Permits(settings.permits)
    yield Finding("encoders", True, f"{permits.count} at once on this machine, over all homes ({permits.folder})")


def _libraries(settings: Settings) -> Iterator[Finding]:
    from processing.recipe import media_tools

    tools = media_tools()
    yield Finding("media libraries", True, f"PyAV {tools['av']} with FFmpeg {tools['ffmpeg']}")


def _database(settings: Settings) -> Iterator[Finding]:
    from operations.session import open_session
    from resources.postgres import EmbeddedPostgres

    if settings.database_url is None:
        described = EmbeddedPostgres(settings.home).describe()
        for name, value in described.items():
            yield Finding(f"database: {name}", True, str(value))
    try:
        with open_session(settings) as session:
            count = len(session.ledger.sources())
    except Exception as error:  # noqa: BLE001  # whatever the driver raises, the operator needs its first line
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        yield Finding("database", False, first, "start it, or mend database_url; work waits meanwhile, nothing is lost")
        return
    yield Finding("database", True, f"answers; {count} sources in the ledger")


def _as_json(item: Finding) -> dict[str, object]:
    return {"part": item.part, "ok": item.ok, "found": item.found, "cure": item.cure}
