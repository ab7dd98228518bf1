"""One derivative of one source: made once, found ever after, by whom and how often counted in the ledger."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from media_assets.declared import declared, works
from media_assets.picture import POSTER
from media_assets.plain import make_source, required_assets
from media_assets.spec import Declaration, catalogue
from processing.failures import BadInput, ContractBroken, Transient, WorkFailure
from processing.manifest import Manifest
from processing.picture import samples_plan
from processing.picture.ladder_plan import chunk_s, unit_name
from processing.work import Bounds, PlannedProduct, Tap, Work
from resources.attempts import RunFacts
from resources.compute.local import LocalCompute
from resources.compute.permits import Permits
from resources.house import House
from resources.ledger.rows import Registration
from resources.ledger.states import AssetState
from resources.production import Produced, produce
from tests.database import execute
from tests.house import make, take_in
from tests.media import make_video

CODE = Path(__file__).resolve().parents[1]
ADDED = Path(__file__).with_name("added")


def encoder_calls(house: House, source: str | None = None) -> int:
    return sum(used.encoder_calls for used in house.ledger.usage(source=source).values())


def versions(house: House, registration: Registration) -> dict[str, str | None]:
    return {name: row.data_version for name, row in house.ledger.states(registration.source_key).items()}


def recipes(house: House, registration: Registration) -> dict[str, str | None]:
    return {name: row.recipe_hash for name, row in house.ledger.states(registration.source_key).items()}


def is_ready(house: House, registration: Registration) -> bool:
    return {row.state for row in house.ledger.states(registration.source_key).values()} <= {
        AssetState.READY,
        AssetState.NOT_APPLICABLE,
    }


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_video(tmp_path / "film.mp4", frames=30, width=640, height=480)


def test_the_same_bytes_twice_are_two_sources_and_one_encode(house: House, film: Path, tmp_path: Path) -> None:
    (first,) = take_in(house, film)
    make(house, first)
    before = encoder_calls(house)
    assert before == 2  # 480 and 360, in one chunk
    (twin,) = take_in(house, Path(shutil.copy(film, tmp_path / "twin.mp4")))
    assert twin.source_key != first.source_key
    outcomes = make(house, twin)
    assert is_ready(house, first)
    assert is_ready(house, twin)
    assert encoder_calls(house) == before
    made = {name for name, outcome in outcomes.items() if isinstance(outcome, Produced) and not outcome.reused}
    assert made == {"release", "dossier"}


def test_new_bytes_in_the_same_place_supersede(house: House, film: Path) -> None:
    (old,) = take_in(house, film)
    make(house, old, "media_info")
    film.unlink()
    make_video(film, frames=31)
    (new,) = take_in(house, film)
    assert (new.is_new, new.supersedes, new.generation) == (True, old.source_key, 2)
    assert {row.state for row in house.ledger.states(old.source_key).values()} == {AssetState.SUPERSEDED}
    assert {row.state for row in house.ledger.states(new.source_key).values()} == {AssetState.REGISTERED}


def test_another_preset_makes_new_artifacts_beside_the_old(house: House, film: Path) -> None:
    (registration,) = take_in(house, film)
    make(house, registration)
    before, old = encoder_calls(house), recipes(house, registration)
    house.settings = replace(house.settings, preset="ultrafast")
    make(house, registration)
    new = recipes(house, registration)
    changed = {name for name in old if old[name] != new[name]}
    assert {"chunks", "hls", "proxy"} <= changed
    assert not {"source", "media_info", "poster"} & changed
    assert encoder_calls(house) == 2 * before
    for name in changed:
        assert house.store.find(name, str(old[name])) is not None
        assert house.store.find(name, str(new[name])) is not None


def test_a_rung_more_is_a_rung_encoded(house: House, film: Path) -> None:
    house.settings = replace(house.settings, ladder=(360,))
    (registration,) = take_in(house, film)
    make(house, registration)
    before, poster = encoder_calls(house), recipes(house, registration)["poster"]
    assert before == 1
    house.settings = replace(house.settings, ladder=None)
    make(house, registration)
    assert encoder_calls(house) == 2
    assert recipes(house, registration)["poster"] == poster
    assert is_ready(house, registration)


def test_a_poster_alone_encodes_nothing(house: House, film: Path) -> None:
    (registration,) = take_in(house, film)
    outcomes = make(house, registration, "poster")
    assert list(outcomes) == ["source", "media_info", "chunks", "poster"]
    assert encoder_calls(house) == 0
    make(house, registration)
    assert encoder_calls(house) == 2


def test_the_arrivals_id_is_in_attempts_manifests_and_states(
    house: House,
    film: Path,
    ledger_url: str,
) -> None:
    (registration,) = take_in(house, film)
    make(house, registration)
    attempted = execute(ledger_url, "SELECT DISTINCT correlation, run_id FROM ledger.attempts")
    assert attempted == [(registration.arrival_id, f"run-{registration.source_key}")]
    for name, row in house.ledger.states(registration.source_key).items():
        if row.recipe_hash:
            manifest = house.store.find(name, row.recipe_hash)
            assert manifest is not None
            for made in [manifest, *_products(house, manifest)]:
                assert made.made_by["correlation"] == registration.arrival_id, made.asset


def _products(house: House, manifest: Manifest) -> Iterator[Manifest]:
    for recipe_hash in manifest.products.values():
        found = house.store.find(manifest.asset, recipe_hash)
        assert found is not None
        yield found


RACER = """
import sys
from pathlib import Path
from contextlib import closing
from resources.house import open_house
from resources.settings import load_settings
from resources.attempts import RunFacts
from media_assets.declared import declared
from media_assets.plain import make_source
home, url, source = sys.argv[1:]
with closing(open_house(load_settings(home=home), url, workers=1)) as house:
    sys.stdin.readline()
    run = RunFacts(run_id=sys.argv[0], correlation="race", actor="racer")
    outcomes = make_source(house, declared(), source, run, list(house.ledger.states(source)))
    failed = [str(item) for item in outcomes.values() if isinstance(item, Exception)]
    sys.exit("; ".join(failed) if failed else 0)
