"""Times in manifests are ticks and rationals: no float second survives from one program to the next unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processing.failures import WorkFailure
from resources.house import House
from tests.corpus import corpus_file
from tests.house import house, make, take_in

__all__ = ["house"]

# What is measured of light and sound. No name of a time is among them.
MEASURED = {
    *("sharpness", "mean", "contrast", "dark", "bright", "total"),
    *("integrated_lufs", "momentary_max_lufs", "short_term_max_lufs", "short_term_lufs", "range_lu"),
    *("sample_peak_dbfs", "true_peak_dbtp", "peak", "sample_peak", "true_peak"),
}


def floats(value: Any, name: str, path: str) -> Iterator[tuple[str, str]]:
    """The name and place of every float in a JSON value; a list's items go by the list's name."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from floats(item, key, f"{path}/{key}")
    elif isinstance(value, list):
        for item in value:
            yield from floats(item, name, path)
    elif isinstance(value, float):
        yield name, path


@pytest.mark.parametrize("path", ["scene/pos_video.mp4", "image/Landscape_6.jpg"])
def test_no_time_in_a_manifest_or_an_artifact_is_a_float(house: House, path: str) -> None:
    (registration,) = take_in(house, corpus_file(path))
    failures = [made for made in make(house, registration).values() if isinstance(made, WorkFailure)]
    assert failures == []
    manifests = list(Path(house.settings.home, "store").rglob("*.json"))
    assert len(manifests) > 3
    found = {
        place: json_path.name
        for json_path in manifests
        for name, place in floats(json.loads(json_path.read_text()), "", "")
        if name not in MEASURED
    }
    assert found == {}
