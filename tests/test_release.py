"""The release: stable names, links to artifacts, an index that agrees, and a mutation for each clause."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from processing import release
from processing.contracts import release as contract
from processing.failures import ContractBroken
from processing.manifest import Outcome
from processing.work import Task
from tests.media_packaging import Clip, Sound, as_input, info_of, make_hls, steady

SOURCE = {"source": "holiday-0123456789", "title": "Holiday", "tags": ["sea"], "file_name": "x.mp4", "language": None}


def output(root: Path, asset: str, *names: str, **facts):
    folder = root / "published" / asset
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{asset} {name}")
    return as_input(asset, folder, facts)


def release_task(root: Path, inputs) -> Task:
    """A release of inputs that were all made of the same upload, as whoever makes them puts it on record."""
    upload = inputs["media_info"].data_version
    inputs = {
        name: item if name == "media_info" else replace(item, facts={**item.facts, "media_info": upload})
        for name, item in inputs.items()
    }
    task = Task("processing.release:make", {"moment": "playable", "source": SOURCE}, root / "release", inputs=inputs)
    task.out.mkdir(parents=True)
    return task


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A released video: the task and what was made of it."""
    root = tmp_path_factory.mktemp("video")
    packaged, result = make_hls(root, steady(3, sound=(Sound(3.0, language="en"),)))
    inputs = {
        "media_info": packaged.inputs["media_info"],
        "hls": as_input("hls", packaged.out, result.facts),
        "proxy": output(root, "proxy", "proxy.mp4"),
        "poster": output(root, "poster", "poster.jpg", "poster.webp"),
        "loudness": output(root, "loudness", "loudness.json"),
        "waveform": output(root, "waveform", "waveform.json", "waveform.png"),
    }
    task = release_task(root, inputs)
    return task, release.make(task)


def judge(task, result, *, inputs=None, links=None, parameters=None) -> set[str]:
    facts = result.facts if links is None else {**result.facts, "links": links}
    made = as_input("release", task.out, facts)
    judged = replace(task, made=made, inputs=inputs or task.inputs, parameters=parameters or task.parameters)
    return {verdict.clause for verdict in contract.check(judged) if verdict.outcome is Outcome.FAILED}


@pytest.fixture
def copied(video, tmp_path):
    """A release whose texts may be changed."""
    task, _ = video
    again = replace(task, scratch=tmp_path / "again")
    again.out.mkdir(parents=True)
    return again, release.make(again)


def test_a_release_keeps_its_contract(video):
    assert judge(*video) == set()


def test_every_output_is_linked_under_a_stable_name(video):
    task, result = video
    links = result.facts["links"]
    assert sorted(links) == [
        "hls",
        "loudness.json",
        "poster.jpg",
        "poster.webp",
        "proxy.mp4",
        "waveform.json",
        "waveform.png",
    ]
    assert links["hls"] == {"asset": "hls", "recipe_hash": task.inputs["hls"].recipe_hash, "path": ""}
    assert links["proxy.mp4"]["path"] == "proxy.mp4"
    assert result.facts["texts"] == ["index.json", "manifest.mpd", "master.m3u8"]


def test_no_media_is_copied(video):
    task, _ = video
    assert {path.suffix for path in task.out.rglob("*")} == {".json", ".m3u8", ".mpd"}


def test_the_index_says_what_there_is(video):
    task, _ = video
    index = json.loads((task.out / "index.json").read_text())
    assert (index["source"], index["title"], index["moment"]) == ("holiday-0123456789", "Holiday", "playable")
    assert index["media_info"]["data_version"] == task.inputs["media_info"].data_version
    assert index["play"] == {
        "hls": "master.m3u8",
        "dash": "manifest.mpd",
        "file": "proxy.mp4",
        "poster": "poster.jpg",
    }
    assert index["outputs"]["poster"] == {
        "recipe_hash": task.inputs["poster"].recipe_hash,
        "data_version": task.inputs["poster"].data_version,
        "uris": ["poster.jpg", "poster.webp"],
    }
    assert index["audio"] == [{"language": "en", "title": None, "channels": 2}]
    assert index["duration"] == {"ticks": 270_000, "timescale": 90_000}


def test_without_a_title_of_its_own_a_source_has_the_file_s(video, tmp_path):
    task, _ = video
    facts = task.inputs["media_info"].facts
    named = replace(task.inputs["media_info"], facts={**facts, "format": {"title": "From the file"}})
    again = replace(
        task,
        scratch=tmp_path,
        parameters={"moment": "playable", "source": {**SOURCE, "title": None}},
        inputs={**task.inputs, "media_info": named},
    )
    again.out.mkdir()
    release.make(again)
    assert json.loads((again.out / "index.json").read_text())["title"] == "From the file"