"""


def test_two_processes_meet_on_one_source_and_make_everything_once(
    house: House,
    tmp_path: Path,
    ledger_url: str,
) -> None:
    film = make_video(tmp_path / "long.mp4", frames=400, width=480, height=360, key_every=50)
    (registration,) = take_in(house, film)
    with contextlib.ExitStack() as started:
        racers = [
            started.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", RACER, str(house.settings.home), ledger_url, registration.source_key],
                    stdin=subprocess.PIPE,
                    env={**os.environ, "PYTHONPATH": str(CODE)},
                )
            )
            for _ in range(2)
        ]
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write(b"go\n")
            racer.stdin.flush()
        assert [racer.wait(timeout=120) for racer in racers] == [0, 0]
    assert is_ready(house, registration)
    twice = execute(
        ledger_url,
        "SELECT asset, unit, count(*) FROM ledger.attempts a JOIN ledger.attempt_ends e ON e.attempt = a.seq"
        " WHERE e.encoder_calls > 0 GROUP BY asset, unit, recipe_hash HAVING count(*) > 1",
    )
    assert twice == []
    info = house.store.find("media_info", str(recipes(house, registration)["media_info"]))
    assert info is not None
    assert encoder_calls(house) == len(info.facts["video"]["chunks"])


def test_what_does_not_apply_is_not_waited_for_where_another_process_looks_at_it(house: House, film: Path) -> None:
    """One process came late to the waveform of a silent film; the release of another failed for want of it."""
    (registration,) = take_in(house, film)
    make(house, registration)
    key = registration.source_key
    assert house.ledger.move(key, "waveform", AssetState.RUNNING, actor="another") is AssetState.NOT_APPLICABLE
    run = RunFacts(run_id="run", correlation=registration.arrival_id, actor="test")
    assert produce(house, works()["release"], works(), key, run).state is AssetState.READY


@pytest.mark.parametrize("asset", ["poster", "release"])
def test_an_asset_asked_for_by_hand_says_why_its_need_is_not_there(house: House, tmp_path: Path, asset: str) -> None:
    """It said that media_info had no artifact and should be made first; the true cause was gone from the ledger."""
    whole = make_video(tmp_path / "whole.mp4", frames=20).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[:600])
    (registration,) = take_in(house, tmp_path / "cut.mp4")
    make(house, registration)
    before = house.ledger.states(registration.source_key)[asset]
    run = RunFacts(run_id="by hand", correlation="c", actor="test", wanted=(asset,))
    with pytest.raises(BadInput, match="needs media_info: "):
        produce(house, works()[asset], works(), registration.source_key, run)
    after = house.ledger.states(registration.source_key)[asset]
    assert (after.state, after.cause) == (before.state, before.cause)
    assert after.state is AssetState.QUARANTINED


@pytest.mark.logs_errors
def test_a_fault_of_ours_has_failed_and_blames_no_file(
    house: House,
    film: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (registration,) = take_in(house, film)

    def broken(*_: object) -> None:
        raise KeyError("nobody thought of this")

    monkeypatch.setattr("resources.planned.derivative_recipe", broken)
    outcomes = make(house, registration)
    failure = outcomes["source"]
    assert isinstance(failure, ContractBroken)
    states = house.ledger.states(registration.source_key)
    assert {row.state for row in states.values()} == {AssetState.FAILED}
    assert "fault in sourcebound, not in the file" in str(states["source"].cause)
    assert str(states["release"].cause).startswith("needs ")


def test_a_disk_without_room_waits_and_goes_on_later(
    house: House,
    film: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (registration,) = take_in(house, film)
    with monkeypatch.context() as full:
        full.setattr("resources.store.staging.Staging.__enter__", _raising(OSError(28, "No space left on device")))
        outcomes = make(house, registration)
    assert isinstance(outcomes["source"], Transient)
    states = house.ledger.states(registration.source_key)
    assert {row.state for row in states.values()} == {AssetState.WAITING}
    assert all(row.wake_at is not None for row in states.values())
    assert "the disk is full" in str(states["source"].cause)
    make(house, registration)
    assert is_ready(house, registration)


def _raising(error: Exception) -> Any:
    def raising(*_: object) -> None:
        raise error

    return raising


def test_a_paused_source_keeps_what_is_ready(house: House, film: Path) -> None:
    (registration,) = take_in(house, film)
    make(house, registration, "media_info")
    house.ledger.control(registration.source_key, "pause", actor="test", reason="a test")
    works: Mapping[str, Work] = {name: declaration.work for name, declaration in declared().items()}
    run = RunFacts(run_id="run", correlation="test", actor="test")
    for asset in ("media_info", "chunks"):
        with pytest.raises(WorkFailure, match="pause"):
            produce(house, works[asset], works, registration.source_key, run)
    states = house.ledger.states(registration.source_key)
    assert states["media_info"].state is AssetState.READY
    assert (states["chunks"].state, states["chunks"].cause) == (AssetState.WAITING, "paused by a person")
    house.ledger.control(registration.source_key, "hurry", actor="test", reason="a test")
    make(house, registration)
    assert is_ready(house, registration)


def _lumas(info: Mapping[str, Any], _options: Mapping[str, Any]) -> list[PlannedProduct]:
    return [
        PlannedProduct(
            f"lumas/{index:05d}",
            unit_name(index),
            "processing.colours:LumaTap",
            "1",
            {"base": list(samples_plan.sample_parameters(info, {})["base"]), "size": [64, 48]},
            chunk_s(info, chunk),
        )
        for index, chunk in enumerate(info["video"]["chunks"])
    ]


def _added(asset: str, module: str, tap: Tap) -> Declaration:
    work = Work(
        asset=asset,
        code_version="1",
        operation=f"processing.{module}:make",
        contract=f"processing.{module}:contract",
        bounds=Bounds(wall_base_s=60, wall_per_media_s=1, memory_mb=512),
        determinism=POSTER.work.determinism,
        needs=("media_info",),
        taps=(tap,),
        encodes=False,
        applies=POSTER.work.applies,
    )
    return replace(POSTER, work=work, description=f"Added by a test: {asset}.")


def test_a_derivative_is_added_by_a_module_and_a_declaration(house: House, film: Path) -> None:
    """One over samples that exist, one that needs a new tap on the decoder; nothing that exists is encoded again."""
    (registration,) = take_in(house, film)
    make(house, registration)
    before, old = encoder_calls(house), versions(house, registration)
    more = catalogue(
        [
            *declared().values(),
            _added("contact_sheet", "sheet", samples_plan.TAP_SAMPLES),
            _added("lumas", "colours", Tap("lumas", "chunks", _lumas)),
        ]
    )
    assert {"contact_sheet", "lumas"} <= set(required_assets(more, "video", None))
    house.compute.close()
    house.compute = LocalCompute(Permits(2), workers=2, operations=[ADDED])
    wanted = ("contact_sheet", "lumas")
    run = RunFacts(run_id="run", correlation=registration.arrival_id, actor="test", wanted=wanted)
    outcomes = make_source(house, more, registration.source_key, run, wanted)
    assert {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, WorkFailure)} == {}
    lumas = outcomes["lumas"]
    assert isinstance(lumas, Produced)
    assert lumas.manifest is not None
    assert lumas.manifest.facts["frames"] == 30
    assert encoder_calls(house) == before
    new = versions(house, registration)
    assert {name: new[name] for name in old if name != "chunks"} == {
        name: version for name, version in old.items() if name != "chunks"
    }
