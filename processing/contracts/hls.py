"""What must hold of a packaged source: playlists, DASH manifest and segments tell one and the same true story.

Belongs here: the clauses over the whole artifact, read from its files alone. Does not belong here: what holds of one
track by itself (cmaf). Where the products of the passes are at hand, counts and lengths are compared with theirs.
"""

from __future__ import annotations

import itertools
import math
import posixpath
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from processing.contracts.clauses import expect, failed, passed, warned
from processing.contracts.cmaf import TrackFound, is_vacuous, largest_difference, read_track
from processing.contracts.payloads import carried_by, other_than_published
from processing.failures import WorkFailure
from processing.manifest import Outcome, Verdict
from processing.picture import dash, playlists
from processing.picture.hls import CHUNK_FILE, SOUND_FILE, rung_inputs, sound_inputs
from processing.picture.playlists import BrokenPlaylist, MediaPlaylist, MultivariantPlaylist
from processing.picture.rates import average_bps, peak_segment_bps, peak_window_bps
from processing.work import Input, Task

ROUNDING_S = Fraction(1, 1_000_000)  # EXTINF and the manifest's times have six decimals
SOUND_SLACK_S = Fraction(2048, 44_100)  # two AAC packets: what an encoder's delay and a last packet may add or hide
SAME_PICTURE_WITHIN = 24.0  # mean luma difference of two rungs of one picture; codecs at low rates stay below 8
_CMAF_CLAUSES = ("init segments", "segments whole", "starts with a key frame", "times continuous", "decodes")
TRACKS_AT_ONCE = 2
_SHOWN = 3  # troubles quoted in a verdict; the count says how many more there are


@dataclass(slots=True)
class _Found:
    """The artifact as read: its playlists by path, its tracks by folder."""

    root: Path
    master: MultivariantPlaylist = field(default_factory=MultivariantPlaylist)
    media: dict[str, MediaPlaylist] = field(default_factory=dict)
    i_frames: dict[str, MediaPlaylist] = field(default_factory=dict)
    tracks: dict[str, TrackFound] = field(default_factory=dict)

    @property
    def rungs(self) -> list[TrackFound]:
        return [track for track in self.tracks.values() if track.track and not track.track.rate_hz]

    @property
    def sound(self) -> list[TrackFound]:
        return [track for track in self.tracks.values() if track.track and track.track.rate_hz]


def check(task: Task) -> list[Verdict]:
    """Judge a packaged source. A clause that others stand on ends the judgement when it fails."""
    if task.made is None:
        raise ValueError("a contract needs what was made")
    found = _Found(task.made.folder)
    broken = _read_playlists(found)
    if broken:
        return [failed("playlists parse", broken, "the grammar of RFC 8216bis")]
    verdicts = [passed("playlists parse", f"{1 + len(found.media) + len(found.i_frames)} playlists")]
    verdicts.append(_files(found, task.made))
    if verdicts[-1].outcome is Outcome.FAILED:
        return verdicts
    found.tracks = _read_tracks(found, task.scratch / "judge")
    verdicts += [_cmaf(clause, found) for clause in _CMAF_CLAUSES]
    if any(not track.segments or "times continuous" in track.troubles for track in found.tracks.values()):
        return verdicts
    verdicts += [
        _counts(found, task.inputs),
        _times(found, task.inputs),
        *_remuxed(found, task.inputs),
        _extinf(found),
        _target(found),
        _aligned(found),
        _key_frame_ranges(found),
        _codecs(found),
        _rates(found),
        _manifest(found),
        _covers(found, task.inputs),
        _same_pictures(found),
        *_vacuous(found),
    ]
    return verdicts


def _read_tracks(found: _Found, scratch: Path) -> dict[str, TrackFound]:
    """Every track, two at a time: this stands between the last chunk of a source and its release."""

    def read(path: str) -> TrackFound:
        playlist = found.media[path]
        names = [entry.uri for entry in playlist.entries]
        folder = posixpath.dirname(path)
        return read_track(found.root, folder, names, playlist.map_uri, scratch / folder)

    with ThreadPoolExecutor(TRACKS_AT_ONCE) as threads:
        return {track.folder: track for track in threads.map(read, found.media)}


