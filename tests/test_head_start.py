"""A command with one file: its first work is made while Dagster is still being imported, once, and by its run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from operations.session import open_session
from processing.failures import BadInput
from resources import head_start
from resources.attempts import RunFacts
from resources.head_start import HeadStart
from resources.ledger.states import AssetState
from resources.production import Produced
from tests.command_line import CommandLine
from tests.database import execute
from tests.media import make_still, make_video

RUN = RunFacts(run_id="r", correlation="c", actor="cli")
ATTEMPTS = "SELECT asset, run_id, extract(epoch FROM at)::float FROM ledger.attempts WHERE unit IS NULL ORDER BY seq"
RUNS = "SELECT run_id, start_time, status FROM runs WHERE pipeline_name <> 'words'"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return CommandLine(tmp_path_factory.mktemp("shell"))


def asked(shell: CommandLine, statement: str) -> list[tuple[Any, ...]]:
    with open_session(shell.settings) as session:
        return execute(session.database_url, statement)


def test_the_first_work_is_begun_before_its_run_and_counted_as_the_runs(shell: CommandLine) -> None:
    make_video(shell.place / "film.mp4", frames=10, width=128, height=72)
    assert shell("process", "film.mp4", "--json").report["counts"] == {"ready": 1}
    attempts = asked(shell, ATTEMPTS)
    ((run, started, status),) = asked(shell, RUNS)
    assert status == "SUCCESS"
    assert [(asset, by) for asset, by, at in attempts if at < started][:1] == [("source", run)]
    made = [asset for asset, _, _ in attempts]
    for again in ("release", "dossier"):  # made again with the words
        made.remove(again)
    assert len(made) == len(set(made))


def test_a_file_that_is_refused_is_looked_at_once(shell: CommandLine) -> None:
    make_still(shell.place / "whole.jpg", width=400, height=300, image_format="JPEG")
    (shell.place / "cut.jpg").write_bytes((shell.place / "whole.jpg").read_bytes()[:3000])
    before = len(asked(shell, ATTEMPTS))
    said = shell("process", "cut.jpg", "--json")
    (source,) = said.report["sources"]
    assert (said.status, source["state"]) == (3, "quarantined")
    attempts = asked(shell, ATTEMPTS)[before:]
    made = [asset for asset, _, _ in attempts]
    assert len(made) == len(set(made))
    run = attempts[0][1]
    assert [status for known, _, status in asked(shell, RUNS) if known == run] == ["FAILURE"]


# The head start by itself


@pytest.fixture
def making(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], threading.Event]]:
    """What was begun so far, and what lets `slow` end."""
    begun: list[str] = []
    go = threading.Event()

    def produce(_house: object, work: str, _works: object, source: str, run: RunFacts) -> Produced:
        begun.append(work)
        if work == "slow":
            go.wait(10)
        if work == "bad":
            raise BadInput("it is cut off", cure="send it again")
        return Produced(work, AssetState.READY, None, None, None, False, 0.0, 0.0, 0)

    monkeypatch.setattr(head_start, "produce", produce)
    monkeypatch.setattr(head_start.household, "the_house", lambda: None)
    yield begun, go
    go.set()


def started(*assets: str) -> HeadStart:
    made = HeadStart({name: name for name in assets}, "film", RUN, assets)  # type: ignore[arg-type]
    made.begin()
    return made


def until(condition: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(500):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("it did not happen in time")


def test_each_step_gets_what_was_begun_for_it_once(making: tuple[list[str], threading.Event]) -> None:
    ahead = started("a", "b")
    until(lambda: making[0] == ["a", "b"])
    first = ahead.take("a")
    assert first is not None
    assert first.asset == "a"
    assert ahead.take("a") is None, "a step that is tried again makes it anew"
    assert ahead.take("b") is not None
    ahead.end()


def test_nothing_is_begun_any_more_once_a_step_has_asked(making: tuple[list[str], threading.Event]) -> None:
    begun, go = making
    ahead = started("slow", "after")
    until(lambda: begun == ["slow"])
    assert ahead.take("another") is None
    go.set()
    ahead.end()
    assert begun == ["slow"]
    assert ahead.take("slow") is not None


def test_a_failure_is_raised_in_its_own_step_and_ends_the_head_start(
    making: tuple[list[str], threading.Event],
) -> None:
    ahead = started("a", "bad", "after")
    ahead._thread.join(5)
    assert making[0] == ["a", "bad"]
    assert ahead.take("a") is not None
    with pytest.raises(BadInput, match="cut off"):
        ahead.take("bad")
    assert ahead.take("after") is None


def test_a_head_start_is_left_only_when_its_work_is_done(making: tuple[list[str], threading.Event]) -> None:
    begun, go = making
    ahead = started("slow")
    until(lambda: begun == ["slow"])
    threading.Timer(0.2, go.set).start()
    ahead.end()
    assert go.is_set()
