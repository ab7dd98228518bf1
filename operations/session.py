"""One command's hold on a home: the database up while anyone uses it, the ledger open.

Belongs here: what every command needs before its own work. Does not belong here: the work.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resources import run_log
from resources.ledger.ledger import Ledger
from resources.postgres.database import PostgresError
from resources.postgres.server import EmbeddedPostgres
from resources.settings import Settings

log = logging.getLogger(__name__)

FULL_DISK_BYTES = 4 << 20  # less than starting a run writes: its log, its events, the database's own
LOOK_S = 0.5  # how soon a database that died is noticed; whoever needs it meanwhile waits for longer than that


@dataclass(slots=True)
class Session:
    """An open ledger and the address of the database it is in."""

    settings: Settings
    database_url: str
    ledger: Ledger
    embedded: EmbeddedPostgres | None

    def keep_database(self) -> None:
        """Start the embedded database again if it died; nothing where the database is the company's own."""
        if self.embedded is not None:
            self.embedded.start()

    @contextlib.contextmanager
    def keeping_database(self) -> Iterator[None]:
        """Keep it from a thread, for a caller who waits in the ledger for the very database that died."""
        ended = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(ended,), name="database-keeper", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            ended.set()
            keeper.join()

    def _keep(self, ended: threading.Event) -> None:
        told = ""
        while not ended.wait(LOOK_S):
            try:
                self.keep_database()
            except (PostgresError, OSError) as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("%s", error)


def port_of_up(settings: Settings) -> int | None:
    """The port of the web pages of the sourcebound that is up in this home; None where none is.

    Only looked at: who took the lock for a moment to find out could keep a sourcebound from starting.
    """
    lock = settings.home / "run" / "supervisor.lock"
    try:
        inode, held = str(lock.stat().st_ino), Path("/proc/locks").read_text().splitlines()
        is_held = any(line.split()[1] == "FLOCK" and line.split()[5].endswith(f":{inode}") for line in held)
        return int(lock.read_text() or settings.port) if is_held else None
    except (OSError, ValueError, IndexError):
        return None


def has_state(settings: Settings) -> bool:
    """Whether anything was ever done in this home: whoever only looks must not make one."""
    return settings.database_url is not None or (settings.home / "postgres.json").exists()


@contextlib.contextmanager
def open_session(settings: Settings) -> Iterator[Session]:
    """Use the database; the embedded one is started when nobody did and stopped when its last user leaves.

    Raises `PostgresError`, `resources.ledger.migrate.NewerLedger`, `Transient`, each with its sentence.
    """
    run_log.configure(settings.log_level, run_log.log_path(settings.home, "commands"))
    with contextlib.ExitStack() as stack:
        embedded = None
        if settings.database_url is None:
            embedded = EmbeddedPostgres(settings.home)
            url = stack.enter_context(embedded.users())
        else:
            url = settings.database_url
        ledger = stack.enter_context(contextlib.closing(Ledger.open(url)))
        yield Session(settings, url, ledger, embedded)


def disk_is_full(home: Path) -> bool:
    """Whether there is too little room for a home to begin anything; False where the home is not there."""
    try:
        return shutil.disk_usage(home).free < FULL_DISK_BYTES
    except OSError:
        return False
