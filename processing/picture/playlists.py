"""HLS playlists as text: written from packaged tracks, read back strictly (RFC 8216bis).

Belongs here: the tags this house uses, their grammar, both ways. Does not belong here: whether a playlist tells the
truth about its segments (contracts/hls) or what the segments are (segments).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from processing.picture.segments import INIT_NAME, PackagedTrack, segment_name

MEDIA_NAME = "index.m3u8"
I_FRAMES_NAME = "iframes.m3u8"
MASTER_NAME = "master.m3u8"
AUDIO_GROUP = "audio"
SUBTITLE_GROUP = "subtitles"
HEARING_IMPAIRED = "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound"
VERSION = 7  # EXT-X-MAP outside an I-frame playlist asks for 6, an fMP4 rendition is understood from 7 by old players
_DECIMALS = 6  # of EXTINF: a microsecond; the rest is carried on, so that the sum stays right


class BrokenPlaylist(ValueError):
    """Text that is not a playlist by the grammar; says the line and why."""


@dataclass(frozen=True, slots=True)
class AudioRendition:
    """One audio track as the multivariant playlist presents it; `language` is BCP 47 or None."""

    track: PackagedTrack
    name: str
    language: str | None
    is_default: bool
    autoselect: bool


@dataclass(frozen=True, slots=True)
class Variant:
    """One line of choice in the multivariant playlist; rates in bits a second, `frame_rate` None for sound alone."""

    uri: str
    bandwidth: int
    average_bandwidth: int
    codecs: str
    resolution: tuple[int, int] | None
    frame_rate: Fraction | None


def decimal(value: Fraction, digits: int) -> str:
    """`value` (not negative) with a fixed number of decimals, halves up."""
    scaled = int(value * 10**digits + Fraction(1, 2))
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"


def durations_text(bounds: Sequence[int], timescale: int) -> list[str]:
    """The lengths between ascending `bounds` (ticks) in decimal seconds, each rounding error carried to the next."""
    unit = 10**_DECIMALS
    rounded = [int(Fraction(bound * unit, timescale) + Fraction(1, 2)) for bound in bounds]
    return [decimal(Fraction(b - a, unit), _DECIMALS) for a, b in itertools.pairwise(rounded)]


def media_playlist(track: PackagedTrack, target_s: int) -> str:
    """The media playlist of one track, beside its segments."""
    lengths = durations_text([*(segment.start for segment in track.segments), track.end], track.timescale)
    body = [f"#EXTINF:{length},\n{segment_name(index)}" for index, length in enumerate(lengths)]
    return _media(target_s, ["#EXT-X-INDEPENDENT-SEGMENTS"], body)


def i_frame_playlist(track: PackagedTrack, target_s: int) -> str:
    """The I-frame playlist of one rung, beside its segments: a byte range for each key frame."""
    lengths = durations_text([*(key.start for key in track.key_frames), track.end], track.timescale)
    body = [
        f"#EXTINF:{length},\n#EXT-X-BYTERANGE:{key.length}@{key.offset}\n{segment_name(key.segment)}"
        for key, length in zip(track.key_frames, lengths, strict=True)
    ]
    return _media(target_s, ["#EXT-X-I-FRAMES-ONLY"], body)


def _media(target_s: int, tags: list[str], body: list[str]) -> str:
    head = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", f"#EXT-X-TARGETDURATION:{target_s}", "#EXT-X-MEDIA-SEQUENCE:0"]
    lines = [*head, "#EXT-X-PLAYLIST-TYPE:VOD", *tags, f'#EXT-X-MAP:URI="{INIT_NAME}"', *body, "#EXT-X-ENDLIST"]
    return "\n".join(lines) + "\n"


def multivariant_playlist(
    variants: Sequence[Variant], i_frames: Sequence[Variant], renditions: Sequence[AudioRendition]
) -> str:
    """The multivariant playlist; URIs are relative to the folder that holds `video/` and `audio/`."""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    lines += [f"#EXT-X-MEDIA:{_rendition(rendition)}" for rendition in renditions]
    for variant in variants:
        lines += [f"#EXT-X-STREAM-INF:{_variant(variant, has_audio_group=bool(renditions))}", variant.uri]
    lines += [f'#EXT-X-I-FRAME-STREAM-INF:{_variant(variant)},URI="{variant.uri}"' for variant in i_frames]
    return "\n".join(lines) + "\n"


def _rendition(rendition: AudioRendition) -> str:
    attributes = ["TYPE=AUDIO", f'GROUP-ID="{AUDIO_GROUP}"', f'NAME="{quotable(rendition.name)}"']
    if rendition.language:
        attributes.append(f'LANGUAGE="{quotable(rendition.language)}"')
    attributes += [
        f"DEFAULT={'YES' if rendition.is_default else 'NO'}",
        f"AUTOSELECT={'YES' if rendition.autoselect else 'NO'}",
        f'CHANNELS="{rendition.track.channels}"',
        f'URI="{rendition.track.folder}/{MEDIA_NAME}"',
    ]
    return ",".join(attributes)


def _variant(variant: Variant, *, has_audio_group: bool = False) -> str:
    attributes = [
        f"BANDWIDTH={variant.bandwidth}",
        f"AVERAGE-BANDWIDTH={variant.average_bandwidth}",
        f'CODECS="{variant.codecs}"',
    ]
    if variant.resolution is not None:
        attributes.append(f"RESOLUTION={variant.resolution[0]}x{variant.resolution[1]}")
    if variant.frame_rate is not None:
        attributes.append(f"FRAME-RATE={decimal(variant.frame_rate, 3)}")
    if has_audio_group:
        attributes.append(f'AUDIO="{AUDIO_GROUP}"')
    return ",".join(attributes)


def quotable(text: str) -> str:
    """`text` as a quoted-string may hold it (section 4.2): on one line, without double quotes or control characters."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.replace('"', "'").split())