def _verdict(clause: str, troubles: Iterable[str], good: str = "") -> Verdict:
    """One verdict of a clause from the sentences that speak against it."""
    listed = list(troubles)
    if not listed:
        return passed(clause, good)
    more = f" (and {len(listed) - _SHOWN} more)" if len(listed) > _SHOWN else ""
    return failed(clause, "; ".join(listed[:_SHOWN]) + more)


def _read_playlists(found: _Found) -> str:
    """Fill in the playlists; returns why one cannot be read, or an empty text."""
    path = playlists.MASTER_NAME
    try:
        found.master = playlists.parse_multivariant(_text(found.root / path))
        for path in dict.fromkeys(item["URI"] for item in [*found.master.media, *found.master.variants]):
            found.media[path] = playlists.parse_media(_text(found.root / path))
        for item in found.master.i_frames:
            path = item["URI"]
            found.i_frames[path] = playlists.parse_media(_text(found.root / path))
    except (OSError, ValueError, KeyError, BrokenPlaylist) as error:
        return f"{path}: {error}"
    mixed = [path for path, item in found.media.items() if item.i_frames_only or not item.independent]
    mixed += [path for path, item in found.i_frames.items() if not item.i_frames_only]
    return f"{mixed[0]} is not the kind of playlist that the master says" if mixed else ""


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def _files(found: _Found, made: Input) -> Verdict:
    """Every file that is named exists and no other does."""
    named = {playlists.MASTER_NAME, dash.MANIFEST_NAME, *found.media, *found.i_frames}
    for path, playlist in {**found.media, **found.i_frames}.items():
        folder = posixpath.dirname(path)
        uris = [playlist.map_uri, *(entry.uri for entry in playlist.entries)]
        named |= {posixpath.normpath(posixpath.join(folder, uri)) for uri in uris}
        listed = [entry.uri for entry in playlist.entries]
        if not playlist.i_frames_only and len(set(listed)) != len(listed):
            return failed("files named", f"{path} names a segment twice")
    there = {entry.path for entry in made.files}
    missing = [f"{name} is named but missing" for name in sorted(named - there)]
    extra = [f"{name} is there but not named" for name in sorted(there - named)]
    return _verdict("files named", missing + extra, f"{len(there)} files")


def _cmaf(clause: str, found: _Found) -> Verdict:
    troubles = [text for track in found.tracks.values() for text in track.troubles.get(clause, [])]
    return _verdict(clause, troubles, f"{len(found.tracks)} tracks")


def _counts(found: _Found, inputs: Mapping[str, Input]) -> Verdict:
    """Every rung has every frame: as many as each other and as the encoder was given."""
    given: dict[str, int] = {}
    for name, item in inputs.items():
        if name.startswith("ladder/") and "frames" in item.facts:
            rung = name.split("/")[1]
            given[rung] = given.get(rung, 0) + int(item.facts["frames"])
    troubles = []
    for track in found.rungs:
        expected = given.get(posixpath.basename(track.folder), found.rungs[0].samples)
        if track.samples != expected:
            troubles.append(f"{track.folder}: {track.samples} frames of {expected}")
    return _verdict("every frame there", troubles, ", ".join(f"{t.folder} {t.samples}" for t in found.rungs))


