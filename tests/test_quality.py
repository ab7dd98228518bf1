"""The quality of rungs: figures of two measures that others compute alike, and a contract that does not take any."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from processing.contracts.quality import contract
from processing.failures import BadInput, ContractBroken
from processing.picture import ladder_plan, quality_plan
from processing.picture.likeness import MILLION, squared_error, ssim_millionths
from processing.picture.quality import REPORT_FILE, make, psnr_mdb
from processing.probe.opening import open_media
from processing.work import Task
from resources.recipes import plan_units
from tests.corpus import corpus_file
from tests.media import as_input, make_video, source_task
from tests.media_picture import broken, clip_info, judge_unit, make_products, unit_task

RANDOM = np.random.default_rng(5)


def textures(height: int, width: int, noise: float) -> tuple[Any, Any]:
    """A smooth picture, and the same with noise."""
    rows, columns = np.mgrid[0:height, 0:width]
    one = (128 + 60 * np.sin(rows / 9) + 50 * np.cos(columns / 13)).astype(np.uint8)
    other = np.clip(one + RANDOM.normal(0, noise, one.shape), 0, 255).astype(np.uint8)
    return one, other


def by_libavfilter(name: str, one: Any, other: Any) -> dict[str, str]:
    """What the filter `name` says of two grey pictures."""
    graph = av.filter.Graph()
    height, width = one.shape
    inputs = [
        graph.add("buffer", f"video_size={width}x{height}:pix_fmt=gray:time_base=1/25:pixel_aspect=1/1")
        for _ in range(2)
    ]
    measured, sink = graph.add(name), graph.add("buffersink")
    inputs[0].link_to(measured, 0, 0)
    inputs[1].link_to(measured, 0, 1)
    measured.link_to(sink)
    graph.configure()
    for source, picture in zip(inputs, (one, other), strict=True):
        frame = av.VideoFrame.from_ndarray(picture, format="gray")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        source.push(frame)
    for source in inputs:
        source.push(None)
    return dict(sink.pull().metadata)


@pytest.mark.parametrize("noise", [0.5, 4, 20, 90])
@pytest.mark.parametrize("size", [(64, 96), (90, 161), (270, 480)])
def test_ssim_and_psnr_are_those_of_libavfilter(size: tuple[int, int], noise: float) -> None:
    one, other = textures(*size, noise)
    theirs = float(by_libavfilter("ssim", one, other)["lavfi.ssim.All"])
    assert ssim_millionths(one, other) / MILLION == pytest.approx(theirs, abs=2e-5)
    psnr_db = float(by_libavfilter("psnr", one, other)["lavfi.psnr.psnr_avg"])
    assert psnr_mdb(squared_error(one, other), one.size) / 1000 == pytest.approx(psnr_db, abs=0.006)


def test_the_same_picture_is_perfect_and_another_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = textures(64, 64, 1)
    assert ssim_millionths(one, one) == MILLION
    assert psnr_mdb(0, one.size) == 100_000
    assert ssim_millionths(one, RANDOM.integers(0, 256, one.shape).astype(np.uint8)) < 100_000
    tiny = one[:2, :2]
    assert ssim_millionths(tiny, tiny) == MILLION
    assert ssim_millionths(tiny, 255 - tiny) < MILLION


def quality_of(path: Path, folder: Path, *, target_s: int = 2, ladder: tuple[int, ...] | None = None) -> Task:
    info = clip_info(path, target_s=target_s)
    options = {"ladder": ladder} if ladder else {}
    planned = [*ladder_plan.plan(info, options), *quality_plan.plan(info, options)]
    inputs = make_products(path, folder / "made", info, planned)
    task = replace(source_task(path, folder / "quality"), inputs=inputs)
    return replace(task, made=as_input("quality", task.out, make(task).facts))


@pytest.fixture(scope="module")
def quality(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("quality")
    return quality_of(make_video(folder / "clip.mp4", frames=125, width=720, height=540), folder)


def test_every_rung_has_its_figures_and_the_report_keeps_its_contract(quality: Task) -> None:
    assert broken(contract(quality)) == []
    assert quality.made is not None
    report = json.loads(quality.made.path(REPORT_FILE).read_text())
    assert [rung["rung"] for rung in report["rungs"]] == ["540", "360"]
    for rung in report["rungs"]:
        assert rung["frames"] == 125
        assert 10 <= rung["compared"] <= 12
        assert 0.9 < rung["ssim_millionths"] / MILLION < 1
        assert 25_000 < rung["psnr_mdb"] < 60_000


def test_figures_are_those_of_the_frames_as_they_are_played(tmp_path: Path) -> None:
    """Of a rung as large as its source, so that the source's frames are what the encoder was given."""
    path = make_video(tmp_path / "clip.mp4", frames=50, width=1280, height=720)
    quality = quality_of(path, tmp_path, ladder=(720,))
    item = quality.inputs["ladder/720/00000"]

    def planes(path: Path) -> dict[int, Any]:
        with av.open(str(path)) as container:
            base = container.streams.video[0].time_base
            return {
                round(frame.pts * base * 25): np.frombuffer(frame.planes[0], np.uint8)
                .reshape(-1, frame.planes[0].line_size)[: frame.height, : frame.width]
                .copy()
                for frame in container.decode(video=0)
            }

    given, played = planes(path), planes(item.path("chunk.mp4"))
    rows = json.loads(quality.inputs["quality/720/00000"].path("figures.json").read_text())
    timescale = item.facts["span"]["timescale"]
    assert len(rows) >= 4
    for ticks, ssim, error in rows:
        number = round(ticks * 25 / timescale)
        difference = given[number].astype(float) - played[number]
        assert error == np.square(difference).sum()
        assert ssim == ssim_millionths(given[number], played[number])