@dataclass(frozen=True, slots=True)
class SubtitleRendition:
    """One text track as the multivariant playlist presents it; `language` is BCP 47 or None."""

    uri: str
    name: str
    language: str | None
    is_default: bool
    is_forced: bool
    hearing_impaired: bool


def with_subtitles(master: str, renditions: Sequence[SubtitleRendition]) -> str:
    """A multivariant playlist with text tracks: declared after the other renditions, offered by every variant."""
    if not renditions:
        return master
    lines: list[str] = []
    declared = [f"#EXT-X-MEDIA:{_subtitles(rendition)}" for rendition in renditions]
    for line in master.split("\n"):
        if declared and line.startswith(("#EXT-X-STREAM-INF", "#EXT-X-I-FRAME-STREAM-INF")):
            lines += declared
            declared = []
        is_variant = line.startswith("#EXT-X-STREAM-INF")
        lines.append(f'{line},SUBTITLES="{SUBTITLE_GROUP}"' if is_variant else line)
    return "\n".join(lines)


def _subtitles(rendition: SubtitleRendition) -> str:
    attributes = ["TYPE=SUBTITLES", f'GROUP-ID="{SUBTITLE_GROUP}"', f'NAME="{quotable(rendition.name)}"']
    if rendition.language:
        attributes.append(f'LANGUAGE="{quotable(rendition.language)}"')
    attributes += [
        f"DEFAULT={'YES' if rendition.is_default else 'NO'}",
        # Forced and default tracks are shown unasked, and then have to be selectable automatically (section 4.4.6.1).
        f"AUTOSELECT={'YES' if rendition.language or rendition.is_default or rendition.is_forced else 'NO'}",
        f"FORCED={'YES' if rendition.is_forced else 'NO'}",
    ]
    if rendition.hearing_impaired:
        attributes.append(f'CHARACTERISTICS="{HEARING_IMPAIRED}"')
    return ",".join([*attributes, f'URI="{rendition.uri}"'])


def free_name(wanted: str, taken: set[str]) -> str:
    """A name for a rendition that no other of its group has."""
    base = wanted or "Audio"
    candidates = (base if number == 1 else f"{base} ({number})" for number in range(1, len(taken) + 2))
    return next(name for name in candidates if name not in taken)


