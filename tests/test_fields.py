"""Interlaced sources at field rate: a picture of every field, half-way between frames, wherever a source is cut."""

from __future__ import annotations

import hashlib
import itertools
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from media_assets.declared import works
from processing.chunks.chunk_pass import make_unit
from processing.chunks.decode import Place, Timed
from processing.contracts import chunks as chunks_contract
from processing.contracts import hls as hls_contract
from processing.failures import WorkFailure
from processing.picture import hls, ladder_plan, quality_plan, samples_plan, shots_plan, storyboard_plan
from processing.picture.deinterlace import deinterlaced
from processing.picture.fields_plan import pictures_a_frame
from processing.probe.opening import open_media
from processing.timeline import from_rational
from processing.work import PlannedProduct, Task
from resources.house import House
from resources.ledger.states import AssetState
from resources.recipes import plan_units, taps_wanted
from resources.reverify import verify_source
from resources.status import source_entry
from tests.corpus import corpus_file
from tests.house import make, take_in
from tests.media import as_input, marked_as_fields, numbered_picture
from tests.media_picture import broken, clip_info, make_products, unit_task

FIELD_RATE = {"deinterlace": "field_rate"}
WIDTH, HEIGHT = 320, 240
STEP = 4  # pixels that the bar moves from field to field
NTSC = Fraction(30_000, 1001)


def moment(field: int) -> npt.NDArray[np.uint8]:
    """Luma of one instant: a white bar on dark grey, `STEP` pixels further to the right from field to field."""
    picture = np.full((HEIGHT, WIDTH), 40, np.uint8)
    left = field * STEP % (WIDTH - 40)
    picture[:, left : left + 24] = 220
    return picture


