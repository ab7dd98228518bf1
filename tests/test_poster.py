"""The poster: the best frame there is, and a contract that notices when it is not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from processing.chunks.taps import Unit
from processing.contracts.poster import contract
from processing.failures import BadInput
from processing.picture import samples_plan
from processing.picture.poster import Candidate, chosen, make
from processing.picture.samples import SampleTap, score
from processing.picture.samples_plan import fitted
from processing.timeline import Span
from processing.work import Task
from tests.media import as_input, make_video, source_task
from tests.media_picture import broken, clip_info, film, make_products


def candidate(total: float, *, second: int = 10, black: bool = False) -> Candidate:
    return Candidate(f"samples/{second:05d}", second * 90_000, 90_000, "best.jpg", {"total": total, "black": black})


def test_the_best_frame_wins_and_the_opening_must_be_clearly_better() -> None:
    assert chosen([candidate(0.2, second=5), candidate(0.4, second=9)]).ticks == 9 * 90_000
    assert chosen([candidate(0.5, second=0), candidate(0.4, second=9)]).ticks == 9 * 90_000
    assert chosen([candidate(0.9, second=0), candidate(0.4, second=9)]).ticks == 0


def test_a_black_frame_wins_only_where_all_are_black() -> None:
    black = [candidate(0.0, second=second, black=True) for second in (0, 6, 12)]
    assert chosen([*black, candidate(0.001, second=1)]).ticks == 90_000
    assert chosen(black).ticks == 6 * 90_000
    assert chosen([*black, candidate(0.0, second=3)]).ticks == 3 * 90_000
    with pytest.raises(BadInput):
        chosen([])


def test_scores_put_a_sharp_well_lit_picture_above_blurred_dark_and_black_ones() -> None:
    noise = np.random.default_rng(1).normal(0, 40, (90, 160))
    sharp = np.clip(110 + noise, 16, 235).astype(np.uint8)
    smooth = (noise[:-2, :-2] + noise[1:-1, 1:-1] + noise[2:, 2:] + noise[:-2, 2:] + noise[2:, :-2]) / 5
    blurred = np.clip(110 + smooth, 16, 235).astype(np.uint8)
    dark = np.clip(30 + noise / 8, 16, 235).astype(np.uint8)
    black = np.full((90, 160), 16, np.uint8)
    totals = [score(plane).total for plane in (sharp, blurred, dark, black)]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] == 0
    assert score(black).black
    assert not score(dark).black


@given(width=st.integers(1, 4000).map(lambda n: 2 * n), height=st.integers(1, 4000).map(lambda n: 2 * n))
def test_stills_are_even_never_larger_and_keep_their_shape(width: int, height: int) -> None:
    small = fitted((width, height), 320)
    assert max(small) <= max(320, 2)
    assert small[0] % 2 == small[1] % 2 == 0
    assert small[0] <= width
    assert small[1] <= height


@pytest.mark.parametrize(
    ("start_s", "end_s", "expected_s"), [(0, 6, [0, 1, 2, 3, 4, 5]), (5.5, 8, [6, 7]), (5.2, 5.8, [5.2])]
)
def test_one_sample_for_each_second_that_begins_in_the_chunk(
    tmp_path: Path, start_s: float, end_s: float, expected_s: list[float]
) -> None:
    taken: list[int] = []

    class Watched(SampleTap):
        def _take(self, picture: Any, ticks: int) -> None:
            taken.append(ticks)

    span = Span(int(start_s * 1000), int(end_s * 1000), 1000)
    tap = Watched(Unit(span, 0, {}), {"interval_ticks": 1000}, tmp_path)
    for ticks in range(span.start, span.end, 40):
        tap.frame(None, ticks, min(40, span.end - ticks))  # type: ignore[arg-type]
    assert len(taken) == len(expected_s)
    for tick, second in zip(taken, expected_s, strict=True):
        assert tick <= second * 1000 < tick + 40  # the frame on screen at that instant


@pytest.fixture(scope="module")
def made_poster(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("poster")
    return poster_of(make_video(folder / "clip.mp4", frames=100, width=640, height=360), folder, target_s=2)


def poster_of(path: Path, folder: Path, *, target_s: int) -> Task:
    info = clip_info(path, target_s=target_s)
    made = make_products(path, folder / "made", info, samples_plan.plan(info, {}))
    task = replace(source_task(path, folder / "poster"), inputs=made)
    result = make(task)
    return replace(task, made=as_input("poster", task.out, result.facts))


def test_a_poster_keeps_its_contract(made_poster: Task) -> None:
    assert made_poster.made is not None
    assert broken(contract(made_poster)) == []
    assert {entry.path for entry in made_poster.made.files} == {"poster.jpg", "poster.webp", "poster-small.jpg"}
    assert made_poster.made.path("poster-small.jpg").stat().st_size <= 6 * 1024
    assert made_poster.made.facts["ticks"] > 0


def spoiled(task: Task, folder: Path, name: str, data: bytes) -> list[str]:
    assert task.made is not None
    shutil.copytree(task.made.folder, folder)
    (folder / name).write_bytes(data)
    return broken(contract(replace(task, made=as_input("poster", folder, task.made.facts))))


@pytest.mark.parametrize("name", ["poster.jpg", "poster.webp", "poster-small.jpg"])
def test_the_contract_refuses_truncated_black_and_foreign_pictures(
    made_poster: Task, tmp_path: Path, name: str
) -> None:
    assert made_poster.made is not None
    data = made_poster.made.path(name).read_bytes()
    assert f"{name} decodes" in spoiled(made_poster, tmp_path / "a", name, data[: len(data) // 2])
    with Image.open(made_poster.made.path(name)) as picture:
        size, kind = picture.size, picture.format
        Image.new("RGB", size).save(tmp_path / "black", kind)
        picture.transpose(Image.Transpose.ROTATE_180).convert("RGB").save(tmp_path / "swapped", kind)
    assert f"{name} is not black" in spoiled(made_poster, tmp_path / "b", name, (tmp_path / "black").read_bytes())
    assert f"{name} shows that moment" in spoiled(
        made_poster, tmp_path / "c", name, (tmp_path / "swapped").read_bytes()
    )


def test_the_contract_refuses_a_time_nobody_sampled(made_poster: Task) -> None:
    assert made_poster.made is not None
    wrong = replace(made_poster.made, facts={**made_poster.made.facts, "ticks": 7})
    assert broken(contract(replace(made_poster, made=wrong))) == ["shows a sampled moment"]


SHAPES = [(1920, 64), (96, 960), (5000, 30), (30, 5000), (16, 16), (8, 6), (3, 5), (20, 300)]


@pytest.fixture(scope="module", params=SHAPES, ids=lambda size: f"{size[0]}x{size[1]}")
def odd_poster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("odd")
    width, height = request.param
    path = make_video(folder / "clip.mkv", frames=50, width=width, height=height, container="matroska",
                      pixel_format="yuv420p" if width % 2 == height % 2 == 0 else "yuv444p")  # fmt: skip
    return poster_of(path, folder, target_s=1)


def test_posters_of_strips_and_of_a_few_pixels_keep_their_contract(odd_poster: Task) -> None:
    """A sample of 320x2, or with more colour than its few pixels can carry, was held against 32x32 fields of it."""
    assert broken(contract(odd_poster)) == []


def test_the_contract_refuses_another_moment_in_any_shape(odd_poster: Task, tmp_path: Path) -> None:
    assert odd_poster.made is not None
    facts = odd_poster.made.facts
    other = next(taken for name, taken in odd_poster.inputs.items() if name != facts["product"])
    for name in ("poster.jpg", "poster.webp", "poster-small.jpg"):
        with Image.open(odd_poster.made.path(name)) as mine, Image.open(other.path("best.jpg")) as theirs:
            theirs.resize(mine.size, Image.Resampling.LANCZOS).save(tmp_path / "other", mine.format)
        data = (tmp_path / "other").read_bytes()
        assert f"{name} shows that moment" in spoiled(odd_poster, tmp_path / name, name, data)


def test_the_contract_refuses_a_blank_and_a_stretched_picture_in_any_shape(odd_poster: Task, tmp_path: Path) -> None:
    assert odd_poster.made is not None
    for name in ("poster.jpg", "poster.webp", "poster-small.jpg"):
        with Image.open(odd_poster.made.path(name)) as mine:
            size, kind, colours = mine.size, mine.format, mine.convert("RGB")
        Image.new("RGB", size, (255, 255, 255)).save(tmp_path / "blank", kind)
        blank = spoiled(odd_poster, tmp_path / f"{name}-blank", name, (tmp_path / "blank").read_bytes())
        assert f"{name} shows that moment" in blank
        if max(size) <= 8:
            continue  # of so few pixels of one texture a quarter looks like the whole: 4 apart
        part = colours.crop((0, 0, max(1, size[0] // 2), max(1, size[1] // 2))).resize(size)
        part.save(tmp_path / "part", kind)
        stretched = spoiled(odd_poster, tmp_path / f"{name}-part", name, (tmp_path / "part").read_bytes())
        assert f"{name} shows that moment" in stretched


def test_a_film_that_is_dark_but_not_black_has_a_poster(tmp_path: Path) -> None:
    """Between the two thresholds of black, luma 24 in samples and 16 of 255 in the contract, films failed."""
    night = np.full((120, 160, 3), 12, np.uint8)
    path = film(tmp_path / "night.mkv", [night] * 25)
    assert broken(contract(poster_of(path, tmp_path, target_s=1))) == []


@pytest.mark.parametrize("size", [(16, 16), (8, 6), (40, 30), (1920, 64)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_colours_as_fine_as_pixels_are_not_held_against_a_poster(tmp_path: Path, size: tuple[int, int]) -> None:
    """JPEG keeps a colour for every four pixels: pixel by pixel, sample and frame of 16x16 were 11 to 16 apart."""
    colours = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    path = film(tmp_path / "speckled.mkv", [colours] * 25)
    assert broken(contract(poster_of(path, tmp_path, target_s=1))) == []
