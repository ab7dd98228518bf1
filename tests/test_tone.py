"""High dynamic range to BT.709, against values worked out here from the standards, one colour at a time.

Belongs here: ramps and patches through files of ten bits, and the formulas once more in floats of the standard library.
Nothing of `processing.picture.tone` is used but what it documents: a peak of 1,000 nits, white at 203, BT.1886.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from processing.chunks.chunk_plan import unit_parameters
from processing.picture import thumbnail_plan
from processing.picture.ladder_plan import base_size
from processing.picture.scaling import FramePictures, rgb
from processing.probe.opening import open_media
from tests.media_picture import clip_info

Colour = tuple[float, float, float]

BLOCK = 16  # pixels of one patch
PEAK, WHITE = 1000.0, 203.0
GREY_CODES = 2  # of 255; measured 1.5: a table of 65 points, and 8 bits of Y'CbCr on the way
COLOUR_CODES = 4  # measured 3
DARK = 48  # a channel so dark beside a bright one lies where the table bends, at the edge of BT.709
DARK_CODES = {"pq": 8, "hlg": 8, "wide": 16}  # measured 6.0, 6.6 and 14.0; 99 of 100 are within 5
TRANSFERS = {"pq": 16, "hlg": 18, "wide": 14}  # H.273; "wide" is BT.2020 without high dynamic range


def pq_eotf(signal: float) -> float:
    """SMPTE ST 2084, equation 4.1: nits."""
    m1, m2 = 2610 / 4096 / 4, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = signal ** (1 / m2)
    return 10_000 * (max(root - c1, 0.0) / (c2 - c3 * root)) ** (1 / m1)


def pq_inverse(nits: float) -> float:
    """ST 2084, equation 5.2."""
    m1, m2 = 2610 / 4096 / 4, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = (nits / 10_000) ** m1
    return ((c1 + c2 * root) / (1 + c3 * root)) ** m2


def hlg_display(signal: Colour) -> Colour:
    """Rec. ITU-R BT.2100-2, table 5: inverse OETF, then the OOTF, which acts on luminance and leaves hues alone."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * math.log(4 * a)
    red, green, blue = (e * e / 3 if e <= 0.5 else (math.exp((e - c) / a) + b) / 12 for e in signal)
    luminance = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    gamma = 1.2 + 0.42 * math.log10(PEAK / 1000)
    gain = PEAK * luminance ** (gamma - 1) if luminance > 0 else 0.0
    return red * gain, green * gain, blue * gain


def eetf(nits: float) -> float:
    """Rep. ITU-R BT.2390, 5.4.1, with black at 0: from a peak of 1,000 nits to one of 203."""
    top, most = pq_inverse(PEAK), pq_inverse(WHITE) / pq_inverse(PEAK)
    signal = min(pq_inverse(nits) / top, 1.0)
    start = 1.5 * most - 0.5
    if signal >= start:
        t = (signal - start) / (1 - start)
        signal = (
            (2 * t**3 - 3 * t**2 + 1) * start
            + (t**3 - 2 * t**2 + t) * (1 - start)
            + (-2 * t**3 + 3 * t**2) * most
        )  # fmt: skip
    return pq_eotf(signal * top)


def in_bt709(light: Colour) -> Colour:
    """Rec. ITU-R BT.2087, M2 inverted: the same light in the primaries of BT.709, unlimited."""
    return tuple(float(v) for v in np.linalg.solve(BT709_TO_BT2020, light))  # type: ignore[return-value]


BT709_TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def expected(signal: Colour, kind: str) -> Colour:
    """R'G'B' of BT.709 in codes of 255 for R'G'B' of BT.2020 in 0..1."""
    if kind == "wide":
        light = in_bt709((signal[0] ** 2.4, signal[1] ** 2.4, signal[2] ** 2.4))
        return tuple(255 * min(max(value, 0.0), 1.0) ** (1 / 2.4) for value in light)  # type: ignore[return-value]
    light = hlg_display(signal) if kind == "hlg" else tuple(pq_eotf(value) for value in signal)
    light = in_bt709(light)  # type: ignore[arg-type]
    luminance = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]
    if min(light) < 0:
        keep = luminance / (luminance - min(light))
        light = tuple(luminance + keep * (value - luminance) for value in light)
    brightest = max(light)
    gain = eetf(brightest) / brightest if brightest > 0 else 0.0
    return tuple(255 * min(max(value * gain / WHITE, 0.0), 1.0) ** (1 / 2.4) for value in light)  # type: ignore[return-value]


