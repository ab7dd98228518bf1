"""What must hold of the facts of a file: whole, consistent with themselves, and about this file.

Belongs here: judging `media_info.json` against itself and against a fresh look at the original's header. Does not
belong here: finding facts (probe).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from processing.contracts.clauses import expect, failed
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.picture.geometry import Orientation, display_size
from processing.picture.stills import open_pillow
from processing.probe.describe import codec_name
from processing.probe.heif import read_still_item
from processing.probe.opening import open_media
from processing.probe.planning import FILE
from processing.timeline import from_rational
from processing.work import Task

PARTS = (
    "kind", "format", "duration", "duration_s_bound", "origin", "video", "audio", "subtitles", "chapters", "cover",
    "data_streams", "image", "damage",
)  # fmt: skip
TICK_SLACK = 2  # the whole is rounded once, its parts once each


def contract(task: Task) -> list[Verdict]:
    """Read the file back, check what it says against itself, then against the original."""
    if task.made is None:
        raise ValueError("the contract of media_info needs the artifact")
    try:
        info = json.loads(task.made.path(FILE).read_text(encoding="utf-8"))
    except (KeyError, OSError, ValueError) as error:
        return [failed("readable", repr(error), "JSON facts")]
    missing = [part for part in PARTS if part not in info]
    verdicts = [
        expect("complete", not missing, ", ".join(missing) or "all parts", "all parts"),
        expect("file and facts agree", info == dict(task.made.facts), "", "the same facts in both"),
    ]
    if missing:
        return verdicts
    try:
        return [*verdicts, *_kind(info), *_whole(info), *_parts(info), *_pieces(task, info), *_against(task, info)]
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        return [*verdicts, failed("well formed", repr(error), "facts in the agreed vocabulary")]


def _kind(info: Mapping[str, Any]) -> Iterator[Verdict]:
    has = {"video": bool(info["video"]), "audio": bool(info["audio"]), "image": bool(info["image"])}
    truth = next((kind for kind in ("image", "video", "audio") if has[kind]), None)
    yield expect("kind", info["kind"] == truth, str(info["kind"]), str(truth))


def _whole(info: Mapping[str, Any]) -> Iterator[Verdict]:
    duration = Fraction(info["duration"]["ticks"], info["duration"]["timescale"])
    moving = info["kind"] != "image"
    yield expect("duration", duration > 0 or not moving, f"{float(duration):.3f} s", "more than nothing")
    bound = info["duration_s_bound"]
    yield expect("bound", duration <= Fraction(bound) + Fraction(1, 500), str(bound), f"at least {float(duration):.3f}")
    ends = [from_rational(track["start"]) + from_rational(track["duration"]) for track in info["audio"]]
    if info["video"]:
        ends.append(Fraction(info["video"]["end"], info["video"]["timescale"]))
    slack = Fraction(TICK_SLACK, info["duration"]["timescale"])
    if moving:
        found = f"{float(max(ends)):.3f} s"
        yield expect("covers its streams", abs(max(ends) - duration) <= slack, found, f"{float(duration):.3f} s")


def _parts(info: Mapping[str, Any]) -> Iterator[Verdict]:
    if info["video"]:
        yield from _video(info["video"])
    for number, track in enumerate(info["audio"]):
        good = track["channels"] > 0 and track["rate_hz"] > 0 and from_rational(track["duration"]) > 0
        found = f"{track['channels']} channels, {track['rate_hz']} Hz"
        yield expect(f"track {number}", good and from_rational(track["start"]) >= 0, found, "something to hear")
    if info["image"]:
        yield from _image(info["image"])


def _video(video: Mapping[str, Any]) -> Iterator[Verdict]:
    start, end, chunks = video["start"], video["end"], video["chunks"]
    yield expect("video span", 0 <= start < end, f"[{start}, {end})", "a length, not before 0")
    joined = [chunks[0]["start"], *(chunk["end"] for chunk in chunks)]
    contiguous = joined == [*(chunk["start"] for chunk in chunks), end] and joined[0] == start
    rising = all(before < after for before, after in itertools.pairwise(joined))
    yield expect("chunks cover", contiguous and rising, f"{len(chunks)} chunks", f"[{start}, {end}) without a hole")
    yield expect("frames", video["frame_count"] >= len(chunks), video["frame_count"], f"at least {len(chunks)}")
    turned = Orientation(video["rotation_degrees"], video["mirrored"])
    shape = display_size(video["width"], video["height"], from_rational(video["sample_aspect"]), turned)
    shown = (video["display_width"], video["display_height"])
    yield expect("display size", shown == shape, f"{shown[0]} x {shown[1]}", f"{shape[0]} x {shape[1]}")
    rate = from_rational(video["frame_rate"])
    yield expect("frame rate", rate > 0, f"{float(rate):.3f}", "more than nothing")
    if video["frame_rate_kind"] == "constant" and video["frame_count"] > 1:
        counted = video["frame_count"] / rate
        length = Fraction(end - start, video["timescale"])
        found = f"{float(length):.3f} s"
        yield expect(
            "rate and count", abs(counted - length) <= length / 10 + 1 / rate, found, f"{float(counted):.3f} s"
        )


def _pieces(task: Task, info: Mapping[str, Any]) -> Iterator[Verdict]:
    """Pieces of a joined file follow each other, in the file and in time."""
    splices = info.get("splices")
    if not splices:
        return
    places = [0, *(splice["position"] for splice in splices), task.original.bytes]
    times = [splice["time"] for splice in splices]
    rising = all(before < after for column in (places, times) for before, after in itertools.pairwise(column))
    doubted = all(splice["doubted"] <= splice["position"] for splice in splices)
    yield expect("splices", rising and doubted, f"at {places[1:-1]}", "rising places and times inside the file")


def _image(still: Mapping[str, Any]) -> Iterator[Verdict]:
    shown, coded = (still["width"], still["height"]), (still["coded_width"], still["coded_height"])
    wanted = coded[::-1] if still["orientation"] >= 5 else coded
    yield expect("image size", shown == wanted and min(shown) > 0, f"{shown[0]} x {shown[1]}", f"{wanted}")
    yield expect("image frames", still["frames"] >= 1, still["frames"], "at least 1")


def _against(task: Task, info: Mapping[str, Any]) -> Iterator[Verdict]:
    """A fresh look at the original's header: the same streams, the same sizes."""
    path = task.original.path
    try:
        if info["image"]:
            found = _still_size(task, info["image"])
        else:
            with open_media(path) as container:
                streams = list(container.streams)
                found = [
                    f"{entry['stream_index']}:{codec_name(streams[entry['stream_index']])}" for entry in _used(info)
                ]
    except (WorkFailure, OSError, IndexError) as error:
        yield failed("about this file", str(error), "what the original holds")
        return
    said = _said(info)
    yield expect("about this file", found == said, ", ".join(found), ", ".join(said))


def _used(info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*([info["video"]] if info["video"] else []), *info["audio"], *info["subtitles"]]


def _said(info: Mapping[str, Any]) -> list[str]:
    if info["image"]:
        return [f"{info['image']['coded_width']} x {info['image']['coded_height']}"]
    return [f"{entry['stream_index']}:{entry['codec']}" for entry in _used(info)]


def _still_size(task: Task, still: Mapping[str, Any]) -> list[str]:
    if still["decoder"] == "pyav":
        item = read_still_item(task.original.path)
        return [f"{item.width} x {item.height}"]
    with open_pillow(task.original.path) as image:
        return [f"{image.width} x {image.height}"]
