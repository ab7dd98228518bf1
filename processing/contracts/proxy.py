"""What must hold of a proxy: it holds its rung's packets and decodes, lasts as long as the source, plays while loading.

Belongs here: judging the one file; of its pictures the key frames are decoded. Does not belong here: the rung it was
made of, all of whose packets were decoded when its chunks were judged (contracts/chunks).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from processing.contracts.clauses import expect, failed
from processing.contracts.payloads import Carried, carried_by, configuration, other_than_published, ticks_of
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.picture import fmp4
from processing.picture.planes import luma, thumbprint
from processing.picture.proxy import PROXY_FILE, SOUND_FILE, SOUND_INPUT, rung_chunks
from processing.probe.opening import decode_strictly, open_media
from processing.work import Input, Task

THUMBPRINT_TOLERANCE = 12  # luma codes, as for the chunks it is made of
SOUND_TOLERANCE_S = Fraction(1, 20)  # two AAC frames at 44.1 kHz: what padding at either end can amount to


@dataclass(slots=True)
class _Decoded:
    """What reading the whole file showed; times in seconds. `carried` are the packets of each kind of stream.

    `pictures` are the times of all packets that hold one, `prints` the key frames among them.
    """

    carried: dict[str, Carried]
    errors: int = 0
    pictures: list[Fraction] = field(default_factory=list)
    keys: int = 0
    prints: dict[Fraction, list[int]] = field(default_factory=dict)
    size: tuple[int, int] = (0, 0)
    sound_start: Fraction | None = None
    sound_samples: int = 0
    sound_rate_hz: int = 0
    streams: tuple[str, ...] = ()


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made` against the chunks and the sound in `task.inputs`."""
    made = task.made
    if made is None:
        raise ValueError("the contract of a proxy needs what was made")
    chunks = rung_chunks(task.inputs)
    timescale = int(chunks[0].facts["span"]["timescale"])
    try:
        path = made.path(PROXY_FILE)
        order, duration_s = outline(path)
        decoded = _decode(path, timescale)
    except (WorkFailure, KeyError, OSError, ValueError) as error:
        return [failed("opens", str(error), "a readable MP4")]
    first, end = (Fraction(int(ticks), timescale) for ticks in (chunks[0].facts["first"], chunks[-1].facts["end"]))
    frames = sum(int(chunk.facts["frames"]) for chunk in chunks)
    sound = task.inputs.get(SOUND_INPUT)
    kinds = ("video", "audio") if sound is not None else ("video",)
    size = (int(chunks[0].facts["width"]), int(chunks[0].facts["height"]))
    rising = all(a < b for a, b in pairwise(decoded.pictures))
    verdicts = [
        expect(
            "index before media",
            "moov" in order and order.index("moov") < order.index("mdat"),
            ", ".join(order),
            "moov first",
        ),
        expect("streams", decoded.streams == kinds, ", ".join(decoded.streams), ", ".join(kinds)),
        expect("decodes without errors", decoded.errors == 0, decoded.errors, 0),
        expect("every key frame decodes", len(decoded.prints) == decoded.keys > 0, len(decoded.prints), decoded.keys),
        expect("size", decoded.size == size, f"{decoded.size[0]}x{decoded.size[1]}", f"{size[0]}x{size[1]}"),
        expect(
            "every frame is there, in order", len(decoded.pictures) == frames and rising, len(decoded.pictures), frames
        ),
        expect(
            "picture starts when the source's does",
            bool(decoded.pictures) and decoded.pictures[0] == first,
            str(decoded.pictures[0]) if decoded.pictures else "nothing",
            str(first),
        ),
        _shows_the_rung(
            decoded, [(int(tick), print_) for chunk in chunks for tick, print_ in _keys(chunk.facts)], timescale
        ),
        *_remuxed(decoded, "video", [(chunk, str(chunk.facts["file"])) for chunk in chunks]),
    ]
    longest = end
    if sound is not None:
        sound_s = Fraction(int(sound.facts["samples"]), int(sound.facts["rate_hz"]))
        longest = max(end, sound_s)
        verdicts += _sound_verdicts(decoded, sound_s)
        verdicts += _remuxed(decoded, "audio", [(sound, str(sound.facts.get("file", SOUND_FILE)))])
    short_by = abs(duration_s - longest)
    verdicts.append(
        expect(
            "lasts as long as the source",
            short_by <= SOUND_TOLERANCE_S,
            f"{float(duration_s):.3f} s",
            f"{float(longest):.3f} s",
        )
    )
    return verdicts


