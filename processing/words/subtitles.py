"""The texts a source comes with, as WebVTT on the source's timeline: embedded tracks and files beside it.

Belongs here: reading them, placing cues, writing the files and their HLS playlists. Does not belong here: which there
are (subtitles_plan), text that is only shown as pictures, or text that is recognised.

A file beside the source passes through the same demuxers and decoders as an embedded track: as UTF-8, in the scratch
folder, under the name of its format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer

from processing import webvtt
from processing.failures import BadInput
from processing.picture.playlists import decimal
from processing.probe.opening import demuxed, open_media
from processing.timeline import from_rational, to_seconds
from processing.webvtt import MS, Cue
from processing.words.ass import cue_text
from processing.words.encodings import decoded
from processing.words.subtitles_plan import file_name, playlist_name
from processing.work import Result, Task

UNKNOWN_LENGTH_S = Fraction(5)  # of a cue that says no end: long enough to read two lines
SHORTEST_MS = 1
MOST_CUES = 100_000  # in one track: four for each second of six hours
DEMUXER_OF = {"srt": "srt", "vtt": "webvtt"}
# The header by which players place cues of a file on the media's clock (RFC 8216, section 3.5); both begin at 0.
TIMESTAMP_MAP = "X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0"


@dataclass(frozen=True, slots=True)
class Line:
    """One decoded text: presentation time and length in seconds on the file's clock (None: not said), cue text."""

    start_s: Fraction
    length_s: Fraction | None
    text: str


def make(task: Task) -> Result:
    """Write `subtitles-<n>.vtt` and its playlist for every text. Parameters: subtitles_plan.parameters.

    Raises BadInput when no text at all can be read; one of several that cannot is left out and said so.
    """
    told = task.parameters
    duration_s = length_s(told)
    tracks: list[dict[str, Any]] = []
    unreadable: list[str] = []
    task.out.mkdir(parents=True, exist_ok=True)
    for presented, origin, lines in _texts(task, unreadable):
        number = len(tracks)
        cues, left_out = placed(lines, duration_s)
        if not cues:
            unreadable.append(f"{origin} has no cue inside the media")
            continue
        (task.out / file_name(number)).write_text(with_map(webvtt.written(cues)), encoding="utf-8", newline="\n")
        (task.out / playlist_name(number)).write_text(playlist(number, duration_s), encoding="ascii", newline="\n")
        tracks.append(
            {
                **presented,
                "origin": origin,
                "file": file_name(number),
                "playlist": playlist_name(number),
                "cues": len(cues),
                "left_out": left_out,
            }
        )
    if not tracks:
        raise BadInput(f"none of its subtitles can be used: {'; '.join(unreadable)}", cure="export them again as SRT")
    return Result(facts={"tracks": tracks, "unreadable": unreadable})


def length_s(told: Mapping[str, Any]) -> Fraction:
    """How long the media is, in exact seconds."""
    return to_seconds(int(told["duration"]["ticks"]), int(told["duration"]["timescale"]))


def _texts(task: Task, unreadable: list[str]) -> Iterator[tuple[dict[str, Any], str, list[Line]]]:
    """What is said of each text, where it is from, its lines: embedded ones first, in the file's order."""
    told = task.parameters
    if told["embedded"]:
        found = embedded(task.original.path, [track["stream_index"] for track in told["embedded"]])
        origin_s = from_rational(told["origin"])
        for track in told["embedded"]:
            lines = [Line(line.start_s - origin_s, line.length_s, line.text) for line in found[track["stream_index"]]]
            yield _presentation(track), f"stream {track['stream_index']} ({track['codec']})", lines
    for number, (text, file) in enumerate(zip(told["beside"], task.texts, strict=True)):
        name = _name_of(text, number)
        try:
            lines = beside(file.path, text["format"], task.scratch)
        except BadInput as failure:
            unreadable.append(f"{name}: {failure.cause}")
            continue
        yield _presentation(text), name, lines


def _name_of(text: Mapping[str, Any], number: int) -> str:
    """The name of a file beside the medium is no part of a recipe; people know it by its language."""
    language = f" ({text['language']})" if text["language"] else ""
    return f"{text['format']} file {number}{language}"


