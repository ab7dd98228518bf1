"""The ladder: which rungs, how they are encoded, and that the same picture gives the same bytes."""

from __future__ import annotations

import hashlib
import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.chunks.chunk_pass import make_unit
from processing.chunks.chunk_plan import unit_parameters
from processing.picture import ladder_plan, samples_plan, tone
from processing.picture.ladder_plan import all_rungs, base_size, level_idc, rungs
from processing.picture.planes import luma, thumbprint
from processing.picture.scaling import SCALE_FLAGS, Chain, FramePictures, rgb, scaled_from
from processing.probe.opening import open_media
from processing.work import PlannedProduct
from tests.corpus import corpus_file
from tests.media import make_vfr, make_video, read_number
from tests.media_picture import clip_info, make_products, unit_task


def labels(width: int, height: int, **options: Any) -> list[int]:
    return [rung.label for rung in rungs({"video": {"display_width": width, "display_height": height}}, options)]


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (3840, 2160, [2160, 1440, 1080, 720, 540, 360]),
        (1920, 1080, [1080, 720, 540, 360]),
        (1080, 1920, [1080, 720, 540, 360]),
        (854, 480, [480, 360]),
        (320, 180, [180]),
        (8, 8, [8]),
        (7680, 4320, [2160, 1440, 1080, 720, 540, 360]),
        (1920, 1200, [1200, 1080, 720, 540, 360]),
    ],
)
def test_rungs_are_the_steps_below_the_source_and_its_own_size_between_steps(
    width: int, height: int, expected: list[int]
) -> None:
    assert labels(width, height) == expected


def test_a_wished_ladder_restricts_and_never_leaves_nothing() -> None:
    assert labels(1920, 1080, ladder=[720, 360]) == [720, 360]
    assert labels(854, 480, ladder=[720]) == [480]
    assert labels(1920, 1080, ladder=[480]) == [360]
    assert labels(1920, 1080, ladder=[240]) == [360]


@given(width=st.integers(1, 4400).map(lambda n: 2 * n), height=st.integers(1, 4400).map(lambda n: 2 * n))
def test_rungs_are_even_fall_and_keep_the_shape(width: int, height: int) -> None:
    info = {"video": {"display_width": width, "display_height": height}}
    made = all_rungs(info)
    assert made
    for rung in made:
        assert rung.width % 2 == rung.height % 2 == 0
        assert min(rung.width, rung.height) == rung.label
        assert rung.width <= width
        assert rung.height <= height
        assert abs(rung.width * height - rung.height * width) <= max(width, height) * 1.001
    assert all(a.label > b.label for a, b in itertools.pairwise(made))
    assert base_size(info) == (made[0].width, made[0].height)


def test_a_wish_changes_no_other_rung_of_the_source(tmp_path: Path) -> None:
    """A rung's recipe must not depend on which others are made, or adding one would encode all again."""
    info = clip_info(make_video(tmp_path / "clip.mp4", frames=5, width=1280, height=720))
    every = {product.name: product for product in ladder_plan.plan(info, {})}
    few = {product.name: product for product in ladder_plan.plan(info, {"ladder": [360]})}
    assert few["ladder/360/00000"] == every["ladder/360/00000"]
    assert unit_parameters(info, {}, "00000") == unit_parameters(info, {"ladder": [360]}, "00000")


@pytest.mark.parametrize(
    ("size", "rate", "cap", "level"),
    [
        ((1920, 1080), 30, 7_500_000, 40),
        ((1280, 720), 30, 4_000_000, 31),
        ((1920, 1080), 60, 10_000_000, 42),
        ((3840, 2160), 30, 21_000_000, 51),
        ((640, 360), 30, 1_400_000, 30),
    ],
)
def test_levels_are_those_of_table_a_1(size: tuple[int, int], rate: int, cap: int, level: int) -> None:
    assert level_idc(*size, Fraction(rate), cap) == level


