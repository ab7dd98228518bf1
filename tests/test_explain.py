"""Is it broken, what changed, where to look next: answered from the record, in sentences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from media_assets.declared import declared
from media_assets.plain import make_source
from resources.attempts import RunFacts
from resources.explain import Explanation, differences, explain
from resources.house import House
from resources.ledger.moves import UnknownSource
from resources.ledger.states import AssetState
from tests.corpus import corpus_file
from tests.house import house, make, take_in
from tests.pages_trial import sign

__all__ = ["house"]

UI = "http://localhost:3000"


def explained(house: House, key: str) -> Explanation:
    return explain(house, key, ui=UI)


def test_what_is_whole_is_said_to_be(house: House, tmp_path: Path) -> None:
    (registration,) = take_in(house, sign(tmp_path))
    make(house, registration)
    found = explained(house, registration.source_key)
    assert (found.is_broken, found.state) == (False, "ready")
    assert found.broken[0].startswith("No: all ")
    assert any("the file arrived, by test" in sentence for sentence in found.changed)
    key = registration.source_key
    assert [look.command for look in found.next] == [f"sourcebound artifacts {key}", f"sourcebound verify {key}"]


def test_what_was_cancelled_is_not_said_to_be_whole(house: House, tmp_path: Path) -> None:
    (registration,) = take_in(house, sign(tmp_path))
    make(house, registration, "thumbnails")
    house.ledger.control(registration.source_key, "cancel", actor="test", reason="asked for")
    found = explained(house, registration.source_key)
    assert not any(sentence.startswith("No:") for sentence in found.broken)
    (cancelled,) = [sentence for sentence in found.broken if "not made: cancelled by a person" in sentence]
    assert "fingerprint" in cancelled
    assert len(found.changed) == len(set(found.changed)) == 2


def test_what_was_refused_is_said_once(house: House, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no media at all")
    (registration,) = take_in(house, notes)
    found = explained(house, registration.source_key)
    assert len(found.broken) == 1
    assert "the file is text, not media" in found.broken[0]


def test_what_is_broken_is_said_with_its_cause_its_run_and_what_to_do(house: House) -> None:
    (registration,) = take_in(house, corpus_file("damaged/sample_ac4.mp4"))
    make(house, registration)
    found = explained(house, registration.source_key)
    assert found.is_broken
    cause = house.ledger.states(registration.source_key)["media_info"].cause
    assert cause is not None
    assert f"media_info was put into quarantine: {cause}." in found.broken
    assert any(sentence.startswith("Because of that ") for sentence in found.broken)
    assert any("by test" in sentence for sentence in found.changed)
    assert found.next[0].link == f"{UI}/runs/run-{registration.source_key}"
    assert found.next[-1].command == f"sourcebound retry {registration.source_key}"


def test_what_waits_says_for_what_and_until_when(house: House, tmp_path: Path) -> None:
    (registration,) = take_in(house, sign(tmp_path))
    for state in (AssetState.RUNNING, AssetState.WAITING):
        cause = "the disk is full" if state is AssetState.WAITING else None
        house.ledger.move(registration.source_key, "thumbnails", state, actor="test", cause=cause, wake_after_s=60)
    found = explained(house, registration.source_key)
    assert not found.is_broken
    assert "thumbnails waits: the disk is full." in found.broken
    assert any("It goes on by itself" in look.sentence for look in found.next)


def test_what_was_made_anew_is_said_with_what_is_different(house: House, tmp_path: Path) -> None:
    (registration,) = take_in(house, sign(tmp_path))
    make(house, registration)
    newer = {
        name: replace(each, work=replace(each.work, code_version="999")) if name == "thumbnails" else each
        for name, each in declared().items()
    }
    run = RunFacts("again", registration.arrival_id, "test")
    make_source(house, newer, registration.source_key, run, list(house.ledger.states(registration.source_key)))
    found = explained(house, registration.source_key)
    assert any("thumbnails was made anew: its code went from" in sentence for sentence in found.changed)


def test_who_is_not_there_is_not_explained(house: House) -> None:
    with pytest.raises(UnknownSource):
        explained(house, "nobody")


def test_recipes_differ_in_words() -> None:
    before = {"code_version": "1", "tools": {"av": "18.1"}, "parameters": {"a": {"b": 1}, "c": 2}, "inputs": {"x": "1"}}
    after = {"code_version": "2", "tools": {"av": "18.2"}, "parameters": {"a": {"b": 3}, "c": 2}, "inputs": {"x": "2"}}
    assert list(differences(before, {**after, "models": {"m": "abc"}})) == [
        "its code went from 1 to 2",
        "tool av went from 18.1 to 18.2",
        "model m came in",
        "its settings changed: a.b",
        "what it is made of changed: x",
    ]
    assert list(differences(before, before)) == []
