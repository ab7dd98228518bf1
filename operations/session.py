"""One command's hold on a home: the database up while anyone uses it, the ledger open.

Belongs here: what every command needs before its own work. Does not belong here: the work.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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
        if self.embedded is not None:
            self.embedded.start()


@contextlib.contextmanager
def open_session(settings: Settings) -> Iterator[Session]:
    """Use the database; the embedded one is started when nobody did and stopped when its last user leaves."""
    with contextlib.ExitStack() as stack:
        embedded = None
        if settings.database_url is None:
            embedded = EmbeddedPostgres(settings.home)
            url = stack.enter_context(embedded.users())
        else:
            url = settings.database_url
        ledger = stack.enter_context(contextlib.closing(Ledger.open(url)))
        yield Session(settings, url, ledger, embedded)