def test_a_frame_rate_that_is_a_clock_is_measured_instead(tmp_path: Path) -> None:
    info = clip_info(make_video(tmp_path / "clip.mp4", frames=50), frame_rate={"num": 1000, "den": 1})
    assert abs(ladder_plan.frame_rate(info) - 25) < Fraction(1, 10)


def packets_of(path: Path) -> list[Any]:
    with open_media(path) as container:
        return [packet for packet in container.demux(container.streams.video[0]) if packet.size]


def test_key_frames_stand_at_the_chunk_start_and_every_two_seconds_in_every_rung(tmp_path: Path) -> None:
    """The source's own key frames (every 7 frames here) and picture types must not show through."""
    path = make_video(tmp_path / "clip.mp4", frames=130, width=640, height=400, key_every=7)
    info = clip_info(path)
    made = make_products(path, tmp_path / "made", info, ladder_plan.plan(info, {}))
    assert {name.split("/")[1] for name in made} == {"400", "360"}
    scale = info["video"]["timescale"]
    for item in made.values():
        packets = packets_of(item.path("chunk.mp4"))
        keys = [packet.pts for packet in packets if packet.is_keyframe]
        assert keys == item.facts["key_frames"] == [0, 2 * scale, 4 * scale]


def test_times_and_durations_are_exact_at_a_variable_rate(tmp_path: Path) -> None:
    path = make_vfr(tmp_path / "vfr.mp4", width=160, height=120)
    info = clip_info(path, target_s=2)
    assert len(info["video"]["chunks"]) > 1
    made = make_products(path, tmp_path / "made", info, ladder_plan.plan(info, {}))
    with open_media(path) as container:
        stream = container.streams.video[0]
        expected = [frame.pts * stream.time_base for frame in container.decode(stream)]
    found, numbers = [], []
    for name in sorted(made):
        with open_media(made[name].path("chunk.mp4")) as container:
            for frame in container.decode(container.streams.video[0]):
                found.append(frame.pts * frame.time_base)
                numbers.append(read_number(frame.to_ndarray(format="rgb24")))
        packets = packets_of(made[name].path("chunk.mp4"))
        assert all(packet.duration > 0 for packet in packets)
        assert made[name].facts["end"] == made[name].facts["span"]["end"]
    assert found == [time - expected[0] for time in expected]
    assert numbers == list(range(60))


def test_later_chunks_start_on_the_tick_where_a_tick_is_no_whole_millisecond(tmp_path: Path) -> None:
    """An MP4 keeps a late start in its movie's timescale, which is milliseconds unless it is set."""
    path = make_video(tmp_path / "film.mp4", frames=80, rate=Fraction(24_000, 1001), key_every=25)
    info = clip_info(path, target_s=1)
    made = make_products(path, tmp_path / "made", info, ladder_plan.plan(info, {}))
    assert len(made) > 2
    for item in made.values():
        assert min(packet.pts for packet in packets_of(item.path("chunk.mp4"))) == item.facts["first"]


@pytest.mark.parametrize("width", [854, 960, 640, 416])
def test_the_same_chunk_gives_the_same_bytes_in_a_warm_process(tmp_path: Path, width: int) -> None:
    """At widths that are no multiple of 128, x264's mb-tree reads memory it never wrote unless told to be careful."""
    height = 2 * round(width * 9 / 32)
    path = make_video(tmp_path / "clip.mp4", frames=40, width=width, height=height)
    info = clip_info(path)
    planned = [*ladder_plan.plan(info, {}), *samples_plan.plan(info, {})]
    digests = set()
    for number in range(4):
        dirty = [np.random.default_rng(number + n).integers(0, 255, 1 << 20, dtype=np.uint8) for n in range(8)]
        del dirty
        task = unit_task(path, tmp_path / str(number), info, "00000", planned)
        make_unit(task)
        digest = hashlib.sha256()
        for file in sorted((task.scratch / "products").rglob("*.*")):
            digest.update(file.read_bytes())
        digests.add(digest.hexdigest())
    assert len(digests) == 1