def patches_of(path: Path, colours: list[Colour], kind: str) -> list[Colour]:
    """Write the colours as patches of ten-bit 4:2:0, limited range; what the codes stand for after rounding."""
    signal = np.array(colours)
    luma = signal @ [0.2627, 0.6780, 0.0593]
    planes = [
        np.rint(876 * luma + 64),
        np.rint(896 * (signal[:, 2] - luma) / 1.8814 + 512),
        np.rint(896 * (signal[:, 0] - luma) / 1.4746 + 512),
    ]
    with av.open(str(path), "w", format="matroska") as output:
        stream: Any = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = len(colours) * BLOCK, BLOCK, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, TRANSFERS[kind], 9, 1
        frame = av.VideoFrame(len(colours) * BLOCK, BLOCK, "yuv420p10le")
        for plane, codes, side in zip(frame.planes, planes, (BLOCK, BLOCK // 2, BLOCK // 2), strict=True):
            rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
            rows[:, : len(colours) * side] = np.repeat(codes, side)
            plane.update(rows.tobytes())
        frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = 9, TRANSFERS[kind], 9, 1
        for number in range(2):
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    y, cb, cr = ((planes[0] - 64) / 876, (planes[1] - 512) / 896, (planes[2] - 512) / 896)
    red, blue = y + 1.4746 * cr, y + 1.8814 * cb
    green = (y - 0.2627 * red - 0.0593 * blue) / 0.6780
    return [tuple(float(np.clip(v, 0, 1)) for v in each) for each in zip(red, green, blue, strict=True)]  # type: ignore[misc]


def shown(path: Path, folder: Path, count: int, kind: str) -> list[list[int]]:
    """R'G'B' in the middle of each patch of what all taps are given."""
    info = clip_info(path)
    assert info["video"]["hdr"] == (None if kind == "wide" else kind)
    with open_media(path) as container:
        frame = next(container.decode(container.streams.video[0]))
        pictures = FramePictures(info["video"], base_size(info), folder)
        pictures.show(frame)
        image = rgb(pictures.at(*base_size(info)))
    assert image.shape == (BLOCK, count * BLOCK, 3)
    return image[BLOCK // 2, BLOCK // 2 :: BLOCK].astype(int).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["pq", "hlg", "wide"])
def test_a_ramp_of_greys_comes_out_within_two_codes(tmp_path: Path, kind: str) -> None:
    ramp: list[Colour] = [(step / 64, step / 64, step / 64) for step in range(65)]
    meant = patches_of(tmp_path / "ramp.mkv", ramp, kind)
    found = shown(tmp_path / "ramp.mkv", tmp_path, len(ramp), kind)
    for signal, picture in zip(meant, found, strict=True):
        assert picture == pytest.approx(expected(signal, kind), abs=GREY_CODES), signal
        assert len(set(picture)) == 1, "grey has no tint"
    assert found[0] == [0, 0, 0]
    assert found[-1] == [255, 255, 255]


@pytest.mark.parametrize("kind", ["pq", "hlg", "wide"])
def test_saturated_colours_come_out_within_four_codes(tmp_path: Path, kind: str) -> None:
    """Colours inside BT.709 and outside, dark to brighter than white; a clip instead of a curve was off by 40."""
    corners = [corner for corner in itertools.product((0.0, 1.0), repeat=3) if len(set(corner)) > 1]
    most = 0.75 if kind == "pq" else 1.0
    colours: list[Colour] = [
        tuple(level * max(part, low) for part in corner)  # type: ignore[misc]
        for level in np.linspace(0.15, most, 9).tolist()
        for corner in corners
        for low in (0.0, 0.4, 0.7, 0.9)
    ]
    meant = patches_of(tmp_path / "patches.mkv", colours, kind)
    found = shown(tmp_path / "patches.mkv", tmp_path, len(colours), kind)
    for signal, picture in zip(meant, found, strict=True):
        for code, reference in zip(picture, expected(signal, kind), strict=True):
            allowed = DARK_CODES[kind] if reference < DARK else COLOUR_CODES
            assert abs(code - reference) <= allowed, (signal, picture, expected(signal, kind))


def test_hlg_keeps_the_hue_of_the_scene(tmp_path: Path) -> None:
    """The OOTF acts on luminance. Applied to each channel it makes every colour more saturated (BT.2100 note 5e)."""
    colours: list[Colour] = [(0.5, 0.4, 0.35), (0.35, 0.5, 0.4), (0.4, 0.35, 0.5)]
    meant = patches_of(tmp_path / "hues.mkv", colours, "hlg")
    found = shown(tmp_path / "hues.mkv", tmp_path, len(colours), "hlg")
    for signal, picture in zip(meant, found, strict=True):
        scene = in_bt709(tuple(value**2 / 3 for value in signal))  # type: ignore[arg-type]
        linear = [(code / 255) ** 2.4 for code in picture]
        shares = [value / sum(linear) for value in linear]
        assert shares == pytest.approx([value / sum(scene) for value in scene], abs=0.012)


def test_how_hdr_is_converted_is_in_the_recipes_of_such_sources_alone(tmp_path: Path) -> None:
    patches_of(tmp_path / "ramp.mkv", [(0.5, 0.5, 0.5)] * 4, "pq")
    info = clip_info(tmp_path / "ramp.mkv")
    assert "tone" in unit_parameters(info, {}, "00000")
    assert "tone" not in unit_parameters({**info, "video": {**info["video"], "hdr": None}}, {}, "00000")
    still = {"width": 100, "height": 100}
    assert "tone" in thumbnail_plan.parameters({"image": {**still, "hdr": "hlg"}}, {})
    assert "tone" not in thumbnail_plan.parameters({"image": {**still, "hdr": None}}, {})