def _times(found: _Found, inputs: Mapping[str, Input]) -> Verdict:
    """Key frames are at the ticks at which the encoder was told to put them."""
    troubles = []
    for track in found.rungs:
        prefix = f"ladder/{posixpath.basename(track.folder)}/"
        chunks = [item.facts for name, item in sorted(inputs.items()) if name.startswith(prefix)]
        if not chunks or any("key_frames" not in facts for facts in chunks):
            continue
        told = sorted(ticks for facts in chunks for ticks in facts["key_frames"])
        there = [ticks for segment in track.segments for ticks in segment.key_starts]
        wrong = [pair for pair in zip(told, there, strict=False) if pair[0] != pair[1]]
        if wrong:
            troubles.append(f"{track.folder}: a key frame of {wrong[0][0]} is at {wrong[0][1]}")
        elif len(told) != len(there):
            troubles.append(f"{track.folder}: {len(there)} key frames of {len(told)}")
    return _verdict("key frames where encoded", troubles)


def _remuxed(found: _Found, inputs: Mapping[str, Input]) -> list[Verdict]:
    """Every sample of every track is the packet that the passes made, at the time they gave it.

    Then it decodes as it did there, frames between key frames too.
    """
    rungs, sound = rung_inputs(inputs), sound_inputs(inputs)
    made = {f"video/{height}": [chunk.path(CHUNK_FILE) for chunk in chunks] for height, chunks in rungs.items()}
    made |= {f"audio/{number}": [track.path(SOUND_FILE)] for number, track in sound.items()}
    judged = [(chunk, CHUNK_FILE) for chunks in rungs.values() for chunk in chunks]
    judged += [(track, SOUND_FILE) for track in sound.values()]
    changed, moved = [text for item, path in judged if (text := other_than_published(item, path))], []
    changed += [f"{folder} is missing" for folder in sorted(made.keys() - found.tracks.keys())]
    for folder, track in found.tracks.items():
        if folder not in made:
            changed.append(f"{folder}: there is no product it could be of")
            continue
        try:
            due = carried_by(made[folder], track.carried.timescale)
        except (WorkFailure, ValueError) as error:
            changed.append(f"{folder}: its product cannot be read ({error})")
            continue
        changed += [f"{folder}: {difference}" for difference in [track.carried.other_bytes(due)] if difference]
        moved += [f"{folder}: {difference}" for difference in [track.carried.other_times(due)] if difference]
    return [
        _verdict("samples as encoded", changed, f"{len(found.tracks)} tracks"),
        _verdict("samples where encoded", moved, f"{len(found.tracks)} tracks"),
    ]


def _extinf(found: _Found) -> Verdict:
    """EXTINF is what the segment's boxes say, and the sum what the track lasts."""
    troubles = []
    for path, playlist in found.media.items():
        track = found.tracks[posixpath.dirname(path)]
        bounds = track.bounds_s()
        for entry, start, end in zip(playlist.entries, bounds, bounds[1:], strict=False):
            if abs(entry.duration_s - (end - start)) > ROUNDING_S:
                troubles.append(f"{path}: {entry.uri} says {float(entry.duration_s)} s, lasts {float(end - start):.6f}")
        if len(playlist.entries) != len(bounds) - 1 or abs(playlist.duration_s - (bounds[-1] - bounds[0])) > ROUNDING_S:
            lasts_s = float(bounds[-1] - bounds[0])
            troubles.append(f"{path}: the sum is {float(playlist.duration_s)} s, not {lasts_s:.6f}")
    return _verdict("EXTINF exact", troubles)


def _target(found: _Found) -> Verdict:
    """RFC 8216bis section 4.4.3.1: no EXTINF, rounded to the nearest integer, is above the target duration."""
    troubles = []
    longest = max(int(entry.duration_s + Fraction(1, 2)) for item in found.media.values() for entry in item.entries)
    for path, playlist in {**found.media, **found.i_frames}.items():
        over = [entry for entry in playlist.entries if int(entry.duration_s + Fraction(1, 2)) > playlist.target_s]
        troubles += [f"{path}: {entry.uri} lasts {float(entry.duration_s)} s" for entry in over]
        if playlist.target_s > max(1, longest):
            troubles.append(f"{path}: {playlist.target_s} s where the longest segment needs {max(1, longest)}")
    return _verdict("target duration", troubles)


