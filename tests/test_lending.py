"""A second core for the last units of a pass: taken where nobody waits for it, given back, and nothing else changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from media_assets.picture import CHUNKS
from processing.chunks import chunk_pass
from processing.chunks.beside import Beside
from processing.chunks.chunk_pass import make_unit
from processing.chunks.taps import Picture, PictureTap, Unit
from processing.picture import ladder_plan, quality_plan, samples_plan, shots_plan
from processing.protocol import TASK_FILE
from processing.timeline import Span
from processing.work import Task
from resources.compute.local import LocalCompute
from resources.compute.permits import Permits
from resources.lending import Borrowers
from tests.media import make_video
from tests.media_picture import broken, clip_info, unit_task, unit_verdicts

WAIT_S = 10.0


@pytest.fixture
def compute(tmp_path: Path) -> Iterator[LocalCompute]:
    with closing(LocalCompute(Permits(2, folder=tmp_path / "permits"), workers=2)) as opened:
        yield opened


def at_work(tmp_path: Path, name: str) -> Task:
    (tmp_path / name).mkdir()
    (tmp_path / name / TASK_FILE).touch()
    return Task("", {}, tmp_path / name)


def becomes(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + WAIT_S
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
    return true()


def test_the_last_task_gets_the_core_of_the_one_that_has_ended(compute: LocalCompute, tmp_path: Path) -> None:
    one, other = at_work(tmp_path, "one"), at_work(tmp_path, "other")
    permits = Permits(2, folder=tmp_path / "permits")
    borrowers = Borrowers(compute, workers=2)
    with permits.acquire(), borrowers.served(lambda: True), borrowers.at_work("one", one):
        with permits.acquire(), borrowers.at_work("other", other):
            time.sleep(0.4)
            assert not one.may_spread
            assert not other.may_spread
        assert becomes(lambda: one.may_spread)
        assert permits.in_use() == 2, "the core it was lent is spoken for"
    assert becomes(lambda: permits.in_use() == 0)


def test_nothing_is_lent_while_units_are_missing_or_somebody_waits(compute: LocalCompute, tmp_path: Path) -> None:
    task = at_work(tmp_path, "one")
    permits = Permits(2, folder=tmp_path / "permits")
    missing = ["another"]
    borrowers = Borrowers(compute, workers=2)
    with permits.acquire(), borrowers.served(lambda: not missing), borrowers.at_work("one", task):
        time.sleep(0.4)
        assert not task.may_spread
        with permits.acquire():
            missing.clear()
            time.sleep(0.4)
            assert not task.may_spread, "every permit is held"
        assert becomes(lambda: task.may_spread)


def test_a_permit_that_somebody_waits_for_is_not_spare(tmp_path: Path) -> None:
    permits = Permits(1, folder=tmp_path / "permits")
    held = permits.acquire()
    ended = threading.Event()
    waiting = threading.Thread(target=lambda: (permits.acquire().close(), ended.set()))
    waiting.start()
    assert becomes(lambda: any(path.name.startswith("wait-") for path in permits.folder.iterdir()))
    assert permits.spare() is None
    held.close()
    waiting.join()
    spare = permits.spare()
    assert spare is not None
    assert permits.spare() is None
    spare.close()


def test_a_chunk_has_the_same_products_on_two_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = []
    monkeypatch.setattr(chunk_pass, "Beside", lambda tap: beside.append(tap.looks_at) or Beside(tap))
    path = make_video(tmp_path / "clip.mp4", frames=60, width=640, height=360)
    info = clip_info(path)
    planned = [
        *ladder_plan.plan(info, {}),
        *samples_plan.plan(info, {}),
        *shots_plan.plan(info, {}),
        *quality_plan.plan(info, {}),
    ]
    found = []
    for name, lent in (("alone", False), ("lent", True)):
        task = unit_task(path, tmp_path / name, info, "00000", planned)
        if lent:
            task.lend()
        result = make_unit(task)
        assert broken(unit_verdicts(task, result)) == []
        files = sorted((task.scratch / "products").rglob("*.*"))
        products = {str(file.relative_to(task.scratch)): file.read_bytes() for file in files}
        found.append((products, result.product_facts, result.encoder_calls))
    assert beside == [(640, 360)], "the largest encoder, and only where a core was lent"
    assert len(found[0][0]) > 8
    assert found[0] == found[1]


def test_a_worker_in_its_lock_down_may_use_the_core(compute: LocalCompute, tmp_path: Path) -> None:
    """It can see in its own folder that one was lent, and may start a thread."""
    path = make_video(tmp_path / "clip.mp4", frames=600, width=640, height=360)
    info = clip_info(path)
    planned = ladder_plan.plan(info, {})
    alone = compute.run(
        unit_task(path, tmp_path / "alone", info, "00000", planned), CHUNKS.work.bounds, media_s=24, label="alone"
    )
    task = unit_task(path, tmp_path / "lent", info, "00000", planned)
    borrowers = Borrowers(compute, workers=2)
    with borrowers.served(lambda: True), borrowers.at_work("00000", task):
        lent = compute.run(task, CHUNKS.work.bounds, media_s=24, label="lent")
        assert task.may_spread
    assert (alone.result.facts["cores"], lent.result.facts["cores"]) == (1, 2)
    assert alone.result.product_facts == lent.result.product_facts


def test_a_stop_while_a_core_is_looked_for_is_nothing_to_tell(compute: LocalCompute, tmp_path: Path) -> None:
    task = at_work(tmp_path, "one")
    permits = Permits(2, folder=tmp_path / "permits")
    borrowers = Borrowers(compute, workers=2)
    died: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", died.append)
        with (
            permits.acquire(),
            permits.acquire() as other,
            borrowers.served(lambda: True),
            borrowers.at_work("1", task),
        ):
            compute.request_stop()
            other.close()
            time.sleep(0.4)
            assert not task.may_spread, "nothing new may start"
    assert died == []


class Failing(PictureTap):
    looks_at = (64, 36)

    def frame(self, picture: Picture, ticks: int, duration: int) -> None:
        raise ValueError("as an encoder may")

    def close(self) -> dict[str, Any]:
        return {}


def test_what_goes_wrong_in_the_other_thread_is_heard(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=3, width=64, height=36)
    unit = Unit(Span(0, 90_000, 90_000), 0, clip_info(path)["video"])
    beside = Beside(Failing(unit, {}, tmp_path))
    import av

    class Shown:
        decoded = av.VideoFrame(64, 36, "yuv420p")

        def at(self, width: int, height: int) -> av.VideoFrame:
            return self.decoded

    beside.frame(Shown(), 0, 1)
    with pytest.raises(ValueError, match="as an encoder may"):
        beside.end()
