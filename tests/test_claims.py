"""One run at a time works on a source; what the dead held and left half done comes free."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator

import pytest

from resources import household
from resources.claims import claimed
from resources.house import House
from resources.identity import Identity
from resources.ledger.rows import Arrival
from resources.ledger.states import AssetState
from tests.house import house as house  # noqa: PLC0414 - a fixture

fork = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def adopted(house: House) -> Iterator[None]:
    household.adopt(house)
    yield
    household.adopt(None)


def arrive(house: House) -> str:
    arrival = Arrival(location="/in/film.mp4", size_bytes=2, mtime_ns=7, actor="test")
    return house.ledger.register(arrival, content="aa", job="video", assets=("source", "hls")).source_key


def dead() -> Identity:
    """The identity of a process that has ended."""
    here, there = fork.Pipe(duplex=False)
    child = fork.Process(target=lambda: there.send(Identity.current()))
    child.start()
    identity: Identity = here.recv()
    child.join()
    return identity


def state(house: House, source: str) -> AssetState:
    return house.ledger.states(source)["hls"].state


def test_a_run_waits_until_the_one_before_it_has_ended(house: House) -> None:
    source = arrive(house)
    assert house.ledger.claim_run(source, "first", Identity.current())
    threading.Timer(0.6, lambda: house.ledger.release_run(source, "first")).start()
    begun = time.monotonic()
    with claimed(source, "second", patience_s=None) as mine:
        assert mine
        assert time.monotonic() - begun > 0.5
        assert house.ledger.live_claims() == {source: "second"}
    assert house.ledger.live_claims() == {}


def test_a_queued_run_loses_its_patience_and_takes_nothing_from_the_other(house: House) -> None:
    source = arrive(house)
    assert house.ledger.claim_run(source, "first", Identity.current())
    with claimed(source, "second", patience_s=0.1) as mine:
        assert not mine
    assert house.ledger.live_claims() == {source: "first"}


def test_a_stop_ends_the_wait(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    source = arrive(house)
    assert house.ledger.claim_run(source, "first", Identity.current())
    monkeypatch.setattr(household, "_stop_requested", True)
    with claimed(source, "second", patience_s=None) as mine:
        assert not mine


def test_the_claim_of_a_dead_run_is_taken_over_at_once_and_its_work_queued_again(house: House) -> None:
    source = arrive(house)
    assert house.ledger.claim_run(source, "first", dead())
    house.ledger.move(source, "hls", AssetState.RUNNING, actor="test", run_id="first")
    with claimed(source, "second", patience_s=0.0) as mine:
        assert mine
        assert state(house, source) is AssetState.QUEUED


def test_what_a_dead_run_left_as_running_is_queued_though_nothing_runs_it_again(house: House) -> None:
    source = arrive(house)
    assert house.ledger.claim_run(source, "first", dead())
    house.ledger.move(source, "hls", AssetState.RUNNING, actor="test", run_id="first")
    assert house.ledger.requeue_abandoned(actor="test") == 1
    assert state(house, source) is AssetState.QUEUED


def test_what_a_live_run_is_making_is_not_queued_again(house: House) -> None:
    source = arrive(house)
    assert house.ledger.claim_run(source, "first", Identity.current())
    house.ledger.move(source, "hls", AssetState.RUNNING, actor="test", run_id="first")
    assert house.ledger.requeue_abandoned(actor="test") == 0
    assert state(house, source) is AssetState.RUNNING


def test_unfinished_work_of_the_dead_is_removed_and_that_of_the_living_kept(house: House) -> None:
    with house.store.stage("hls", house.identity.to_text()) as alive:
        abandoned = house.store.stage("hls", dead().to_text()).__enter__()
        assert house.sweep() == 1
        assert alive.folder.is_dir()
        assert not abandoned.folder.exists()


def test_runs_that_ended_with_the_house_count_against_no_source(house: House) -> None:
    """Six starts in a row that were cut off made a source fail, though nothing was wrong with it."""
    source = arrive(house)
    for _ in range(6):
        house.ledger.next_runs([source], job="video", actor="test")
    (before,) = house.ledger.unfinished()
    assert before.restarts == 6
    assert before.requested_at is not None
    house.ledger.house_started(actor="test", reason="started")
    (after,) = house.ledger.unfinished()
    assert after.restarts == 0
    assert after.requested_at is None


def test_leases_of_the_dead_are_removed_and_those_of_the_living_kept(house: House) -> None:
    assert house.ledger.try_lease("abandoned", dead(), ttl_s=60)
    lease = house.ledger.try_lease("held", house.identity, ttl_s=60)
    assert lease is not None
    assert house.ledger.drop_dead_leases() == 1
    assert house.ledger.release(lease)