def first_picture(path: Path, folder: Path, **changes: Any) -> Any:
    info = clip_info(path, **changes)
    with open_media(path) as container:
        frame: Any = next(container.decode(container.streams[info["video"]["stream_index"]]))
        pictures = FramePictures(info["video"], base_size(info), folder)
        pictures.show(frame)
        return rgb(pictures.at(*base_size(info))).astype(int)


def flat(path: Path, colour: tuple[int, int, int], pixel_format: str, matrix: int, full: bool, **more: Any) -> Path:
    """One flat RGB colour, encoded without loss with the tags of a matrix and range (H.273 numbers)."""
    width, height = more.pop("size", (64, 64))
    with av.open(str(path), "w", format="matroska") as output:
        stream: Any = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        said = more.get("said", True)
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix if said else 2, 2 if full else 1
        stream.codec_context.color_primaries = more.get("primaries", 1) if said else 2
        stream.codec_context.color_trc = more.get("transfer", 1) if said else 2
        image = np.full((height, width, 3), colour, np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
            format=pixel_format,
            dst_colorspace={1: "itu709", 6: "itu601", 5: "itu601"}[matrix],
            dst_color_range="JPEG" if full else "MPEG",
        )
        frame.colorspace, frame.color_range = matrix if said else 2, 2 if full else 1
        for _ in range(3):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("pixel_format", "matrix", "full"),
    [
        ("yuv444p", 1, False),
        ("yuv444p", 6, False),
        ("yuv420p", 5, False),
        ("yuv420p", 1, True),
        ("yuv420p", 6, True),
        ("yuv422p10le", 1, False),
        ("yuv444p10le", 6, True),
    ],
)
def test_colours_survive_every_matrix_and_range(tmp_path: Path, pixel_format: str, matrix: int, full: bool) -> None:
    colour = (200, 60, 30)
    picture = first_picture(flat(tmp_path / "flat.mkv", colour, pixel_format, matrix, full), tmp_path)
    assert (
        np.abs(picture.reshape(-1, 3).mean(axis=0) - colour).max() <= 6
    )  # three roundings to 8 bits; a wrong matrix: 15


@pytest.mark.parametrize(("size", "matrix"), [((720, 576), 5), ((1280, 720), 1)])
def test_colours_without_a_tag_are_those_of_the_picture_s_height(
    tmp_path: Path, size: tuple[int, int], matrix: int
) -> None:
    """Standard definition is BT.601, high definition BT.709, as every decoder supposes."""
    colour = (200, 60, 30)
    path = flat(tmp_path / "flat.mkv", colour, "yuv420p", matrix, full=False, size=size, said=False)
    info = clip_info(path)
    assert (info["video"]["color"]["matrix"], info["video"]["color"]["primaries"]) == (None, None)
    picture = first_picture(path, tmp_path)
    assert np.abs(picture.reshape(-1, 3).mean(axis=0) - colour).max() <= 6


@pytest.mark.parametrize("pixel_format", ["bgr0", "gbrp10le"])
def test_colours_survive_from_rgb(tmp_path: Path, pixel_format: str) -> None:
    path = tmp_path / "rgb.mkv"
    with av.open(str(path), "w", format="matroska") as output:
        stream: Any = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixel_format
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), (200, 60, 30), np.uint8), format="rgb24")
        output.mux(stream.encode(frame.reformat(format=pixel_format)))
        output.mux(stream.encode(None))
    picture = first_picture(path, tmp_path)
    assert np.abs(picture.reshape(-1, 3).mean(axis=0) - (200, 60, 30)).max() <= 3


def test_transparent_pixels_become_black(tmp_path: Path) -> None:
    path = tmp_path / "alpha.mov"
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[..., :3] = (250, 250, 250)
    pixels[:, :32, 3] = 255
    with av.open(str(path), "w", format="mov") as output:
        stream: Any = output.add_stream("qtrle", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "argb"
        frame = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format="argb")
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    picture = first_picture(path, tmp_path)
    assert picture[:, :28].mean() > 240
    assert picture[:, 36:].mean() < 8


