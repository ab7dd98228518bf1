"""`sourcebound doctor`: what this machine offers, what is missing, and what to do about it.

Belongs here: gathering the reports of the parts and naming cures. Does not belong here: how a part finds out. No
password is shown, and a part that fails is a line of the report.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from operations.cli.output import UsageProblem, print_json, shortened, show_table
from processing.failures import WorkFailure
from resources.ledger.migrate import NewerLedger
from resources.postgres.database import PostgresError
from resources.postgres.place import abandoned
from resources.postgres.server import EmbeddedPostgres
from resources.settings import Settings

LOW_DISK_BYTES = 5 * 1024**3  # an hour of 1080p makes about 6 GB of ladder
GIB = 1024**3
SHOWN_FOLDERS = 3
NAME_ANOTHER = "name another in the settings"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: `cure` is empty where nothing needs doing."""

    part: str
    ok: bool
    found: str
    cure: str = ""

    def to_json(self) -> dict[str, object]:
        return {"part": self.part, "ok": self.ok, "found": self.found, "cure": self.cure}


def examine(settings: Settings, *, as_json: bool) -> int:
    """Print every finding. Status 1 when something needs doing."""
    findings = list(_findings(settings))
    is_ok = all(item.ok for item in findings)
    if as_json:
        print_json({"ok": is_ok, "findings": [item.to_json() for item in findings]})
    else:
        show_table(
            ("", "part", "found"),
            [
                ("ok" if item.ok else "!!", item.part, item.found if item.ok else f"{item.found}: {item.cure}")
                for item in findings
            ],
        )
    return 0 if is_ok else 1


def _findings(settings: Settings) -> Iterator[Finding]:
    for part, find in _PARTS.items():
        try:
            yield from find(settings)
        except WorkFailure as failure:
            yield Finding(part, False, failure.cause, failure.cure or "see the logs in the home")
        except (PostgresError, NewerLedger) as error:
            found, _, cure = str(error).partition("; ")
            yield Finding(part, False, found, cure or "mend that; work waits meanwhile, nothing is lost")
        except OSError as error:
            yield Finding(part, False, str(error), "mend that, or name another folder in the settings")


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    nearest = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        yield Finding("home", False, f"{nearest} cannot be written", "set SOURCEBOUND_HOME to a folder of your own")
        return
    yield Finding("home", True, f"{home}{'' if home.exists() else ' (made at the first start)'}")
    free = shutil.disk_usage(nearest).free
    cure = "make room; work waits when the disk is full, nothing is lost"
    yield Finding("disk", free > LOW_DISK_BYTES, f"{free / GIB:.1f} GiB free for the home", cure)


def _inbox(settings: Settings) -> Iterator[Finding]:
    inbox = settings.inbox
    if not inbox.exists():
        yield Finding("inbox", True, f"{inbox} is made at the first start")
    else:
        is_readable = inbox.is_dir() and os.access(inbox, os.R_OK | os.X_OK)
        yield Finding("inbox", is_readable, str(inbox), "it must be a folder that this user may read")


def _store(settings: Settings) -> Iterator[Finding]:
    from resources.house import open_store

    open_store(settings).find("source", "0" * 64)  # a bucket answers, or says why not
    yield Finding("store", True, settings.store_location)


def _port(settings: Settings) -> Iterator[Finding]:
    from operations.session import port_of_up

    if (port := port_of_up(settings)) is not None:
        yield Finding("Dagster UI", True, f"sourcebound is up: http://localhost:{port}")
        yield Finding("library", True, f"http://localhost:{settings.library_at}")
        return
    for name, wanted, setting in (
        ("Dagster UI", settings.port, "SOURCEBOUND_PORT"),
        ("library", settings.library_at, "SOURCEBOUND_LIBRARY_PORT"),
    ):
        with contextlib.closing(socket.socket()) as probe:
            is_taken = probe.connect_ex(("127.0.0.1", wanted)) == 0
        cure = f"set {setting} to another, or end the program that has it"
        yield Finding(name, not is_taken, f"port {wanted} is {'in use' if is_taken else 'free'}", cure)


def _lock_down(_settings: Settings) -> Iterator[Finding]:
    from processing.sandbox.lockdown import report

    cure = "the other layers hold; a newer kernel or fewer container restrictions give this one"
    for layer, state in report().items():
        yield Finding(f"lock-down: {layer}", state is True, "active" if state is True else str(state), cure)


def _encoders(settings: Settings) -> Iterator[Finding]:
    from resources.compute.permits import Permits

    permits = Permits(settings.permits)
    yield Finding("encoders", True, f"{permits.count} at once on this machine, over all homes ({permits.folder})")


def _libraries(_settings: Settings) -> Iterator[Finding]:
    from processing.recipe import media_tools

    tools = media_tools()
    yield Finding("media libraries", True, f"PyAV {tools['av']} with FFmpeg {tools['ffmpeg']}")


def _models(settings: Settings) -> Iterator[Finding]:
    import datetime as dt

    from operations.cli.models import registry_of

    try:
        statuses = registry_of(settings).statuses(dt.datetime.now(dt.UTC).date(), os.environ)
    except UsageProblem as problem:
        yield Finding("models", False, str(problem), "mend the settings")
        return
    for status in statuses:
        if status.configured:
            found = f"{status.id}@{status.version}" if status.available else f"{status.id}: {status.why_not}"
            yield Finding(
                f"model of {status.task}", status.available, found, status.fix or "name another in the settings"
            )
        if status.configured and status.warning:
            yield Finding(
                f"model of {status.task}", False, status.warning, "name another in the settings before that day"
            )


def _database(settings: Settings) -> Iterator[Finding]:
    from operations.session import open_session

    if settings.database_url is None:
        place = EmbeddedPostgres(settings.home).describe()
        account = f" as the account {place['user']}" if place["user"] else ""
        state = "running" if place["running"] else "started when needed"
        yield Finding("database", True, f"embedded PostgreSQL ({state}){account}: data in {place['data']}")
        yield Finding("database programs", True, str(place["programs"]))
        if gone := abandoned():
            shown = shortened([str(folder) for folder, _ in gone], SHOWN_FOLDERS)
            yield Finding("database leftovers", True, f"of homes that are gone, to be removed by hand: {shown}")
        yield Finding("database log", True, str(place["log"]))
    else:
        address = urlsplit(settings.database_url)
        yield Finding("database", True, f"PostgreSQL at {address.hostname or 'this machine'}, database {address.path}")
    with open_session(settings) as session:
        count = len(session.ledger.sources())
    yield Finding("ledger", True, f"answers; {count} sources")


_PARTS: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "home": _home,
    "inbox": _inbox,
    "store": _store,
    "ports": _port,
    "lock-down": _lock_down,
    "encoders": _encoders,
    "media libraries": _libraries,
    "models": _models,
    "ledger": _database,
}