def _aligned(found: _Found) -> Verdict:
    """Segments and key frames of all rungs start at the same ticks."""
    grids = [
        (track.folder, [(segment.start, segment.duration, segment.key_starts) for segment in track.segments])
        for track in found.rungs
    ]
    troubles = [f"{folder} does not line up with {grids[0][0]}" for folder, grid in grids[1:] if grid != grids[0][1]]
    return _verdict("rungs aligned", troubles)


def _key_frame_ranges(found: _Found) -> Verdict:
    """Every byte range of an I-frame playlist is one fragment's header with its key frame, and none is left out."""
    troubles = []
    if {posixpath.dirname(path) for path in found.i_frames} != {track.folder for track in found.rungs}:
        troubles.append("not every rung has an I-frame playlist")
    for path, playlist in found.i_frames.items():
        track = found.tracks[posixpath.dirname(path)]
        expected = [(segment.name, at) for segment in track.segments for at in segment.key_ranges]
        if [(entry.uri, entry.byte_range) for entry in playlist.entries] != expected:
            troubles.append(f"{path} does not name exactly the key frames")
        starts = [start for segment in track.segments for start in segment.key_starts]
        scale = track.track.timescale if track.track else 1
        bounds = [*(Fraction(start, scale) for start in starts), track.end_s]
        lengths = [end - start for start, end in itertools.pairwise(bounds)]
        shown = [entry.duration_s for entry in playlist.entries]
        if any(abs(a - b) > ROUNDING_S for a, b in zip(lengths, shown, strict=False)):
            troubles.append(f"{path}: a key frame's time is not the one until the next")
    return _verdict("I-frame playlists", troubles)


def _sound_of(found: _Found, variant: Mapping[str, str]) -> list[TrackFound]:
    """The audio tracks that may play with a variant: those of its group, each once."""
    group = variant.get("AUDIO")
    folders = [posixpath.dirname(item["URI"]) for item in found.master.media if item["GROUP-ID"] == group]
    return [found.tracks[folder] for folder in folders]


def _codecs(found: _Found) -> Verdict:
    """CODECS and RESOLUTION are what the init segments say; every audio rendition states its channels."""
    troubles = []
    for variant in [*found.master.variants, *found.master.i_frames]:
        track = found.tracks[posixpath.dirname(variant["URI"])]
        tracks = [track, *_sound_of(found, variant)]
        real = {item.track.codecs for item in tracks if item.track}
        stated = variant["CODECS"].split(",")
        if set(stated) != real or len(stated) != len(set(stated)):
            troubles.append(f"{variant['URI']}: CODECS {variant['CODECS']}, really {','.join(sorted(real))}")
        size = f"{track.track.width}x{track.track.height}" if track.track and track.track.width else None
        if variant.get("RESOLUTION") != size:
            troubles.append(f"{variant['URI']}: RESOLUTION {variant.get('RESOLUTION')}, really {size}")
    for item in found.master.media:
        real_track = found.tracks[posixpath.dirname(item["URI"])].track
        if real_track and item.get("CHANNELS") != str(real_track.channels):
            troubles.append(f"{item['URI']}: CHANNELS {item.get('CHANNELS')}, really {real_track.channels}")
    return _verdict("CODECS and RESOLUTION true", troubles)


def _peak_bps(track: TrackFound, target_s: int) -> int:
    bounds = track.bounds_s()
    segments = [
        (end - start, segment.bytes) for segment, start, end in zip(track.segments, bounds, bounds[1:], strict=False)
    ]
    timescale = track.track.timescale if track.track else 1
    return max(peak_segment_bps(segments, target_s), peak_window_bps(track.pieces, timescale))


def _average_bps(track: TrackFound) -> int:
    return average_bps(track.bytes, track.end_s - track.start_s)