def moved(master: str, folder: str) -> str:
    """A multivariant playlist as it reads from the folder above: every URI below `folder`."""
    lines = []
    for line in master.split("\n"):
        if line.startswith("#"):
            lines.append(_URI.sub(lambda match: f'{match[1]}URI="{folder}/{match[2]}"', line))
        else:
            lines.append(f"{folder}/{line}" if line else line)
    return "\n".join(lines)


_URI = re.compile(r'([:,])URI="([^"]*)"')
_QUOTED = re.compile(r'"[^"\r\n]*"')
_KINDS: Mapping[str, re.Pattern[str]] = {
    "integer": re.compile(r"\d{1,20}"),
    "float": re.compile(r"\d+(\.\d+)?"),
    "quoted": _QUOTED,
    "enumerated": re.compile(r'[^",\s]+'),
    "resolution": re.compile(r"[1-9]\d*x[1-9]\d*"),
    "yes or no": re.compile(r"YES|NO"),
}
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s][^,]*)(,|$)')
_STREAM = {
    "BANDWIDTH": "integer",
    "AVERAGE-BANDWIDTH": "integer",
    "CODECS": "quoted",
    "RESOLUTION": "resolution",
    "FRAME-RATE": "float",
    "AUDIO": "quoted",
    "SUBTITLES": "quoted",
    "URI": "quoted",
}
_MEDIA = {
    "TYPE": "enumerated",
    "GROUP-ID": "quoted",
    "NAME": "quoted",
    "LANGUAGE": "quoted",
    "DEFAULT": "yes or no",
    "AUTOSELECT": "yes or no",
    "FORCED": "yes or no",
    "CHARACTERISTICS": "quoted",
    "CHANNELS": "quoted",
    "URI": "quoted",
}
_INTEGER = re.compile(r"\d{1,20}")
_EXTINF = re.compile(r"(\d+(?:\.\d+)?),[^\r\n]*")
_BYTE_RANGE = re.compile(r"(\d{1,20})@(\d{1,20})")
_ONCE = {
    "#EXT-X-VERSION",
    "#EXT-X-TARGETDURATION",
    "#EXT-X-MEDIA-SEQUENCE",
    "#EXT-X-PLAYLIST-TYPE",
    "#EXT-X-INDEPENDENT-SEGMENTS",
    "#EXT-X-I-FRAMES-ONLY",
    "#EXT-X-MAP",
    "#EXT-X-ENDLIST",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One segment of a media playlist: URI, seconds, and (length, offset) in bytes for a part of a file."""

    uri: str
    duration_s: Fraction
    byte_range: tuple[int, int] | None


@dataclass(slots=True)
class MediaPlaylist:
    """A media playlist as read."""

    target_s: int = 0
    map_uri: str = ""
    i_frames_only: bool = False
    independent: bool = False
    entries: list[Entry] = field(default_factory=list)

    @property
    def duration_s(self) -> Fraction:
        """Sum of EXTINF in seconds."""
        return sum((entry.duration_s for entry in self.entries), Fraction(0))


@dataclass(slots=True)
class MultivariantPlaylist:
    """A multivariant playlist as read: attributes by name, quotes taken off; a variant's URI under "URI"."""

    variants: list[dict[str, str]] = field(default_factory=list)
    i_frames: list[dict[str, str]] = field(default_factory=list)
    media: list[dict[str, str]] = field(default_factory=list)

    def uris(self) -> list[str]:
        """Every URI it names, in order."""
        return [item["URI"] for group in (self.media, self.variants, self.i_frames) for item in group if "URI" in item]


def parse_attributes(text: str, kinds: Mapping[str, str]) -> dict[str, str]:
    """An attribute list (section 4.2), each value of the kind its name asks for. Raises `BrokenPlaylist`."""
    found: dict[str, str] = {}
    cursor = 0
    while cursor < len(text):
        match = _ATTRIBUTE.match(text, cursor)
        if match is None:
            raise BrokenPlaylist(f"no attribute at {text[cursor : cursor + 30]!r}")
        name, value, comma = match.groups()
        if name not in kinds:
            raise BrokenPlaylist(f"unknown attribute {name}")
        if name in found:
            raise BrokenPlaylist(f"{name} twice")
        if not _KINDS[kinds[name]].fullmatch(value):
            raise BrokenPlaylist(f"{name} is not {kinds[name]}: {value}")
        found[name] = value.strip('"')
        cursor = match.end()
        if comma and cursor == len(text):
            raise BrokenPlaylist("a comma after the last attribute")
    return found


def _lines(text: str) -> Iterable[tuple[str, str]]:
    """(tag, value) of each line, ("", uri) for a URI. Raises `BrokenPlaylist`."""
    lines = text.split("\n")
    if lines[0] != "#EXTM3U":
        raise BrokenPlaylist("the first line is not #EXTM3U")
    if lines[-1]:
        raise BrokenPlaylist("the last line does not end")
    seen: set[str] = set()
    for line in lines[1:-1]:
        if not line or line != line.strip():
            raise BrokenPlaylist(f"an empty line or stray space: {line!r}")
        if not line.startswith("#"):
            yield "", line
            continue
        tag, _, value = line.partition(":")
        if tag in _ONCE and tag in seen:
            raise BrokenPlaylist(f"{tag} twice")
        seen.add(tag)
        yield tag, value


def _integer(tag: str, value: str) -> int:
    if not _INTEGER.fullmatch(value):
        raise BrokenPlaylist(f"{tag} is not an integer: {value!r}")
    return int(value)


class _MediaReader:
    """Reads one media playlist line by line."""

    def __init__(self) -> None:
        self.playlist = MediaPlaylist()
        self.version = 0
        self.seen: set[str] = set()
        self.duration_s: Fraction | None = None
        self.byte_range: tuple[int, int] | None = None

    def line(self, tag: str, value: str) -> None:
        if "#EXT-X-ENDLIST" in self.seen:
            raise BrokenPlaylist("something after #EXT-X-ENDLIST")
        self.seen.add(tag)
        if tag == "":
            self._uri(value)
        elif tag in {"#EXTINF", "#EXT-X-BYTERANGE"}:
            self._segment_tag(tag, value)
        elif tag == "#EXT-X-VERSION":
            self.version = _integer(tag, value)
        elif tag == "#EXT-X-TARGETDURATION":
            self.playlist.target_s = _integer(tag, value)
        elif tag == "#EXT-X-MAP":
            self.playlist.map_uri = parse_attributes(value, {"URI": "quoted"}).get("URI", "")
        else:
            self._fixed(tag, value)

    def _fixed(self, tag: str, value: str) -> None:
        expected = {
            "#EXT-X-MEDIA-SEQUENCE": "0",
            "#EXT-X-PLAYLIST-TYPE": "VOD",
            "#EXT-X-INDEPENDENT-SEGMENTS": "",
            "#EXT-X-I-FRAMES-ONLY": "",
            "#EXT-X-ENDLIST": "",
        }
        if expected.get(tag) != value:
            raise BrokenPlaylist(f"{tag}:{value} does not belong into a finished media playlist")
        self.playlist.independent |= tag == "#EXT-X-INDEPENDENT-SEGMENTS"
        self.playlist.i_frames_only |= tag == "#EXT-X-I-FRAMES-ONLY"

    def _segment_tag(self, tag: str, value: str) -> None:
        match = (_EXTINF if tag == "#EXTINF" else _BYTE_RANGE).fullmatch(value)
        if match is None:
            raise BrokenPlaylist(f"{tag} cannot be read: {value!r}")
        if tag == "#EXTINF":
            if self.duration_s is not None:
                raise BrokenPlaylist("two #EXTINF for one segment")
            self.duration_s = Fraction(match[1])
        else:
            self.byte_range = (int(match[1]), int(match[2]))

    def _uri(self, uri: str) -> None:
        if self.duration_s is None:
            raise BrokenPlaylist(f"{uri} has no #EXTINF")
        self.playlist.entries.append(Entry(uri, self.duration_s, self.byte_range))
        self.duration_s = self.byte_range = None

    def finish(self) -> MediaPlaylist:
        playlist = self.playlist
        needed = {"#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-PLAYLIST-TYPE", "#EXT-X-MAP", "#EXT-X-ENDLIST"}
        if missing := needed - self.seen:
            raise BrokenPlaylist(f"there is no {', '.join(sorted(missing))}")
        if self.duration_s is not None or self.byte_range is not None:
            raise BrokenPlaylist("a segment's tags without its URI")
        if not playlist.entries or not playlist.map_uri:
            raise BrokenPlaylist("no segment, or no map")
        lowest = 5 if playlist.i_frames_only else 6  # section 8
        if self.version < lowest:
            raise BrokenPlaylist(f"version {self.version} where the tags need {lowest}")
        if any((entry.byte_range is not None) != playlist.i_frames_only for entry in playlist.entries):
            raise BrokenPlaylist("byte ranges belong to every entry of an I-frame playlist and to no other")
        return playlist


def parse_media(text: str) -> MediaPlaylist:
    """A finished (VOD) media playlist, strictly. Raises `BrokenPlaylist`."""
    reader = _MediaReader()
    for tag, value in _lines(text):
        reader.line(tag, value)
    return reader.finish()


def parse_multivariant(text: str) -> MultivariantPlaylist:
    """A multivariant playlist, strictly. Raises `BrokenPlaylist`."""
    playlist = MultivariantPlaylist()
    pending: dict[str, str] | None = None
    for tag, value in _lines(text):
        if (pending is not None) != (tag == ""):
            raise BrokenPlaylist(f"a variant is its tag and then its URI: {tag or value}")
        if pending is not None:
            playlist.variants.append({**pending, "URI": value})
            pending = None
        elif tag == "#EXT-X-STREAM-INF":
            pending = _required(parse_attributes(value, _STREAM), tag, "BANDWIDTH", "CODECS")
        elif tag == "#EXT-X-I-FRAME-STREAM-INF":
            playlist.i_frames.append(_required(parse_attributes(value, _STREAM), tag, "BANDWIDTH", "CODECS", "URI"))
        elif tag == "#EXT-X-MEDIA":
            playlist.media.append(_required(parse_attributes(value, _MEDIA), tag, "TYPE", "GROUP-ID", "NAME"))
        elif tag == "#EXT-X-VERSION":
            _integer(tag, value)
        elif (tag, value) != ("#EXT-X-INDEPENDENT-SEGMENTS", ""):
            raise BrokenPlaylist(f"{tag} does not belong into a multivariant playlist")
    if pending is not None or not playlist.variants:
        raise BrokenPlaylist("a variant without its URI, or no variant at all")
    _require_groups(playlist)
    return playlist


def _required(attributes: dict[str, str], tag: str, *names: str) -> dict[str, str]:
    if missing := [name for name in names if name not in attributes]:
        raise BrokenPlaylist(f"{tag} lacks {', '.join(missing)}")
    return attributes


def _require_groups(playlist: MultivariantPlaylist) -> None:
    """Section 4.4.6.1.1 and 4.4.6.2: groups exist, names are unique, at most one default a group."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for item in playlist.media:
        groups.setdefault((item["TYPE"], item["GROUP-ID"]), []).append(item)
    for (_, group), items in groups.items():
        if len({item["NAME"] for item in items}) != len(items):
            raise BrokenPlaylist(f"two renditions of group {group} share a name")
        if sum(item.get("DEFAULT") == "YES" for item in items) > 1:
            raise BrokenPlaylist(f"group {group} has two defaults")
    for variant in playlist.variants:
        for kind in ("AUDIO", "SUBTITLES"):
            if kind in variant and (kind, variant[kind]) not in groups:
                raise BrokenPlaylist(f"{kind} group {variant[kind]} is not declared")
