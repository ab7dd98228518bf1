"""Every corpus file through the plain functions: no crash, no hang, the right end, nothing half there."""

from __future__ import annotations

import pytest

from resources.house import House
from resources.ledger.states import AssetState
from resources.status import source_entry
from resources.verify import verify_artifact
from tests.corpus import corpus_file, rows
from tests.house import make, take_in

ALLOWED = {
    "ok": {AssetState.READY},
    "reject": {AssetState.QUARANTINED},
    "partial": {AssetState.READY, AssetState.QUARANTINED},
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("row", rows(), ids=lambda row: row["path"])
def test_a_corpus_file_ends_as_its_manifest_says(house: House, row: dict[str, str]) -> None:
    (registration,) = take_in(house, corpus_file(row["path"]))
    states = house.ledger.states(registration.source_key)
    if not all(item.state is AssetState.QUARANTINED for item in states.values()):
        make(house, registration)
    entry = source_entry(house.ledger, house.store, house.ledger.source(registration.source_key))
    assert AssetState(entry["state"]) in ALLOWED[row["expected"]], entry["cause"]
    if entry["state"] == AssetState.QUARANTINED:
        assert entry["cause"]
        assert "\n" not in entry["cause"]
        assert not house.published.exists(registration.source_key)
        return
    assert house.published.exists(registration.source_key)
    for name, asset in entry["assets"].items():
        if asset["recipe_hash"]:
            manifest = house.store.find(name, asset["recipe_hash"])
            assert manifest is not None
            assert verify_artifact(house.store, manifest) == []
    staging = house.settings.home / "store" / "staging"
    assert not staging.exists() or not list(staging.iterdir())
