"""Shots: found where people see them, the same however a source is cut into chunks, and judged by a contract."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from processing.contracts.scenes import contract
from processing.failures import BadInput
from processing.picture import samples_plan, shots_plan
from processing.picture.scenes import LIST_FILE, Frames, frames_of, make, shots_in
from processing.picture.shot_scores import JUMP, PRINT_BYTES
from processing.work import Task
from tests.corpus import corpus_file, rows
from tests.media import as_input, source_task
from tests.media_picture import broken, clip_info, film, judge_unit, make_products, unit_task

ANNOTATED = {
    row["path"]: [float(cut) for cut in row["truth"].split(";")] for row in rows() if row["truth_kind"] == "cuts_s"
}
NEAR_S = 0.1  # two frames at 24 a second: which of two blended frames begins a shot is taste


def scenes_of(path: Path, folder: Path, *, target_s: int = 6) -> Task:
    info = clip_info(path, target_s=target_s)
    planned = [*shots_plan.plan(info, {}), *samples_plan.plan(info, {})]
    task = replace(source_task(path, folder / "scenes"), inputs=make_products(path, folder / "made", info, planned))
    return replace(task, made=as_input("scenes", task.out, make(task).facts))


def starts_s(task: Task) -> list[float]:
    assert task.made is not None
    document = json.loads(task.made.path(LIST_FILE).read_text())
    return [shot["start"] / document["timescale"] for shot in document["shots"]]


def texture(seed: int, shift: int = 0, *, size: tuple[int, int] = (320, 180)) -> Any:
    """A picture of its own, moved to the left by `shift` pixels."""
    coarse = np.random.default_rng(seed).integers(20, 230, (10, 18, 3), dtype=np.uint8)
    wide = Image.fromarray(coarse).resize((size[0] + 200, size[1]), Image.Resampling.BICUBIC)
    return np.asarray(wide)[:, shift : shift + size[0]]


def cut_film(path: Path, lengths: Sequence[int], **more: Any) -> Path:
    """Moving textures of so many frames each, 25 a second."""
    frames = [texture(seed, frame) for seed, length in enumerate(lengths) for frame in range(length)]
    return film(path, frames, **more)


def other_detectors(path: Path) -> list[list[float]]:
    """Cuts (s) by two detectors of PySceneDetect, in a process of their own: OpenCV changes its environment."""
    program = (
        "import json, sys\n"
        "from scenedetect import AdaptiveDetector, ContentDetector, detect\n"
        "both = (AdaptiveDetector(min_scene_len=10), ContentDetector(min_scene_len=10))\n"
        "print(json.dumps([[start.seconds for start, _ in detect(sys.argv[1], each)][1:] for each in both]))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    found: list[list[float]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", ANNOTATED)
def test_cuts_are_where_people_saw_them_in_real_films(tmp_path: Path, name: str) -> None:
    """Among them an explosion, a fade from black and a fast object, which are no cuts."""
    task = scenes_of(corpus_file(name), tmp_path)
    assert starts_s(task)[1:] == pytest.approx(ANNOTATED[name], abs=NEAR_S)
    assert broken(contract(task)) == []


@pytest.mark.parametrize(
    "name",
    [
        "scene/big_buck_bunny_0_30.webm",
        "scene/pos_video.mp4",
        "scene/scene-change.mov",
        "video/karma.mp4",
        "video/portrait.MOV",
        "video/roadtrip-vp92-10bit.webm",
    ],
)
def test_cuts_are_those_that_two_other_detectors_find(tmp_path: Path, name: str) -> None:
    """What both find is found, and nothing that neither does; where they differ they are no judges."""
    path = corpus_file(name)
    theirs = other_detectors(path)
    ours = starts_s(scenes_of(path, tmp_path))[1:]

    def found(cut: float, among: Sequence[float]) -> bool:
        return any(abs(cut - other) <= NEAR_S for other in among)

    assert [cut for cut in theirs[0] if found(cut, theirs[1]) and not found(cut, ours)] == []
    assert [cut for cut in ours if not found(cut, theirs[0]) and not found(cut, theirs[1])] == []


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("scenes")
    return scenes_of(cut_film(folder / "three.mkv", [40, 30, 55]), folder, target_s=2)


def test_each_shot_shows_its_own_picture(three: Task) -> None:
    assert three.made is not None
    shots = json.loads(three.made.path(LIST_FILE).read_text())["shots"]
    assert starts_s(three) == pytest.approx([0, 1.6, 2.8])
    for number, shot in enumerate(shots):
        with Image.open(three.made.path(shot["still"]["file"])) as still:
            shown = np.asarray(still.convert("RGB"), dtype=int)
        away = [np.abs(shown - texture(seed, 10).astype(int)).mean() for seed in range(3)]
        assert away.index(min(away)) == number


@pytest.mark.parametrize("target_s", [1, 2, 6])
def test_shots_do_not_depend_on_where_chunks_are_cut(tmp_path: Path, three: Task, target_s: int) -> None:
    """A cut on the border of two chunks is seen by looking at the frame before it."""
    other = scenes_of(cut_film(tmp_path / "three.mkv", [40, 30, 55]), tmp_path, target_s=target_s)
    one, two = frames_of(three.inputs), frames_of(other.inputs)
    assert (one.ticks, one.differences, one.means, one.prints) == (two.ticks, two.differences, two.means, two.prints)
    assert starts_s(other) == starts_s(three)


def test_a_flash_and_black_at_the_beginning_are_no_cuts_and_black_between_two_shots_is(tmp_path: Path) -> None:
    black, white = np.zeros((180, 320, 3), np.uint8), np.full((180, 320, 3), 250, np.uint8)
    shot = [texture(1, frame) for frame in range(40)]
    flash = film(tmp_path / "flash.mkv", [*shot[:20], white, white, *shot[20:]])
    assert starts_s(scenes_of(flash, tmp_path / "flash")) == [0]
    opening = film(tmp_path / "opening.mkv", [*[black] * 25, *shot])
    assert starts_s(scenes_of(opening, tmp_path / "opening")) == [0]
    faded = [(texture(1, 40 + step) * (1 - step / 15)).astype(np.uint8) for step in range(16)]
    between = film(tmp_path / "between.mkv", [*shot, *faded, *[black] * 10, *[texture(2, step) for step in range(40)]])
    assert starts_s(scenes_of(between, tmp_path / "between")) == pytest.approx([0, 66 / 25])


def test_a_short_shot_has_a_still_of_its_own(tmp_path: Path) -> None:
    """Between two whole seconds nothing is sampled: the still is the one taken after the cut."""
    task = scenes_of(cut_film(tmp_path / "short.mkv", [28, 11, 36]), tmp_path)
    assert starts_s(task) == pytest.approx([0, 28 / 25, 39 / 25])
    assert task.made is not None
    assert all(shot["still"] for shot in json.loads(task.made.path(LIST_FILE).read_text())["shots"])
    assert broken(contract(task)) == []


def test_scores_and_scenes_come_out_the_same_twice(three: Task, tmp_path: Path) -> None:
    again = scenes_of(cut_film(tmp_path / "three.mkv", [40, 30, 55]), tmp_path, target_s=2)
    for name, item in three.inputs.items():
        assert [entry.sha256 for entry in item.files] == [entry.sha256 for entry in again.inputs[name].files]
    assert three.made is not None
    assert again.made is not None
    assert three.made.files == again.made.files


def test_one_frame_is_one_shot_and_none_is_bad_input(tmp_path: Path) -> None:
    one = scenes_of(film(tmp_path / "one.mkv", [texture(1)]), tmp_path)
    assert len(starts_s(one)) == 1
    assert broken(contract(one)) == []
    with pytest.raises(BadInput, match="measured"):
        frames_of({})


@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(0, 60_000), st.integers(0, 255_000)), min_size=1, max_size=80)
)
def test_shots_cover_any_picture_without_holes_and_are_never_too_short(rows: list[tuple[int, int, int]]) -> None:
    ticks = [sum(row[0] for row in rows[:index]) for index in range(len(rows))]
    prints = bytes(range(PRINT_BYTES)) * len(rows)
    end = ticks[-1] + rows[-1][0]
    found = shots_in(Frames(ticks, [0, *(row[1] for row in rows[1:])], [row[2] for row in rows], prints, 100, end))
    assert (found[0].start, found[-1].end) == (0, end)
    assert all(before.end == after.start for before, after in pairwise(found))
    assert len(found) == 1 or all(shot.end - shot.start >= 40 for shot in found)


def spoiled(task: Task, folder: Path, change: Callable[[dict[str, Any], Path], object]) -> list[str]:
    """The clauses that fail after `change` of the list; facts are brought up to it, as a bug would."""
    assert task.made is not None
    shutil.copytree(task.made.folder, folder)
    document = json.loads((folder / LIST_FILE).read_text())
    change(document, folder)
    (folder / LIST_FILE).write_text(json.dumps(document))
    shots = document["shots"]
    facts = {**task.made.facts, "shots": len(shots), "start": shots[0]["start"], "end": shots[-1]["end"]}
    return broken(contract(replace(task, made=as_input("scenes", folder, facts))))


def _join(document: dict[str, Any], folder: Path) -> None:
    gone = document["shots"].pop(1)
    document["shots"][0]["end"] = gone["end"]
    (folder / gone["still"]["file"]).unlink()


def _split(document: dict[str, Any], _folder: Path) -> None:
    first = document["shots"][0]
    middle = first["start"] + 54_000
    document["shots"].insert(1, {**first, "start": middle, "still": None})
    first["end"] = middle


def _swap_stills(document: dict[str, Any], folder: Path) -> None:
    one, two = (folder / shot["still"]["file"] for shot in document["shots"][:2])
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)


def _blank(document: dict[str, Any], folder: Path) -> None:
    Image.new("RGB", (320, 180), (90, 90, 90)).save(folder / document["shots"][1]["still"]["file"])


def _cut_off(document: dict[str, Any], folder: Path) -> None:
    still = folder / document["shots"][1]["still"]["file"]
    still.write_bytes(still.read_bytes()[:400])


MUTATIONS: dict[str, tuple[Callable[[dict[str, Any], Path], object], str]] = {
    "a cut left out": (_join, "no clear jump inside a shot"),
    "a cut made up": (_split, "shots begin where the picture jumps"),
    "the last shot gone": (lambda document, _: document["shots"].pop(), "shots cover the picture"),
    "the first shot gone": (lambda document, _: document["shots"].pop(0), "shots cover the picture"),
    "a hole": (lambda document, _: document["shots"][0].update(end=100), "shots cover the picture"),
    "a still forgotten": (lambda document, _: document["shots"][2].update(still=None), "stills show their shots"),
    "stills swapped": (_swap_stills, "stills show their shots"),
    "a still blank": (_blank, "stills show their shots"),
    "a still cut off": (_cut_off, "stills show their shots"),
    "a still nobody took": (
        lambda document, _: document["shots"][0]["still"].update(ticks=document["shots"][0]["still"]["ticks"] + 1),
        "stills show their shots",
    ),
    "a picture of no shot": (
        lambda _, folder: shutil.copyfile(folder / "shots/00000.jpg", folder / "shots/00009.jpg"),
        "stills show their shots",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contract_refuses_what_was_spoiled(three: Task, tmp_path: Path, name: str) -> None:
    change, clause = MUTATIONS[name]
    assert clause in spoiled(three, tmp_path / "spoiled", change)


def test_the_contract_refuses_a_list_that_is_none_or_says_something_else_than_the_facts(
    three: Task, tmp_path: Path
) -> None:
    assert three.made is not None
    shutil.copytree(three.made.folder, tmp_path / "spoiled")
    (tmp_path / "spoiled" / LIST_FILE).write_text("[]")
    made = as_input("scenes", tmp_path / "spoiled", three.made.facts)
    assert broken(contract(replace(three, made=made))) == ["list readable"]
    other = replace(three.made, facts={**three.made.facts, "shots": 7})
    assert broken(contract(replace(three, made=other))) == ["facts agree"]


def test_the_contract_of_a_unit_refuses_spoiled_scores(tmp_path: Path) -> None:
    path = cut_film(tmp_path / "film.mkv", [30, 20])
    info = clip_info(path)
    planned = shots_plan.plan(info, {})
    task = unit_task(path, tmp_path / "unit", info, "00000", planned)
    ((name, item),) = make_products(path, tmp_path / "made", info, planned).items()
    assert broken(judge_unit(task, {name: item})) == []
    scores = json.loads(item.path("scores.json").read_text())

    def judged_with(number: int, file: str, content: bytes) -> list[str]:
        folder = tmp_path / f"spoiled {number}"
        shutil.copytree(item.folder, folder)
        (folder / file).write_bytes(content)
        return broken(judge_unit(task, {name: as_input(name, folder, item.facts)}))

    still = item.facts["stills"][0]["file"]
    Image.new("RGB", (item.facts["width"], item.facts["height"])).save(tmp_path / "black.jpg")
    changes = {
        "a row for each frame": ("scores.json", json.dumps(scores[:-1]).encode()),
        "times rise inside the chunk": ("scores.json", json.dumps([scores[1], scores[0], *scores[2:]]).encode()),
        "scores are possible": ("scores.json", json.dumps([[scores[0][0], -1, 0], *scores[1:]]).encode()),
        "readable": ("scores.json", b"{"),
        "a print for each frame": ("prints.bin", b"\0"),
        "ends are those of the first frame and the last": ("ends.bin", bytes(item.path("ends.bin").stat().st_size)),
        still: (still, (tmp_path / "black.jpg").read_bytes()),
    }
    for number, (clause, (file, content)) in enumerate(changes.items()):
        assert f"{name}: {clause}" in judged_with(number, file, content)
    assert max(row[1] for row in scores) > JUMP
