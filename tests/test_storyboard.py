"""The storyboard: what a pointer over the seek bar shows, and a contract that notices when it shows something else."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from processing import webvtt
from processing.contracts.storyboard import contract
from processing.failures import BadInput
from processing.picture import samples_plan, storyboard_plan
from processing.picture.sampled import Sampled
from processing.picture.storyboard import CUES_FILE, laid_out, make
from processing.work import Task
from tests.corpus import corpus_file
from tests.media import as_input, make_vfr, make_video, read_number, source_task
from tests.media_picture import broken, clip_info, make_products

TOLD = {"interval_ticks": 2000, "columns": 3, "rows": 2, "tile": [8, 4]}


def still(ticks: int) -> Sampled:
    return Sampled(ticks, 1000, Path(f"{ticks}.jpg"), {})


def test_each_interval_has_the_first_still_taken_in_it_and_a_hole_belongs_to_the_tile_before() -> None:
    tiles = laid_out([still(ticks) for ticks in (500, 1400, 2600, 9100)], 12_000, TOLD)
    assert [(tile.still.ticks, tile.start, tile.end) for tile in tiles] == [
        (500, 500, 2600),
        (2600, 2600, 9100),
        (9100, 9100, 12_000),
    ]


def test_tiles_fill_a_sheet_row_by_row_and_then_the_next() -> None:
    tiles = laid_out([still(ticks) for ticks in range(0, 16_000, 2000)], 16_000, TOLD)
    assert [(tile.sheet[-7:-4], tile.x, tile.y) for tile in tiles] == [
        ("000", 0, 0), ("000", 8, 0), ("000", 16, 0), ("000", 0, 4), ("000", 8, 4), ("000", 16, 4),
        ("001", 0, 0), ("001", 8, 0),
    ]  # fmt: skip


@given(
    gaps=st.lists(st.integers(1, 7000), min_size=1, max_size=60), tail=st.integers(0, 5000), start=st.integers(0, 9000)
)
def test_tiles_cover_the_picture_without_holes_and_leave_no_still_an_interval_behind(
    gaps: list[int], tail: int, start: int
) -> None:
    times = [start]
    for gap in gaps:
        times.append(times[-1] + gap)
    end = times[-1] + tail
    tiles = laid_out([still(ticks) for ticks in times], end, TOLD)
    assert tiles[0].start == start
    assert tiles[-1].end == max(end, tiles[-1].start + 1)
    assert all(before.end == after.start for before, after in itertools.pairwise(tiles))
    for ticks in times:
        tile = max((tile for tile in tiles if tile.start <= ticks), key=lambda tile: tile.start)
        assert ticks - tile.start < 2000
    assert len({(tile.sheet, tile.x, tile.y) for tile in tiles}) == len(tiles)


def test_nothing_sampled_is_bad_input() -> None:
    with pytest.raises(BadInput, match="sampled"):
        laid_out([], 0, TOLD)


@pytest.mark.parametrize(("seconds", "interval_s"), [(1, 1), (720, 1), (721, 2), (3600, 5), (6 * 3600, 30)])
def test_long_sources_get_fewer_tiles_a_minute(seconds: int, interval_s: int) -> None:
    video = {"start": 0, "end": seconds * 90_000, "timescale": 90_000, "display_width": 1920, "display_height": 1080}
    told = storyboard_plan.parameters({"video": video}, {})
    assert told["interval_ticks"] == interval_s * 90_000
    assert told["tile"] == [240, 136]


def storyboard_of(path: Path, folder: Path, *, target_s: int = 2) -> Task:
    info = clip_info(path, target_s=target_s)
    made = make_products(path, folder / "made", info, samples_plan.plan(info, {}))
    task = source_task(path, folder / "storyboard", parameters=storyboard_plan.parameters(info, {}))
    task = replace(task, inputs=made)
    return replace(task, made=as_input("storyboard", task.out, make(task).facts))


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("storyboard")
    return storyboard_of(make_video(folder / "clip.mp4", frames=300, width=480, height=270, rate=25), folder)


def test_the_tile_under_a_time_shows_the_frame_of_that_time(board: Task) -> None:
    assert board.made is not None
    cues = webvtt.parsed(board.made.path(CUES_FILE).read_text())
    assert len(cues) == 12
    for second, cue in enumerate(cues):
        sheet, _, fragment = cue.text.partition("#xywh=")
        x, y, width, height = map(int, fragment.split(","))
        with Image.open(board.made.path(sheet)) as picture:
            tile = picture.convert("RGB").crop((x, y, x + width, y + height)).resize((480, 270))
        assert read_number(np.asarray(tile)) == second * 25
        assert (cue.start_ms, cue.end_ms) == (second * 1000, (second + 1) * 1000)


def test_a_storyboard_keeps_its_contract_and_comes_out_the_same_twice(board: Task, tmp_path: Path) -> None:
    assert broken(contract(board)) == []
    again = replace(board, scratch=tmp_path / "again", made=None)
    make(again)
    assert board.made is not None
    for entry in board.made.files:
        assert (again.out / entry.path).read_bytes() == board.made.path(entry.path).read_bytes()


def spoiled(task: Task, folder: Path, change: Callable[[Path], object]) -> list[str]:
    assert task.made is not None
    shutil.copytree(task.made.folder, folder)
    change(folder)
    return broken(contract(replace(task, made=as_input("storyboard", folder, task.made.facts))))


def cues_changed(change: Callable[[list[webvtt.Cue]], list[webvtt.Cue]]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        file = folder / CUES_FILE
        file.write_text(webvtt.written(change(webvtt.parsed(file.read_text()))))

    return write


def sheet_changed(change: Callable[[Image.Image], Image.Image]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        with Image.open(folder / "storyboard-000.jpg") as sheet:
            made = change(sheet.convert("RGB"))
        made.save(folder / "storyboard-000.jpg", "JPEG")

    return write


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "sheet cut off": (
        lambda folder: (folder / "storyboard-000.jpg").write_bytes(
            (folder / "storyboard-000.jpg").read_bytes()[:-2000]
        ),
        "sheets decode",
    ),
    "sheet missing": (lambda folder: (folder / "storyboard-000.jpg").unlink(), "sheets decode"),
    "sheet blank": (sheet_changed(lambda sheet: Image.new("RGB", sheet.size)), "tiles show their moments"),
    "sheet upside down": (
        sheet_changed(lambda sheet: sheet.transpose(Image.Transpose.ROTATE_180)),
        "tiles show their moments",
    ),
    "sheet smaller": (
        sheet_changed(lambda sheet: sheet.resize((sheet.width // 2, sheet.height // 2))),
        "sheets decode",
    ),
    "cues emptied": (lambda folder: (folder / CUES_FILE).write_text("WEBVTT\n"), "cues cover the picture"),
    "cues no text": (lambda folder: (folder / CUES_FILE).write_bytes(b"\xff\xfe"), "cues readable"),
    "last cue gone": (cues_changed(lambda cues: cues[:-1]), "cues cover the picture"),
    "first cue gone": (cues_changed(lambda cues: cues[1:]), "cues cover the picture"),
    "a hole": (cues_changed(lambda cues: [*cues[:3], *cues[4:]]), "cues cover the picture"),
    "two places swapped": (
        cues_changed(
            lambda cues: [replace(cues[0], text=cues[1].text), replace(cues[1], text=cues[0].text), *cues[2:]]
        ),
        "tiles show their moments",
    ),
    "one place for two": (
        cues_changed(lambda cues: [cues[0], replace(cues[1], text=cues[0].text), *cues[2:]]),
        "tiles lie on sheets",
    ),
    "a place outside": (
        cues_changed(lambda cues: [replace(cues[0], text=cues[0].text.replace("=0,0", "=9999,0")), *cues[1:]]),
        "tiles lie on sheets",
    ),
    "one tile for half of it": (
        cues_changed(lambda cues: [*cues[:6], replace(cues[6], end_ms=cues[-1].end_ms)]),
        "every interval has its tile",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contract_refuses_what_was_spoiled(board: Task, tmp_path: Path, name: str) -> None:
    change, clause = MUTATIONS[name]
    assert clause in spoiled(board, tmp_path / "spoiled", change)


def test_one_frame_a_variable_rate_and_a_late_start_keep_the_contract(tmp_path: Path) -> None:
    one = storyboard_of(make_video(tmp_path / "one.mp4", frames=1), tmp_path / "one")
    assert broken(contract(one)) == []
    assert one.made is not None
    assert len(one.made.facts["tiles"]) == 1
    assert broken(contract(storyboard_of(make_vfr(tmp_path / "vfr.mkv"), tmp_path / "vfr"))) == []


@pytest.mark.parametrize("shape", [(1920, 16), (16, 480), (16, 16)], ids=str)
def test_strips_and_tiny_pictures_keep_the_contract(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=75, width=shape[0], height=shape[1])
    assert broken(contract(storyboard_of(path, tmp_path))) == []


def test_a_real_film_keeps_the_contract(tmp_path: Path) -> None:
    board = storyboard_of(corpus_file("scene/pos_video.mp4"), tmp_path, target_s=6)
    assert broken(contract(board)) == []
    assert board.made is not None
    length = Fraction(board.made.facts["tiles"][-1]["end"], board.made.facts["timescale"])
    assert len(board.made.facts["tiles"]) == -(-length // 1)
