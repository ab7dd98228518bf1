"""No instant and no length on the media timeline is a float, in any manifest, fact or document of any artifact."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from processing.failures import WorkFailure
from resources.house import House
from tests.house import make, take_in
from tests.media import make_still, make_video

# Keys that speak of time by themselves or by what they end with.
OF_TIME = re.compile(
    r"(^|_)(s|ms|us|seconds?|time|times|start|starts|end|ends|duration|durations|length|ticks|timescale|pts|dts|at|from"
    r"|to|until|gap|gaps|origin|offset|delay|priming|interval|samples|first|last|position|held)$"
)


def floats_of_time(value: Any, key: str = "", path: str = "") -> Iterator[str]:
    """The places of floats whose key, or the key of the list they are in, speaks of time."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from floats_of_time(item, str(name), f"{path}/{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from floats_of_time(item, key, f"{path}[{number}]")
    elif isinstance(value, float) and OF_TIME.search(key):
        yield f"{path} = {value}"


def documents(home: Path) -> Iterator[tuple[str, Any]]:
    """Every JSON document of the store and of what is published."""
    for path in sorted((home / "store").rglob("*.json")) + sorted((home / "published").rglob("*.json")):
        yield str(path.relative_to(home)), json.loads(path.read_text())


@pytest.mark.parametrize(
    "value", [{"start_s": 1.5}, {"shots": [{"end": 2.0}]}, {"times": [0.1]}, {"duration": 3.0}, {"x": {"ticks": 1.0}}]
)
def test_a_float_second_would_be_found(value: Any) -> None:
    assert list(floats_of_time(value))


def test_no_manifest_and_no_document_has_a_float_second(house: House, tmp_path: Path) -> None:
    film = make_video(
        tmp_path / "film.mkv", frames=60, width=320, height=240, container="matroska", audio_rate_hz=44_100,
        audio_channels=2, rate=24,
    )  # fmt: skip
    (tmp_path / "film.en.srt").write_text("1\n00:00:00,500 --> 00:00:02,250\nHello.\n")
    still = make_still(tmp_path / "still.png")
    for registration in take_in(house, film, still):
        outcomes = make(house, registration)
        assert [outcome for outcome in outcomes.values() if isinstance(outcome, WorkFailure)] == []
    found = list(documents(house.settings.home))
    assets = {str(document["asset"]) for name, document in found if name.endswith("manifest.json")}
    assert {
        "media_info", "chunks", "hls", "proxy", "poster", "storyboard", "scenes", "quality", "fingerprint",
        "soundtrack", "loudness", "waveform", "speech_map", "subtitles", "release", "thumbnails",
    } <= assets  # fmt: skip
    assert [f"{name}: {place}" for name, document in found for place in floats_of_time(document)] == []
