"""Where sources are cut into chunks."""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.chunks.grid import FARTHEST_S, NO_TIME, SHORTEST_TAIL_S, TARGET_S, KeyFrames, grid

SCALE = 1000


def keys_at(*ticks: int) -> KeyFrames:
    return KeyFrames(array("q", ticks), array("q", [10 * t for t in ticks]), array("q", [10 * t - 5 for t in ticks]))


def regular(end: int, step: int = 40) -> list[int]:
    return list(range(0, end, step))


def starts(chunks: list[dict[str, Any]]) -> list[int]:
    return [chunk["start"] for chunk in chunks]


def test_boundaries_sit_on_the_key_frames_nearest_to_the_target() -> None:
    chunks = grid(0, 20_000, SCALE, keys_at(*range(0, 20_000, 2_500)), regular(20_000))
    assert starts(chunks) == [0, 5_000, 10_000, 15_000]  # 5 s and 7.5 s are near; 5 s is nearer to 6
    assert all(chunk["on_key_frame"] for chunk in chunks)


def test_without_a_near_key_frame_the_cut_is_the_first_picture_at_the_target() -> None:
    chunks = grid(0, 20_000, SCALE, keys_at(0), [t + 7 for t in regular(20_000, 50)])
    assert starts(chunks) == [0, 6_007, 12_007]
    assert [chunk["on_key_frame"] for chunk in chunks] == [True, False, False]
    assert {chunk["seek"]["pts"] for chunk in chunks} == {0}


def test_a_cut_between_key_frames_seeks_to_the_last_one_before_it() -> None:
    chunks = grid(0, 30_000, SCALE, keys_at(0, 11_000, 25_000), regular(30_000))
    for chunk in chunks:
        before = max(key for key in (0, 11_000, 25_000) if key <= chunk["start"])
        assert chunk["seek"] == {"pts": 10 * before, "dts": 10 * before - 5}


def test_a_start_before_the_first_key_frame_is_decoded_from_the_start_of_the_file() -> None:
    chunks = grid(100, 5_000, SCALE, keys_at(400), regular(5_000))
    assert chunks[0]["seek"] == {"pts": None, "dts": None}


def test_a_key_frame_whose_time_is_unknown_is_named_so() -> None:
    keys = KeyFrames(array("q", [0]), array("q", [0]), array("q", [NO_TIME]))
    assert grid(0, 500, SCALE, keys, [0])[0]["seek"] == {"pts": 0, "dts": None}


def test_a_tail_of_a_few_pictures_joins_the_chunk_before_it() -> None:
    chunks = grid(0, 9_400, SCALE, keys_at(0, 6_000, 9_000), regular(9_400))
    assert starts(chunks) == [0, 6_000]


def test_a_slide_show_is_cut_at_its_slides_only() -> None:
    slides = [0, 30_000, 60_000, 61_000]
    chunks = grid(0, 90_000, SCALE, keys_at(*slides), slides)
    assert set(starts(chunks)) <= set(slides)


def test_nothing_cannot_be_cut() -> None:
    with pytest.raises(ValueError, match="nothing to cut"):
        grid(5, 5, SCALE, KeyFrames.none(), [])


times = st.lists(st.integers(min_value=0, max_value=120_000), min_size=1, max_size=400, unique=True).map(sorted)


@st.composite
def sources(draw: st.DrawFn) -> tuple[int, int, KeyFrames, list[int]]:
    frames = draw(times)
    chosen = (
        [frame for frame in frames if draw(st.booleans())] if len(frames) < 60 else frames[:: draw(st.integers(1, 50))]
    )
    end = frames[-1] + draw(st.integers(min_value=1, max_value=20_000))
    return frames[0], end, keys_at(*chosen), frames


@given(sources())
def test_chunks_cover_the_source_exactly_and_start_on_pictures(source: tuple[int, int, KeyFrames, list[int]]) -> None:
    start, end, keys, frames = source
    chunks = grid(start, end, SCALE, keys, frames)
    assert chunks[0]["start"] == start
    assert chunks[-1]["end"] == end
    assert all(before["end"] == after["start"] for before, after in pairwise(chunks))
    assert set(starts(chunks)) <= set(frames)
    assert chunks == grid(start, end, SCALE, keys, frames)


@given(sources())
def test_chunks_are_bounded_unless_pictures_are_further_apart(source: tuple[int, int, KeyFrames, list[int]]) -> None:
    start, end, keys, frames = source
    for chunk in grid(start, end, SCALE, keys, frames):
        if chunk["end"] - chunk["start"] > FARTHEST_S * SCALE:
            cut_at, last = chunk["start"] + TARGET_S * SCALE, end - SHORTEST_TAIL_S * SCALE
            assert not any(cut_at <= frame <= min(last, cut_at + 3 * SCALE) for frame in frames)


@given(sources())
def test_every_chunk_can_be_decoded_from_its_seek_point(source: tuple[int, int, KeyFrames, list[int]]) -> None:
    start, end, keys, frames = source
    for chunk in grid(start, end, SCALE, keys, frames):
        known = [key for key in keys.ticks if key <= chunk["start"]]
        assert chunk["seek"]["pts"] == (10 * known[-1] if known else None)
        assert chunk["on_key_frame"] == (chunk["start"] in keys.ticks)
