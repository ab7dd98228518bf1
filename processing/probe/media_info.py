"""What a file is: the facts every derivative is planned from.

Belongs here: the operation `make`, the choice of the streams that are used, the decision to quarantine. Does not
belong here: how packets (packets), frames (samples) and stills (still_info) are looked at, or what a stream's facts
look like (describe).

A file is opened twice by one process: once for all its packets, once to decode a little of it.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.container import InputContainer

from processing.chunks.grid import NO_TIME
from processing.completeness import held_share
from processing.failures import BadInput, Transient
from processing.probe import describe
from processing.probe.magic import MOV, Magic
from processing.probe.opening import open_media, require_media
from processing.probe.packets import Scan, Track, packets_end, scan_packets
from processing.probe.planning import FILE
from processing.probe.samples import Sampler, StreamSample
from processing.probe.splices import splice_facts
from processing.probe.still_info import StillFacts, still_facts
from processing.timeline import MPEG_TIMESCALE, media_timescale, rational, to_ticks
from processing.work import Result, Task

COVER_CODECS = frozenset({"mjpeg", "png", "bmp", "gif", "webp", "tiff", "jpeg2000"})
TRUNCATED_SHARE = Fraction(9, 10)  # of the promised duration; less than this was really found
PROMISING = frozenset({"mov", "matroska", "avi", "wav", "w64", "aiff", "flac", "ogg", "asf", "flv", "mxf", "caf"})
LONGEST_S = 24 * 3600  # every bound of time grows with the length: one bad field would allow days of silence
NOTED_PIECES = 8  # a note is a sentence; the facts hold them all
ENCRYPTION_SEARCH_BYTES = 4 << 20
CURE = "send it again from the original"


def make(task: Task) -> Result:
    """Look at the original and write `media_info.json`. Raises `BadInput` for what cannot be used at all.

    A file whose size or time of change is not the same afterwards raises `Transient`: its facts would describe
    neither the old nor the new one.
    """
    path = task.original.path
    before = _identity(path)
    if before[0] != task.original.bytes:
        raise _changed()
    magic = require_media(path)
    target_s = int(task.parameters.get("grid", {}).get("target_s", 6))
    try:
        info = _still(path, magic) if magic.kind == "image" else _moving(path, magic, target_s)
    except BadInput:
        if _identity(path) != before:
            raise _changed() from None
        raise
    if _identity(path) != before:
        raise _changed()
    task.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(info, ensure_ascii=False, indent=1, sort_keys=True)
    (task.out / FILE).write_text(text + "\n", encoding="utf-8")
    return Result(facts=info, completeness=held_share(info))


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise Transient("the file was gone when it was to be read", cure="put it back, then retry") from error
    return status.st_size, status.st_mtime_ns


def _changed() -> Transient:
    return Transient("the file changed while it was read", cure="wait until it is complete, then retry")


def _still(path: Path, magic: Magic) -> dict[str, Any]:
    facts: StillFacts = still_facts(path, magic)
    return {
        "kind": "image",
        "format": {
            "name": magic.format_name,
            "long_name": magic.label,
            "title": None,
            "creation_time": None,
            "tags": {},
        },
        "duration": {"ticks": facts.duration_ms, "timescale": 1000},
        "duration_s_bound": -(-facts.duration_ms // 1000),
        "origin": rational(Fraction(0)),
        "video": None,
        "audio": [],
        "subtitles": [],
        "chapters": [],
        "cover": None,
        "data_streams": 0,
        "image": facts.image,
        "damage": {"packets_corrupt": 0, "decode_errors": 0, "truncated": False, "notes": facts.notes},
    }


@dataclass(slots=True)
class _Findings:
    """What both openings of one file gave."""

    scan: Scan
    samples: dict[int, StreamSample]
    promised_s: Fraction | None
    notes: list[str]


def _moving(path: Path, magic: Magic, target_s: int) -> dict[str, Any]:
    with _opened(path, magic) as container:
        if not len(container.streams):
            raise BadInput("the file has no streams: nothing to see or hear", cure=CURE)
        scan = scan_packets(container)
        promised_s = _promise_s(container)
    with open_media(path, format_name=magic.format_name) as container:
        samples = _sampled(container, scan)
        findings = _Findings(scan, samples, promised_s, [])
        return _facts(container, findings, path, target_s)


@contextmanager
def _opened(path: Path, magic: Magic) -> Iterator[InputContainer]:
    """`open_media`, but a file that is unreadable because it is encrypted says so."""
    try:
        with open_media(path, format_name=magic.format_name) as container:
            yield container
    except BadInput as failure:
        if magic.format_name == MOV and is_encrypted(path):
            raise _encrypted() from failure
        raise


def _encrypted() -> BadInput:
    return BadInput("the file is encrypted (DRM)", cure="send it without encryption")


def _promise_s(container: InputContainer) -> Fraction | None:
    """The duration (s) that the file's header states; None where libavformat only guesses it from a bit rate."""
    stated = bool(PROMISING & set(container.format.name.split(",")))
    return Fraction(container.duration, 1_000_000) if stated and container.duration else None


