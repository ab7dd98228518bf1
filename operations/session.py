"""One command's hold on a home: the database up while anyone uses it, the ledger open.

Belongs here: what every command needs before its own work. Does not belong here: the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from resources.ledger.ledger import Ledger
from resources.postgres import EmbeddedPostgres
from resources.settings import Settings


@dataclass(slots=True)
class Session:
    """An open ledger and the address of the database it is in."""

    settings: Settings
    database_url: str
    ledger: Ledger
    embedded: EmbeddedPostgres | None

    def keep_database(self) -> None:
        """Start the embedded database again if it died; nothing where the database is the company's own."""
        if self.embedded is not None and not self.embedded.is_running():
            self.embedded.start()

    def is_database(self, pid: int) -> bool:
        """Whether `pid` is a process of the embedded server, which is stopped last."""
        return self.embedded is not None and self.embedded.owns(pid)


@contextmanager
def open_session(settings: Settings, *, keeps_database: bool = False) -> Iterator[Session]:
    """Use the database; the embedded one is started when nobody did and stopped when its last user leaves.

    `keeps_database` notes what the settings changed since the last start, as the supervisor does.
    """
    embedded = None if settings.database_url else EmbeddedPostgres(settings.home)
    if embedded is not None:
        embedded.join()
    try:
        url = settings.database_url or (embedded.start() if embedded else "")
        ledger = Ledger.open(url)
        try:
            if keeps_database:
                ledger.settings_changed(settings.to_json(), actor="supervisor")
            yield Session(settings, url, ledger, embedded)
        finally:
            ledger.close()
    finally:
        if embedded is not None:
            embedded.leave()
