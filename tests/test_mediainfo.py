"""MediaInfo, a reader of media that shares no code with FFmpeg, as an outside judge of `media_info`.

Each file of the corpus that should be accepted, and each fact that both state. Where they disagree, ffprobe and the
bytes decided; the files in which MediaInfo is wrong, or means another thing, are in `THEIRS` with what was found.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest

from processing.probe.media_info import facts_of
from processing.timeline import from_rational
from tests.corpus import corpus_root, rows

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(shutil.which("mediainfo") is None, reason="needs the mediainfo command as an outside judge"),
    pytest.mark.skipif(corpus_root() is None, reason="needs the corpus: set SOURCEBOUND_CORPUS to its folder"),
]

PATHS = [row["path"] for row in rows() if row["expected"] == "ok" and row["kind"] in ("video", "audio", "image")]

# MediaInfo counts whole frames and rounds to 1 ms; an AAC packet has 21 ms at 48 kHz and 46 at 22.05, and what an edit
# list or a decoder's delay leaves of the first and the last is a matter of a packet.
DURATION_SLACK_S = Fraction(50, 1000)
RATE_SLACK = 0.0002  # relative; 29.97 and 30 are 0.001 apart, MediaInfo rounds to three decimals
LOOSE_RATE_SLACK = 0.01  # of a variable rate, or of one MediaInfo estimates: it counts frames that are not shown
ASPECT_SLACK = 0.002  # MediaInfo rounds to three decimals

# (file, fact): what was found by ffprobe and in the bytes
THEIRS: Mapping[tuple[str, str], str] = {
    ("audio/cheese-on-toast.mp3", "channels"): "HE-AAC with parametric stereo: its one coded channel decodes to two",
    ("image/IMG_2682.heic", "size"): "gives the size of a tile, 512 x 512; the grid is 4032 x 3024",
    ("video/hlg10-color-test.mp4", "frame rate"): "rounds to 30; every sample lasts 3001 ticks of 90,000: 29.99",
    ("video/portrait.MOV", "rate kind"): "61 pictures last 20 ticks of 600, one 21",
    ("video/sample_with_chapters.mp4", "rate kind"): "30000/1001: pictures last 3,002 to 3,004 ticks of 90,000",
    ("video/roadtrip-vp92-10bit.webm", "rate kind"): "24000/1001 on a clock of 1 ms, 41 and 42 ms by turns",
    ("video/sample_h264_mpeg_audio.ts", "rate kind"): "three pictures 3,003 ticks of 90,000 apart",
    ("video/sample.flv", "channels"): "repeats the tag's flag, which FLV asks to say stereo; the AAC's header says one",
    (
        "video/sample_with_pgs_subtitles.mkv",
        "rate kind",
    ): "every picture lies at a multiple of 1/600 s, rounded to 1 ms",
    ("video/sample_with_srt.mkv", "frame rate"): "30.084 of 29 pictures; there are 30, at multiples of 1/30 s to 1 ms",
}

VIDEO_CODECS: Mapping[str, str] = {
    "h264": "AVC", "hevc": "HEVC", "vvc": "vvc1", "av1": "AV1", "vp8": "VP8", "vp9": "VP9", "h263": "H.263",
    "mpeg2video": "MPEG Video", "mpeg4": "MPEG-4 Visual", "mjpeg": "JPEG", "prores": "ProRes", "qtrle": "RLE",
    "ffv1": "FFV1", "wmv2": "WMV2",
}  # fmt: skip
AUDIO_CODECS: Mapping[str, str] = {
    "aac": "AAC", "ac3": "AC-3", "alac": "ALAC", "amr_nb": "AMR", "mp2": "MPEG Audio", "mp3": "MPEG Audio",
    "opus": "Opus", "pcm_s16le": "PCM", "pcm_s24le": "PCM", "vorbis": "Vorbis", "wmav2": "WMA",
}  # fmt: skip
COLOURS: Mapping[str, Mapping[str, str]] = {
    "primaries": {"BT.709": "bt709", "BT.2020": "bt2020", "BT.601 PAL": "bt470bg", "BT.601 NTSC": "smpte170m"},
    "transfer": {
        "BT.709": "bt709", "BT.601": "smpte170m", "PQ": "smpte2084", "HLG": "arib-std-b67", "xvYCC": "iec61966-2-4",
    },
    "matrix": {
        "BT.709": "bt709", "BT.601": "smpte170m", "BT.470 System B/G": "bt470bg", "BT.2020 non-constant": "bt2020nc",
    },
}  # fmt: skip
COLOUR_FIELDS = {
    "primaries": "colour_primaries",
    "transfer": "transfer_characteristics",
    "matrix": "matrix_coefficients",
}
RATE_KINDS = {"CFR": "constant", "VFR": "variable"}

Track = Mapping[str, str]


@dataclass(frozen=True)
class Disagreement:
    """One fact, and what either side says of it."""

    fact: str
    ours: Any
    theirs: Any


@dataclass(frozen=True)
class Reading:
    """Both sides' word on one file; `tracks` by MediaInfo's types: Video, Audio, Text, Image."""

    ours: Mapping[str, Any]
    tracks: Mapping[str, list[Track]]


@pytest.fixture(scope="module")
def readings() -> dict[str, Reading]:
    """Every file read by both, one call of the command for all."""
    root = corpus_root()
    assert root is not None
    command = ["mediainfo", "--Output=JSON", *PATHS]
    said = json.loads(subprocess.run(command, cwd=root, capture_output=True, check=True, timeout=60).stdout)
    tracks: dict[str, dict[str, list[Track]]] = {}
    for file in said:
        by_type = tracks.setdefault(file["media"]["@ref"], {})
        for track in file["media"]["track"]:
            by_type.setdefault(track["@type"], []).append(track)
    with ThreadPoolExecutor(2) as pool:  # libav decodes without the interpreter's lock: 9 s instead of 14
        facts = dict(zip(PATHS, pool.map(lambda path: facts_of(root / path), PATHS), strict=True))
    return {path: Reading(facts[path], tracks[path]) for path in PATHS}


def disagreements(reading: Reading) -> Iterator[Disagreement]:
    if reading.ours["kind"] == "image":
        yield from _of_image(reading)
        return
    video = reading.ours["video"]
    counts = {"Video": 1 if video else 0, "Audio": len(reading.ours["audio"]), "Text": len(reading.ours["subtitles"])}
    for kind, count in counts.items():
        yield from _unless(count == len(reading.tracks.get(kind, [])), f"number of {kind}", count, reading.tracks)
    if video:
        yield from _of_video(video, reading.tracks["Video"][0], from_rational(reading.ours["origin"]))
    for ours, theirs in zip(reading.ours["audio"], reading.tracks.get("Audio", []), strict=False):
        yield from _of_audio(ours, theirs, from_rational(reading.ours["origin"]))


def _unless(agree: bool, fact: str, ours: Any, theirs: Any) -> Iterator[Disagreement]:
    if not agree:
        yield Disagreement(fact, ours, theirs)


def _of_image(reading: Reading) -> Iterator[Disagreement]:
    still = reading.ours["image"]
    tracks = [track for kind in ("Image", "Video") for track in reading.tracks.get(kind, []) if "Width" in track]
    theirs = tracks[0]
    size = (str(still["coded_width"]), str(still["coded_height"]))
    yield from _unless(size == (theirs["Width"], theirs["Height"]), "size", size, theirs)
    if "BitDepth" in theirs:
        depth = theirs["BitDepth"].partition(" ")[0]  # "10 / 10": of the colours and of the transparency
        yield from _unless(str(still["bit_depth"]) == depth, "bit depth", still["bit_depth"], theirs["BitDepth"])


def _of_video(ours: Mapping[str, Any], theirs: Track, origin_s: Fraction) -> Iterator[Disagreement]:
    size = (str(ours["width"]), str(ours["height"]))
    yield from _unless(size == (theirs["Width"], theirs["Height"]), "size", size, theirs)
    turned = float(theirs.get("Rotation", 0))
    yield from _unless(ours["rotation_degrees"] == turned, "rotation", ours["rotation_degrees"], turned)
    aspect = float(from_rational(ours["sample_aspect"]))
    shape = float(theirs["PixelAspectRatio"])
    yield from _unless(abs(aspect - shape) <= ASPECT_SLACK, "sample aspect", aspect, shape)
    yield from _of_rate(ours, theirs)
    start_s, end_s = (Fraction(ours[name], ours["timescale"]) for name in ("start", "end"))
    yield from _of_duration("video duration", start_s + origin_s, end_s - start_s, theirs)
    codec = VIDEO_CODECS.get(ours["codec"], ours["codec"])
    yield from _unless(codec == theirs["Format"], "codec", ours["codec"], theirs["Format"])
    if "BitDepth" in theirs:
        yield from _unless(str(ours["bit_depth"]) == theirs["BitDepth"], "bit depth", ours["bit_depth"], theirs)
    if "ScanType" in theirs:
        fields = theirs.get("ScanOrder", "mixed").lower() if theirs["ScanType"] != "Progressive" else "progressive"
        yield from _unless(ours["interlaced"] == fields, "scan type", ours["interlaced"], fields)
    for name, field in COLOUR_FIELDS.items():
        mine, said = ours["color"][name], theirs.get(field)
        if mine is not None and said is not None:
            yield from _unless(COLOURS[name].get(said) == mine, name, mine, said)


def _of_rate(ours: Mapping[str, Any], theirs: Track) -> Iterator[Disagreement]:
    kind = RATE_KINDS.get(theirs.get("FrameRate_Mode", ""))
    if kind is not None:
        yield from _unless(ours["frame_rate_kind"] == kind, "rate kind", ours["frame_rate_kind"], theirs)
    if theirs.get("FrameRate"):
        found, said = float(from_rational(ours["frame_rate"])), float(theirs["FrameRate"])
        slack = RATE_SLACK if kind == "constant" else LOOSE_RATE_SLACK
        yield from _unless(abs(found / said - 1) <= slack, "frame rate", found, said)


def _of_duration(fact: str, start_s: Fraction, length_s: Fraction, theirs: Track) -> Iterator[Disagreement]:
    """MediaInfo counts some tracks from their own start and some from the file's (an empty edit, a late start)."""
    if theirs.get("Duration"):
        said = Fraction(theirs["Duration"])
        agree = min(abs(length_s - said), abs(start_s + length_s - said)) <= DURATION_SLACK_S
        yield from _unless(agree, fact, (float(start_s), float(length_s)), theirs["Duration"])