def test_the_published_folder_is_self_contained(video, tmp_path):
    """Laid out with links, every URI of playlist and manifest leads to a file, also after a copy."""
    task, result = video
    for text in result.facts["texts"]:
        (tmp_path / text).write_bytes((task.out / text).read_bytes())
    for name, link in result.facts["links"].items():
        (tmp_path / name).symlink_to(task.inputs[link["asset"]].folder / link["path"])
    master = (tmp_path / "master.m3u8").read_text()
    uris = [line for line in master.splitlines() if line and not line.startswith("#")]
    uris += [part.split('"')[1] for part in master.split(",") if part.startswith("URI=")]
    assert uris
    assert len(uris) == 2 + 1 + 2
    assert all((tmp_path / uri).is_file() for uri in uris)
    assert "<BaseURL>hls/</BaseURL>" in (tmp_path / "manifest.mpd").read_text()


def test_sound_alone_is_released_as_its_tracks(tmp_path):
    clip = Clip((), (), 0, sound=(Sound(2.0), Sound(2.0, channels=1)))
    packaged, result = make_hls(tmp_path, clip)
    inputs = {**packaged.inputs, "hls": as_input("hls", packaged.out, result.facts)}
    task = release_task(tmp_path, inputs)
    made = release.make(task)
    assert made.facts["links"]["audio.m4a"] == {
        "asset": "soundtrack",
        "recipe_hash": inputs["aac/0"].recipe_hash,
        "path": "audio.m4a",
    }
    assert "audio-1.m4a" in made.facts["links"]
    assert judge(task, made) == set()
    index = json.loads((task.out / "index.json").read_text())
    assert index["play"] == {"hls": "master.m3u8", "dash": "manifest.mpd", "sound": "audio.m4a"}
    wrong = json.loads(json.dumps(made.facts["links"]))
    wrong["audio.m4a"]["recipe_hash"] = wrong["audio-1.m4a"]["recipe_hash"]
    del wrong["audio-1.m4a"]
    assert "index agrees" in judge(task, made, links=wrong)


def test_a_still_is_released_as_its_thumbnails(tmp_path):
    info = {**info_of(Clip((), (), 0, sound=(Sound(1.0),))), "kind": "image", "audio": [], "duration": None}
    inputs = {
        "media_info": as_input("media_info", tmp_path / "info", info),
        "thumbnails": output(tmp_path, "thumbnails", "large/1.jpg", "large/1.avif"),
    }
    task = release_task(tmp_path, inputs)
    made = release.make(task)
    assert made.facts["texts"] == ["index.json"]
    assert made.facts["links"]["thumbnails"]["path"] == ""
    assert judge(task, made) == set()


def test_the_tracks_of_a_video_are_not_asked_for():
    tap = release.SOUND_ALONE_TAP
    track = {"start": {"num": 0, "den": 1}, "duration": {"num": 2, "den": 1}}
    assert [product.name for product in tap.plan({"video": None, "audio": [track]}, {})] == ["aac/0"]
    assert tap.plan({"video": {"codec": "h264"}, "audio": [track]}, {}) == []


def test_two_outputs_cannot_have_one_name(video, tmp_path):
    task, _ = video
    twin = output(tmp_path, "other", "poster.jpg")
    with pytest.raises(ContractBroken, match="both claim the name"):
        release.links_of({**task.inputs, "other": twin})


def test_an_output_cannot_take_the_place_of_a_text(video, tmp_path):
    task, _ = video
    inputs = {**task.inputs, "other": output(tmp_path, "other", "index.json")}
    with pytest.raises(ContractBroken, match=r"index\.json"):
        release.make(release_task(tmp_path, inputs))


def test_what_is_published_nowhere_cannot_be_linked(video):
    task, _ = video
    with pytest.raises(ContractBroken, match="published nowhere"):
        release.links_of({**task.inputs, "poster": replace(task.inputs["poster"], recipe_hash="")})


def test_the_same_release_twice_has_the_same_bytes(video, copied):
    for name in video[1].facts["texts"]:
        assert (video[0].out / name).read_bytes() == (copied[0].out / name).read_bytes()


def edit(task: Task, name: str, old: str, new: str) -> None:
    text = (task.out / name).read_text()
    assert old in text
    (task.out / name).write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("master.m3u8", "hls/video/72/index", "hls/video/73/index"),
        ("master.m3u8", "hls/audio/0/index", "audio/0/index"),
        ("manifest.mpd", "<BaseURL>hls/</BaseURL>", ""),
        ("manifest.mpd", 'id="72"', 'id="73"'),
        ("master.m3u8", "#EXTM3U\n", ""),
    ],
)
def test_a_uri_that_leads_nowhere_is_noticed(copied, name, old, new):
    edit(copied[0], name, old, new)
    assert judge(*copied) == {"playlists lead somewhere"}


