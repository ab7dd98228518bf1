"""The DASH manifest (ISO/IEC 23009-1) over the segments that HLS uses.

Belongs here: the MPD as text. Does not belong here: segments (segments) or the HLS playlists (playlists).

The live profile with SegmentTimeline and `$Number$` in a static manifest: times are exact where segments differ in
length, and every URI is one of those in the playlists.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from fractions import Fraction

from processing.picture.playlists import AudioRendition, SubtitleRendition, decimal
from processing.picture.rates import stated_bps
from processing.picture.segments import INIT_NAME, PackagedTrack, Segment

MANIFEST_NAME = "manifest.mpd"
NAMESPACE = "urn:mpeg:dash:schema:mpd:2011"
PROFILE = "urn:mpeg:dash:profile:isoff-live:2011"
_SET_ID = re.compile(r'<AdaptationSet id="(\d+)"')
_CHANNELS_SCHEME = "urn:mpeg:mpegB:cicp:ChannelConfiguration"
_CONFIGURATION_OF = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 8: 12}  # ISO/IEC 23091-3; AAC's own for up to six channels


def manifest(
    rungs: Sequence[tuple[PackagedTrack, int]],
    renditions: Sequence[AudioRendition],
    *,
    frame_rate: Fraction | None,
    target_s: int,
) -> str:
    """The MPD of the rungs (track, peak bits a second) and the audio renditions; `target_s` as in the playlists."""
    tracks = [*(track for track, _ in rungs), *(rendition.track for rendition in renditions)]
    length_s = max(Fraction(track.end, track.timescale) for track in tracks)
    longest_s = max(Fraction(segment.duration, track.timescale) for track in tracks for segment in track.segments)
    root = ET.Element(
        "MPD",
        {
            "xmlns": NAMESPACE,
            "profiles": PROFILE,
            "type": "static",
            "mediaPresentationDuration": duration(length_s),
            "maxSegmentDuration": duration(longest_s),
            "minBufferTime": f"PT{target_s}S",
        },
    )
    period = ET.SubElement(root, "Period", {"id": "0", "start": "PT0S"})
    if rungs:
        _video_set(period, rungs, frame_rate)
    for index, rendition in enumerate(renditions):
        _audio_set(period, index + 1, rendition, target_s)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def moved(mpd: str, folder: str) -> str:
    """A manifest as it reads from the folder above: all its URIs are below `folder`."""
    return mpd.replace("  <Period ", f"  <BaseURL>{folder}/</BaseURL>\n  <Period ", 1)


def with_subtitles(mpd: str, renditions: Sequence[SubtitleRendition], files: Sequence[str]) -> str:
    """A manifest with text tracks: each a WebVTT file of its own (`files`), relative to the manifest itself."""
    sets = []
    free = 1 + max(int(known) for known in _SET_ID.findall(mpd))
    for number, (rendition, file) in enumerate(zip(renditions, files, strict=True)):
        attributes = {"id": str(free + number), "contentType": "text", "mimeType": "text/vtt"}
        if rendition.language:
            attributes["lang"] = rendition.language
        adaptation = ET.Element("AdaptationSet", attributes)
        ET.SubElement(adaptation, "Label").text = rendition.name
        role = "forced-subtitle" if rendition.is_forced else "subtitle"
        if rendition.hearing_impaired:
            role = "caption"
        ET.SubElement(adaptation, "Role", {"schemeIdUri": "urn:mpeg:dash:role:2011", "value": role})
        representation = ET.SubElement(adaptation, "Representation", {"id": f"text-{number}", "bandwidth": "256"})
        ET.SubElement(representation, "BaseURL").text = file
        ET.indent(adaptation, level=2)
        sets.append("    " + ET.tostring(adaptation, encoding="unicode").strip() + "\n")
    return mpd.replace("  </Period>", "".join(sets) + "  </Period>", 1)


def duration(seconds: Fraction) -> str:
    """xs:duration in seconds, to the microsecond."""
    return f"PT{decimal(seconds, 6)}S"


def _video_set(period: ET.Element, rungs: Sequence[tuple[PackagedTrack, int]], frame_rate: Fraction | None) -> None:
    widest = max(track.width for track, _ in rungs)
    tallest = max(track.height for track, _ in rungs)
    attributes = {
        "id": "0",
        "contentType": "video",
        "mimeType": "video/mp4",
        "segmentAlignment": "true",
        "startWithSAP": "1",
        "maxWidth": str(widest),
        "maxHeight": str(tallest),
    }
    if frame_rate is not None:
        attributes["frameRate"] = _ratio(frame_rate)
    adaptation = ET.SubElement(period, "AdaptationSet", attributes)
    first = rungs[0][0]
    parent = first.folder.rpartition("/")[0]
    _template(adaptation, f"{parent}/$RepresentationID$", first)
    for track, peak_bps in rungs:
        ET.SubElement(
            adaptation,
            "Representation",
            {
                "id": track.folder.rpartition("/")[2],
                "bandwidth": str(peak_bps),
                "codecs": track.codecs,
                "width": str(track.width),
                "height": str(track.height),
                "sar": "1:1",
            },
        )


def _audio_set(period: ET.Element, index: int, rendition: AudioRendition, target_s: int) -> None:
    track = rendition.track
    attributes = {
        "id": str(index),
        "contentType": "audio",
        "mimeType": "audio/mp4",
        "segmentAlignment": "true",
        "startWithSAP": "1",
    }
    if rendition.language:
        attributes["lang"] = rendition.language
    adaptation = ET.SubElement(period, "AdaptationSet", attributes)
    ET.SubElement(adaptation, "Label").text = rendition.name
    role = "main" if rendition.is_default else "alternate"
    ET.SubElement(adaptation, "Role", {"schemeIdUri": "urn:mpeg:dash:role:2011", "value": role})
    _template(adaptation, track.folder, track)
    representation = ET.SubElement(
        adaptation,
        "Representation",
        {
            "id": f"audio-{index - 1}",
            "bandwidth": str(stated_bps(track.peak_bps(target_s))),
            "codecs": track.codecs,
            "audioSamplingRate": str(track.timescale),
        },
    )
    configuration = _CONFIGURATION_OF.get(track.channels)
    if configuration is not None:
        ET.SubElement(
            representation,
            "AudioChannelConfiguration",
            {"schemeIdUri": _CHANNELS_SCHEME, "value": str(configuration)},
        )


def _template(parent: ET.Element, folder: str, track: PackagedTrack) -> None:
    template = ET.SubElement(
        parent,
        "SegmentTemplate",
        {
            "timescale": str(track.timescale),
            "initialization": f"{folder}/{INIT_NAME}",
            "media": f"{folder}/$Number%05d$.m4s",
            "startNumber": "0",
        },
    )
    timeline = ET.SubElement(template, "SegmentTimeline")
    for start, length, repeats in _runs(track.segments):
        entry = {"t": str(start)} if len(timeline) == 0 else {}
        entry["d"] = str(length)
        if repeats:
            entry["r"] = str(repeats)
        ET.SubElement(timeline, "S", entry)


def _runs(segments: Sequence[Segment]) -> list[tuple[int, int, int]]:
    """(start, duration, further repeats) of each run of neighbours that last equally long."""
    runs: list[tuple[int, int, int]] = []
    for segment in segments:
        if runs and runs[-1][1] == segment.duration:
            start, length, repeats = runs[-1]
            runs[-1] = (start, length, repeats + 1)
        else:
            runs.append((segment.start, segment.duration, 0))
    return runs


def _ratio(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{value.numerator}/{value.denominator}"
