"""Perceptual hashes: near for what looks alike, far for what does not, and the look-up over many sources."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from processing.contracts.fingerprint import contract
from processing.failures import BadInput
from processing.picture import fingerprint_plan, samples_plan, shots_plan, thumbnail_plan, thumbnails
from processing.picture.fingerprint import PRINTS_FILE, bits_apart, hash_of, make
from processing.picture.scenes import make as make_scenes
from processing.probe.media_info import facts_of
from processing.work import Task
from resources.house import House
from resources.near_duplicates import WITHIN_BITS, NotPrinted, look_alikes, take_in_prints
from tests.corpus import corpus_file
from tests.house import make as make_assets
from tests.house import take_in
from tests.media import as_input, source_task
from tests.media_picture import broken, clip_info, film, make_products

PHOTOS = ["image/Landscape_6.jpg", "image/handwritten-notes.jpg", "ocr/cosmic.png"]


def texture(seed: int, width: int = 320, height: int = 180) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(20, 230, (9, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def print_of(picture: Image.Image, path: Path, **save: Any) -> str:
    picture.convert("RGB").save(path, **save)
    return hash_of(path)[0]


@pytest.mark.parametrize("name", PHOTOS)
def test_a_picture_is_known_again_at_another_size_quality_and_brightness(tmp_path: Path, name: str) -> None:
    with Image.open(corpus_file(name)) as opened:
        picture = opened.convert("RGB")
        picture.thumbnail((1600, 1600))
    mine = print_of(picture, tmp_path / "a.png")
    small = picture.resize((picture.width // 4, picture.height // 4))
    changed = {
        "small": print_of(small, tmp_path / "b.png"),
        "poor": print_of(picture, tmp_path / "c.jpg", quality=25),
        "dark": print_of(ImageEnhance.Brightness(picture).enhance(0.8), tmp_path / "d.png"),
    }
    for how, other in changed.items():
        assert bits_apart(mine, other) <= WITHIN_BITS, how


def test_unrelated_pictures_are_far_apart(tmp_path: Path) -> None:
    prints = [print_of(texture(seed), tmp_path / f"{seed}.png") for seed in range(12)]
    apart = [bits_apart(one, other) for number, one in enumerate(prints) for other in prints[number + 1 :]]
    assert min(apart) > WITHIN_BITS + 4


def test_pictures_without_anything_on_them_are_plain(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (90, 20, 20)).save(tmp_path / "plain.png")
    assert hash_of(tmp_path / "plain.png")[1]
    texture(1).save(tmp_path / "rich.png")
    assert not hash_of(tmp_path / "rich.png")[1]


def of_film(path: Path, folder: Path) -> Task:
    info = clip_info(path, target_s=2)
    planned = [*shots_plan.plan(info, {}), *samples_plan.plan(info, {})]
    scenes = replace(source_task(path, folder / "scenes"), inputs=make_products(path, folder / "made", info, planned))
    made = as_input("scenes", scenes.out, make_scenes(scenes).facts)
    task = Task("", {}, folder / "fingerprint", inputs={"scenes": made})
    return replace(task, made=as_input("fingerprint", task.out, make(task).facts))


def of_still(path: Path, folder: Path) -> Task:
    info = facts_of(path, {})
    task = source_task(path, folder / "thumbnails", parameters=thumbnail_plan.parameters(info, {}))
    task = replace(task, inputs={"media_info": as_input("media_info", folder, info)})
    made = as_input("thumbnails", task.out, thumbnails.make(task).facts)
    print_task = Task("", {}, folder / "fingerprint", inputs={"thumbnails": made})
    return replace(print_task, made=as_input("fingerprint", print_task.out, make(print_task).facts))


def shots(*seeds: int) -> list[Any]:
    return [np.asarray(texture(seed)) for seed in seeds for _ in range(20)]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("fingerprint")
    return of_film(film(folder / "film.mkv", shots(1, 2, 3)), folder)


def test_every_shot_has_its_hash(printed: Task) -> None:
    assert broken(contract(printed)) == []
    assert printed.made is not None
    document = json.loads(printed.made.path(PRINTS_FILE).read_text())
    assert [each["start"] / document["timescale"] for each in document["prints"]] == pytest.approx([0, 0.8, 1.6])
    assert not any(each["plain"] for each in document["prints"])


def test_a_still_has_one_hash(tmp_path: Path) -> None:
    task = of_still(corpus_file("image/Landscape_6.jpg"), tmp_path)
    assert broken(contract(task)) == []
    assert task.made is not None
    assert task.made.facts["prints"] == 1


def test_it_applies_to_what_can_be_seen() -> None:
    assert fingerprint_plan.applies({"kind": "image", "video": None}, {}) is None
    assert fingerprint_plan.applies({"kind": "video", "video": {"codec": "h264"}}, {}) is None
    assert fingerprint_plan.applies({"kind": "audio", "video": None}, {}) == "the source has no picture"


def test_without_a_still_it_is_bad_input(printed: Task, tmp_path: Path) -> None:
    scenes = printed.inputs["scenes"]
    shutil.copytree(scenes.folder, tmp_path / "scenes")
    document = json.loads((tmp_path / "scenes" / "scenes.json").read_text())
    for shot in document["shots"]:
        shot["still"] = None
    (tmp_path / "scenes" / "scenes.json").write_text(json.dumps(document))
    task = Task("", {}, tmp_path / "work", inputs={"scenes": as_input("scenes", tmp_path / "scenes", scenes.facts)})
    with pytest.raises(BadInput, match="hashed"):
        make(task)


def spoiled(task: Task, folder: Path, change: Callable[[list[dict[str, Any]]], object], **facts: Any) -> list[str]:
    assert task.made is not None
    shutil.copytree(task.made.folder, folder)
    document = json.loads((folder / PRINTS_FILE).read_text())
    change(document["prints"])
    (folder / PRINTS_FILE).write_text(json.dumps(document))
    told = {**task.made.facts, "prints": len(document["prints"]), **facts}
    return broken(contract(replace(task, made=as_input("fingerprint", folder, told))))


def _swap(prints: list[dict[str, Any]]) -> None:
    prints[0]["hash"], prints[1]["hash"] = prints[1]["hash"], prints[0]["hash"]


MUTATIONS: dict[str, tuple[Callable[[list[dict[str, Any]]], object], str]] = {
    "a shot left out": (lambda prints: prints.pop(), "everything that is seen has its hash"),
    "emptied": (lambda prints: prints.clear(), "is not empty"),
    "hashes swapped": (_swap, "hashes are those of the stills"),
    "a hash cut off": (lambda prints: prints[0].update(hash="ff"), "hashes are whole"),
    "no hash": (lambda prints: prints[0].update(hash="zz"), "prints readable"),
    "called plain": (lambda prints: prints[0].update(plain=True), "hashes are those of the stills"),
    "moved": (lambda prints: prints[0].update(start=7), "everything that is seen has its hash"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contract_refuses_what_was_spoiled(printed: Task, tmp_path: Path, name: str) -> None:
    change, clause = MUTATIONS[name]
    assert clause in spoiled(printed, tmp_path / "spoiled", change)


def test_the_contract_refuses_facts_that_say_otherwise(printed: Task, tmp_path: Path) -> None:
    assert spoiled(printed, tmp_path / "spoiled", lambda _: None, prints=7) == ["facts agree"]


# Over many sources


def jpeg(picture: Image.Image, path: Path, **save: Any) -> Path:
    held = io.BytesIO()
    picture.convert("RGB").save(held, "JPEG", **save)
    path.write_bytes(held.getvalue())
    return path


def test_sources_that_look_alike_are_found_and_others_are_not(house: House, tmp_path: Path) -> None:
    photo = texture(40, 640, 360)
    paths = [
        jpeg(photo, tmp_path / "photo.jpg", quality=95),
        jpeg(photo.resize((400, 225)), tmp_path / "smaller.jpg", quality=60),
        jpeg(texture(41, 640, 360), tmp_path / "other.jpg"),
        jpeg(Image.new("RGB", (64, 64)), tmp_path / "black.jpg"),
        jpeg(Image.new("RGB", (80, 64)), tmp_path / "black too.jpg"),
        film(tmp_path / "film.mkv", [np.asarray(photo)] * 20 + shots(42)),
    ]
    copy = tmp_path / "copy.jpg"
    shutil.copyfile(paths[0], copy)
    keys = {}
    for path in [*paths, copy]:
        (registration,) = take_in(house, path)
        keys[path.name] = registration.source_key
        outcome = make_assets(house, registration, "fingerprint")["fingerprint"]
        assert not isinstance(outcome, Exception), outcome
    found = {each.source: each for each in look_alikes(house, keys["photo.jpg"])}
    assert set(found) == {keys["copy.jpg"], keys["smaller.jpg"], keys["film.mkv"]}
    assert found[keys["copy.jpg"]].bits == 0
    assert (found[keys["film.mkv"]].share_here, found[keys["film.mkv"]].share_there) == (1, 0.5)
    assert found[keys["film.mkv"]].there_ms == 0
    assert look_alikes(house, keys["black.jpg"]) == []
    back = {each.source: each for each in look_alikes(house, keys["film.mkv"])}
    assert back[keys["photo.jpg"]].share_here == 0.5
    assert take_in_prints(house) == 0


def test_a_source_without_a_fingerprint_is_told_so(house: House, tmp_path: Path) -> None:
    (registration,) = take_in(house, jpeg(texture(1), tmp_path / "a.jpg"))
    with pytest.raises(NotPrinted, match="no fingerprint yet"):
        look_alikes(house, registration.source_key)
