"""Text in pictures from a file to an artifact: picture and sound first, words in a run of their own, a real model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from media_assets.declared import declared
from media_assets.plain import assets_of_part, make_source
from processing.words.screen_text import LIST_FILE
from resources.attempts import RunFacts
from resources.house import House
from resources.ledger.states import AssetState
from resources.production import Produced
from tests.corpus import corpus_file
from tests.house import make, take_in
from tests.media_picture import film
from tests.test_screen_text import page


def run_of(house: House, source: str, assets: list[str], number: int) -> dict[str, Produced]:
    """One run over some assets of a source, as Dagster would have them."""
    run = RunFacts(run_id=f"run-{number}", correlation="test", actor="test", wanted=tuple(assets))
    made = make_source(house, declared(), source, run, assets)
    return {name: each for name, each in made.items() if isinstance(each, Produced) or pytest.fail(str(each))}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_film_is_read_in_the_run_of_its_words_and_not_decoded_again(house: House, tmp_path: Path) -> None:
    pictures = [page("navy", ("Gate 27 closes", 60, 240))] * 50
    (registration,) = take_in(house, film(tmp_path / "sign.mkv", pictures))
    source = registration.source_key
    media = [name for name in assets_of_part(declared().values(), "video") if name in house.ledger.states(source)]
    run_of(house, source, media, 1)
    decoded = house.ledger.usage(source=source)["chunks"].media_s
    made = run_of(house, source, ["screen_text"], 2)["screen_text"]
    assert made.state is AssetState.READY
    assert house.ledger.usage(source=source)["chunks"].media_s == decoded
    assert made.manifest is not None
    document = json.loads((house.store.as_input(made.manifest, "screen_text").folder / LIST_FILE).read_text())
    assert [line["text"] for line in document["lines"]] == ["Gate 27 closes"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_still_is_read_too(house: House) -> None:
    (registration,) = take_in(house, corpus_file("ocr/issue_170.png"))
    made = make(house, registration, "screen_text")["screen_text"]
    assert isinstance(made, Produced)
    assert made.manifest is not None
    assert made.manifest.facts["lines"] == 1