def _of_audio(ours: Mapping[str, Any], theirs: Track, origin_s: Fraction) -> Iterator[Disagreement]:
    channels, rate_hz = str(ours["channels"]), str(ours["rate_hz"])
    yield from _unless(channels == theirs["Channels"], "channels", channels, theirs["Channels"])
    yield from _unless(rate_hz == theirs["SamplingRate"], "sampling rate", rate_hz, theirs["SamplingRate"])
    codec = AUDIO_CODECS.get(ours["codec"], ours["codec"])
    yield from _unless(codec == theirs["Format"], "codec", ours["codec"], theirs["Format"])
    start_s = from_rational(ours["start"]) + origin_s
    yield from _of_duration("audio duration", start_s, from_rational(ours["duration"]), theirs)


@pytest.mark.parametrize("path", PATHS or ["none: there is no corpus"])
def test_mediainfo_says_the_same(readings: dict[str, Reading], path: str) -> None:
    unexplained = [found for found in disagreements(readings[path]) if (path, found.fact) not in THEIRS]
    assert unexplained == []


def test_every_reason_still_explains_a_disagreement(readings: dict[str, Reading]) -> None:
    """A reason that outlives its disagreement would hide the next one."""
    found = {(path, each.fact) for path, reading in readings.items() for each in disagreements(reading)}
    assert found == set(THEIRS)