def test_figures_do_not_depend_on_whether_the_rung_was_there_already(quality: Task, tmp_path: Path) -> None:
    """A rung that exists is not encoded again: its figures are made from what lies in the store."""
    path = quality.original.path
    info = clip_info(path, target_s=2)
    planned = quality_plan.plan(info, {})
    task = unit_task(path, tmp_path / "later", info, "00000", planned)
    existing = {name: quality.inputs[name] for order in task.products for name in order.reads}
    from processing.chunks.chunk_pass import make_unit

    task = replace(task, inputs=existing)
    result = make_unit(task)
    assert result.encoder_calls == 0
    for name in result.product_facts:
        later = (task.product_folder(name) / "figures.json").read_bytes()
        assert later == quality.inputs[name].path("figures.json").read_bytes()


def test_recipes_of_figures_follow_the_rung_and_nothing_else(quality: Task) -> None:
    from media_assets.picture import CHUNKS

    info = clip_info(quality.original.path, target_s=2)

    def recipes(options: dict[str, Any]) -> dict[str, str]:
        taps = [ladder_plan.TAP_LADDER, quality_plan.TAP_QUALITY]
        units = plan_units(CHUNKS.work, taps, info, options, "0" * 64)
        return {name: recipe.hash for unit in units for name, recipe in unit.recipes.items()}

    usual, one_rung = recipes({}), recipes({"ladder": [540]})
    slower = recipes({"encoder": {"preset": "medium"}})
    assert one_rung.items() <= usual.items()
    for name in usual:
        assert slower[name] != usual[name]


def spoiled(task: Task, folder: Path, change: Callable[[dict[str, Any]], object], *, told: bool = True) -> list[str]:
    """The clauses that fail after `change` of the report; facts follow where `told`."""
    assert task.made is not None
    shutil.copytree(task.made.folder, folder)
    report = json.loads((folder / REPORT_FILE).read_text())
    change(report)
    (folder / REPORT_FILE).write_text(json.dumps(report))
    brief = [{name: value for name, value in rung.items() if name != "over_time"} for rung in report["rungs"]]
    facts = {**task.made.facts, "rungs": brief} if told else task.made.facts
    return broken(contract(replace(task, made=as_input("quality", folder, facts))))


MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a rung left out": (lambda report: report["rungs"].pop(), "every rung is in it"),
    "rungs swapped": (lambda report: report["rungs"].reverse(), "every rung is in it"),
    "a better mean": (
        lambda report: report["rungs"][0].update(ssim_millionths=999_999),
        "540 is summed up rightly",
    ),
    "a better PSNR": (lambda report: report["rungs"][1].update(psnr_mdb=90_000), "360 is summed up rightly"),
    "a curve cut off": (lambda report: report["rungs"][0]["over_time"].pop(), "540 has the curve that was measured"),
    "a curve of the other": (
        lambda report: report["rungs"][0].update(over_time=report["rungs"][1]["over_time"]),
        "540 has the curve that was measured",
    ),
    "frames left out": (lambda report: report["rungs"][0].update(frames=3), "540 decodes to every frame it was given"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contract_refuses_what_was_spoiled(quality: Task, tmp_path: Path, name: str) -> None:
    change, clause = MUTATIONS[name]
    assert clause in spoiled(quality, tmp_path / "spoiled", change)


def test_the_contract_refuses_other_facts_no_report_and_other_pictures(quality: Task, tmp_path: Path) -> None:
    other = spoiled(quality, tmp_path / "a", lambda report: report["rungs"][0].update(compared=1), told=False)
    assert "facts agree" in other
    assert quality.made is not None
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / REPORT_FILE).write_text("{}")
    made = as_input("quality", empty, quality.made.facts)
    assert broken(contract(replace(quality, made=made))) == ["report readable"]
    low = {}
    for name, item in quality.inputs.items():
        low[name] = item
        if name.startswith("quality/540/"):
            folder = tmp_path / name
            shutil.copytree(item.folder, folder)
            rows = [[ticks, 200_000, error] for ticks, _, error in json.loads(item.path("figures.json").read_text())]
            (folder / "figures.json").write_text(json.dumps(rows))
            low[name] = as_input(name, folder, item.facts)
    task = replace(quality, inputs=low, scratch=tmp_path / "low")
    task = replace(task, made=as_input("quality", task.out, make(task).facts))
    assert broken(contract(task)) == ["540 shows what was encoded"]


def test_a_rung_of_other_pictures_is_refused_by_its_figures(quality: Task, tmp_path: Path) -> None:
    """A chunk that another one took the place of: a frame short, so that it cannot be compared."""
    info = clip_info(quality.original.path, target_s=2)
    task = unit_task(quality.original.path, tmp_path, info, "00000", quality_plan.plan(info, {"ladder": [360]}))
    wrong = replace(quality.inputs["ladder/360/00001"], name="ladder/360/00000")
    from processing.chunks.chunk_pass import make_unit

    with pytest.raises(ContractBroken, match="could be decoded again"):
        make_unit(replace(task, products=task.products[:1], inputs={"ladder/360/00000": wrong}))


def test_the_contract_of_a_unit_refuses_spoiled_figures(quality: Task, tmp_path: Path) -> None:
    name = "quality/360/00000"
    item = quality.inputs[name]
    info = clip_info(quality.original.path, target_s=2)
    task = unit_task(quality.original.path, tmp_path / "unit", info, "00000", quality_plan.plan(info, {}))
    assert broken(judge_unit(task, {name: item})) == []
    rows = json.loads(item.path("figures.json").read_text())

    def judged_with(number: int, content: Any, **facts: Any) -> list[str]:
        folder = tmp_path / str(number)
        shutil.copytree(item.folder, folder)
        (folder / "figures.json").write_text(content if isinstance(content, str) else json.dumps(content))
        return broken(judge_unit(task, {name: as_input(name, folder, {**item.facts, **facts})}))

    assert f"{name}: readable" in judged_with(0, "[1")
    assert f"{name}: a row for each" in judged_with(1, rows[1:])
    assert f"{name}: times rise inside the chunk" in judged_with(2, rows[::-1])
    assert f"{name}: figures are possible" in judged_with(3, [[rows[0][0], 2 * MILLION, 0], *rows[1:]])
    assert f"{name}: every frame was decoded" in judged_with(4, rows, decoded=item.facts["frames"] - 1)


