"""The sensors on a real instance, ledger and folder: nothing lost, nothing twice, nothing restarted for ever."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from media_assets.declared import declared
from media_assets.definitions import defs
from resources import household, run_tags
from resources.dagster_bindings import execution
from resources.dagster_bindings.instance import PARTITIONS
from resources.house import House, open_house
from resources.identity import Identity
from resources.ledger.rows import Unfinished
from resources.ledger.states import AssetState
from sensors import folder, outcomes
from sensors.requests import choose
from tests.dagster_home import DagsterHome, dagster_home

LONG_AGO = 1_700_000_000
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
    "a5f645400000000049454e44ae426082"
)


@pytest.fixture
def home(postgres_url: str, ledger_template: str, tmp_path: Path) -> Iterator[DagsterHome]:
    with dagster_home(postgres_url, tmp_path, template=ledger_template) as opened:
        yield opened


@pytest.fixture
def house(home: DagsterHome) -> Iterator[House]:
    with closing(open_house(home.settings, home.database_url)) as opened:
        household.adopt(opened)
        yield opened
        household.adopt(None)


def drop(home: DagsterHome, name: str, content: bytes = PNG) -> Path:
    path = home.settings.inbox / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def look_twice(home: DagsterHome, house: House) -> folder.Look:
    first = folder.look(house, home.instance, declared(), None)
    assert first.registrations == ()
    return folder.look(house, home.instance, declared(), first.plan.cursor)


def test_a_file_in_the_inbox_becomes_a_source_a_partition_and_a_run(home: DagsterHome, house: House) -> None:
    drop(home, "holiday/Photo 1.png")
    found = look_twice(home, house)
    (registration,) = found.registrations
    assert home.instance.has_dynamic_partition(PARTITIONS, registration.source_key)
    (request,) = found.requests
    assert request.job_name == "image"
    assert request.partition_key == registration.source_key
    assert request.run_key == f"{registration.source_key}:1:1"
    assert request.tags[run_tags.ARRIVAL] == registration.arrival_id
    assert request.asset_selection is None
    again = folder.look(house, home.instance, declared(), found.plan.cursor)
    assert (again.registrations, again.requests) == ((), ())


def test_a_wish_for_one_asset_makes_a_run_of_that_asset_and_its_needs(home: DagsterHome, house: House) -> None:
    drop(home, "a.png")
    drop(home, "a.png.sourcebound.json", b'{"assets": ["media_info"], "priority": 7}')
    (request,) = look_twice(home, house).requests
    assert {key.to_user_string() for key in request.asset_selection or ()} == {"source", "media_info"}
    assert request.tags[run_tags.PRIORITY] == "7"


def test_what_is_no_media_is_quarantined_and_gets_no_run(home: DagsterHome, house: House) -> None:
    drop(home, "list.m3u8", b"#EXTM3U\n#EXT-X-VERSION:3\nfile:///etc/passwd\n")
    drop(home, "empty.mp4", b"")
    found = look_twice(home, house)
    assert len(found.registrations) == 2
    assert found.requests == ()
    for registration in found.registrations:
        states = house.ledger.states(registration.source_key).values()
        assert {row.state for row in states} == {AssetState.QUARANTINED}
        assert all(row.cause for row in states)


@pytest.mark.logs_errors
def test_a_file_that_breaks_intake_keeps_no_other_out(
    home: DagsterHome, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest file comes first at every look: one that raised there stopped the inbox for ever."""
    drop(home, "first.png")
    os.utime(drop(home, "second.png", PNG + b"x"), (LONG_AGO + 1, LONG_AGO + 1))
    real = folder.register_files

    def breaking(house: House, paths: list[Path], *rest: Any, **more: Any) -> Any:
        if paths[0].name == "first.png":
            raise RuntimeError("nobody foresaw this")
        return real(house, paths, *rest, **more)

    monkeypatch.setattr(folder, "register_files", breaking)
    found = look_twice(home, house)
    assert [registration.source_key.partition("-")[0] for registration in found.registrations] == ["second"]
    assert "first.png could not be taken in" in found.sentence()