def test_a_missing_text_is_noticed(copied):
    (copied[0].out / "manifest.mpd").unlink()
    assert {"texts as announced", "playlists lead somewhere"} <= judge(*copied)


def test_an_absolute_address_is_noticed(copied):
    edit(copied[0], "master.m3u8", "hls/video/72", "file:///hls/video/72")
    assert judge(*copied) == {"playlists lead somewhere"}


@pytest.mark.parametrize("change", [{"path": "other.mp4"}, {"recipe_hash": "0" * 64}, {"asset": "poster"}])
def test_a_link_that_leads_nowhere_is_noticed(video, change):
    links = dict(video[1].facts["links"])
    links["proxy.mp4"] = {**links["proxy.mp4"], **change}
    assert "links lead to outputs" in judge(*video, links=links)


def test_an_output_without_a_link_is_noticed(video):
    links = {name: link for name, link in video[1].facts["links"].items() if name != "loudness.json"}
    assert "links lead to outputs" in judge(*video, links=links)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"moment": "playable"', '"moment": "complete"'),
        ('"source": "holiday-0123456789"', '"source": "other-0123456789"'),
        ('"file": "proxy.mp4"', '"file": "other.mp4"'),
        ('"proxy.mp4"\n', '"other.mp4"\n'),
    ],
)
def test_an_index_that_disagrees_is_noticed(copied, old, new):
    edit(copied[0], "index.json", old, new)
    assert judge(*copied) == {"index agrees"}


def test_an_index_with_another_recipe_is_noticed(copied):
    edit(copied[0], "index.json", copied[0].inputs["poster"].recipe_hash, "0" * 64)
    assert judge(*copied) == {"index agrees"}


def test_an_unreadable_index_ends_the_judgement(copied):
    (copied[0].out / "index.json").write_text("{")
    assert judge(*copied) == {"index readable"}


def test_mixed_generations_are_noticed(video):
    """A package of the first upload beside a poster of the second: nothing else would look wrong."""
    task, result = video
    poster = task.inputs["poster"]
    other = replace(poster, facts={**poster.facts, "media_info": "f" * 64})
    assert judge(task, result, inputs={**task.inputs, "poster": other}) == {"one generation"}


def test_an_index_of_another_version_of_the_upload_is_noticed(copied):
    edit(copied[0], "index.json", copied[0].inputs["media_info"].data_version, "f" * 64)
    assert judge(*copied) == {"one generation"}


def damaged(task, *names):
    """The task with only nine tenths of these inputs there."""
    inputs = {
        name: replace(item, completeness={"num": 9, "den": 10}) if name in names else item
        for name, item in task.inputs.items()
    }
    return replace(task, inputs=inputs)


def test_what_is_there_in_part_is_released_and_said_so_unless_it_is_to_be_withheld(video, tmp_path):
    task, _ = video
    told = release.parameters({}, {"withhold_partial": ["proxy", "hls", "waveform"]})
    assert release.parameters({}, {}) == {"moment": "complete"}
    assert release.parameters({}, {"moment": "playable"}) == {"moment": "playable"}
    task = damaged(replace(task, scratch=tmp_path / "again"), "proxy", "hls", "poster")
    task.out.mkdir(parents=True)
    result = release.make(task)
    assert judge(task, result) == set()
    assert "proxy.mp4" in result.facts["links"]
    withholding = replace(task, scratch=tmp_path / "withheld", parameters={**task.parameters, **told})
    withholding.out.mkdir(parents=True)
    result = release.make(withholding)
    assert judge(withholding, result) == set()
    assert sorted(result.facts["links"]) == [
        "loudness.json",
        "poster.jpg",
        "poster.webp",
        "waveform.json",
        "waveform.png",
    ]
    assert result.facts["texts"] == ["index.json"]
    index = json.loads((withholding.out / "index.json").read_text())
    assert index["withheld"] == {"hls": {"num": 9, "den": 10}, "proxy": {"num": 9, "den": 10}}
    assert index["play"]["poster"] == "poster.jpg"
    assert index["play"].get("hls") is None


def test_a_release_of_what_was_to_be_withheld_is_refused(video, tmp_path):
    task, _ = video
    task = damaged(replace(task, scratch=tmp_path / "again"), "proxy")
    task.out.mkdir(parents=True)
    result = release.make(task)
    told = {**task.parameters, "withhold_partial": ["proxy"]}
    assert "says what is withheld" in judge(task, result, parameters=told)
    assert "links lead to outputs" in judge(task, result, parameters=told)
