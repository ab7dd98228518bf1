"""What must hold of the products of the picture pass, and of the pass as a whole.

Belongs here: each chunk of each rung, its samples, and that all chunks together cover the source. Here is where every
frame of a rung is decoded, once; what is packaged from it holds the same packets, which is compared (hls, proxy).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import av
import numpy as np
from PIL import Image, UnidentifiedImageError

from processing.contracts.clauses import expect, failed, passed, warned
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.picture.fields_plan import shown_span, told_pictures_a_frame
from processing.picture.likeness import MILLION
from processing.picture.planes import luma, thumbprint
from processing.picture.shot_scores import MILLI, PRINT_BYTES, mean_luma, read_ends
from processing.probe.opening import decode_strictly, open_media
from processing.work import Input, Task

LADDER, QUALITY = "ladder/", "quality/"
THUMBPRINT_TOLERANCE = 12  # luma codes; the coarsest rung at CRF 23 was measured within 4 of its source per cell
MEAN_TOLERANCE = 8.0  # luma codes between a sample as saved and as scored; JPEG and scaling cost about 1
BT709_LUMA = (0.2126, 0.7152, 0.0722)  # Rec. ITU-R BT.709-6, 3.2; Pillow's own grey is BT.601
FULL_TO_LIMITED = 219 / 255
BLACK_LEVEL = 16.0
MOST_MILLI = 255 * 2 * MILLI  # of a weighted difference of two frames


def contract_unit(task: Task) -> list[Verdict]:
    """Judge the products of one chunk.

    `task.inputs` holds them by name, `task.parameters` {"unit": the unit's parameters, "products": facts by name}.
    """
    chunk = shown_span(task.parameters["unit"]).to_json()
    verdicts: list[Verdict] = []
    for name in sorted(task.parameters["products"]):
        made = task.inputs.get(name)
        if made is None:
            verdicts.append(failed(f"{name}: there", "nothing", "its files"))
        elif name.startswith(LADDER):
            verdicts += check_rung(made, chunk, was_decoded=_was_decoded(made, task.inputs))
        elif (check := CHECKS.get(name.partition("/")[0])) is not None:
            verdicts += check(made, chunk)
        else:
            verdicts.append(expect(f"{name}: not empty", bool(made.files), f"{len(made.files)} files", "at least one"))
    if not verdicts:
        verdicts.append(failed("products", "none", "at least one"))
    frames = {facts["frames"] for facts in task.parameters["products"].values() if "frames" in facts}
    verdicts.append(expect("all taps saw the same frames", len(frames) <= 1, str(sorted(frames)), "one number"))
    return verdicts


def _was_decoded(rung: Input, made: Mapping[str, Input]) -> bool:
    """Whether taking the rung's quality has just decoded every frame of this very file (picture/quality_tap)."""
    sha256 = next((entry.sha256 for entry in rung.files if entry.path == rung.facts.get("file")), None)
    return any(
        item.facts.get("decoded_sha256") == sha256 and item.facts["decoded"] == rung.facts["frames"]
        for name, item in made.items()
        if name.startswith(QUALITY)
    )


def check_rung(made: Input, chunk: Mapping[str, Any], *, was_decoded: bool = False) -> list[Verdict]:
    """One chunk of one rung: its packets are those that were promised, and decode to what was encoded.

    Of one that `was_decoded` only the key frames are.
    """
    name, facts = made.name, made.facts
    try:
        with open_media(made.path(str(facts["file"]))) as container:
            stream = container.streams.video[0]
            codec, size = stream.codec_context.name, (stream.width, stream.height)
            packets = [packet for packet in container.demux(stream) if packet.size]
            pts = [int(packet.pts) for packet in packets if packet.pts is not None]
            dts = [int(packet.dts) for packet in packets if packet.dts is not None]
            keys = sorted(int(packet.pts or 0) for packet in packets if packet.is_keyframe)
        decoded = _decode(made, keys_only=was_decoded)
    except (WorkFailure, KeyError, IndexError, OSError) as error:
        return [failed(f"{name}: opens", str(error), "a readable MP4")]
    size_bytes = next(entry.bytes for entry in made.files if entry.path == facts["file"])
    declared = [list(print_) for print_ in facts["thumbprints"]]
    return [
        expect(f"{name}: codec", codec == "h264", codec, "h264"),
        expect(f"{name}: size", size == (facts["width"], facts["height"]), f"{size[0]}x{size[1]}", _size(facts)),
        expect(f"{name}: packets", len(packets) == facts["frames"] > 0, len(packets), facts["frames"]),
        expect(f"{name}: bytes", size_bytes == facts["bytes"], size_bytes, facts["bytes"]),
        expect(
            f"{name}: presentation times inside the chunk",
            len(set(pts)) == len(packets) > 0 and int(chunk["start"]) <= min(pts) and max(pts) < int(chunk["end"]),
            f"{min(pts, default=0)} to {max(pts, default=0)}, {len(set(pts))} different",
            f"{chunk['start']} to {chunk['end']}",
        ),
        expect(
            f"{name}: starts when it says", min(pts, default=-1) == facts["first"], min(pts, default=-1), facts["first"]
        ),
        expect(
            f"{name}: decoding times rise and precede presentation",
            all(a < b for a, b in pairwise(dts)) and all(d <= p for d, p in zip(dts, pts, strict=True)),
            "",
            "rising",
        ),
        expect(f"{name}: starts with a key frame", bool(packets) and packets[0].is_keyframe, "", "IDR first"),
        expect(
            f"{name}: key frames where promised", keys == facts["key_frames"], _short(keys), _short(facts["key_frames"])
        ),
        expect(f"{name}: decodes", not decoded.trouble, decoded.trouble),
        expect(
            f"{name}: every frame is shown when its packet says",
            decoded.shown == (keys if was_decoded else sorted(pts)),
            f"{len(decoded.shown)} decoded",
            len(keys if was_decoded else pts),
        ),
        expect(
            f"{name}: key frames show what was encoded",
            _alike(decoded.prints, declared),
            f"{len(decoded.prints)} decoded",
            f"{len(declared)} alike",
        ),
    ]


def check_samples(made: Input, chunk: Mapping[str, Any]) -> list[Verdict]:
    """The stills of one chunk: every file decodes, has its size and the brightness it was scored with."""
    name, facts = made.name, made.facts
    ticks = [int(sample["ticks"]) for sample in facts["samples"]]
    inside = all(int(chunk["start"]) <= tick < int(chunk["end"]) for tick in ticks)
    rising = all(a < b for a, b in pairwise(ticks))
    small = (int(facts["width"]), int(facts["height"]))
    best = facts["best"]
    wanted = [(sample["file"], small, sample["scores"]["mean"]) for sample in facts["samples"]]
    wanted.append((best["file"], (int(best["width"]), int(best["height"])), best["scores"]["mean"]))
    return [
        expect(f"{name}: samples", bool(ticks), len(ticks), "at least one"),
        expect(f"{name}: times rise inside the chunk", inside and rising, _short(ticks), "rising, inside"),
        expect(f"{name}: the best is one of them", int(best["ticks"]) in ticks, best["ticks"], _short(ticks)),
        *(_check_still(made, file, size, float(mean)) for file, size, mean in wanted),
    ]


def check_kept(made: Input, chunk: Mapping[str, Any]) -> list[Verdict]:
    """The frames kept of one chunk: each opens in its size, their times rise inside the chunk. There may be none."""
    name, facts = made.name, made.facts
    ticks = [int(kept["ticks"]) for kept in facts["kept"]]
    inside = all(int(chunk["start"]) <= tick < int(chunk["end"]) for tick in ticks)
    size = (int(facts["width"]), int(facts["height"]))
    listed = sorted(str(kept["file"]) for kept in facts["kept"])
    there = sorted(entry.path for entry in made.files)
    return [
        expect(
            f"{name}: times rise inside the chunk", inside and all(a < b for a, b in pairwise(ticks)), _short(ticks)
        ),
        expect(f"{name}: a file for each frame kept", listed == there, ", ".join(there), ", ".join(listed)),
        *(_check_still(made, file, size, None) for file in listed),
    ]


def check_scores(made: Input, chunk: Mapping[str, Any]) -> list[Verdict]:
    """The scores of one chunk: a row and a print for each frame, and stills as bright as they were scored."""
    name, facts = made.name, made.facts
    try:
        rows = json.loads(made.path(str(facts["file"])).read_bytes())
        ticks = [int(row[0]) for row in rows]
        plausible = all(0 <= int(row[1]) <= MOST_MILLI and 0 <= int(row[2]) <= MOST_MILLI for row in rows)
        prints = made.path(str(facts["prints"])).stat().st_size
        ends = [mean_luma(end) for end in read_ends(made.folder, facts)]
    except (KeyError, IndexError, OSError, TypeError, ValueError) as error:
        return [failed(f"{name}: readable", f"{type(error).__name__}: {error}", "rows of three numbers")]
    inside = bool(ticks) and int(chunk["start"]) <= ticks[0] and ticks[-1] < int(chunk["end"])
    size = (int(facts["width"]), int(facts["height"]))
    return [
        expect(f"{name}: a row for each frame", len(rows) == facts["frames"] > 0, len(rows), facts["frames"]),
        expect(f"{name}: a print for each frame", prints == len(rows) * PRINT_BYTES, prints, len(rows) * PRINT_BYTES),
        expect(
            f"{name}: times rise inside the chunk",
            inside and all(a < b for a, b in pairwise(ticks)),
            _short(ticks),
            "rising, inside",
        ),
        expect(
            f"{name}: ends are those of the first frame and the last",
            bool(rows) and ends == [rows[0][2], rows[-1][2]],
            str(ends),
            "the means of their rows",
        ),
        expect(f"{name}: scores are possible", plausible, "", f"0 to {MOST_MILLI}"),
        expect(
            f"{name}: stills of frames", all(still["ticks"] in ticks for still in facts["stills"]), "", "times of rows"
        ),
        *(_check_still(made, still["file"], size, float(still["scores"]["mean"])) for still in facts["stills"]),
    ]


def check_figures(made: Input, chunk: Mapping[str, Any]) -> list[Verdict]:
    """The figures of one chunk of one rung: every frame was decoded, each compared one has a row that can be."""
    name, facts = made.name, made.facts
    try:
        rows = json.loads(made.path(str(facts["file"])).read_bytes())
        ticks = [int(row[0]) for row in rows]
        possible = all(-MILLION <= int(row[1]) <= MILLION and int(row[2]) >= 0 for row in rows)
    except (KeyError, IndexError, OSError, TypeError, ValueError) as error:
        return [failed(f"{name}: readable", f"{type(error).__name__}: {error}", "rows of three numbers")]
    inside = bool(ticks) and int(chunk["start"]) <= ticks[0] and ticks[-1] < int(chunk["end"])
    return [
        expect(
            f"{name}: every frame was decoded", facts["decoded"] == facts["frames"], facts["decoded"], facts["frames"]
        ),
        expect(f"{name}: a row for each", len(rows) == facts["compared"] > 0, len(rows), facts["compared"]),
        expect(
            f"{name}: times rise inside the chunk",
            inside and all(a < b for a, b in pairwise(ticks)),
            _short(ticks),
            "rising, inside",
        ),
        expect(f"{name}: figures are possible", possible, "", f"SSIM up to {MILLION} millionths"),
    ]


# By what the names of a tap's products begin with.
CHECKS: Mapping[str, Callable[[Input, Mapping[str, Any]], list[Verdict]]] = {
    "samples": check_samples,
    "shot_scores": check_scores,
    "quality": check_figures,
    "frames": check_kept,
}


def contract(task: Task) -> list[Verdict]:
    """Judge the whole pass from the facts of its products.

    `task.parameters` holds {"products": facts by name, "info": media_info facts, "told": what one of its units was
    told}: chunks follow each other from the picture's start to its end in every rung, no frame is lost (where fields
    become pictures, twice as many as there are frames), and all rungs have the same key-frame instants.
    """
    products: Mapping[str, Mapping[str, Any]] = task.parameters["products"]
    video = task.parameters["info"]["video"]
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for name in sorted(products):
        groups[name.rpartition("/")[0]].append(products[name])
    if not groups:
        return [failed("products", "none", "at least one")]
    pictures = told_pictures_a_frame(task.parameters.get("told") or {})
    expected = [(int(chunk["start"]) * pictures, int(chunk["end"]) * pictures) for chunk in video["chunks"]]
    verdicts: list[Verdict] = []
    for group, facts in groups.items():
        if any("span" not in each for each in facts):
            continue
        spans = sorted((int(each["span"]["start"]), int(each["span"]["end"])) for each in facts)
        verdicts.append(
            expect(f"{group}: covers the picture", spans == expected, f"{len(spans)} chunks", len(expected))
        )
        frames = sum(int(each.get("frames", 0)) for each in facts)
        damaged = _is_damaged(facts, task.parameters["info"])
        verdicts.append(_frames_verdict(group, frames, int(video["frame_count"]) * pictures, damaged))
        if group.startswith(LADDER):
            codecs = sorted({str(each["codecs"]) for each in facts})
            verdicts.append(expect(f"{group}: one codec string", len(codecs) == 1, ", ".join(codecs), "one"))
    keys = {
        group: [tick for each in sorted(facts, key=_start) for tick in each["key_frames"]]
        for group, facts in groups.items()
        if group.startswith(LADDER)
    }
    if keys:
        first = next(iter(keys.values()))
        agree = all(other == first for other in keys.values())
        verdicts.append(expect("key frames agree over rungs", agree and bool(first), f"{len(keys)} rungs", "the same"))
    return verdicts


def _frames_verdict(group: str, frames: int, declared: int, damaged: bool) -> Verdict:
    clause = f"{group}: no frame is lost"
    if frames == declared:
        return passed(clause, frames, declared)
    if damaged and frames > 0:
        return warned(clause, f"{frames} (the source is damaged)", declared)
    return failed(clause, frames, declared)


def _is_damaged(facts: Sequence[Mapping[str, Any]], info: Mapping[str, Any]) -> bool:
    known = info.get("damage") or {}
    before = any(known.get(name) for name in ("packets_corrupt", "decode_errors", "truncated"))
    while_decoding = any((each.get("damage") or {}).get("decode_errors") for each in facts)
    return bool(before or while_decoding)


def _start(facts: Mapping[str, Any]) -> int:
    return int(facts["span"]["start"])


@dataclass(slots=True)
class _Decoded:
    """What decoding a chunk of a rung showed: ticks of its frames, thumbprints of the key frames, what went wrong."""

    shown: list[int] = field(default_factory=list)
    prints: list[list[int]] = field(default_factory=list)
    trouble: str = ""


def _decode(made: Input, *, keys_only: bool) -> _Decoded:
    decoded = _Decoded()
    with open_media(made.path(str(made.facts["file"]))) as container:
        stream = container.streams.video[0]
        decode_strictly(stream)
        if keys_only:
            stream.codec_context.skip_frame = "NONKEY"
        try:
            for frame in container.decode(stream):
                if frame.is_corrupt or frame.pts is None:
                    decoded.trouble = f"frame {len(decoded.shown)} is damaged"
                    break
                decoded.shown.append(frame.pts)
                if frame.key_frame:
                    decoded.prints.append(thumbprint(luma(frame)))
        except av.error.FFmpegError as error:
            decoded.trouble = f"after {len(decoded.shown)} frames: {error}"
    return decoded


def _alike(found: Sequence[Sequence[int]], declared: Sequence[Sequence[int]]) -> bool:
    return len(found) == len(declared) and all(
        abs(a - b) <= THUMBPRINT_TOLERANCE
        for one, other in zip(found, declared, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def _check_still(made: Input, file: str, size: tuple[int, int], mean: float | None) -> Verdict:
    """A picture opens, has its size and, where that is known, the brightness it was scored with."""
    clause = f"{made.name}: {file}"
    try:
        with Image.open(made.path(file)) as picture:
            picture.load()
            found_size = picture.size
            found_mean = float((np.asarray(picture.convert("RGB"), dtype=np.float64) @ BT709_LUMA).mean())
    except (KeyError, OSError, UnidentifiedImageError) as error:
        return failed(clause, str(error), "a readable picture")
    as_scored = found_mean * FULL_TO_LIMITED + BLACK_LEVEL
    mean = as_scored if mean is None else mean
    return expect(
        clause,
        found_size == size and abs(as_scored - mean) <= MEAN_TOLERANCE,
        f"{found_size[0]}x{found_size[1]}, mean luma {as_scored:.0f}",
        f"{size[0]}x{size[1]}, mean luma {mean:.0f}",
    )


def _size(facts: Mapping[str, Any]) -> str:
    return f"{facts['width']}x{facts['height']}"


def _short(ticks: Sequence[int]) -> str:
    shown = ", ".join(str(tick) for tick in ticks[:6])
    return f"{shown}, ... ({len(ticks)})" if len(ticks) > 6 else shown
