"""Every corpus file through the plain functions: no crash, no hang, the right end, nothing half there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest

from resources.house import House, open_house
from resources.ledger.states import AssetState
from resources.settings import load_settings
from resources.status import source_entry
from resources.verify import verify_artifact
from tests.corpus import corpus_file, rows
from tests.database import database
from tests.house import make, take_in

ALLOWED = {
    "ok": {AssetState.READY},
    "reject": {AssetState.QUARANTINED},
    "partial": {AssetState.READY, AssetState.QUARANTINED},
}


AT_ONCE = 2  # most files are one chunk, which keeps one core busy


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres_url: str, ledger_template: str) -> Iterator[House]:
    """One house for all of them: what one file does to it, the next would suffer from."""
    folder = tmp_path_factory.mktemp("corpus")
    # The quickest preset of the encoder: how files end is asked here; the named 25 go through Dagster with the usual.
    settings = load_settings(home=str(folder / "home"), inbox=str(folder / "inbox"), preset="ultrafast")
    with database(postgres_url, ledger_template) as url, closing(open_house(settings, url)) as opened:
        yield opened


@pytest.fixture(scope="module")
def made(house: House, request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[str]]]:
    """The source key of every file that is asked for, by path, when everything is made of it."""

    def make_of(path: str) -> str:
        (registration,) = take_in(house, corpus_file(path))
        states = house.ledger.states(registration.source_key)
        if not all(item.state is AssetState.QUARANTINED for item in states.values()):
            make(house, registration)
        return registration.source_key

    asked = [item.callspec.params["row"]["path"] for item in request.session.items if item.path == request.path]
    pool = ThreadPoolExecutor(AT_ONCE)
    yield {path: pool.submit(make_of, path) for path in asked}
    pool.shutdown(cancel_futures=True)
    staging = house.settings.home / "store" / "staging"
    assert not staging.exists() or not list(staging.iterdir())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("row", rows(), ids=lambda row: row["path"])
def test_a_corpus_file_ends_as_its_manifest_says(
    house: House, made: Mapping[str, Future[str]], row: dict[str, str]
) -> None:
    key = made[row["path"]].result()
    entry = source_entry(house.ledger, house.store, house.ledger.source(key))
    assert AssetState(entry["state"]) in ALLOWED[row["expected"]], entry["cause"]
    if entry["state"] == AssetState.QUARANTINED:
        assert entry["cause"]
        assert "\n" not in entry["cause"]
        assert not house.published.exists(key)
        return
    assert house.published.exists(key)
    for name, asset in entry["assets"].items():
        if asset["recipe_hash"]:
            manifest = house.store.find(name, asset["recipe_hash"])
            assert manifest is not None
            assert verify_artifact(house.store, manifest) == []