def _rates(found: _Found) -> Verdict:
    """No segment and no window of two seconds needs more than BANDWIDTH; AVERAGE-BANDWIDTH is the average.

    More than a tenth above the true peak is as wrong as below: a player would choose a lower rung than it could.
    """
    troubles = []
    target_s = max(item.target_s for item in found.media.values())
    for variant in found.master.variants:
        picture = [track for track in found.rungs if track.folder == posixpath.dirname(variant["URI"])]
        sound = _sound_of(found, variant)
        peak = sum(_peak_bps(item, target_s) for item in picture)
        peak += max((_peak_bps(item, target_s) for item in sound), default=0)
        average = sum(map(_average_bps, picture)) + max(map(_average_bps, sound), default=0)
        stated = int(variant["BANDWIDTH"])
        if not peak <= stated <= peak * 11 // 10 + 2_000:
            troubles.append(f"{variant['URI']}: BANDWIDTH {stated}, the peak is {peak}")
        if abs(int(variant.get("AVERAGE-BANDWIDTH", 0)) - average) > math.ceil(average / 100):
            troubles.append(f"{variant['URI']}: AVERAGE-BANDWIDTH {variant.get('AVERAGE-BANDWIDTH')}, really {average}")
    for variant in found.master.i_frames:
        playlist = found.i_frames[variant["URI"]]
        sizes = [(entry.duration_s, entry.byte_range[0]) for entry in playlist.entries if entry.byte_range]
        peak = max(math.ceil(size * 8 / length) for length, size in sizes)
        if int(variant["BANDWIDTH"]) < peak:
            troubles.append(f"{variant['URI']}: BANDWIDTH {variant['BANDWIDTH']}, the peak is {peak}")
    return _verdict("BANDWIDTH true", troubles)


def _manifest(found: _Found) -> Verdict:
    """The DASH manifest names the same segments at the same times as the playlists."""
    try:
        root = ET.fromstring(_text(found.root / dash.MANIFEST_NAME))  # noqa: S314  # written by this house, no entities
        described = dict(_described(root))
    except (OSError, ValueError, ET.ParseError, KeyError) as error:
        return failed("DASH manifest agrees", f"cannot be read ({error})", "an MPD")
    troubles = []
    if set(described) != set(found.tracks):
        troubles.append(f"it describes {sorted(described)}, there are {sorted(found.tracks)}")
    for folder in sorted(set(described) & set(found.tracks)):
        troubles += _manifest_of_track(found, folder, described[folder])
    length_s = max(track.end_s for track in found.tracks.values())
    stated = root.get("mediaPresentationDuration", "")
    if stated != dash.duration(length_s):
        troubles.append(f"it lasts {stated}, the media {dash.duration(length_s)}")
    return _verdict("DASH manifest agrees", troubles)


@dataclass(frozen=True, slots=True)
class _Described:
    """One representation as the manifest has it."""

    codecs: str
    bandwidth: int
    timescale: int
    size: tuple[str | None, str | None]
    bounds: list[int]
    names: list[str]
    init: str


def _described(root: ET.Element) -> Iterable[tuple[str, _Described]]:
    """Representations by folder, templates and timeline expanded. Raises KeyError or ValueError."""
    space = {"m": dash.NAMESPACE}
    for adaptation in root.iterfind("m:Period/m:AdaptationSet", space):
        template = adaptation.find("m:SegmentTemplate", space)
        if template is None:
            raise ValueError("an adaptation set has no template")
        bounds = _timeline(template.iterfind("m:SegmentTimeline/m:S", space))
        first = int(template.attrib["startNumber"])
        for representation in adaptation.iterfind("m:Representation", space):
            attributes = representation.attrib
            media = template.attrib["media"].replace("$RepresentationID$", attributes["id"])
            init = template.attrib["initialization"].replace("$RepresentationID$", attributes["id"])
            numbers = range(first, first + len(bounds) - 1)
            paths = [media.replace("$Number%05d$", f"{number:05d}") for number in numbers]
            described = _Described(
                codecs=attributes["codecs"],
                bandwidth=int(attributes["bandwidth"]),
                timescale=int(template.attrib["timescale"]),
                size=(attributes.get("width"), attributes.get("height")),
                bounds=bounds,
                names=[posixpath.basename(path) for path in paths],
                init=posixpath.basename(init),
            )
            yield posixpath.dirname(media), described