def interlaced_film(
    path: Path, *, frames: int, rate: Fraction = Fraction(25), order: str = "tff", progressive: tuple[int, ...] = ()
) -> Path:
    """H.264 whose frames are woven of two moments each; those in `progressive` hold one, and say so."""
    first = 0 if order == "tff" else 1
    options = {"preset": "ultrafast", "qp": "10", "flags": "+ilme+ildct", "g": "12", "bf": "2"}
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(frames):
            woven = moment(2 * number)
            if number not in progressive:
                woven[1 - first :: 2] = moment(2 * number + 1)[1 - first :: 2]
            frame = av.VideoFrame.from_ndarray(
                np.concatenate([woven, np.full((HEIGHT // 2, WIDTH), 128, np.uint8)]), format="yuv420p"
            )
            frame = frame if number in progressive else marked_as_fields(frame, order)
            frame.pts, frame.time_base = number, 1 / rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def bar_at(frame: av.VideoFrame) -> int:
    """Where the bar of a decoded picture begins, in pixels of the source."""
    line = frame.to_ndarray(format="gray")[frame.height // 2].astype(int)
    return int(np.argmax(line > 130)) * WIDTH // frame.width


def shown_by(item: Any) -> list[tuple[int, av.VideoFrame]]:
    with open_media(item.path("chunk.mp4")) as container:
        return [(frame.pts, frame) for frame in container.decode(container.streams.video[0])]


@pytest.mark.parametrize(("rate", "order"), [(Fraction(25), "tff"), (NTSC, "bff")])
def test_every_field_becomes_a_picture_of_its_own_moment_half_way_to_the_next_frame(
    tmp_path: Path, rate: Fraction, order: str
) -> None:
    path = interlaced_film(tmp_path / "film.mp4", frames=60, rate=rate, order=order)
    info = clip_info(path, target_s=1)
    assert info["video"]["interlaced"] == order
    assert len(info["video"]["chunks"]) > 1
    planned = ladder_plan.plan(info, FIELD_RATE)
    made = make_products(path, tmp_path / "made", info, planned, FIELD_RATE)
    shown = [(item, *each) for _, item in sorted(made.items()) for each in shown_by(item)]
    times = [Fraction(pts, item.facts["span"]["timescale"]) for item, pts, _ in shown]
    assert times == [n / rate / 2 for n in range(120)]
    assert [bar_at(frame) for *_, frame in shown] == pytest.approx([n * STEP % (WIDTH - 40) for n in range(120)], abs=1)
    assert {from_rational(item.facts["frame_rate"]) for item in made.values()} == {2 * rate}


def test_level_cap_and_key_frames_are_those_of_the_doubled_rate(tmp_path: Path) -> None:
    info = clip_info(interlaced_film(tmp_path / "film.mp4", frames=5), width=1920, height=1080)
    info["video"] |= {"display_width": 1920, "display_height": 1080}
    frames, fields = (ladder_plan.plan(info, options)[0].parameters for options in ({}, FIELD_RATE))
    assert (frames["level_idc"], fields["level_idc"]) == (40, 42)
    assert fields["cap_bps"] == ladder_plan.cap_bps(1920, 1080, Fraction(50)) > frames["cap_bps"]
    assert fields["frame_rate"] == {"num": 50, "den": 1}
    assert fields["key_interval_ticks"] == 2 * frames["key_interval_ticks"] == 4 * info["video"]["timescale"]


class Seen:
    """A tap that notes what it is shown."""

    encoder_calls = 0
    looks_at = None

    def __init__(self) -> None:
        self.shown: list[tuple[int, int, str]] = []

    def frame(self, picture: Any, ticks: int, duration: int) -> None:
        self.shown.append((ticks, duration, _digest(picture.decoded)))

    def close(self) -> dict[str, Any]:
        return {}


def _digest(frame: av.VideoFrame) -> str:
    return hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()


def seen(path: Path, folder: Path, info: dict[str, Any], options: dict[str, Any]) -> Seen:
    """What the pass shows to a tap, chunk after chunk."""
    tap = Seen()
    for index in range(len(info["video"]["chunks"])):
        planned = PlannedProduct("seen/0", f"{index:05d}", "processing.chunks.taps:PictureTap", "1", {}, 1.0)
        task = unit_task(path, folder / str(index), info, planned.unit, [planned], options)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("processing.chunks.chunk_pass._tap", lambda *_: tap)
            make_unit(task)
    return tap


@pytest.mark.parametrize("progressive", [(), tuple(range(14, 31))])
def test_chunks_at_field_rate_equal_the_whole(tmp_path: Path, progressive: tuple[int, ...]) -> None:
    """The second picture of a chunk's last frame needs the frame after it, the first of a chunk the one before."""
    path = interlaced_film(tmp_path / "film.mp4", frames=60, progressive=progressive)
    kind = "mixed" if progressive else "tff"
    cut, whole = (clip_info(path, target_s=length, interlaced=kind) for length in (1, 60))
    assert len(cut["video"]["chunks"]) > 1
    parts = seen(path, tmp_path / "cut", cut, FIELD_RATE)
    single = seen(path, tmp_path / "whole", whole, FIELD_RATE)
    assert len(parts.shown) == 120
    assert parts.shown == single.shown
    repeated = [number for number in range(60) if parts.shown[2 * number][2] == parts.shown[2 * number + 1][2]]
    assert repeated == list(progressive)


def test_durations_are_halves_also_where_frames_last_unequally() -> None:
    frames = [av.VideoFrame.from_ndarray(numbered_picture(n, 64, 48), format="rgb24") for n in range(4)]
    frames = [frame.reformat(format="yuv420p") for frame in frames]
    timed = [Timed(frame, at, length, Place.INSIDE) for frame, (at, length) in zip(frames, SPANS, strict=True)]
    made = list(deinterlaced(iter(timed), {"interlaced": "tff"}, 2))
    assert [(each.ticks, each.duration) for each in made] == [
        (tick, length) for at, length in SPANS for tick, length in ((2 * at, length), (2 * at + length, length))
    ]
    lone = list(deinterlaced(iter(timed[:1]), {"interlaced": "tff"}, 2))
    assert [each.ticks for each in lone] == [20, 23]


SPANS = [(10, 3), (13, 7), (20, 1), (21, 3)]


def recipes(info: dict[str, Any], options: dict[str, Any]) -> dict[str, str]:
    known = works()
    taps = taps_wanted(known["chunks"], known.values(), list(known), info, options)
    units = plan_units(known["chunks"], taps, info, options, "0" * 64)
    found = {name: recipe.hash for unit in units for name, recipe in unit.recipes.items()}
    return found | {"storyboard": json.dumps(storyboard_plan.parameters(info, options))}


def test_only_an_interlaced_source_at_field_rate_has_other_recipes(tmp_path: Path) -> None:
    info = clip_info(interlaced_film(tmp_path / "film.mp4", frames=5))
    plain = recipes(info, {})
    assert recipes(info, {"deinterlace": "frame_rate"}) == plain
    fields = recipes(info, FIELD_RATE)
    assert all(fields[name] != plain[name] for name in plain)
    progressive = {**info, "video": {**info["video"], "interlaced": "progressive"}}
    assert recipes(progressive, FIELD_RATE) == recipes(progressive, {})
    too_fine = {**info, "video": {**info["video"], "timescale": 2**30 + 1}}
    assert pictures_a_frame(too_fine, FIELD_RATE) == 1
    assert pictures_a_frame({"video": None}, FIELD_RATE) == 1


def test_contracts_count_two_pictures_a_frame(tmp_path: Path) -> None:
    path = interlaced_film(tmp_path / "film.mp4", frames=60, rate=NTSC)
    info = clip_info(path, target_s=1)
    plans = (ladder_plan.plan, samples_plan.plan, shots_plan.plan, quality_plan.plan)
    planned = list(itertools.chain.from_iterable(plan(info, FIELD_RATE) for plan in plans))
    made = make_products(path, tmp_path / "made", info, planned, FIELD_RATE)
    told = unit_task(path, tmp_path / "told", info, "00000", planned, FIELD_RATE).parameters
    facts = {name: dict(item.facts) for name, item in made.items()}

    def judged(products: dict[str, Any], parameters: Any) -> list[str]:
        whole = {"products": products, "info": info, "told": parameters}
        return broken(chunks_contract.contract(Task(operation="", parameters=whole, scratch=tmp_path)))

    assert judged(facts, told) == []
    assert any(clause.endswith("no frame is lost") for clause in judged(facts, {}))
    units = {name: item for name, item in made.items() if name.endswith("/00001")}
    second = unit_task(path, tmp_path / "told", info, "00001", planned, FIELD_RATE)
    parameters = {"unit": second.parameters, "products": {name: dict(item.facts) for name, item in units.items()}}
    assert (
        broken(
            chunks_contract.contract_unit(
                Task(operation="", parameters=parameters, scratch=tmp_path / "judge", inputs=units)
            )
        )
        == []
    )
    inputs = {name: item for name, item in made.items() if name.startswith("ladder/")}
    inputs["media_info"] = as_input("media_info", tmp_path / "info", info)
    task = Task("processing.picture.hls:make", {"language": None}, tmp_path / "hls", inputs=inputs)
    task.out.mkdir(parents=True)
    result = hls.make(task)
    made_hls = as_input("hls", task.out, result.facts)
    assert broken(hls_contract.check(Task("", {}, tmp_path / "hls", inputs=inputs, made=made_hls))) == []
    assert "FRAME-RATE=59.940" in (task.out / "master.m3u8").read_text()
    assert result.facts["video"][0]["frames"] == 120


def test_a_sidecar_wishes_for_field_rate_and_everything_is_made_and_judged_by_it(house: House, tmp_path: Path) -> None:
    path = interlaced_film(tmp_path / "film.mp4", frames=40)
    path.with_name("film.mp4.sourcebound.json").write_text('{"deinterlace": "field_rate"}')
    (registration,) = take_in(house, path)
    assert house.ledger.source(registration.source_key).options["deinterlace"] == "field_rate"
    outcomes = make(house, registration)
    assert [outcome for outcome in outcomes.values() if isinstance(outcome, WorkFailure)] == []
    entry = source_entry(house.ledger, house.store, house.ledger.source(registration.source_key))
    assert AssetState(entry["state"]) is AssetState.READY, entry["cause"]
    packaged = house.store.find("hls", entry["assets"]["hls"]["recipe_hash"])
    assert packaged is not None
    assert packaged.facts["video"][0]["frames"] == 80
    source = house.ledger.source(registration.source_key)
    verified = {found.asset: found.problems for found in verify_source(house, works(), source)}
    assert {"chunks", "hls", "proxy"} <= set(verified)
    assert {asset: problems for asset, problems in verified.items() if problems} == {}


def test_a_real_camera_s_fields_become_pictures(tmp_path: Path) -> None:
    """1080i of 50 fields a second, top field first, as a broadcaster's camera writes it."""
    path = corpus_file("video/xdcam-ex-1080i50.mov")
    info = clip_info(path)
    assert info["video"]["interlaced"] == "tff"
    one = [product for product in ladder_plan.plan(info, FIELD_RATE | {"ladder": [360]}) if product.unit == "00000"]
    made = make_products(path, tmp_path / "made", info, one, FIELD_RATE)
    (item,) = made.values()
    chunk = info["video"]["chunks"][0]
    scale = info["video"]["timescale"]
    times = [pts for pts, _ in shown_by(item)]
    assert times == [2 * chunk["start"] + n * scale // 25 for n in range(len(times))]
    assert len(times) == 50 * (chunk["end"] - chunk["start"]) // scale
