"""What a damaged source allowed only in part says so, down to what people link to."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from processing.completeness import WHOLE, carried, each_once
from processing.timeline import from_rational, rational
from resources.house import House
from tests.house import make, take_in
from tests.media import make_video

HALF = rational(Fraction(1, 2))


def test_an_output_holds_no_more_than_the_least_it_was_made_of() -> None:
    assert carried(WHOLE, {"hls": HALF, "poster": WHOLE}, ()) == HALF
    assert carried(HALF, {"hls": HALF}, ()) == rational(Fraction(1, 4))
    assert carried(WHOLE, {}, ()) == WHOLE


def test_products_count_by_their_mean_of_what_is_in_the_file() -> None:
    assert carried(WHOLE, {"media_info": WHOLE}, [WHOLE, HALF]) == rational(Fraction(3, 4))
    assert carried(WHOLE, {"media_info": HALF}, [WHOLE, HALF]) == rational(Fraction(3, 8))


def test_a_gap_that_many_products_have_is_told_once() -> None:
    gap = {"start": 1, "end": 2, "timescale": 90_000}
    assert each_once([gap, dict(gap), {**gap, "end": 3}]) == (gap, {**gap, "end": 3})


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_film_that_is_cut_off_says_everywhere_how_much_of_it_is_there(
    house: House, tmp_path: Path, share: float
) -> None:
    """Its release was ready and complete, with half a film in it."""
    whole = make_video(tmp_path / "whole.mkv", frames=150, container="matroska").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: int(len(whole) * share)])
    (registration,) = take_in(house, tmp_path / "cut.mkv")
    make(house, registration)
    states = house.ledger.states(registration.source_key)
    found = {}
    for asset in ("media_info", "chunks", "poster", "proxy", "hls", "release"):
        manifest = house.store.find(asset, str(states[asset].recipe_hash))
        assert manifest is not None
        found[asset] = from_rational(dict(manifest.completeness))
    assert all(0.1 < part < share + 0.1 for part in found.values()), found
    index = json.loads((house.settings.home / "published" / registration.source_key / "index.json").read_text())
    assert from_rational(index["completeness"]) == found["release"]
