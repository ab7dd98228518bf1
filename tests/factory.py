"""The factory as a user has it: `sourcebound up` over an inbox, and the state of its sources.

Belongs here: the fixture `factory` (one a module), dropping files, asking the ledger. Does not belong here: assertions.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from operations import processes
from resources.postgres.server import EmbeddedPostgres
from tests.site import Site, free_port
from tests.ui import Ui, wait_for

START_S = 180.0
SETTLE_S = 180.0


@dataclass(frozen=True)
class Factory:
    """A running supervisor with its web server."""

    site: Site
    ui: Ui

    def drop(self, *files: Path) -> None:
        """Put files into the inbox and wait until nothing is left to do."""
        for file in files:
            shutil.copyfile(file, self.site.settings.inbox / file.name)
        count = len(list(self.site.settings.inbox.iterdir()))
        wait_for(lambda: self.site.settled(count), SETTLE_S)

    def source(self, name: str) -> str:
        """The key of the source whose file is called `name`."""
        return str(self._one(f"SELECT key FROM ledger.sources WHERE location LIKE '%/{name}'"))

    def states(self, source: str) -> Mapping[str, str]:
        found = self.site.ask(f"SELECT asset, state FROM ledger.asset_states WHERE source = '{source}'")
        return dict(found or [])

    def encoder_calls(self) -> int:
        """How often an encoder has run in this home."""
        return int(str(self._one("SELECT coalesce(sum(encoder_calls), 0) FROM ledger.attempt_ends")))

    def artifact(self, asset: str, recipe: str | None) -> Path:
        return self.site.settings.home / "store" / "artifacts" / asset / str(recipe)

    def _one(self, statement: str) -> object:
        found = self.site.ask(statement)
        assert found, statement
        return found[0][0]


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    """A factory with an empty inbox; all of it is ended afterwards."""
    folder = tmp_path_factory.mktemp("factory")
    folder.chmod(0o711)  # the database's account has to pass
    (folder / "inbox").mkdir()
    site = Site(folder, free_port())
    ui = Ui(site.port)
    try:
        site.start()
        wait_for(ui.is_up, START_S)
        yield Factory(site, ui)
        site.stop()
    finally:
        while left := site.everything():
            processes.send(left, signal.SIGKILL)
            if site.supervisor is not None:
                site.supervisor.poll()
        shutil.rmtree(EmbeddedPostgres(site.settings.home).describe()["folder"], ignore_errors=True)
