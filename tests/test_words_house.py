"""Words asked of a provider over real HTTP, from a source to its release: what is kept, what waits, what stands in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from media_assets.declared import declared
from processing.asking import AskTask
from processing.failures import ContractBroken, WorkFailure
from processing.manifest import Manifest, Outcome
from resources import golden
from resources.degradation import CLAUSE
from resources.gateway import gateway as module
from resources.gateway.gateway import Unavailable
from resources.house import House, open_house
from resources.ledger.rows import DecisionKind, Registration
from resources.ledger.states import AssetState
from resources.production import Produced
from resources.search.asking import said
from resources.search.meanings import near
from resources.settings import load_settings
from resources.sidecar import sidecar_of
from sensors.requests import let_through
from tests.database import execute
from tests.house import make, take_in
from tests.provider_server import ProviderServer, provider_server

KEY = "a-key"
EMBEDDED = "rapidocr-ppocr-v6-small"
OPENED = """UPDATE gateway.dependencies
SET breaker = 'open', breaker_reason = 'all failed', probe_at = clock_timestamp() + interval '40 s'"""
REMOTE, OTHER, LABELLER, PLACER = "remote", "other", "labeller", "placer"
TEXT, WIDTH, HEIGHT, AT = "Gate 27 closes", 640, 360, (60, 140)
FONT = ImageFont.load_default(size=64)


def box() -> list[int]:
    """Where the text is, in thousandths of the picture: left, top, right, bottom."""
    left, top, right, bottom = FONT.getbbox(TEXT)
    ends = zip((left + AT[0], top + AT[1], right + AT[0], bottom + AT[1]), (WIDTH, HEIGHT) * 2, strict=True)
    return [round(1000 * end / whole) for end, whole in ends]


SIGN = {"lines": [{"text": TEXT, "box": box(), "confidence": 960}]}
Opening = Callable[..., House]


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    with provider_server() as started:
        yield started


@pytest.fixture
def opening(
    tmp_path: Path, ledger_url: str, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Opening]:
    """Houses over one home and database, with models of the server for `reading`."""
    monkeypatch.setenv("SIGN_KEY", KEY)
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "PATIENCE_S", 1.0)  # the one try again in half a minute is not waited for
    server.reset()
    server.control(contents={"reading": SIGN}, key=KEY)
    opened: list[House] = []

    def open_one(*, reading: tuple[str, ...] = (REMOTE,), **told: Any) -> House:
        models = [
            {
                "id": name,
                "version": "1.0.0",
                "task": task,
                "provider": "openai_http",
                "model": name,
                "languages": ["*"],
                "base_url": server.url,
                "key_env": "SIGN_KEY",
                "price": {},
                "timeout_s": 5,
            }
            for name, task in ((REMOTE, "reading"), (OTHER, "reading"), (LABELLER, "labels"), (PLACER, "vectors"))
        ]
        settings = load_settings(home=str(tmp_path / "home"), inbox=str(tmp_path / "inbox"), reading=reading, **told)
        house = open_house(replace(settings, models=tuple(models)), ledger_url)
        opened.append(house)
        return house

    yield open_one
    for house in opened:
        with closing(house):
            pass


def a_sign(house: House, tmp_path: Path, shade: int = 200) -> Registration:
    path = tmp_path / f"sign-{shade}.png"
    picture = Image.new("RGB", (WIDTH, HEIGHT), (shade, 60, 60))
    ImageDraw.Draw(picture).text(AT, TEXT, "white", font=FONT)
    picture.save(path)
    return take_in(house, path)[0]


def read(house: House, registration: Registration) -> Produced | WorkFailure:
    return make(house, registration, "screen_text")["screen_text"]


def lines_of(house: House, manifest: Manifest) -> list[str]:
    folder = house.store.as_input(manifest, "screen_text").folder
    return [line["text"] for line in json.loads((folder / "screen_text.json").read_text())["lines"]]


def manifest_of(made: Produced | WorkFailure) -> Manifest:
    assert isinstance(made, Produced), made
    assert made.manifest is not None
    return made.manifest


def gated(house: House, sha256: str) -> None:
    """Put on record that a release passed the golden set of its task."""
    house.ledger.decide(
        DecisionKind.GATED, actor="test", reason="it keeps every bar", payload={"sha256": sha256, "passed": True}
    )


def calls(server: ProviderServer) -> int:
    return int(server.seen()["calls"])


def test_what_a_provider_read_is_kept_and_asked_once(opening: Opening, server: ProviderServer, tmp_path: Path) -> None:
    house = opening()
    registration = a_sign(house, tmp_path)
    manifest = manifest_of(read(house, registration))
    assert lines_of(house, manifest) == ["Gate 27 closes"]
    assert manifest.facts["ai_generated"]
    assert manifest.recipe["models"].keys() == {REMOTE}
    assert manifest_of(read(house, registration)).data_version == manifest.data_version
    assert calls(server) == 1


def test_an_outage_leaves_it_waiting_and_the_rest_made(
    opening: Opening, server: ProviderServer, tmp_path: Path
) -> None:
    house = opening()
    server.control(behaviour="500")
    registration = a_sign(house, tmp_path)
    made = make(house, registration)
    assert isinstance(made["screen_text"], Unavailable)
    state = house.ledger.states(registration.source_key)
    assert state["screen_text"].state is AssetState.WAITING
    assert state["screen_text"].wake_at is not None
    assert state["thumbnails"].state is AssetState.READY
    assert state["release"].state is AssetState.WAITING
    assert release_of(house, registration)["moment"] == "playable"
    server.control(behaviour="")
    made = make(house, registration)
    assert all(isinstance(each, Produced) for each in made.values()), made
    assert house.ledger.states(registration.source_key)["release"].state is AssetState.READY
    assert release_of(house, registration)["moment"] == "complete"
    assert release_of(house, registration)["ai"]["screen_text"]["review"] == "unreviewed"


def release_of(house: House, registration: Registration) -> dict[str, Any]:
    folder = house.settings.home / "published" / registration.source_key
    document: dict[str, Any] = json.loads((folder / "index.json").read_text())
    return document


def test_a_model_that_passed_stands_in_after_the_wait(opening: Opening, server: ProviderServer, tmp_path: Path) -> None:
    house = opening(reading=(REMOTE, OTHER), degrade_after_s=0.0)
    server.control(script=["500"] * 3)
    registration = a_sign(house, tmp_path)
    assert isinstance(read(house, registration), Unavailable)  # it begins to wait
    gated(house, house.words.registry.releases[f"{OTHER}@1.0.0"].sha256)
    server.control(script=["500"])
    manifest = manifest_of(read(house, registration))
    assert manifest.recipe["models"].keys() == {OTHER}
    (verdict,) = [each for each in manifest.verdicts if each.clause == CLAUSE]
    assert (verdict.outcome, verdict.expected) == (Outcome.WARNED, REMOTE)


def test_words_are_not_begun_while_nobody_answers(opening: Opening, server: ProviderServer, tmp_path: Path) -> None:
    """They stay where they are and the sensor says why; what another model may do goes on."""
    house = opening()
    server.control(behaviour="500")
    registration = a_sign(house, tmp_path)
    make(house, registration)
    url = house.words.database_url
    execute(url, "UPDATE ledger.asset_states SET wake_at = clock_timestamp() WHERE state = 'waiting'")
    execute(url, OPENED)
    passed, held = let_through(house, declared(), house.ledger.unfinished())
    assert passed == []
    ((reason, count),) = held.items()
    assert count == 1
    assert "all failed" in reason
    two = opening(reading=(REMOTE, EMBEDDED))
    assert let_through(two, declared(), two.ledger.unfinished())[0] == []
    gated(two, two.words.registry.used(AskTask.READING)[1].sha256)
    assert len(let_through(two, declared(), two.ledger.unfinished())[0]) == 1


def test_a_model_that_never_passed_does_not_stand_in(opening: Opening, server: ProviderServer, tmp_path: Path) -> None:
    house = opening(reading=(REMOTE, OTHER), degrade_after_s=0.0)
    server.control(behaviour="500")
    registration = a_sign(house, tmp_path)
    for _ in range(2):
        assert isinstance(read(house, registration), Unavailable)
    assert set(server.seen()["last"]["asked"]["model"].split()) == {REMOTE}


def test_the_output_of_before_is_kept_as_stale(opening: Opening, server: ProviderServer, tmp_path: Path) -> None:
    registration = a_sign(house := opening(), tmp_path)
    before = manifest_of(read(house, registration))
    other = opening(reading=(OTHER,), degrade_after_s=0.0)
    server.control(behaviour="500")
    assert isinstance(read(other, registration), Unavailable)
    made = read(other, registration)
    assert manifest_of(made).recipe_hash == before.recipe_hash
    row = other.ledger.states(registration.source_key)["screen_text"]
    assert (row.state, row.recipe_hash) == (AssetState.STALE, before.recipe_hash)
    assert row.wake_at is not None
    make(other, registration)
    assert other.ledger.states(registration.source_key)["screen_text"].state is AssetState.STALE
    assert release_of(other, registration)["outputs"]["screen_text"]["recipe_hash"] == before.recipe_hash
    server.control(behaviour="")
    make(other, registration)
    assert other.ledger.states(registration.source_key)["screen_text"].state is AssetState.READY
    assert release_of(other, registration)["outputs"]["screen_text"]["recipe_hash"] != before.recipe_hash


@pytest.mark.parametrize(
    ("behaviour", "asked"), [("empty_body", 1), ("not_json", 1), ("truncated", 1), ("schema", 2), ("refusal", 1)]
)
def test_an_answer_that_says_nothing_is_never_published_and_asked_for_anew(
    opening: Opening, server: ProviderServer, tmp_path: Path, behaviour: str, asked: int
) -> None:
    """What has the wrong form is asked for once more, and no more than that."""
    house = opening()
    server.control(behaviour=behaviour)
    registration = a_sign(house, tmp_path)
    assert isinstance(read(house, registration), ContractBroken)
    assert calls(server) == asked
    assert house.ledger.states(registration.source_key)["screen_text"].state is AssetState.FAILED
    server.control(behaviour="")
    assert lines_of(house, manifest_of(read(house, registration))) == ["Gate 27 closes"]
    assert calls(server) == asked + 1


def test_a_wrong_key_is_told_and_not_tried_again(opening: Opening, server: ProviderServer, tmp_path: Path) -> None:
    house = opening()
    server.control(key="another")
    made = read(house, a_sign(house, tmp_path))
    assert isinstance(made, ContractBroken)
    assert "SIGN_KEY" in made.sentence
    assert calls(server) == 1


def test_a_source_is_shown_only_to_those_it_may_be_shown_to(
    opening: Opening, server: ProviderServer, tmp_path: Path
) -> None:
    house = opening()
    path = tmp_path / "private.png"
    Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9)).save(path)
    sidecar_of(path).write_text(json.dumps({"providers_allowed": ["embedded"]}))
    (registration,) = take_in(house, path)
    made = read(house, registration)
    assert isinstance(made, Produced)
    assert made.state is AssetState.NOT_APPLICABLE
    assert made.cause == f"the source may not be shown to {REMOTE}"
    assert calls(server) == 0


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        (REMOTE, {"character_errors", "invented_characters"}),
        (LABELLER, {"missed_things", "invented_people", "false_alarms"}),
        (PLACER, {"misplaced_texts"}),
    ],
)
def test_a_provider_is_held_against_the_golden_set_as_it_is_asked_for_sources(
    opening: Opening, server: ProviderServer, name: str, shares: set[str]
) -> None:
    house = opening()
    nothing: dict[str, Any] = {
        "labels": [{"name": "fog", "confidence": 900, "box": None}],
        "moderation": [],
        "faces": [],
    }
    server.control(contents={"reading": SIGN, "labels": nothing})
    release = golden.find_release(house.words.registry, name)
    held = golden.hold(house, release, actor="test", run_id="golden", told=lambda _item: None)
    assert calls(server) == len(held.golden.items)
    assert set(held.shares) == shares
    assert not held.passed
    assert not house.ledger.has_passed(release.sha256)
    assert golden.kept(house, release) is not None


def test_a_golden_answer_that_cannot_be_read_counts_as_none(opening: Opening, server: ProviderServer) -> None:
    house = opening()
    server.control(behaviour="schema")
    release = golden.find_release(house.words.registry, REMOTE)
    held = golden.hold(house, release, actor="test", run_id="golden", told=lambda _item: None)
    assert held.shares["character_errors"] == 1


def test_what_means_nearly_the_same_is_found_and_forgotten(
    opening: Opening, server: ProviderServer, tmp_path: Path
) -> None:
    house = opening(vectors=(PLACER,))
    registration = a_sign(house, tmp_path)
    make(house, registration)
    key, asked = registration.source_key, "the gates are closing"
    assert house.search.find(asked, limit=5) == []
    (hit,) = said(house, asked, limit=5)
    assert (hit.source, hit.kind, hit.text) == (key, "screen_text", TEXT)
    before = calls(server)
    assert said(house, asked, limit=5) == [hit]
    assert calls(server) == before
    assert [each.kind for each in said(house, TEXT, limit=5)] == ["screen_text"], "by its words and its meaning, once"
    server.control(behaviour="500")
    assert said(house, "another question", limit=5) == []
    house.search.remove(key)
    assert near(house.search.connections, house.words.registry.used(AskTask.VECTORS)[0].sha256, [1.0] * 64, 5) == []