@pytest.mark.parametrize(
    ("degrees", "mirrored", "corner"),
    [
        (0, False, (0, 0)),
        (90, False, (0, 1)),
        (180, False, (1, 1)),
        (270, False, (1, 0)),
        (0, True, (0, 1)),
        (90, True, (0, 0)),
    ],
)
def test_pictures_are_upright(tmp_path: Path, degrees: int, mirrored: bool, corner: tuple[int, int]) -> None:
    """The top left corner of the coded picture is white: `corner` (row, column) is where it must come out."""
    path = tmp_path / "corner.mkv"
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:16, :16] = 255
    with av.open(str(path), "w", format="matroska") as output:
        stream: Any = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv444p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv444p")))
        output.mux(stream.encode(None))
    turned = degrees in {90, 270}
    picture = first_picture(
        path,
        tmp_path,
        rotation_degrees=degrees,
        mirrored=mirrored,
        display_width=64 if turned else 128,
        display_height=128 if turned else 64,
    )
    height, width = picture.shape[:2]
    assert (height, width) == ((128, 64) if turned else (64, 128))
    row, column = corner
    patch = picture[slice(0, 14) if row == 0 else slice(height - 14, height)]
    patch = patch[:, slice(0, 14) if column == 0 else slice(width - 14, width)]
    assert patch.mean() > 240
    assert picture.mean() < 20


def test_a_display_matrix_is_applied_once(tmp_path: Path) -> None:
    path = corpus_file("video/sample_rotate_and_reflect.mp4")
    info = clip_info(path)
    made = make_products(path, tmp_path, info, ladder_plan.plan(info, {"ladder": [360]}))
    with open_media(made["ladder/360/00000"].path("chunk.mp4")) as container:
        frame = next(container.decode(container.streams.video[0]))
    assert (frame.width, frame.height) == (360, 540)
    assert frame.rotation == 0


def test_tone_curves_keep_order_black_and_grey() -> None:
    grey = np.repeat(np.linspace(0, 1, 101)[:, None], 3, axis=1)
    for transfer in ("pq", "hlg", "wide"):
        out = tone.to_bt709(grey, transfer)
        assert np.all(np.diff(out[:, 1]) >= -1e-9)
        assert out[0].max() < 0.01
        assert out[-1].min() > 0.98
        assert np.abs(out - out[:, :1]).max() < 0.01
    assert abs(float(tone.pq_to_nits(np.array(0.5081))) - 100) < 1  # ST 2084: 100 nits lie at 50.8 %
    assert abs(float(tone.hlg_to_nits(np.array([0.75, 0.75, 0.75]))[0]) - 203) < 2  # BT.2408: HLG diffuse white


@pytest.mark.parametrize("name", ["video/hdr10-av1.mp4", "video/hlg10-color-test.mp4"])
def test_high_dynamic_range_is_tone_mapped_and_never_tagged_as_it_was(tmp_path: Path, name: str) -> None:
    path = corpus_file(name)
    info = clip_info(path)
    assert info["video"]["hdr"]
    plain = first_picture(path, tmp_path, hdr=None, color={"primaries": "bt709", "matrix": "bt2020nc", "range": "tv"})
    mapped = first_picture(path, tmp_path)
    assert mapped.std() > plain.std()  # PQ and HLG shown as they are look flat
    one = [p for p in ladder_plan.plan(info, {"ladder": [360]}) if p.unit == "00000"]
    made = make_products(path, tmp_path / "made", info, one)
    with open_media(made[one[0].name].path("chunk.mp4")) as container:
        frame = next(container.decode(container.streams.video[0]))
    assert (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range) == (1, 1, 1, 1)