def _timeline(entries: Iterable[ET.Element]) -> list[int]:
    bounds: list[int] = []
    for entry in entries:
        if not bounds:
            bounds.append(int(entry.attrib["t"]))
        for _ in range(int(entry.get("r", "0")) + 1):
            bounds.append(bounds[-1] + int(entry.attrib["d"]))
    return bounds


def _manifest_of_track(found: _Found, folder: str, described: _Described) -> list[str]:
    track = found.tracks[folder]
    playlist = next(item for path, item in found.media.items() if posixpath.dirname(path) == folder)
    if track.track is None:
        return []
    troubles = []
    if described.names != [entry.uri for entry in playlist.entries] or described.init != playlist.map_uri:
        troubles.append(f"{folder}: other segments than the playlist")
    if [Fraction(bound, described.timescale) for bound in described.bounds] != track.bounds_s():
        troubles.append(f"{folder}: the timeline is not that of the segments")
    size = (str(track.track.width), str(track.track.height)) if track.track.width else (None, None)
    if (described.codecs, described.size) != (track.track.codecs, size):
        troubles.append(f"{folder}: codecs or size are not those of the init segment")
    if described.bandwidth < _peak_bps(track, playlist.target_s):
        troubles.append(f"{folder}: bandwidth {described.bandwidth} is below the peak")
    return troubles


def _covers(found: _Found, inputs: Mapping[str, Input]) -> Verdict:
    """Pictures last as long as media_info says, within a frame; sound as long as what the sound pass made."""
    troubles = []
    info: Mapping[str, Any] = inputs["media_info"].facts if "media_info" in inputs else {}
    video = info.get("video")
    if video and not found.rungs:
        troubles.append("the source has pictures, the package has none")
    if video and found.rungs:
        scale = int(video["timescale"])
        frame_s = Fraction(int(video["end"]) - int(video["start"]), scale) / max(1, int(video["frame_count"]))
        end_s = Fraction(int(video["end"]), scale)
        late = [track for track in found.rungs if abs(track.end_s - end_s) > frame_s]
        troubles += [f"{t.folder} ends at {float(t.end_s)} s, the source at {float(end_s)}" for t in late]
    made = {name: item for name, item in inputs.items() if name.startswith("aac/") and item.facts.get("samples")}
    if len(made) != len(found.sound) and inputs:
        troubles.append(f"{len(found.sound)} audio tracks of {len(made)}")
    for name, item in made.items():
        heard = found.tracks.get(name.replace("aac/", "audio/"))
        length_s = Fraction(int(item.facts["samples"]), int(item.facts["rate_hz"]))
        if heard is not None and abs(heard.end_s - length_s) > SOUND_SLACK_S:
            troubles.append(f"{heard.folder} ends at {float(heard.end_s)} s, the sound at {float(length_s)}")
    return _verdict("covers the source", troubles)


def _same_pictures(found: _Found) -> Verdict:
    """At every key frame the rungs show the same picture."""
    troubles = []
    worst = 0.0
    for track in found.rungs[1:]:
        difference, at = largest_difference(found.rungs[0], track)
        worst = max(worst, difference)
        if difference > SAME_PICTURE_WITHIN:
            troubles.append(f"{track.folder} at tick {at} differs by {difference:.0f} from {found.rungs[0].folder}")
    return _verdict("rungs show the same", troubles, f"{worst:.1f} of 255")


def _vacuous(found: _Found) -> list[Verdict]:
    """A source may be black or still throughout, so that this is for a person to look at."""
    reasons = [f"{track.folder}: {reason}" for track in found.rungs if (reason := is_vacuous(track))]
    if not found.rungs:
        return []
    return [warned("shows something", "; ".join(reasons))] if reasons else [expect("shows something", condition=True)]
