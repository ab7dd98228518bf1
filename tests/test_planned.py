"""Whether everything of a source is made: what was, stays; what has changed is noticed before a run is asked for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from media_assets.declared import declared
from media_assets.endings import MAX_STEP_WAIT_S
from media_assets.spec import works_of
from processing.failures import Throttled, WorkFailure
from processing.work import Work
from resources.house import House
from resources.ledger.rows import Registration
from resources.ledger.states import AssetState
from resources.planned import Planner, nothing_to_make
from tests.house import house, make, take_in
from tests.media import make_video

__all__ = ["house"]

WORKS = works_of(declared())


@pytest.fixture
def film(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return make_video(tmp_path / "in" / "film.mp4", frames=50, width=320, height=180, audio_rate_hz=48_000)


def made(house: House, registration: Registration, works: dict[str, Work] | None = None) -> bool:
    assets = list(house.ledger.states(registration.source_key))
    return nothing_to_make(house, works or dict(WORKS), registration.source_key, assets)


@pytest.fixture
def source(house: House, film: Path) -> Registration:
    (registration,) = take_in(house, film)
    assert not made(house, registration)
    outcomes = make(house, registration)
    assert not [failure for failure in outcomes.values() if isinstance(failure, WorkFailure)]
    return registration


def test_a_finished_source_is_made_and_stays_so_when_it_arrives_again(
    house: House, source: Registration, film: Path
) -> None:
    assert made(house, source)
    (again,) = take_in(house, film)
    assert again.source_key == source.source_key
    assert made(house, again)


@pytest.mark.parametrize("asset", ["media_info", "chunks", "poster", "release"])
def test_a_version_raised_anywhere_is_noticed(house: House, source: Registration, asset: str) -> None:
    newer = {**WORKS, asset: replace(WORKS[asset], code_version="999")}
    assert not made(house, source, newer)


def test_an_artifact_that_is_gone_is_noticed_and_made_again(house: House, source: Registration) -> None:
    row = house.ledger.states(source.source_key)["poster"]
    manifest = house.store.find("poster", str(row.recipe_hash))
    assert manifest is not None
    shutil.rmtree(house.store.as_input(manifest, "poster").folder)
    assert not made(house, source)
    make(house, source)
    assert made(house, source)


def test_a_published_folder_that_is_gone_is_noticed_and_laid_out_again(house: House, source: Registration) -> None:
    house.published.remove(source.source_key)
    assert not made(house, source)
    make(house, source)
    assert house.published.exists(source.source_key)
    assert made(house, source)


def test_another_setting_is_noticed_where_it_matters(house: House, source: Registration) -> None:
    house.settings = replace(house.settings, preset="ultrafast")
    assert not made(house, source)
    assert nothing_to_make(house, WORKS, source.source_key, ["loudness"])


def test_what_is_quarantined_is_left_alone_until_somebody_says_retry(house: House, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    film = make_video(tmp_path / "in" / "cut.mp4", frames=50, width=320, height=180)
    film.write_bytes(film.read_bytes()[:2000])
    (registration,) = take_in(house, film)
    make(house, registration)
    states = house.ledger.states(registration.source_key)
    assert states["media_info"].state is AssetState.QUARANTINED
    assert made(house, registration)
    house.ledger.control(registration.source_key, "retry", actor="test", reason="")
    assert not made(house, registration)


def test_what_is_made_of_something_that_waits_waits_with_it(house: House, source: Registration) -> None:
    """A run of words begins beside pictures that a full disk has put aside; that is no fault of theirs."""
    states = dict(house.ledger.states(source.source_key))
    states["scenes"] = replace(states["scenes"], state=AssetState.WAITING, recipe_hash=None, cause="the disk is full")
    planner = Planner(house, WORKS, house.ledger.source(source.source_key), states)
    with pytest.raises(Throttled, match="needs scenes: the disk is full") as raised:
        planner.plan(WORKS["screen_text"])
    assert raised.value.retry_after_s is not None
    assert raised.value.retry_after_s > MAX_STEP_WAIT_S, "a step of its run would wait for it"