def test_chunks_of_interlaced_pictures_equal_the_whole_without_combs(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "clip.mp4",
        frames=60,
        width=320,
        height=240,
        key_every=12,
        codec_options={"flags": "+ilme+ildct", "x264-params": "tff=1:keyint=12:scenecut=0"},
    )
    info = clip_info(path, target_s=1, interlaced="tff")
    every = clip_info(path, target_s=60, interlaced="tff")
    assert len(info["video"]["chunks"]) > 1
    parts, single = ShownFrames(path, info), ShownFrames(path, every)
    assert len(parts.shown) == 60
    assert parts.shown == single.shown
    untouched = ShownFrames(path, clip_info(path, target_s=60))
    assert untouched.shown != single.shown


class ShownFrames:
    """What the pass shows to a tap, chunk after chunk: time and pixels."""

    def __init__(self, path: Path, info: dict[str, Any]) -> None:
        self.shown: list[tuple[int, str]] = []
        for index in range(len(info["video"]["chunks"])):
            planned = PlannedProduct("seen/0", f"{index:05d}", "processing.chunks.taps:PictureTap", "1", {}, 1.0)
            task = unit_task(path, path.parent / f"{info['video']['interlaced']}{index}", info, planned.unit, [planned])
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("processing.chunks.chunk_pass._tap", lambda *_: self)
                make_unit(task)

    encoder_calls = 0
    looks_at = None

    def frame(self, picture: Any, ticks: int, duration: int) -> None:
        self.shown.append((ticks, hashlib.sha256(picture.decoded.to_ndarray().tobytes()).hexdigest()))

    def close(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("size", "base", "larger"),
    [
        ((1280, 720), (1920, 1080), (1920, 1080)),
        ((960, 540), (1920, 1080), (1920, 1080)),
        ((640, 360), (1920, 1080), (960, 540)),
        ((640, 360), (3840, 2160), (960, 540)),
        ((202, 360), (1080, 1920), (270, 480)),
        ((640, 360), (1366, 768), (1366, 768)),
    ],
)
def test_a_small_picture_is_scaled_from_the_nearest_even_half(
    size: tuple[int, int], base: tuple[int, int], larger: tuple[int, int]
) -> None:
    assert scaled_from(size, base) == larger


def test_scaling_over_a_half_shows_what_scaling_at_once_shows(tmp_path: Path) -> None:
    path = corpus_file("scene/big_buck_bunny_0_30.webm")
    info = clip_info(path)
    base = base_size(info)
    assert scaled_from((426, 240), base) == (640, 360)
    pictures = FramePictures(info["video"], base, tmp_path)
    with open_media(path) as container:
        frame = next(itertools.islice(container.decode(video=0), 300, None))
    pictures.show(frame)
    at_once = Chain(pictures.at(*base), [("scale", f"426:240:{SCALE_FLAGS}")], "bt709", "tv")(pictures.at(*base))
    error = luma(pictures.at(426, 240)).astype(float) - luma(at_once)
    assert 0 < (error**2).mean() < 0.5


def test_a_thumbprint_is_the_mean_of_sixteen_cells() -> None:
    plane = np.arange(64, dtype=np.uint8).reshape(8, 8)
    cells = plane.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    assert thumbprint(plane) == [int(value) for value in cells.reshape(-1)]


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc", None])
@pytest.mark.parametrize(("level", "shown"), [(16, 0), (100, 98), (235, 255)])
def test_grey_keeps_its_level_through_every_matrix(tmp_path: Path, matrix: str | None, level: int, shown: int) -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    for plane, value in zip(frame.planes, (level, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    video = {"rotation_degrees": 0, "mirrored": False, "color": {"matrix": matrix}, "hdr": None}
    pictures = FramePictures(video, (64, 48), tmp_path)
    pictures.show(frame)
    made = pictures.at(64, 48)
    assert set(luma(made).reshape(-1).tolist()) == {level}
    assert set(rgb(made).reshape(-1).tolist()) == {shown}
