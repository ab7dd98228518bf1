"""Steps of a run side by side: which run at once, what a failed, tried again or interrupted one does to the others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from resources import household
from resources.dagster_bindings import execution, executor
from resources.dagster_bindings.instance import add_partitions, set_pool_limits
from tests import toy_graph
from tests.dagster_home import TOY, DagsterHome, dagster_home


@pytest.fixture(scope="module")
def home(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterHome]:
    with dagster_home(postgres_url, tmp_path_factory.mktemp("executor"), workspace=TOY, run_slots=3) as opened:
        yield opened


def executed(home: DagsterHome, source: str) -> tuple[str, dict[str, str]]:
    """The run's end, and how each of its steps ended."""
    add_partitions(home.instance, [source])
    outcome = execution.execute_run_here(home.instance, source, "video")
    stats = home.instance.get_run_step_stats(outcome.run_id)
    return outcome.status, {step.step_key: step.status.value for step in stats if step.status}


def told(home: DagsterHome, source: str) -> str:
    """What the last run of the source has said, for who must find out why it ended otherwise."""
    (record,) = home.instance.get_run_records(dg.RunsFilter(tags={"dagster/partition": source}), limit=1)
    logs = home.instance.all_logs(record.dagster_run.run_id)
    events = [entry.dagster_event for entry in logs if entry.dagster_event is not None]
    return "\n".join(
        f"{event.step_key} {event.message} {event.step_failure_data.error if event.is_step_failure else ''}"
        for event in events
    )


def made(source: str) -> list[str]:
    journal = Path(os.environ[toy_graph.JOURNAL])
    lines = journal.read_text().splitlines() if journal.exists() else []
    return [line.split()[0] for line in lines if line.split()[1] == source]


def test_steps_that_do_not_need_each_other_run_at_once(home: DagsterHome) -> None:
    """Each of two steps ends only when the other has begun."""
    status, steps = executed(home, "meet-1")
    assert status == "SUCCESS"
    assert steps == dict.fromkeys(toy_graph.NAMES, "SUCCESS")


def test_a_step_begins_when_its_needs_are_done(home: DagsterHome) -> None:
    executed(home, "film-order")
    order = made("film-order")
    assert order[:2] == ["a0", "a1"]
    assert sorted(order) == sorted(toy_graph.NAMES)


def test_no_more_steps_run_at_once_than_was_said(home: DagsterHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """One at a time, the two that wait for each other never meet."""
    monkeypatch.setattr(executor, "steps_at_once", lambda: 1)
    monkeypatch.setattr(toy_graph, "MEETING", threading.Barrier(2))
    monkeypatch.setattr(toy_graph, "MEETING_S", 0.2)
    _, steps = executed(home, "meet-alone")
    assert (steps["a2"], steps["a3"]) == ("FAILURE", "FAILURE")


def test_a_pool_of_one_keeps_steps_apart(home: DagsterHome, monkeypatch: pytest.MonkeyPatch) -> None:
    set_pool_limits(home.instance, {"out": 1})
    monkeypatch.setattr(toy_graph, "MEETING", threading.Barrier(2))
    monkeypatch.setattr(toy_graph, "MEETING_S", 0.2)
    try:
        _, steps = executed(home, "meet-pool")
    finally:
        set_pool_limits(home.instance, {"out": 4})
    assert (steps["a2"], steps["a3"]) == ("FAILURE", "FAILURE")
    assert steps["a9"] == "SUCCESS"


def test_a_failed_step_leaves_those_beside_it_alone(home: DagsterHome) -> None:
    status, steps = executed(home, "bad-1")
    assert status == "FAILURE"
    assert steps == {**dict.fromkeys(toy_graph.NAMES, "SUCCESS"), "a2": "FAILURE"}


def test_a_step_that_failed_in_passing_is_tried_again_beside_the_others(home: DagsterHome) -> None:
    status, steps = executed(home, "blink-1")
    assert status == "SUCCESS"
    assert steps == dict.fromkeys(toy_graph.NAMES, "SUCCESS")
    assert made("blink-1").count("a2") == 2


def stopped_while_executed(home: DagsterHome, source: str, when: Callable[[], bool]) -> tuple[str, dict[str, str]]:
    """The run's end and its steps', where the process is asked to stop as soon as `when` holds."""

    def stop() -> None:
        until = time.monotonic() + 20
        while not when() and time.monotonic() < until:
            time.sleep(0.02)
        household.request_stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    ended = executed(home, source)
    stopper.join()
    return ended


def test_a_stop_ends_the_run_as_cancelled_and_frees_its_places(
    home: DagsterHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step that works is interrupted; those beside it end by themselves, those behind do not begin."""
    monkeypatch.setattr(household, "_stop_requested", False)

    status, steps = stopped_while_executed(home, "slow-1", lambda: "a2" in made("slow-1"))
    assert status == "CANCELED", told(home, "slow-1")
    assert steps["a2"] == "FAILURE"
    assert (steps["a0"], steps["a1"]) == ("SUCCESS", "SUCCESS")
    for pool in home.instance.event_log_storage.get_concurrency_keys():
        assert home.instance.event_log_storage.get_concurrency_info(pool).active_slot_count == 0, pool
    records = home.instance.get_run_records(dg.RunsFilter(tags={"dagster/partition": "slow-1"}))
    assert [record.dagster_run.status for record in records] == [dg.DagsterRunStatus.CANCELED]


def test_a_stop_is_heard_by_a_run_that_only_waits_to_try_a_step_again(
    home: DagsterHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others are done; the one is to come again after longer than a stop may take."""
    monkeypatch.setattr(household, "_stop_requested", False)
    status, steps = stopped_while_executed(home, "full-1", lambda: set(made("full-1")) == set(toy_graph.NAMES))
    assert status == "CANCELED", told(home, "full-1")
    assert made("full-1").count("a2") == 1
    assert {steps[name] for name in toy_graph.NAMES if name != "a2"} == {"SUCCESS"}