@pytest.mark.parametrize("year", [1601, 2300, 2446])
def test_a_file_of_any_time_is_taken_in_once(home: DagsterHome, house: House, year: int) -> None:
    """A time in nanoseconds of after 2262 fits no 64 bits; Windows calls 1601 what it does not know."""
    path = drop(home, "timeless.png")
    moment = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    os.utime(path, (moment, moment))
    found = look_twice(home, house)
    assert len(found.registrations) == 1
    again = folder.look(house, home.instance, declared(), found.plan.cursor)
    assert (again.plan.register, again.registrations) == ((), ())


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(home: DagsterHome, house: House) -> None:
    with pytest.raises(FileNotFoundError):
        folder.list_folder(home.settings.inbox / "nowhere")


def test_dot_folders_and_linked_folders_are_not_entered(home: DagsterHome, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret.png").write_bytes(PNG)
    drop(home, ".trash/a.png")
    drop(home, "kept/deep/er/b.png")
    (home.settings.inbox / "link").symlink_to(elsewhere)
    listing = folder.list_folder(home.settings.inbox)
    assert [Path(item.location).name for item in listing.files if not item.is_link] == ["b.png"]


def test_the_sensor_itself_registers_and_requests(home: DagsterHome, house: House) -> None:
    drop(home, "a.png")
    repository = defs.get_repository_def()
    inbox = repository.get_sensor_def("inbox")
    cursor = None
    requests: list[dg.RunRequest] = []
    for _ in range(3):
        context = dg.build_sensor_context(
            instance=home.instance, cursor=cursor, repository_def=repository, sensor_name="inbox"
        )
        found = inbox.evaluate_tick(context)
        assert found.cursor is not None
        assert len(found.cursor) < 1024
        cursor = found.cursor
        requests += found.run_requests or []
    assert [request.job_name for request in requests] == ["image"]
    assert inbox.minimum_interval_seconds == 5
    assert inbox.default_status is dg.DefaultSensorStatus.RUNNING


def test_a_run_that_died_is_asked_for_again_with_a_new_key(home: DagsterHome, house: House) -> None:
    drop(home, "a.png")
    (request,) = look_twice(home, house).requests
    source = str(request.partition_key)
    assert outcomes.look(house, home.instance, declared())[0] == [], "the request may not be a run yet"
    run = execution.create_run(home.instance, source, "image", tags={run_tags.RUN_KEY: str(request.run_key)})
    assert outcomes.look(house, home.instance, declared())[0] == [], "its run is on the way"
    me = Identity.current()
    gone = replace(me, started=me.started - 1)
    home.instance.add_run_tags(run.run_id, {run_tags.WORKER: gone.to_text()})
    assert [dead.source_key for dead in execution.reap_dead_runs(home.instance)] == [source]
    (again,) = outcomes.look(house, home.instance, declared())[0]
    assert again.run_key == f"{source}:1:2"
    assert again.tags[run_tags.ATTEMPT] == "2"


@pytest.mark.logs_errors
def test_a_source_whose_runs_lead_nowhere_is_given_up_and_says_so(
    home: DagsterHome, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensors.requests.REQUEST_SETTLES_S", 0.0)
    drop(home, "a.png")
    (request,) = look_twice(home, house).requests
    source = str(request.partition_key)
    tries = 1
    while asked := outcomes.look(house, home.instance, declared())[0]:
        tries += len(asked)
        assert tries < 20
    assert tries == house.settings.max_restarts + 1
    rows = house.ledger.states(source).values()
    assert {row.state for row in rows} == {AssetState.FAILED}
    assert "without any progress" in str(next(iter(rows)).cause)


def item(source: str, *, restarts: int = 0, requested_at: datetime | None = None) -> Unfinished:
    return Unfinished(source, "video", 0, "arrival", 1, ("hls",), f"{source}:1:1", requested_at, restarts)


def test_runs_are_asked_for_in_the_ledgers_order_as_far_as_there_is_room() -> None:
    now = datetime.now(UTC)
    just_now = now - timedelta(seconds=1)
    left = [item("urgent"), item("busy"), item("fresh", requested_at=just_now), item("killed", requested_at=just_now)]
    left += [item("b"), item("c")]
    chosen = choose(left, {"busy"}, {"killed:1:1"}, now, room=3, max_restarts=5)
    assert [one.source_key for one in chosen.start] == ["urgent", "killed", "b"]
    assert chosen.give_up == ()
    tired = choose([item("tired", restarts=6)], set(), (), now, room=2, max_restarts=5)
    assert (tired.start, [one.source_key for one in tired.give_up]) == ((), ["tired"])
