"""Times that sources really have, from the file through chunks and packages to what a decoder shows.

Every test goes the whole way and reads the segments back: what a player is given, not what a plan says.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processing.timeline import from_rational
from tests.media import read_number
from tests.media_odd import TS_CLOCK, TS_WRAP, flashing, jittered, steps, timed_video, without_the_first_frames
from tests.media_packaged import Packaged, packaged
from tests.media_picture import broken

FILM, NTSC = Fraction(1001, 24_000), Fraction(1001, 30_000)
SYNC_S = 0.010  # sound against picture; EBU R 37 asks for +5 and -15 ms a stage


def assert_every_frame_at_its_time(made: Packaged, times: list[Fraction], numbers: list[int]) -> None:
    for rung in made.rungs:
        shown = made.pictures(rung)
        assert [at for at, _ in shown] == times
        assert [read_number(picture.to_ndarray(format="rgb24")) for _, picture in shown] == numbers


SOURCES: dict[str, dict[str, Any]] = {
    "25 a second": {"times": steps(1, count=60), "time_base": Fraction(1, 25)},
    "23.976": {"times": steps(1, count=60), "time_base": FILM},
    "23.976 in a clock of 90 kHz": {"times": steps(3753, 3754, 3754, 3754, count=60), "time_base": TS_CLOCK},
    "29.97": {"times": steps(1, count=70), "time_base": NTSC},
    "59.94": {"times": steps(1, count=130), "time_base": NTSC / 2},
    "120": {"times": steps(1, count=250), "time_base": Fraction(1, 120)},
    "a telephone": {"times": jittered(70), "time_base": TS_CLOCK},
    "a telephone that stopped for 5 s": {"times": jittered(60, hole=450_000), "time_base": TS_CLOCK},
    "film and video by turns": {"times": steps(5, 5, 4, 4, 4, count=70), "time_base": NTSC / 5},
    "milliseconds": {"times": steps(33, 33, 34, count=70), "time_base": Fraction(1, 1000), "container": "matroska"},
    "no B-frames": {"times": steps(1, count=60), "time_base": Fraction(1, 25), "b_frames": 0},
    "many B-frames, open groups": {
        "times": steps(1, count=70), "time_base": Fraction(1, 25), "b_frames": 5, "open_gop": True,
    },
    "a transport stream": {"times": steps(3003, count=70), "time_base": TS_CLOCK, "container": "mpegts"},
    "a clock that wraps": {
        "times": steps(3003, count=70, start=TS_WRAP - 126_000 - 30 * 3003), "time_base": TS_CLOCK,
        "container": "mpegts",
    },
    "a clock that jumps ahead": {
        "times": [*steps(3600, count=30), *steps(3600, count=30, start=30 * 3600 + 400_000)], "time_base": TS_CLOCK,
        "container": "mpegts",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_every_frame_is_shown_at_its_source_s_time(tmp_path: Path, name: str) -> None:
    told = SOURCES[name]
    path = timed_video(tmp_path / "film", **told)
    made = packaged(path, tmp_path / "made", target_s=1)
    assert len(made.info["video"]["chunks"]) > 1
    times = [(ticks - told["times"][0]) * told["time_base"] for ticks in told["times"]]
    assert_every_frame_at_its_time(made, times, list(range(len(times))))
    assert broken(made.verdicts(tmp_path / "judged")) == []


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    lengths=st.lists(st.integers(1, 12_000), min_size=20, max_size=40),
    start=st.integers(0, 900_000),
    b_frames=st.integers(0, 3),
    container=st.sampled_from(["mp4", "mpegts"]),
)
def test_whatever_the_frames_distances_their_times_come_out_again(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], start: int, b_frames: int, container: str
) -> None:
    folder = tmp_path_factory.mktemp("times")
    times = [start]
    for length in lengths:
        times.append(times[-1] + length)
    path = timed_video(
        folder / "film", times=times, time_base=TS_CLOCK, rate=25, b_frames=b_frames, container=container, key_every=7
    )
    made = packaged(path, folder / "made", target_s=1)
    assert_every_frame_at_its_time(made, [(at - start) * TS_CLOCK for at in times], list(range(len(times))))


def test_a_picture_that_starts_after_the_sound_stays_that_much_later(tmp_path: Path) -> None:
    times = steps(1, count=60, start=18)
    path = timed_video(
        tmp_path / "film.mp4", times=times, time_base=Fraction(1, 25), audio_rate_hz=48_000,
        audio_duration_s=Fraction(3), audio_codec="aac",
    )  # fmt: skip
    made = packaged(path, tmp_path / "made", target_s=1)
    assert_every_frame_at_its_time(made, [Fraction(at, 25) for at in times], list(range(60)))
    heard, rate_hz = made.sound()
    assert np.flatnonzero(np.abs(heard) > 0.05)[0] < rate_hz // 100


@pytest.mark.parametrize("b_frames", [0, 2])
def test_frames_that_an_edit_list_hides_are_not_shown(tmp_path: Path, b_frames: int) -> None:
    """A telephone that trims writes the whole film and an edit list: what lies before the cut is only decoded."""
    path = timed_video(tmp_path / "film.mp4", times=steps(1, count=60), time_base=Fraction(1, 25), b_frames=b_frames)
    without_the_first_frames(path, 7 * 512)  # libavformat counts 25 frames a second in 12,800 ticks
    made = packaged(path, tmp_path / "made", target_s=1)
    assert_every_frame_at_its_time(made, [Fraction(at, 25) for at in range(53)], list(range(7, 60)))


def onsets_s(heard: Any, rate_hz: int) -> list[float]:
    """When each beep begins: the first sample above a fifth of full scale after half a second of less."""
    loud = np.flatnonzero(np.abs(heard) > 0.2)
    apart = np.diff(loud, prepend=-rate_hz) > rate_hz / 2
    return [float(at) / rate_hz for at in loud[apart]]


SECONDS = 20
AT_25 = {"times": steps(1, count=SECONDS * 25), "time_base": Fraction(1, 25)}
BEEPING: dict[str, dict[str, Any]] = {
    "48 kHz": {**AT_25},
    "44.1 kHz at 23.976": {
        "times": steps(1, count=SECONDS * 24), "time_base": FILM, "rate": 1 / FILM, "audio_rate_hz": 44_100,
    },
    "8 kHz": {**AT_25, "container": "matroska", "audio_rate_hz": 8_000, "audio_codec": "pcm_s16le",
              "time_base": Fraction(1, 1000), "times": steps(40, count=SECONDS * 25)},
    "192 kHz": {**AT_25, "container": "mov", "audio_rate_hz": 192_000, "audio_codec": "pcm_s16le"},
    "sound later": {**AT_25, "sound_from_s": Fraction(5, 2)},
    "sound shorter": {**AT_25, "sound_to_s": Fraction(13)},
    "a clock that wraps": {
        "container": "mpegts", "time_base": TS_CLOCK, "times": steps(3600, count=SECONDS * 25, start=TS_WRAP - 900_000),
    },
    "a telephone": {"times": jittered(SECONDS * 30, seed=5), "time_base": TS_CLOCK, "rate": 30},
}  # fmt: skip


@pytest.mark.parametrize("name", BEEPING)
def test_a_flash_and_a_beep_stay_together_over_the_whole_length(tmp_path: Path, name: str) -> None:
    told = BEEPING[name]
    flashes = flashing(tmp_path / "film", **told)
    made = packaged(tmp_path / "film", tmp_path / "made")
    assert len(made.info["video"]["chunks"]) >= 3
    shown = made.pictures(made.rungs[0])
    white = [float(at) for at, picture in shown if picture.to_ndarray(format="gray").mean() > 128]
    assert white == pytest.approx([float(at - flashes[0]) + white[0] for at in flashes])
    assert white[0] <= 0.022  # in a transport stream the encoder's priming sounds first, 1,024 samples
    begins = float(told.get("sound_from_s", 0))
    ends = float(told.get("sound_to_s", SECONDS)) - 0.1
    heard = onsets_s(*made.sound())
    due = [at for at in white if begins <= at < ends]
    assert len(heard) == len(due) >= 12
    worst = max(abs(sound - picture) for sound, picture in zip(heard, due, strict=True))
    assert worst <= SYNC_S, f"{worst * 1000:.1f} ms"
    print(f"{name}: {worst * 1000:.2f} ms over {len(due)} beeps")


def test_sound_keeps_its_distance_also_where_an_edit_list_hides_pictures(tmp_path: Path) -> None:
    flashing(tmp_path / "film.mp4", times=steps(1, count=300), time_base=Fraction(1, 25))
    without_the_first_frames(tmp_path / "film.mp4", 10 * 512)
    made = packaged(tmp_path / "film.mp4", tmp_path / "made")
    white = [float(at) for at, frame in made.pictures(made.rungs[0]) if frame.to_ndarray(format="gray").mean() > 128]
    heard = onsets_s(*made.sound())
    assert white[0] == pytest.approx(0.6)  # the flash of second 1, less the 0.4 s that are hidden
    assert heard[1:] == pytest.approx([at + 0.4 for at in white[: len(heard) - 1]], abs=SYNC_S)
    assert from_rational(made.info["origin"]) == 0