def _presentation(track: Mapping[str, Any]) -> dict[str, Any]:
    return {name: track[name] for name in ("language", "title", "forced", "default", "hearing_impaired")}


def embedded(path: Path, streams: Sequence[int]) -> dict[int, list[Line]]:
    """The lines of the text streams of a file, in one reading, by stream index."""
    with open_media(path) as container:
        return _read(container, streams)


def beside(path: Path, kind: str, scratch: Path) -> list[Line]:
    """The lines of a text file ("srt" or "vtt"). Raises BadInput for one that is no such text."""
    text, _ = decoded(path.read_bytes())
    normal = scratch / f"text.{kind}"
    normal.write_text(text.replace("\r\n", "\n").replace("\r", "\n"), encoding="utf-8", newline="\n")
    with open_media(normal, format_name=DEMUXER_OF[kind]) as container:
        return _read(container, [0])[0]


def _read(container: InputContainer, indices: Sequence[int]) -> dict[int, list[Line]]:
    found: dict[int, list[Line]] = {index: [] for index in indices}
    streams = [container.streams[index] for index in indices]
    try:
        for packet in demuxed(container, streams):
            if packet.pts is None or not packet.size or len(found[packet.stream_index]) >= MOST_CUES:
                continue
            base = packet.time_base
            length = packet.duration * base if packet.duration else None
            text = _decoded(packet)
            if text:
                found[packet.stream_index].append(Line(packet.pts * base, length, text))
    except av.error.ExitError:
        raise
    except av.error.FFmpegError:
        pass  # what was read up to the damage counts; a track without any cue is left out by name
    return found


def _decoded(packet: Any) -> str:
    """The cue text of a packet; several texts at once are several lines of one cue."""
    try:
        sets = packet.decode()
    except av.error.FFmpegError:
        return ""
    texts = [
        cue_text(subtitle.ass.decode("utf-8", "replace"))
        for subtitle in sets
        if getattr(subtitle, "type", b"") == b"ass"
    ]
    return "\n".join(text for text in texts if text)


def placed(lines: Iterable[Line], duration_s: Fraction) -> tuple[list[Cue], int]:
    """Cues on the output timeline in order of their start, inside [0, duration]; and how many lay outside.

    A line that says no end lasts until the next one begins, `UNKNOWN_LENGTH_S` at most.
    """
    ordered = sorted(lines, key=lambda line: line.start_s)
    end_ms = -(-duration_s.numerator * MS // duration_s.denominator)
    cues: list[Cue] = []
    for number, line in enumerate(ordered):
        length_s = line.length_s
        if length_s is None:
            following = next((other.start_s for other in ordered[number + 1 :] if other.start_s > line.start_s), None)
            length_s = UNKNOWN_LENGTH_S if following is None else min(UNKNOWN_LENGTH_S, following - line.start_s)
        start, end = _ms(line.start_s), _ms(line.start_s + length_s)
        start, end = max(0, start), min(end_ms, max(end, start + SHORTEST_MS))
        if end > start:
            cues.append(Cue(start, end, line.text))
    return cues, len(ordered) - len(cues)


def _ms(seconds: Fraction) -> int:
    return seconds.numerator * MS // seconds.denominator


def with_map(text: str) -> str:
    """A WebVTT file as HLS wants it: the mapping of its clock below the first line."""
    head, _, rest = text.partition("\n")
    return f"{head}\n{TIMESTAMP_MAP}\n{rest}"


def playlist(number: int, duration_s: Fraction) -> str:
    """The media playlist over the file of track `number`."""
    return playlist_of(file_name(number), duration_s)


def playlist_of(file: str, duration_s: Fraction) -> str:
    """A media playlist of one segment, the whole file: subtitles may be longer than the target of the pictures
    (RFC 8216, section 6.2.4).
    """
    target_s = -(-duration_s.numerator // duration_s.denominator)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{max(1, target_s)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        f"#EXTINF:{decimal(duration_s, 6)},",
        file,
        "#EXT-X-ENDLIST",
    ]
    return "\n".join(lines) + "\n"
