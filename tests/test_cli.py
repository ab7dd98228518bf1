"""The command line as a user meets it: what is printed, what is made, which status, and one sentence for a mistake."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from operations.session import Session
from resources.ledger.states import AssetState
from tests.command_line import CommandLine
from tests.database import execute
from tests.media import make_video

PICTURE_AND_SOUND = [
    "source",
    "media_info",
    "chunks",
    "poster",
    "storyboard",
    "scenes",
    "quality",
    "fingerprint",
    "soundtrack",
    "proxy",
    "hls",
    "loudness",
    "waveform",
    "speech_map",
    "subtitles",
]
WORDS = ["transcript", "captions", "screen_text", "labels", "embeddings", "summary"]
NOT_OF_TONES = {"transcript", "captions", "labels", "embeddings", "summary"}
VIDEO_ASSETS = [*PICTURE_AND_SOUND, *WORDS, "release", "dossier"]
ENTRY_KEYS = {
    "source",
    "path",
    "sha256",
    "kind",
    "state",
    "cause",
    "seconds",
    "cpu_seconds",
    "encoder_calls",
    "assets",
}
ASSET_KEYS = {
    "state",
    "cause",
    "recipe_hash",
    "data_version",
    "uri",
    "files",
    "determinism",
    "seconds",
    "cpu_seconds",
    "encoder_calls",
    "checks",
}
ENCODES = """
SELECT e.intervals FROM ledger.attempts a JOIN ledger.attempt_ends e ON e.attempt = a.seq
WHERE a.asset = 'chunks' AND a.unit IS NOT NULL AND a.source = ANY(%s)
"""


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    place = tmp_path_factory.mktemp("line")
    place.chmod(0o755)
    return CommandLine(place)


@pytest.fixture(scope="module")
def session(line: CommandLine) -> Iterator[Session]:
    with line.kept_warm() as opened:
        yield opened


@pytest.fixture(scope="module")
def first(line: CommandLine, session: Session) -> dict[str, Any]:
    """The report of the first call, over a folder with a film, its twin with a sidecar, a text, and what is no file."""
    folder = line.place / "in"
    (folder / "deep").mkdir(parents=True)
    film = make_video(folder / "film.mp4", frames=25, audio_rate_hz=48000)
    shutil.copy(film, folder / "deep" / "twin.mp4")
    (folder / "deep" / "twin.mp4.sourcebound.json").write_text('{"title": "The twin", "priority": 5}')
    (folder / "notes.txt").write_text("no film at all")
    for text in (folder / "film.en.srt", folder / "deep" / "twin.en.srt"):
        text.write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    (folder / "half.mp4.part").write_bytes(b"half")
    os.mkfifo(folder / "pipe.mp4")
    said = line("process", "in", "in/deep/../film.mp4", "--json")
    assert said.status == 3, said.err
    assert "pipe.mp4 is not a regular file" in said.err
    report: dict[str, Any] = said.report
    return report


def entry_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [entry for entry in report["sources"] if Path(entry["path"]).name == name]
    return dict(found)


def key_of(report: dict[str, Any], name: str) -> str:
    return str(entry_of(report, name)["source"])


def test_a_folder_is_taken_recursively_each_file_once(first: dict[str, Any], line: CommandLine) -> None:
    folder = line.place / "in"
    assert [entry["path"] for entry in first["sources"]] == [
        str(folder / "deep" / "twin.mp4"),
        str(folder / "film.mp4"),
        str(folder / "notes.txt"),
    ]
    assert first["counts"] == {"quarantined": 1, "ready": 2}
    assert set(first) == {"counts", "wall_s", "encoder_calls", "sources"}


def test_an_entry_has_every_field_and_the_files_are_what_it_says(first: dict[str, Any]) -> None:
    film = entry_of(first, "film.mp4")
    assert set(film) == ENTRY_KEYS
    assert film["kind"] == "video"
    assert film["sha256"] == hashlib.sha256(Path(film["path"]).read_bytes()).hexdigest()
    assert list(film["assets"]) == VIDEO_ASSETS
    for name, asset in film["assets"].items():
        assert set(asset) == ASSET_KEYS
        if name in NOT_OF_TONES:
            assert (asset["state"], bool(asset["cause"])) == ("not_applicable", True), name
            continue
        assert asset["state"] == "ready", name
        assert asset["determinism"] in {"A", "B", "C"}
        assert asset["checks"]
        assert set(asset["checks"].values()) <= {"passed", "warned"}
        if name in {"poster", "hls", "release"}:
            folder = Path(asset["uri"].removeprefix("file://"))
            for file in asset["files"]:
                content = (folder / file["path"]).read_bytes()
                assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_one_content_is_encoded_once_for_two_sources(first: dict[str, Any]) -> None:
    film, twin = entry_of(first, "film.mp4"), entry_of(first, "twin.mp4")
    assert film["source"] != twin["source"]
    assert film["sha256"] == twin["sha256"]
    for name in set(PICTURE_AND_SOUND):
        assert film["assets"][name]["data_version"] == twin["assets"][name]["data_version"]
    assert film["assets"]["release"]["recipe_hash"] != twin["assets"]["release"]["recipe_hash"]
    # One rung in one chunk and one track of sound to FLAC and AAC.
    assert first["encoder_calls"] == film["encoder_calls"] + twin["encoder_calls"] == 3


def test_what_is_no_media_is_quarantined_with_its_cause(first: dict[str, Any]) -> None:
    notes = entry_of(first, "notes.txt")
    assert (notes["state"], notes["cause"], notes["kind"]) == ("quarantined", "the file is text, not media", None)
    assert notes["encoder_calls"] == 0


def test_what_is_made_is_not_made_again(first: dict[str, Any], line: CommandLine) -> None:
    again = line("process", "in/film.mp4", f"{line.place}/in/film.mp4", "--json")
    assert again.status == 0
    assert again.report["encoder_calls"] == 0
    (film,) = again.report["sources"]
    before = entry_of(first, "film.mp4")
    assert film["seconds"] > 0  # orchestration counts
    assert {name: asset["data_version"] for name, asset in film["assets"].items()} == {
        name: asset["data_version"] for name, asset in before["assets"].items()
    }
    assert all(asset["seconds"] == 0 for name, asset in film["assets"].items() if name != "release")


def test_a_page_is_opened_from_the_disk_where_no_library_is_up(first: dict[str, Any], line: CommandLine) -> None:
    key = key_of(first, "film.mp4")
    said = line("open", key, "--json")
    page = Path(said.report["page"].removeprefix("file://"))
    assert "film.mp4" in page.read_text(encoding="utf-8")
    assert (page.parent / "media" / "proxy.mp4").stat().st_size > 1000
    copied = line("get", key, "dossier", "--to", "a page")
    assert copied.status == 0
    assert (line.place / "a page" / "media" / "proxy.mp4").read_bytes() == (
        page.parent / "media/proxy.mp4"
    ).read_bytes()
    refused = line("open", key_of(first, "notes.txt"))
    assert refused.status == 1
    assert "has no page: the file is text, not media" in refused.err


def test_status_tells_what_was_used_when_it_was_made(first: dict[str, Any], line: CommandLine) -> None:
    key = key_of(first, "film.mp4")
    said = line("status", "--json")
    assert said.status == 3
    film = entry_of(said.report, "film.mp4")
    assert film["encoder_calls"] == 3
    assert film["assets"]["chunks"]["seconds"] > 0
    one = line("status", key, "--json")
    assert one.status == 0
    assert one.report == film
    assert line("artifacts", key[:8], "--json").report == film
    assert line("status", "in/film.mp4", "--json").report == film


def test_tables_are_whole_lines_where_another_program_reads_them(first: dict[str, Any], line: CommandLine) -> None:
    """Folded to 80 columns they broke keys in two."""
    key = key_of(first, "film.mp4")
    for arguments in (["status"], ["status", key], ["artifacts", key]):
        said = line(*arguments)
        assert said.out
        assert "\x1b" not in said.out
    rows = [row.split("\t") for row in line("status").out.splitlines()]
    assert [row[1:] for row in rows if row[0] == key] == [["ready", "film.mp4"]]
    assert all(len(row) in (3, 4) for row in rows[:-1])


def test_looking_at_a_home_that_is_none_makes_none(line: CommandLine, tmp_path: Path) -> None:
    """`status` in the wrong folder made a database there, of 95 MB."""
    elsewhere = {"SOURCEBOUND_HOME": str(tmp_path / "none"), "SOURCEBOUND_INBOX": str(tmp_path / "inbox")}
    assert "nothing was done in" in line("status", **elsewhere).err
    assert line("status", "--json", **elsewhere).report["sources"] == []
    for arguments in (["artifacts", "film"], ["verify"], ["retry", "film"], ["get", "film", "--to", "out"]):
        said = line(*arguments, **elsewhere)
        assert (said.status, said.says_one_sentence) == (2, True)
    assert not (tmp_path / "none").exists()


def test_get_copies_a_published_folder_that_stands_alone(first: dict[str, Any], line: CommandLine) -> None:
    to = line.place / "out" / "film"
    assert line("get", key_of(first, "film.mp4"), "--to", str(to)).status == 0
    names = {str(path.relative_to(to)) for path in to.rglob("*") if path.is_file()}
    assert {"master.m3u8", "manifest.mpd", "poster.jpg", "index.json", "proxy.mp4"} <= names
    assert not [path for path in to.rglob("*") if path.is_symlink()]
    for playlist in to.rglob("*.m3u8"):
        uris = [item for item in playlist.read_text().splitlines() if item and not item.startswith("#")]
        uris += re.findall(r'URI="([^"]+)"', playlist.read_text())
        assert uris
        assert all((playlist.parent / uri).is_file() for uri in uris)


def test_get_copies_the_files_of_one_asset_and_of_a_pass(first: dict[str, Any], line: CommandLine) -> None:
    film = entry_of(first, "film.mp4")
    for asset in ("poster", "chunks"):
        to = line.place / "out" / asset
        assert line("get", film["source"], asset, "--to", str(to)).status == 0
        for file in film["assets"][asset]["files"]:
            assert hashlib.sha256((to / file["path"]).read_bytes()).hexdigest() == file["sha256"]


def test_only_what_is_asked_for_is_made(line: CommandLine, session: Session) -> None:
    make_video(line.place / "narrow.mp4", frames=20)
    said = line("process", "narrow.mp4", "--only", "poster", "--json")
    assert said.status == 0, said.err
    assert said.report["encoder_calls"] == 0
    assert list(said.report["sources"][0]["assets"]) == ["source", "media_info", "chunks", "poster"]
    whole = line("process", "narrow.mp4", "--json")
    assert whole.status == 0
    assert list(whole.report["sources"][0]["assets"])[:4] == ["source", "media_info", "chunks", "poster"]
    assert len(whole.report["sources"][0]["assets"]) == len(VIDEO_ASSETS)
    assert whole.report["encoder_calls"] == 1


def test_what_a_kind_does_not_have_does_not_apply(line: CommandLine, session: Session) -> None:
    make_video(line.place / "still.mp4", frames=10)
    said = line("process", "still.mp4", "--only", "thumbnails", "--json")
    assert said.status == 0, said.err
    assert "there is no thumbnails of it: it is not made of video files" in said.err
    thumbnails = said.report["sources"][0]["assets"]["thumbnails"]
    assert (thumbnails["state"], thumbnails["cause"]) == ("not_applicable", "it is not made of video files")


def test_workers_bound_a_call_over_all_its_runs(line: CommandLine, session: Session) -> None:
    """Two runs with two workers each and four permits on the machine: still two encodes at a time."""
    folder = line.place / "many"
    folder.mkdir()
    for number in range(3):
        make_video(folder / f"film-{number}.mp4", frames=400 + number, width=128, height=72)
    more = {"SOURCEBOUND_RUN_SLOTS": "3", "SOURCEBOUND_PERMITS": "4"}
    said = line("process", "many", "--workers", "2", "--only", "proxy", "--json", **more)
    assert said.status == 0, said.err
    assert said.report["counts"] == {"ready": 3}
    assert not list((line.home / "run" / "calls").iterdir())
    keys = [source["source"] for source in said.report["sources"]]
    rows = execute(session.database_url, ENCODES, keys)
    at_work = sorted(edge for (intervals,) in rows for start, end in intervals[:1] for edge in ((start, 1), (end, -1)))
    assert len(at_work) >= 2 * 2 * len(keys), "each film has several chunks"
    assert max(itertools.accumulate(step for _, step in at_work)) == 2


def test_verify_holds_and_finds_every_damage(first: dict[str, Any], line: CommandLine) -> None:
    twin = entry_of(first, "twin.mp4")
    key = twin["source"]
    sound = line("verify", key, "--json")
    assert sound.status == 0
    assert sound.report["ok"] is True
    nothing = {"captions", "labels", "embeddings", "summary"}  # of tones; a transcript says that itself
    assert {item["asset"] for item in sound.report["sources"][0]["artifacts"]} == set(VIDEO_ASSETS) - nothing
    folder = Path(twin["assets"]["release"]["uri"].removeprefix("file://"))
    for damage in (_flip_a_byte, _remove_a_file, _damage_the_manifest):
        kept = line.place / "kept"
        shutil.copytree(folder, kept)
        damage(folder)
        found = line("verify", key, "--json")
        shutil.rmtree(folder)
        kept.rename(folder)
        assert found.status == 1, damage
        (broken,) = [item for item in found.report["sources"][0]["artifacts"] if item["problems"]]
        assert broken["asset"] == "release", damage
        assert "Traceback" not in found.err
    assert line("verify", key).status == 0


def test_what_waits_for_its_turn_in_a_call_is_left_to_that_call(line: CommandLine, session: Session) -> None:
    """A running sourcebound started runs of its own for the files that a call beside it had not come to yet."""
    folder = line.place / "turns"
    folder.mkdir()
    for number in range(3):
        make_video(folder / f"turn-{number}.mp4", frames=60 + number)
    call = subprocess.Popen(
        line.arguments("process", "turns", "--only", "poster"),
        cwd=line.place,
        env=line.environment(SOURCEBOUND_RUN_SLOTS="1"),
        stderr=subprocess.PIPE,
    )
    left_to_others = set()
    while call.poll() is None:
        left_to_others |= {
            item.source_key for item in session.ledger.unfinished() if item.source_key.startswith("turn-")
        }
        time.sleep(0.05)
    assert call.stderr is not None
    assert call.wait() == 0, call.stderr.read()
    assert len(left_to_others) <= 1, "between its registration and its claim there is a moment"
    assert not [source for source in session.ledger.live_claims() if source.startswith("turn-")]


@pytest.mark.parametrize("asset", ["poster", "chunks"])
def test_what_verify_finds_damaged_is_made_again_after_a_retry(
    first: dict[str, Any], line: CommandLine, asset: str
) -> None:
    """It was found, and nothing mended it: `process` said that the source was ready."""
    twin = entry_of(first, "twin.mp4")
    key, made = twin["source"], twin["assets"][asset]
    folder = Path(made["uri"].removeprefix("file://"))
    if asset == "chunks":
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder, *_) = [
            folder.parent / made for name, made in manifest["products"].items() if name.startswith("ladder")
        ]
    damaged = folder / ("chunk.mp4" if asset == "chunks" else "poster.jpg")
    content = damaged.read_bytes()
    _write(damaged, content[:-100] + bytes(100))
    assert line("verify", key).status == 1
    assert "is made again" in line("retry", key).err
    again = line("process", str(twin["path"]), "--json")
    assert again.status == 0, again.err
    assert entry_of(again.report, "twin.mp4")["assets"][asset]["data_version"] == made["data_version"]
    assert line("verify", key).status == 0
    assert damaged.read_bytes() == content


def test_a_published_folder_with_holes_is_said_so_in_one_sentence(first: dict[str, Any], line: CommandLine) -> None:
    twin = entry_of(first, "twin.mp4")
    folder = Path(twin["assets"]["poster"]["uri"].removeprefix("file://"))
    kept = line.place / "kept-poster"
    folder.rename(kept)
    said = line("get", twin["source"], "--to", str(line.place / "holes"))
    kept.rename(folder)
    assert said.status == 1
    assert said.says_one_sentence
    assert "published files" in said.err


@pytest.mark.parametrize("gone", ["all of it", "one name"])
def test_what_is_published_no_more_is_noticed_and_published_again_after_a_retry(
    first: dict[str, Any], line: CommandLine, gone: str
) -> None:
    key = key_of(first, "twin.mp4")
    stable = line.home / "published" / key
    (stable if gone == "all of it" else stable / "poster.jpg").unlink()
    said = line("verify", key)
    assert said.status == 1
    assert "release: what is published is not it, or not all of it" in said.out
    if gone == "all of it":
        said = line("get", key, "--to", str(line.place / "nothing"))
        assert (said.status, said.says_one_sentence) == (1, True)
        assert f"`sourcebound retry {key}` publishes it again" in said.err
    assert "release of" in line("retry", key).err
    again = line("process", str(entry_of(first, "twin.mp4")["path"]), "--json")
    assert (again.status, again.report["encoder_calls"]) == (0, 0), again.err
    assert (stable / "poster.jpg").exists()
    assert line("verify", key).status == 0


@pytest.mark.parametrize("damage", ["gone", "written to", "rotten"])
def test_an_original_that_is_damaged_is_kept_again(first: dict[str, Any], line: CommandLine, damage: str) -> None:
    """What was written to shows by its time; what rotted only by its bytes, which `retry` reads."""
    twin = entry_of(first, "twin.mp4")
    kept = line.home / "originals" / twin["sha256"][:2] / twin["sha256"]
    content, before = kept.read_bytes(), kept.stat()
    if damage == "gone":
        kept.unlink()
    else:
        _write(kept, content[:-3] + b"bad")
        if damage == "rotten":
            os.utime(kept, ns=(before.st_atime_ns, before.st_mtime_ns))
    said = line("verify", twin["source"])
    assert said.status == 1
    assert f"the original {'is not kept any more' if damage == 'gone' else 'has other bytes'}" in said.out
    mended = line("retry", twin["source"]) if damage == "rotten" else line("process", twin["path"])
    assert mended.status == 0, mended.err
    assert kept.read_bytes() == content
    assert line("verify", twin["source"]).status == 0


def test_get_says_when_what_it_copied_is_damaged(first: dict[str, Any], line: CommandLine) -> None:
    twin = entry_of(first, "twin.mp4")
    poster = Path(twin["assets"]["poster"]["uri"].removeprefix("file://")) / "poster.jpg"
    content = poster.read_bytes()
    _write(poster, content[:-1] + b"x")
    said = [line("get", twin["source"], *asset, "--to", str(line.place / "spoilt")) for asset in ([], ["poster"])]
    poster.rename(poster.with_suffix(".away"))
    said.append(line("get", twin["source"], "poster", "--to", str(line.place / "spoilt")))
    poster.with_suffix(".away").rename(poster)
    _write(poster, content)
    for each in said:
        assert (each.status, each.says_one_sentence) == (1, True), each.err
        assert f"poster.jpg of {twin['source']} is damaged in the store" in each.err


def test_get_says_when_a_product_is_gone(first: dict[str, Any], line: CommandLine) -> None:
    twin = entry_of(first, "twin.mp4")
    rung = next(file["path"] for file in twin["assets"]["chunks"]["files"] if file["path"].startswith("ladder/"))
    to = line.place / "products"
    assert line("get", twin["source"], "chunks", "--to", str(to)).status == 0
    chunks = Path(twin["assets"]["chunks"]["uri"].removeprefix("file://"))
    kept = _product_of(chunks.parent, (to / rung).read_bytes())
    kept.rename(line.place / "away")
    said = line("get", twin["source"], "chunks", "--to", str(to))
    (line.place / "away").rename(kept)
    assert (said.status, said.says_one_sentence) == (1, True), said.err
    assert f"of {twin['source']} is gone from the store" in said.err


def _product_of(pass_folder: Path, content: bytes) -> Path:
    """The folder of the product that has a file of that content."""
    found = (path for path in pass_folder.rglob("*") if path.is_file())
    return next(path.parent for path in found if path.read_bytes() == content)


def test_get_writes_into_no_folder_that_is_another_s(first: dict[str, Any], line: CommandLine) -> None:
    film, twin = key_of(first, "film.mp4"), key_of(first, "twin.mp4")
    mine = line.place / "mine"
    assert line("get", film, "--to", str(mine)).status == 0
    assert line("get", film, "--to", str(mine)).status == 0
    for to, says in {
        str(mine): f"holds what was published of {film}",
        "inbox": "lies in the inbox",
        "inbox/deeper": "lies in the inbox",
        "home/published": "lies among what sourcebound keeps itself",
    }.items():
        for asset in ([], ["poster"]):
            said = line("get", twin, *asset, "--to", to)
            assert (said.status, said.says_one_sentence) == (2, True), said.err
            assert says in said.err
    assert not list((line.place / "inbox").glob("*")) if (line.place / "inbox").exists() else True


def test_similar_names_who_looks_alike(first: dict[str, Any], line: CommandLine) -> None:
    film, twin = key_of(first, "film.mp4"), key_of(first, "twin.mp4")
    said = line("similar", film)
    assert said.status == 0, said.err
    assert said.out.splitlines()[0].split("\t")[:3] == [twin, "100%", "100%"]


def test_a_damaged_manifest_does_not_hide_the_others(first: dict[str, Any], line: CommandLine) -> None:
    twin = entry_of(first, "twin.mp4")
    folder = Path(twin["assets"]["release"]["uri"].removeprefix("file://"))
    kept = (folder / "manifest.json").read_bytes()
    _damage_the_manifest(folder)
    said = line("status", "--json")
    _write(folder / "manifest.json", kept)
    assert "manifest of release" in entry_of(said.report, "twin.mp4")["assets"]["release"]["cause"]
    assert entry_of(said.report, "film.mp4")["assets"]["release"]["cause"] is None


def _write(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def _flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "index.json").read_bytes())
    content[10] ^= 1
    _write(folder / "index.json", bytes(content))


def _remove_a_file(folder: Path) -> None:
    (folder / "index.json").unlink()


def _damage_the_manifest(folder: Path) -> None:
    _write(folder / "manifest.json", b'{"asset": "rel')


def test_a_source_is_steered(first: dict[str, Any], line: CommandLine, session: Session) -> None:
    key = key_of(first, "notes.txt")
    assert line("hurry", key).status == 0
    refused = line("retry", key)
    assert (refused.status, refused.out) == (3, "")
    assert "refused again: the file is text, not media" in refused.err
    make_video(line.place / "later.mp4", frames=12)
    assert line("process", "later.mp4", "--only", "media_info").status == 0
    (later,) = [row for row in session.ledger.sources() if row.location.endswith("later.mp4")]
    assert "nothing more is made of it until it is retried or hurried" in line("pause", later.key).err
    paused = line("process", "later.mp4", "--json")
    assert paused.status == 3
    states = session.ledger.states(later.key)
    assert states["media_info"].state is AssetState.READY
    assert {row.state for name, row in states.items() if name not in ("source", "media_info")} == {AssetState.WAITING}
    assert line("cancel", later.key).status == 0
    poster = session.ledger.states(later.key)["poster"]
    assert (poster.state, poster.cause) == (
        AssetState.CANCELLED,
        "cancelled by a person; `sourcebound retry` starts it again",
    )
    assert "is cancelled and stays so until it is retried" in line("pause", later.key).err
    assert "is cancelled; once it is retried it goes before the others" in line("hurry", later.key).err
    assert line("retry", later.key).status == 0
    assert "nothing is at work on what is not finished" in line("status", later.key).err
    assert line("process", "later.mp4").status == 0


def test_what_was_left_out_is_told_and_no_success(line: CommandLine) -> None:
    (line.place / "alone.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    said = line("process", "alone.srt")
    assert said.status == 3
    assert "left out: alone.srt is text that belongs to a medium" in said.err


def test_a_text_that_cannot_be_used_is_told(line: CommandLine, session: Session) -> None:
    make_video(line.place / "spoken.mp4", frames=10)
    (line.place / "spoken.en.srt").write_text("1\n00:00:00,000 --> 00:00:00,300\nHello\n")
    (line.place / "spoken.fr.srt").write_text("garbage")
    said = line("process", "spoken.mp4", "--only", "subtitles", "--json")
    assert said.status == 0, said.err
    assert "subtitles: every text can be used: " in said.err
    assert "srt file 1 (fr) has no cue inside the media" in said.err
    table = line("status", said.report["sources"][0]["source"])
    assert "every text can be used: " in next(row for row in table.out.splitlines() if row.startswith("subtitles"))


def test_sources_in_one_state_are_listed_alone(first: dict[str, Any], line: CommandLine) -> None:
    said = line("status", "--state", "quarantined", "--json")
    assert {entry["state"] for entry in said.report["sources"]} == {"quarantined"}
    ready = line("status", "--state", "ready")
    assert ready.status == 0
    assert {row.split("\t")[1] for row in ready.out.splitlines()} == {"ready"}


def test_retry_reads_the_file_and_its_sidecar_again(line: CommandLine, session: Session) -> None:
    film = make_video(line.place / "wished.mp4", frames=10)
    sidecar = film.with_name("wished.mp4.sourcebound.json")
    sidecar.write_text('{"assets": ["no such thing"]}')
    said = line("process", "wished.mp4", "--json")
    assert said.status == 3
    (entry,) = said.report["sources"]
    assert entry["state"] == "quarantined"
    assert "wished.mp4.sourcebound.json names no such thing, but the assets are" in entry["cause"]
    sidecar.write_text('{"assets": ["poster"], "title": "Wished for"}')
    assert line("retry", entry["source"]).status == 0
    row = session.ledger.source(entry["source"])
    assert row.title == "Wished for"
    states = {name: item.state for name, item in session.ledger.states(row.key).items()}
    assert states["poster"] is states["chunks"] is AssetState.REGISTERED
    assert states["loudness"] is AssetState.NOT_APPLICABLE, "nobody asks for it any more"
    assert entry_of(line("process", "wished.mp4", "--json").report, "wished.mp4")["state"] == "ready"
    film.write_bytes(film.read_bytes() + b"more")
    said = line("retry", entry["source"])
    assert said.status == 3
    assert "the file has other bytes now" in said.err


def test_a_sidecar_mended_is_read_by_the_next_process(line: CommandLine, session: Session) -> None:
    film = make_video(line.place / "mended.mp4", frames=11)
    sidecar = film.with_name("mended.mp4.sourcebound.json")
    sidecar.write_text('{"ladder": [361]}')
    refused = line("process", "mended.mp4", "--only", "media_info", "--json")
    assert refused.report["counts"] == {"quarantined": 1}
    assert "its ladder is [361], but must be" in refused.report["sources"][0]["cause"]
    sidecar.write_text('{"ladder": [360]}')
    assert line("process", "mended.mp4", "--only", "media_info", "--json").report["counts"] == {"ready": 1}
    sidecar.write_text("not JSON")
    again = line("process", "mended.mp4", "--only", "media_info", "--json")
    assert again.report["counts"] == {"ready": 1}
    assert "mended.mp4.sourcebound.json is not JSON" in again.err
    assert session.ledger.source(again.report["sources"][0]["source"]).options["ladder"] == [360]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["status", "nosuch"], "no source is called nosuch"),
        (["status", ""], "no source is called nothing"),
        (["artifacts", "nosuch"], "no source is called nosuch"),
        (["verify", "nosuch"], "no source is called nosuch"),
        (["retry", "nosuch"], "no source is called nosuch"),
        (["process", "nosuch.mp4"], "nosuch.mp4 does not exist"),
        (["process", "in", "--only", "posters"], "there is no asset posters; the assets are source, media_info"),
        (["process", "in", "--only", ","], "there is no asset without a name"),
        (["process", "nowhere.mp4"], "nowhere.mp4 is a link to /nosuch.mp4, which does not exist"),
        (["status", "--state", "good"], "--state narrows the list of all sources to one of"),
        (["status", "twin", "--state", "ready"], "--state narrows the list of all sources to one of"),
        (["get", "twin", "posters", "--to", "out"], "there is no asset posters"),
        (["get", "twin", "--to", "/proc/nosuch"], "--to: /proc/nosuch cannot be made"),
        (["get", "twin", "--to", "in/notes.txt"], "in/notes.txt cannot be made"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(
    first: dict[str, Any], line: CommandLine, arguments: list[str], says: str
) -> None:
    with contextlib.suppress(FileExistsError):
        (line.place / "nowhere.mp4").symlink_to("/nosuch.mp4")
    said = line(*arguments)
    assert said.status == 2
    assert said.says_one_sentence, said.err
    assert says in said.err


def test_an_ambiguous_beginning_names_what_it_fits(line: CommandLine, session: Session) -> None:
    for number in range(2):
        (line.place / f"same-{number}.txt").write_text(str(number))
    assert line("process", "same-0.txt", "same-1.txt").status == 3
    said = line("status", "same")
    assert said.status == 2
    assert "same fits 2 sources (same-0-" in said.err


@pytest.mark.parametrize("arguments", [["process"], ["process", "in", "--workers", "0"], ["nosuch"], ["get", "film"]])
def test_wrong_usage_has_status_2(line: CommandLine, arguments: list[str]) -> None:
    said = line(*arguments)
    assert said.status == 2
    assert said.out == ""
    assert "Traceback" not in said.err


def test_a_wrong_setting_is_named_with_what_it_may_be(line: CommandLine) -> None:
    said = line("status", SOURCEBOUND_PORT="many")
    assert said.status == 2
    assert said.says_one_sentence
    assert "SOURCEBOUND_PORT" in said.err
    assert "a whole number from 1 to 65535" in said.err


def test_a_home_that_cannot_be_is_one_sentence(line: CommandLine) -> None:
    make_video(line.place / "homeless.mp4", frames=5)
    said = line("process", "homeless.mp4", SOURCEBOUND_HOME="/proc/nosuch/home")
    assert said.status == 1
    assert said.says_one_sentence, said.err
    assert "/proc/nosuch" in said.err


def test_an_empty_folder_is_nothing_to_do(line: CommandLine, session: Session) -> None:
    (line.place / "empty.mp4").mkdir()
    said = line("process", "empty.mp4", "--json")
    assert said.status == 0
    assert said.report["sources"] == []
    assert said.report["counts"] == {}


@pytest.mark.slow  # it waits as long as a database may take to come back
def test_doctor_tells_secrets_to_nobody_and_survives_a_database_that_is_gone(line: CommandLine) -> None:
    said = line("doctor", "--json", SOURCEBOUND_DATABASE_URL="postgresql://me:hush-hush@127.0.0.1:1/none")
    assert said.status == 1
    assert "hush-hush" not in said.out + said.err
    findings = {item["part"]: item for item in said.report["findings"]}
    assert findings["database"]["found"] == "PostgreSQL at 127.0.0.1, database /none"
    assert findings["ledger"]["ok"] is False
    assert findings["ledger"]["cure"]


def test_doctor_names_a_home_that_cannot_be_used(line: CommandLine) -> None:
    said = line("doctor", "--json", SOURCEBOUND_HOME="/proc/nosuch/home")
    assert said.status == 1
    assert json.loads(said.out)["ok"] is False
    assert "Traceback" not in said.err


def test_steering_and_copying_speak_json(first: dict[str, Any], line: CommandLine) -> None:
    key = key_of(first, "film.mp4")
    assert line("hurry", key, "--json").report["source"] == key
    assert "no work that could be cancelled" in line("cancel", key, "--json").report["sentence"]
    copied = line("get", key, "poster", "--to", "a poster", "--json")
    assert copied.report == {"source": key, "asset": "poster", "to": str(line.place / "a poster")}
    refused = line("retry", key_of(first, "notes.txt"), "--json")
    assert (refused.status, refused.report["state"], refused.report["sentence"]) == (3, "quarantined", None)
