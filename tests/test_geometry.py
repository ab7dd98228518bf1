"""How coded pictures become upright ones."""

from __future__ import annotations

import struct
import subprocess
from fractions import Fraction
from pathlib import Path
from shutil import which

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from processing.picture.geometry import (
    UPRIGHT,
    Orientation,
    display_size,
    even,
    filter_steps,
    from_display_matrix,
    from_exif,
    usable_aspect,
)
from processing.picture.stills import upright
from processing.probe.media_info import facts_of
from tests.media import make_video, numbered_picture

ALL = [Orientation(degrees, mirrored) for degrees in (0, 90, 180, 270) for mirrored in (False, True)]


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    return struct.pack("=9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (matrix(1, 0, 0, 1), UPRIGHT),
        (matrix(0, 1, -1, 0), Orientation(90)),
        (matrix(-1, 0, 0, -1), Orientation(180)),
        (matrix(0, -1, 1, 0), Orientation(270)),
        (matrix(-1, 0, 0, 1), Orientation(0, True)),
        (matrix(1, 0, 0, -1), Orientation(180, True)),
        (matrix(0, 1, 1, 0), Orientation(90, True)),
        (matrix(0, 0, 0, 0), UPRIGHT),
        (matrix(1, 1, -1, 1), UPRIGHT),
        (b"short", UPRIGHT),
    ],
)
def test_display_matrices_name_quarter_turns_and_nothing_else(raw: bytes, wanted: Orientation) -> None:
    assert from_display_matrix(raw) == wanted


@pytest.mark.parametrize("value", range(1, 9))
def test_exif_orientations_turn_pictures_as_pillow_does(value: int) -> None:
    picture = Image.fromarray(numbered_picture(5, 60, 40))
    tagged = picture.copy()
    tagged.getexif()[0x0112] = value
    assert np.array_equal(np.asarray(upright(picture, from_exif(value))), np.asarray(ImageOps.exif_transpose(tagged)))
    assert from_exif(value).exif == value


def test_exif_values_that_mean_nothing_turn_nothing() -> None:
    assert from_exif(0) == from_exif(9) == UPRIGHT


@pytest.mark.parametrize("orientation", ALL)
def test_filters_turn_moving_pictures_as_stills_are_turned(orientation: Orientation) -> None:
    pixels = numbered_picture(9, 64, 48)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    graph = av.filter.Graph()
    last = graph.add_buffer(width=64, height=48, format=frame.format, time_base=Fraction(1, 25))
    source = last
    for name, arguments in (*filter_steps(orientation), ("null", "")):
        step = graph.add(name, arguments)
        last.link_to(step)
        last = step
    sink = graph.add("buffersink")
    last.link_to(sink)
    graph.configure()
    source.push(frame)
    turned = sink.pull()
    assert isinstance(turned, av.VideoFrame)
    assert np.array_equal(turned.to_ndarray(format="rgb24"), np.asarray(upright(Image.fromarray(pixels), orientation)))


@pytest.mark.services
@pytest.mark.skipif(which("ffmpeg") is None, reason="needs the ffmpeg command as an outside judge")
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_facts_turn_a_file_as_the_ffmpeg_command_does(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    file = make_video(tmp_path / "turned", frames=2, width=96, height=64, rotation_degrees=degrees, mirrored=mirrored)
    video = facts_of(file)["video"]
    size = video["display_width"], video["display_height"]
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", file, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-"],
        capture_output=True,
        check=True,
    ).stdout
    judged = np.frombuffer(raw, np.uint8).reshape(size[1], size[0]).astype(int)
    with av.open(str(file)) as container:
        coded = Image.fromarray(next(container.decode(video=0)).to_ndarray(format="gray"))
    turned = np.asarray(upright(coded, Orientation(video["rotation_degrees"], video["mirrored"]))).astype(int)
    assert np.abs(turned - judged).mean() < 2


def test_sample_aspect_widens_and_rotation_swaps() -> None:
    assert display_size(720, 576, Fraction(64, 45), UPRIGHT) == (1024, 576)
    assert display_size(640, 360, Fraction(2, 3), UPRIGHT) == (426, 360)
    assert display_size(1440, 1080, Fraction(4, 3), Orientation(90)) == (1080, 1920)


def test_sizes_are_even_and_never_above_the_source() -> None:
    assert display_size(161, 121, Fraction(1), UPRIGHT) == (160, 120)
    assert display_size(1, 1, Fraction(1), UPRIGHT) == (2, 2)
    assert even(Fraction(853, 2)) == 426


@pytest.mark.parametrize("aspect", [None, Fraction(0), Fraction(-1), Fraction(1, 100), Fraction(1000)])
def test_absurd_sample_aspects_count_as_square(aspect: Fraction | None) -> None:
    assert usable_aspect(aspect) == 1
