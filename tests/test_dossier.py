"""The folder of a page: whole, self-contained, of what there is; its contract refuses what was spoiled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from processing.contracts.dossier import contract
from processing.pages import dossier, dossier_plan, lineage, tables
from processing.pages.rendering import data_block
from processing.work import Input, Task
from tests.media import as_input
from tests.media_picture import broken
from tests.summaries import ISLANDS, document_input, transcript_of

EVIL = "</script><script>alert(1)</script><!-- \u2028 & \"quoted\" 'single' --> \u202eevil"


def row(asset: str, state: str = "ready", **more: Any) -> dict[str, Any]:
    empty = {"cause": None, "recipe_hash": "0" * 64, "determinism": "A", "code_version": "1", "passed": 3}
    told = {**empty, "verdicts": [], "made_of": [], "models": [], "files": 1, "bytes": 1500}
    return {"asset": asset, "state": state, **told, "wall_ms": 1250, "cpu_ms": 500, "attempts": 1, **more}


RECORD = [
    row("source"),
    row("media_info", made_of=["source"]),
    row("poster", "failed", cause="it breaks its contract", recipe_hash=None, determinism=None),
    row("transcript", made_of=["media_info"], determinism="C", models=["a-model"]),
    row("labels", "not_applicable", cause="no model for labels is configured", recipe_hash=None, determinism=None),
]


def task_of(
    folder: Path, *, record: Any = None, title: str | None = None, moment: str = "complete", **inputs: Input
) -> Task:
    transcript = transcript_of(ISLANDS)
    end = max(word["end"] for track in transcript["tracks"] for word in track["words"]) + 16_000
    sound = {"codec": "aac", "channels": 2, "layout": "stereo", "rate_hz": 48_000, "language": "en"}
    facts = {
        "kind": "audio",
        "audio": [sound],
        "video": None,
        "image": None,
        "format": {"name": "mp4", "long_name": "MP4", "title": None},
        "duration": {"ticks": end, "timescale": 16_000},
        "damage": {"decode_errors": 0, "packets_corrupt": 0, "truncated": False, "notes": []},
    }
    found = {
        "media_info": replace(as_input("media_info", _empty(folder / "info"), facts), recipe_hash="1" * 64),
        "transcript": replace(
            document_input("transcript", "transcript.json", transcript, folder / "transcript"),
            recipe_hash="2" * 64,
            warned=("confidence: unsure of some words",),
            facts={"ai_generated": True, "review": "unreviewed", "model": {"id": "a-model", "version": "1.0.0"}},
        ),
        **inputs,
    }
    told = dossier_plan.parameters(facts, {"record": record or RECORD, "moment": moment})
    told["source"] = {"source": "a-talk-0123456789", "file_name": "a talk.m4a", "title": title, "tags": []}
    return Task("", told, folder / "work", inputs=found)


def _empty(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def made_of(task: Task) -> Task:
    facts = dossier.make(task).facts
    return replace(task, made=as_input("dossier", task.out, facts))


def page_of(task: Task) -> str:
    return (task.out / dossier_plan.PAGE).read_text(encoding="utf-8")


def test_it_tells_what_there_is_and_keeps_its_contract(tmp_path: Path) -> None:
    task = made_of(task_of(tmp_path))
    assert broken(contract(task)) == []
    page = page_of(task)
    assert "<h1>a talk.m4a</h1>" in page
    assert "Made by a machine (a-model 1.0.0), unreviewed." in page
    assert "unsure of some words" in page
    assert "poster did not keep its contract" in page
    assert "There is nothing to play yet." in page


def test_the_same_facts_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = (made_of(task_of(tmp_path / name)).made for name in ("a", "b"))
    assert one is not None
    assert other is not None
    assert [(file.path, file.sha256) for file in one.files] == [(file.path, file.sha256) for file in other.files]


def test_whatever_a_name_holds_stays_text(tmp_path: Path) -> None:
    record = [*RECORD[:-1], row("labels", "failed", cause=EVIL)]
    task = made_of(task_of(tmp_path, title=EVIL, record=record))
    assert broken(contract(task)) == []
    assert "<script>alert" not in page_of(task)
    data = data_block({"text": EVIL})
    assert "<" not in data
    assert json.loads(data) == {"text": EVIL}


def test_before_words_it_says_that_they_are_still_to_come(tmp_path: Path) -> None:
    task = task_of(tmp_path, moment="playable")
    told = replace(task, inputs={"media_info": task.inputs["media_info"]})
    page = page_of(made_of(told))
    assert "They are still to come." in page
    assert "playable; words are still to come" in page


def test_without_words_it_says_why(tmp_path: Path) -> None:
    record = [*RECORD[:3], row("transcript", "not_applicable", cause="nobody speaks in it", recipe_hash=None)]
    task = task_of(tmp_path, record=record)
    page = page_of(made_of(replace(task, inputs={"media_info": task.inputs["media_info"]})))
    assert "There are none: nobody speaks in it." in page


def _page(old: str, new: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        file = folder / dossier_plan.PAGE
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


SPOILED: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (_page('id="data">{', 'id="data">{"'), "page readable"),
    "leads out": (_page('href="page.css"', 'href="https://example.org/page.css"'), "nothing leads out"),
    "leads up": (_page('src="dossier.js"', 'src="../dossier.js"'), "nothing leads out"),
    "lacks its style": (_page('href="page.css"', 'href="pages.css"'), "every reference is there"),
    "has a script": (_page("<main", "<script>alert(1)</script><main"), "no script but its own"),
    "has a handler": (_page("<main", '<main onclick="alert(1)"'), "no script but its own"),
    "has an id twice": (_page("<main id", '<div id="facts-title"></div><main id'), "each id is one"),
    "tells other words": (_page(" ferry ", " fairy "), "data is what there is"),
    "leaves an asset out": (_page('id="asset-media_info"', 'id="asset-media"'), "every asset is told"),
    "has no title": (_page("<title>a talk.m4a</title>", "<title> </title>"), "has a title"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_the_contract_refuses_what_was_spoiled(tmp_path: Path, name: str) -> None:
    spoil, clause = SPOILED[name]
    task = made_of(task_of(tmp_path))
    spoil(task.out)
    assert task.made is not None
    again = replace(task, made=as_input("dossier", task.out, task.made.facts))
    assert clause in broken(contract(again))


def test_the_contract_refuses_links_to_what_is_not_there(tmp_path: Path) -> None:
    task = made_of(task_of(tmp_path))
    assert task.made is not None
    strange = {"media/proxy.mp4": {"asset": "proxy", "recipe_hash": "9" * 64, "path": "proxy.mp4"}}
    assert "links are what there is" in broken(
        contract(replace(task, made=replace(task.made, facts={**task.made.facts, "links": strange})))
    )


def test_the_lineage_has_layers_from_the_upload_on() -> None:
    layers = lineage.layers_of(lineage.nodes_of(RECORD))
    assert [[node.name for node in layer] for layer in layers] == [["source", "poster"], ["media_info"], ["transcript"]]
    circle = [row("a", made_of=["b"]), row("b", made_of=["a"])]
    assert sum(len(layer) for layer in lineage.layers_of(lineage.nodes_of(circle))) == 2
    assert "&lt;b&gt;" in lineage.picture([row("<b>")])


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (123_456, "123 kB"), (42 * 10**8, "4.2 GB")],
)
def test_sizes_are_said_as_people_say_them(count: int, said: str) -> None:
    assert tables.size(count) == said


def test_lengths_are_said_as_people_say_them() -> None:
    assert tables.clock({"ticks": 3_723_400, "timescale": 1000}) == "1:02:03.4"
    assert tables.clock({"ticks": 59_960, "timescale": 1000}) == "1:00.0"
    assert tables.clock(None) == ""
