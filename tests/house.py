"""A whole house for a test: a folder, a fresh database, real workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from media_assets.declared import declared
from media_assets.plain import door_of, make_source
from processing.failures import WorkFailure
from resources.attempts import RunFacts
from resources.house import House, open_house
from resources.intake import register_files
from resources.ledger.rows import Registration
from resources.production import Produced
from resources.settings import load_settings


@pytest.fixture
def house(tmp_path: Path, ledger_url: str) -> Iterator[House]:
    """An open house below the test's own folder."""
    settings = load_settings(home=str(tmp_path / "home"), inbox=str(tmp_path / "inbox"))
    with closing(open_house(settings, ledger_url)) as opened:
        yield opened


def take_in(house: House, *paths: Path) -> list[Registration]:
    """Register files as the command line would."""
    return register_files(house, [path.absolute() for path in paths], door_of(declared()), actor="test")


def make(house: House, registration: Registration, *only: str) -> dict[str, Produced | WorkFailure]:
    """Everything the source requires (or `only` some of it), by plain calls."""
    run = RunFacts(
        run_id=f"run-{registration.source_key}", correlation=registration.arrival_id, actor="test", wanted=only
    )
    assets = only or tuple(house.ledger.states(registration.source_key))
    return make_source(house, declared(), registration.source_key, run, assets)