def outline(path: Path) -> tuple[list[str], Fraction]:
    """The types of a file's outermost boxes in order, and how long it says it is played, in seconds.

    From the movie header (ISO/IEC 14496-12, 8.2.2), which counts what edit lists leave; libavformat adds up decoding
    times instead and comes out short at variable frame rate. Raises ValueError when the boxes do not fit.
    """
    kinds: list[str] = []
    duration_s = Fraction(0)
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at < size:
            file.seek(at)
            head = file.read(16)
            length, kind = struct.unpack(">I4s", head[:8]) if len(head) >= 8 else (0, b"")
            if length == 1 and len(head) == 16:
                length = struct.unpack(">Q", head[8:])[0]
            if length < 8 or at + length > size:
                raise ValueError(f"the box {kind!r} at byte {at} does not fit the file")
            if kind == b"moov":
                file.seek(at)
                duration_s = _movie_duration_s(file.read(length))
            kinds.append(kind.decode("latin-1"))
            at += length
    return kinds, duration_s


def _movie_duration_s(data: bytes) -> Fraction:
    header = fmp4.require(data, "moov/mvhd")
    layout, offset = (">IQ", 20) if data[header.body] == 1 else (">II", 12)
    timescale, duration = struct.unpack_from(layout, data, header.body + offset)
    return Fraction(duration, timescale or 1)


def _remuxed(decoded: _Decoded, kind: str, made: Sequence[tuple[Input, str]]) -> list[Verdict]:
    """Every packet is one that the passes made, at the time they gave it."""
    found = decoded.carried.get(kind) or Carried(1)
    clause = f"{kind} packets are those that were encoded"
    try:
        due = carried_by([item.path(path) for item, path in made], found.timescale)
    except (WorkFailure, ValueError) as error:
        return [failed(clause, f"what was encoded cannot be read: {error}")]
    spoiled = next((text for item, path in made if (text := other_than_published(item, path))), "")
    changed, moved = found.other_bytes(due) or spoiled, found.other_times(due)
    return [
        expect(clause, not changed, changed or due.digest, due.digest),
        expect(f"{kind} packets are where they were encoded", not moved, moved),
    ]


def _keys(facts: Mapping[str, Any]) -> list[tuple[int, list[int]]]:
    return list(zip(facts["key_frames"], facts["thumbprints"], strict=True))


def _decode(path: Path, timescale: int) -> _Decoded:
    """Read the file, decode its key frames and its sound; packets' times are ticks of `timescale`, or of the rate."""
    decoded = _Decoded({})
    with open_media(path) as container:
        decoded.streams = tuple(stream.type for stream in container.streams)
        for stream in container.streams:
            scale = stream.rate if isinstance(stream, av.AudioStream) else timescale
            decoded.carried[stream.type] = Carried(scale, {configuration(stream)})
            if isinstance(stream, av.VideoStream):
                decode_strictly(stream)
                stream.codec_context.skip_frame = "NONKEY"
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                carried = decoded.carried[packet.stream.type]
                carried.add(memoryview(packet), ticks_of(packet, carried.timescale))
                if packet.stream.type == "video":
                    decoded.pictures.append(packet.pts * (packet.time_base or Fraction(1)))
                    decoded.keys += packet.is_keyframe
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                decoded.errors += 1
                continue
            for frame in frames:
                _count(decoded, frame)
    decoded.pictures.sort()
    return decoded


def _count(decoded: _Decoded, frame: object) -> None:
    if isinstance(frame, av.VideoFrame):
        decoded.size = (frame.width, frame.height)
        decoded.errors += frame.is_corrupt
        decoded.prints[(frame.pts or 0) * (frame.time_base or Fraction(1))] = thumbprint(luma(frame))
    elif isinstance(frame, av.AudioFrame):
        if decoded.sound_start is None:
            decoded.sound_start = (frame.pts or 0) * (frame.time_base or Fraction(1))
        decoded.sound_samples += frame.samples
        decoded.sound_rate_hz = frame.sample_rate


def _shows_the_rung(decoded: _Decoded, keys: list[tuple[int, list[int]]], timescale: int) -> Verdict:
    wrong = 0
    for tick, declared in keys:
        found = decoded.prints.get(Fraction(tick, timescale))
        if found is None or any(abs(a - b) > THUMBPRINT_TOLERANCE for a, b in zip(found, declared, strict=True)):
            wrong += 1
    return expect(
        "shows what the rung shows", wrong == 0 and bool(keys), f"{wrong} of {len(keys)} key frames differ", "none"
    )


def _sound_verdicts(decoded: _Decoded, sound_s: Fraction) -> list[Verdict]:
    found_s = Fraction(decoded.sound_samples, decoded.sound_rate_hz or 1)
    start = decoded.sound_start
    return [
        expect("sound starts at 0", start is not None and abs(start) <= Fraction(1, 1000), str(start), "0"),
        expect(
            "sound is whole",
            abs(found_s - sound_s) <= SOUND_TOLERANCE_S,
            f"{float(found_s):.3f} s",
            f"{float(sound_s):.3f} s",
        ),
    ]