def damaged(path: Path) -> None:
    """Noise in the middle of a frame that is no key frame, as if the disk had lost a page of it."""
    with open_media(path) as container:
        packets = [packet for packet in container.demux() if packet.size]
    largest = max((packet for packet in packets if not packet.is_keyframe), key=lambda packet: packet.size)
    data = bytearray(path.read_bytes())
    data[largest.pos + largest.size // 3 : largest.pos + largest.size] = bytes(largest.size - largest.size // 3)
    path.write_bytes(data)


def test_every_frame_of_a_rung_is_decoded_once(quality: Task, tmp_path: Path) -> None:
    """By taking its quality, or by the contract of its chunk; figures of another file speak for none."""
    name, beside = "ladder/360/00000", "quality/360/00000"
    info = clip_info(quality.original.path, target_s=2)
    task = unit_task(quality.original.path, tmp_path / "unit", info, "00000", ladder_plan.plan(info, {}))
    good, figures = quality.inputs[name], quality.inputs[beside]
    assert figures.facts["decoded_sha256"] == next(e.sha256 for e in good.files if e.path == good.facts["file"])
    shown = {v.clause: v.found for v in judge_unit(task, {name: good})}
    assert shown[f"{name}: every frame is shown when its packet says"] == f"{good.facts['frames']} decoded"
    shown = {v.clause: v.found for v in judge_unit(task, {name: good, beside: figures})}
    keys = len(good.facts["key_frames"])
    assert shown[f"{name}: every frame is shown when its packet says"] == f"{keys} decoded"
    shutil.copytree(good.folder, tmp_path / "bad")
    damaged(tmp_path / "bad" / good.facts["file"])
    bad = as_input(name, tmp_path / "bad", good.facts)
    refused = {f"{name}: decodes", f"{name}: every frame is shown when its packet says"}
    assert refused & set(broken(judge_unit(task, {name: bad})))
    assert refused & set(broken(judge_unit(task, {name: bad, beside: figures})))


def test_figures_are_not_taken_of_a_rung_that_does_not_decode(quality: Task, tmp_path: Path) -> None:
    info = clip_info(quality.original.path, target_s=2)
    task = unit_task(quality.original.path, tmp_path, info, "00000", quality_plan.plan(info, {"ladder": [360]}))
    good = quality.inputs["ladder/360/00000"]
    shutil.copytree(good.folder, tmp_path / "bad")
    damaged(tmp_path / "bad" / good.facts["file"])
    bad = as_input(good.name, tmp_path / "bad", good.facts)
    from processing.chunks.chunk_pass import make_unit

    with pytest.raises((ContractBroken, BadInput)):
        make_unit(replace(task, products=task.products[:1], inputs={good.name: bad}))


def test_a_worse_encode_has_worse_figures(tmp_path: Path) -> None:
    """CRF 45 instead of 23 of a real film: what a person would see, the figures say."""
    path = corpus_file("scene/pos_video.mp4")
    info = clip_info(path)
    planned = [*ladder_plan.plan(info, {"ladder": [360]}), *quality_plan.plan(info, {"ladder": [360]})]
    planned = [product for product in planned if product.unit == "00000"]

    def means(crf: int, folder: Path) -> tuple[float, float]:
        chosen = [
            replace(product, parameters={**product.parameters, "crf": crf}) if "crf" in product.parameters else product
            for product in planned
        ]
        inputs = make_products(path, folder / "made", info, chosen)
        task = replace(source_task(path, folder / "quality"), inputs=inputs)
        (rung,) = make(task).facts["rungs"]
        return rung["ssim_millionths"] / MILLION, rung["psnr_mdb"] / 1000

    good, bad = means(23, tmp_path / "good"), means(45, tmp_path / "bad")
    assert 1 > good[0] > bad[0] + 0.02
    assert good[1] > bad[1] + 5
    assert math.isfinite(good[1])