def _sampled(container: InputContainer, scan: Scan) -> dict[int, StreamSample]:
    """Decode at the start, in the middle and near the end of every stream that has a decoder and packets."""
    usable = [
        stream.index
        for stream in container.streams
        if stream.type in ("video", "audio") and describe.has_decoder(stream) and scan.tracks[stream.index].shown
    ]
    sampler = Sampler(container, usable, scan.splices)
    if not usable:
        return {}
    sampler.from_start()
    main = max(usable, key=lambda index: (container.streams[index].type == "video", scan.tracks[index].shown))
    if scan.splices:
        _sample_pieces(sampler, scan, main, is_picture=container.streams[main].type == "video")
    else:
        for pts in _later_places(scan.tracks[main], sampler.samples[main].frames):
            sampler.from_time(main, pts)
    return sampler.finish()


def _sample_pieces(sampler: Sampler, scan: Scan, main: int, *, is_picture: bool) -> None:
    """Decode where the middle and the last piece begin, and where one begins with pictures that may not decode.

    A recording that was cut anywhere begins with pictures that refer to what was cut away. No decoder shows them, at
    the start of a file as little as at the start of a piece.
    """
    track, last = scan.tracks[main], len(scan.splices) - 1
    for number, splice in enumerate(scan.splices):
        doubtful = is_picture and not track.begins_whole(splice.position)
        if doubtful or number in (last // 2, last):
            shown = sampler.from_position(splice.position).get(main)
            if doubtful and shown is not None:
                track.hide(splice.position, shown)


def _later_places(track: Track, decoded: int) -> list[int]:
    """A key frame (or packet) in the middle and one near the end, where the start has not shown them already."""
    if not track.timed or track.shown <= 2 * max(decoded, 1):
        return []
    times = track.key_pts if len(track.key_pts) > 2 else track.pts
    known = sorted(time for time in times if time >= 0 or len(times) < 3)
    if len(known) < 3:
        return []
    return sorted({known[len(known) // 2], known[-2]})


def _facts(container: InputContainer, findings: _Findings, path: Path, target_s: int) -> dict[str, Any]:
    streams = list(container.streams)
    covers = [stream for stream in streams if _is_cover(stream, findings, streams)]
    pictures = [stream for stream in streams if stream.type == "video" and stream not in covers]
    video = _best_picture([stream for stream in pictures if _decodes(stream, findings)])
    sounds = [stream for stream in streams if stream.type == "audio" and _decodes(stream, findings)]
    _note_left_out(streams, covers, video, findings)
    if video is None and not sounds:
        raise _nothing_usable(streams, findings, path)
    origin = _origin(video, sounds, findings)
    _require_allowed(_span_s([*([video] if video else []), *sounds], findings))
    video_facts = describe.video(video, findings.scan, findings.samples, origin, target_s) if video else None
    audio_facts = [describe.audio(stream, findings.scan, findings.samples, origin) for stream in sounds]
    end_s = max(
        ([Fraction(video_facts["end"], video_facts["timescale"])] if video_facts else [])
        + [describe.end_s(each) for each in audio_facts]
    )
    _require_allowed(end_s)
    timescale = video_facts["timescale"] if video_facts else media_timescale(Fraction(1, audio_facts[0]["rate_hz"]))
    ticks = max(1, to_ticks(end_s, timescale))
    held = _held_of_promised(findings, container)
    _note_splices(findings.scan, origin, findings.notes)
    used = ([video.index] if video else []) + [stream.index for stream in sounds]
    return {
        "kind": "video" if video else "audio",
        "format": describe.container_format(container),
        "duration": {"ticks": ticks, "timescale": timescale},
        "duration_s_bound": math.ceil(Fraction(ticks, timescale)),
        "origin": rational(origin),
        "video": video_facts,
        "audio": audio_facts,
        "subtitles": [describe.subtitle(stream) for stream in streams if stream.type == "subtitle"],
        "chapters": describe.chapters(container, origin),
        "cover": describe.cover(covers[0], findings.samples) if covers else None,
        "data_streams": sum(stream.type in ("data", "attachment", "unknown") for stream in streams),
        "image": None,
        **splice_facts(findings.scan.splices),
        "damage": {
            "packets_corrupt": sum(findings.scan.tracks[index].corrupt for index in used),
            "decode_errors": sum(findings.samples[index].errors for index in used) + findings.scan.read_errors,
            "truncated": held is not None,
            **({"held": rational(held)} if held is not None else {}),
            "notes": findings.notes,
        },
    }


def _span_s(streams: list[Any], findings: _Findings) -> Fraction:
    """From the earliest to the latest presentation time (s) that any packet of these streams gives."""
    moments = []
    for stream in streams:
        track, first = findings.scan.tracks[stream.index], findings.samples[stream.index].first_pts
        known = [pts for pts in track.pts if pts != NO_TIME and (first is None or pts >= first)]
        moments += [pts * Fraction(stream.time_base) for pts in (min(known), max(known))] if known else []
    return max(moments) - min(moments) if moments else Fraction(0)


def _require_allowed(length_s: Fraction) -> None:
    if length_s > LONGEST_S:
        raise BadInput(
            f"by its own times the file lasts {float(length_s / 3600):,.0f} hours, {LONGEST_S // 3600} are allowed",
            cure="repair its times, or send it in parts",
        )


def _decodes(stream: Any, findings: _Findings) -> bool:
    sample = findings.samples.get(stream.index)
    return sample is not None and sample.frames > 0


def _is_cover(stream: Any, findings: _Findings, streams: list[Any]) -> bool:
    """An attached picture by its mark, or a lone picture beside sound that no player would call a film."""
    if stream.type != "video":
        return False
    if describe.is_attached(stream):
        return True
    alone = findings.scan.tracks[stream.index].shown <= 1 and describe.codec_name(stream) in COVER_CODECS
    return alone and any(other.type in ("audio", "video") and other is not stream for other in streams)


def _best_picture(candidates: list[Any]) -> Any | None:
    """The stream a player would show: marked default first, then the largest, then the first."""
    if not candidates:
        return None
    return max(
        candidates, key=lambda stream: (describe.is_default(stream), stream.width * stream.height, -stream.index)
    )


def _note_left_out(streams: list[Any], covers: list[Any], video: Any | None, findings: _Findings) -> None:
    for stream in streams:
        if stream.type not in ("video", "audio") or stream in covers or stream is video:
            continue
        what = {"video": "picture", "audio": "sound"}[stream.type]
        if not _decodes(stream, findings):
            name = describe.codec_name(stream)
            findings.notes.append(f"the {what} of stream {stream.index} ({name}) cannot be decoded and is left out")
        elif stream.type == "video":
            findings.notes.append(f"the second picture in stream {stream.index} is left out")
    if findings.scan.read_errors:
        findings.notes.append(f"the file's structure is damaged in {findings.scan.read_errors} places")


def _origin(video: Any | None, sounds: list[Any], findings: _Findings) -> Fraction:
    """The earliest presentation time (s) over the streams that are used."""
    starts = []
    for stream in [*([video] if video is not None else []), *sounds]:
        first = findings.samples[stream.index].first_pts
        if first is not None:
            starts.append(first * stream.time_base)
    return min(starts, default=Fraction(0))


def _held_of_promised(findings: _Findings, container: InputContainer) -> Fraction | None:
    """The share that lies in the file of what its header promises, over all tracks, where that is much less."""
    promised = findings.promised_s
    if promised is None or promised < 1:
        return None
    ends = [
        packets_end(track) * Fraction(container.streams[index].time_base or 0)
        for index, track in findings.scan.tracks.items()
        if track.timed
    ]
    held = max(ends, default=Fraction(0)) - Fraction(container.start_time or 0, 1_000_000)
    lone = all(track.shown <= 1 for track in findings.scan.tracks.values())
    if lone or held >= promised * TRUNCATED_SHARE or promised - held < 1:
        return None
    findings.notes.append(f"the file promises {float(promised):.1f} s and holds {float(held):.1f} s")
    return max(held, Fraction(0)) / promised


def _note_splices(scan: Scan, origin: Fraction, notes: list[str]) -> None:
    if scan.clock_starts and not scan.splices:
        notes.append(f"the clock of the file starts again in {scan.clock_starts} places, which is not followed")
    if not scan.splices:
        return
    starts = [f"{float(Fraction(splice.time, MPEG_TIMESCALE) - origin):.1f} s" for splice in scan.splices]
    told = ", ".join(starts[:NOTED_PIECES]) + (", ..." if len(starts) > NOTED_PIECES else "")
    notes.append(f"the file is joined from {len(starts) + 1} pieces whose clocks start again; they follow at {told}")


def _nothing_usable(streams: list[Any], findings: _Findings, path: Path) -> BadInput:
    """The one reason, most telling first, why a file with streams gives neither picture nor sound."""
    media = [stream for stream in streams if stream.type in ("video", "audio")]
    if is_encrypted(path):
        return _encrypted()
    if not media:
        kinds = ", ".join(sorted({str(stream.type) for stream in streams}))
        return BadInput(f"the file holds neither picture nor sound, only {kinds}", cure=CURE)
    if not any(describe.has_decoder(stream) for stream in media):
        return BadInput("no decoder exists for the codec of this file", cure="convert it to H.264 and AAC")
    packets = sum(findings.scan.tracks[stream.index].shown for stream in media)
    if findings.promised_s and packets <= 3 * len(media) and findings.promised_s > 1:
        return BadInput(f"the file is cut off: of {float(findings.promised_s):.0f} s nothing is left", cure=CURE)
    if not packets:
        return BadInput("the file is cut off: it announces media and holds none", cure=CURE)
    return BadInput(f"the file is damaged: not one of the {packets} packets looked at can be decoded", cure=CURE)


def is_encrypted(path: Path) -> bool:
    """Whether an MP4 declares common encryption: a sample entry `encv` or `enca` (ISO/IEC 23001-7)."""
    with path.open("rb") as file:
        size = min(os.fstat(file.fileno()).st_size, ENCRYPTION_SEARCH_BYTES)
        if size < 16:
            return False
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as head:
            return head.find(b"sinf") >= 0 and (head.find(b"encv") >= 0 or head.find(b"enca") >= 0)


def facts_of(path: Path, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The facts of a file, nothing written. Raises as `make` does."""
    magic = require_media(path)
    target_s = int((parameters or {}).get("grid", {}).get("target_s", 6))
    return _still(path, magic) if magic.kind == "image" else _moving(path, magic, target_s)
