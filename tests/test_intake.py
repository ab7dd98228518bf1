"""What is said of a file at the door, by whom, and what of it may shape an output."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from media_assets.declared import declared
from media_assets.plain import door_of
from operations.cli.files import find_files, located
from operations.cli.output import UsageProblem, plain
from resources.house import House
from resources.intake import look
from resources.ledger.states import AssetState
from resources.settings import FolderRule, load_settings
from tests.house import make, take_in
from tests.media import make_video


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_video(tmp_path / "film.mp4", frames=10)


def say(film: Path, **wishes: Any) -> None:
    film.with_name(f"{film.name}.sourcebound.json").write_text(json.dumps(wishes))


def test_a_sidecar_says_more_than_a_rule_and_both_add_tags(house: House, film: Path) -> None:
    house.settings = replace(
        house.settings,
        rules=(
            FolderRule(pattern="*.mp4", title="any film", language="de", tags=("film",), priority=3),
            FolderRule(pattern="film.*", language="fr", ladder=(720, 360)),
        ),
    )
    say(film, title="This film", tags=["mine"], assets=["poster"])
    (registration,) = take_in(house, film)
    row = house.ledger.source(registration.source_key)
    assert (row.title, row.language, row.tags, row.priority) == ("This film", "fr", ("film", "mine"), 3)
    assert row.options == {"assets": ["poster"], "ladder": [720, 360], "language": "fr"}
    assert list(house.ledger.states(row.key)) == ["source", "media_info", "chunks", "poster"]


def test_field_rate_is_wished_for_by_setting_rule_and_sidecar_the_nearest_first(house: House, film: Path) -> None:
    (registration,) = take_in(house, film)
    plain = house.ledger.source(registration.source_key)
    assert "deinterlace" not in plain.options, "sources that were there before the wish was must not look changed"
    assert house.options(plain)["deinterlace"] == "frame_rate"
    house.settings = replace(house.settings, deinterlace="field_rate")
    assert house.options(plain)["deinterlace"] == "field_rate"
    house.settings = replace(house.settings, rules=(FolderRule(pattern="*.mp4", deinterlace="frame_rate"),))
    (registration,) = take_in(house, film)
    assert house.options(house.ledger.source(registration.source_key))["deinterlace"] == "frame_rate"
    say(film, deinterlace="field_rate")
    (registration,) = take_in(house, film)
    assert house.options(house.ledger.source(registration.source_key))["deinterlace"] == "field_rate"


def test_a_title_enters_no_recipe_but_the_one_that_names_the_source(house: House, film: Path) -> None:
    (registration,) = take_in(house, film)
    make(house, registration)
    before = house.ledger.states(registration.source_key)
    say(film, title="A new name")
    (again,) = take_in(house, film)
    assert (again.source_key, again.is_new) == (registration.source_key, False)
    make(house, again)
    after = house.ledger.states(registration.source_key)
    assert {name for name in before if before[name].recipe_hash != after[name].recipe_hash} == {"release", "dossier"}


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"[1, 2]", "is not a JSON object"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 60_000, "is not JSON"),
        (b" " * 65_537, "is larger than 65536 bytes"),
        (b'{"titel": "x"}', "has 'titel', but may only have title, language"),
        (b'{"ladder": [1081]}', "its ladder is [1081], but must be a list of rungs"),
        (b'{"ladder": null}', "its ladder is None"),
        (b'{"deinterlace": "both"}', "its deinterlace is 'both', but must be one of frame_rate, field_rate"),
        (b'{"priority": 1e9}', "its priority is"),
        (b'{"assets": ["posters"]}', "names posters, but the assets are"),
    ],
)
def test_a_sidecar_nobody_can_follow_is_refused_with_its_field(
    house: House, film: Path, said: bytes, says: str
) -> None:
    film.with_name("film.mp4.sourcebound.json").write_bytes(said)
    seen = look(film, house.settings, door_of(declared()))
    assert seen is not None
    assert says in str(seen.refusal)
    assert str(seen.refusal).endswith("mend it, then retry the source")


def test_a_sidecar_that_becomes_unusable_changes_nothing(
    house: House, film: Path, caplog: pytest.LogCaptureFixture
) -> None:
    say(film, title="Named", assets=["media_info"])
    (registration,) = take_in(house, film)
    make(house, registration, "media_info")
    film.with_name("film.mp4.sourcebound.json").write_text("?")
    with caplog.at_level(logging.WARNING):
        take_in(house, film)
    row = house.ledger.source(registration.source_key)
    assert (row.title, row.options["assets"]) == ("Named", ["media_info"])
    assert {item.state for item in house.ledger.states(row.key).values()} == {AssetState.READY}
    assert "stays as it was: its sidecar film.mp4.sourcebound.json is not JSON" in caplog.text


def test_bytes_that_come_back_to_their_place_are_refused_again(house: House, tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("no film")
    (first,) = take_in(house, path)
    path.write_text("no film either")
    take_in(house, path)
    path.write_text("no film")
    (back,) = take_in(house, path)
    assert back.source_key == first.source_key
    assert {row.state for row in house.ledger.states(back.source_key).values()} == {AssetState.QUARANTINED}


def test_files_are_found_once_and_companions_belong_to_theirs(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mp4.sourcebound.json", "a.srt", ".hidden.mp4", "b.mp4.part", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "c.mp4").write_bytes(b"")
    (tmp_path / "home" / "store").mkdir(parents=True)
    (tmp_path / "home" / "store" / "made.mp4").write_bytes(b"")
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    (tmp_path / "round").symlink_to(tmp_path)
    found = find_files([tmp_path, tmp_path / "a.mp4", tmp_path / "a.srt"], but_not=[tmp_path / "home"])
    assert list(found.files) == [tmp_path / "a.mp4", tmp_path / "link.mp4"]
    assert [sentence.partition(" is ")[0] for sentence in found.left_out] == [
        str(tmp_path / "round"),
        str(tmp_path / "a.srt"),
    ]
    with pytest.raises(UsageProblem, match="does not exist"):
        find_files([tmp_path / "nosuch"])


def test_what_a_store_beside_the_files_holds_is_no_upload(tmp_path: Path) -> None:
    """Every call over the folder took in what the call before had made."""
    (tmp_path / "made" / "artifacts").mkdir(parents=True)
    (tmp_path / "made" / "artifacts" / "poster.jpg").write_bytes(b"x")
    (tmp_path / "film.mp4").write_bytes(b"x")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "made", target_is_directory=True)
    settings = load_settings(home=str(tmp_path / "home"), store_url=(tmp_path / "elsewhere").as_uri())
    found = find_files([tmp_path], but_not=settings.own_folders)
    assert list(found.files) == [tmp_path / "film.mp4"]
    assert found.left_out == [f"{tmp_path / 'elsewhere'} is a link to a folder; name the folder itself"]


def test_two_dots_after_a_link_lead_where_the_file_system_says(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    assert located(tmp_path / "link" / ".." / "a.mp4") == tmp_path / "elsewhere" / "a.mp4"
    assert located(tmp_path / "link" / "a.mp4") == tmp_path / "link" / "a.mp4"


def test_what_a_name_smuggles_in_is_shown_not_done() -> None:
    assert plain("a\nb\x1b[31m\udcff\u202e.mp4") == "a\\nb\\x1b[31m\\udcff\\u202e.mp4"
