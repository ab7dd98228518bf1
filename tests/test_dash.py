"""The DASH manifest: what it says, and that it says it in the schema's order."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from fractions import Fraction

import pytest

from processing.picture import dash
from processing.picture.playlists import AudioRendition
from processing.picture.segments import PackagedTrack, Segment

SPACE = {"m": dash.NAMESPACE}
# Children of an AdaptationSet in the order of the schema's sequence (ISO/IEC 23009-1, 5.3.3.2 and 5.3.7.2).
ORDER = ["AudioChannelConfiguration", "Label", "Role", "SegmentTemplate", "Representation"]


def track(folder: str, lengths: list[int], *, start: int = 0, timescale: int = 90_000, **more) -> PackagedTrack:
    segments, at = [], start
    for length in lengths:
        segments.append(Segment(at, length, 1000))
        at += length
    pieces = tuple((segment.start, segment.bytes) for segment in segments)
    codecs = "mp4a.40.2" if "channels" in more else "avc1.64001f"
    return PackagedTrack(folder, timescale, codecs, tuple(segments), (), pieces, len(lengths), **more)


def parsed(rungs, renditions=(), frame_rate=Fraction(30_000, 1001)) -> ET.Element:
    text = dash.manifest(
        [(rung, 1_000_000) for rung in rungs], list(renditions), frame_rate=frame_rate if rungs else None, target_s=6
    )
    return ET.fromstring(text)


@pytest.fixture
def both() -> ET.Element:
    rungs = [
        track("video/720", [540_000, 540_000, 225_000], width=1280, height=720),
        track("video/360", [540_000, 540_000, 225_000], width=640, height=360),
    ]
    sound = [
        AudioRendition(track("audio/0", [288_768], timescale=48_000, channels=2), 'Mix "A" & B', "de", True, True),
        AudioRendition(track("audio/1", [288_768], timescale=48_000, channels=6), "Other", None, False, True),
    ]
    return parsed(rungs, sound)


def test_one_adaptation_set_holds_all_rungs_and_each_track_has_its_own(both):
    sets = both.findall("m:Period/m:AdaptationSet", SPACE)
    assert [item.get("contentType") for item in sets] == ["video", "audio", "audio"]
    assert [item.get("lang") for item in sets] == [None, "de", None]
    assert [r.get("id") for r in sets[0].findall("m:Representation", SPACE)] == ["720", "360"]
    assert sets[0].get("frameRate") == "30000/1001"
    assert [item.find("m:Label", SPACE).text for item in sets[1:]] == ['Mix "A" & B', "Other"]
    assert [item.find("m:Role", SPACE).get("value") for item in sets[1:]] == ["main", "alternate"]
    assert [item.find("m:Representation/m:AudioChannelConfiguration", SPACE).get("value") for item in sets[1:]] == [
        "2",
        "6",
    ]


def test_ids_are_unique(both):
    ids = [r.get("id") for r in both.iterfind(".//m:Representation", SPACE)]
    assert len(set(ids)) == len(ids)


def test_neighbours_of_one_length_are_one_entry(both):
    entries = [dict(entry.attrib) for entry in both.find(".//m:SegmentTimeline", SPACE)]
    assert entries == [{"t": "0", "d": "540000", "r": "1"}, {"d": "225000"}]


def test_a_picture_that_starts_late_starts_late_in_the_timeline_too():
    root = parsed([track("video/720", [540_000], start=126_000, width=2, height=2)])
    assert root.find(".//m:S", SPACE).get("t") == "126000"
    assert root.get("mediaPresentationDuration") == "PT7.400000S"


def test_the_longest_of_all_tracks_is_the_presentation_s_length():
    sound = AudioRendition(track("audio/0", [480_000], timescale=48_000, channels=2), "A", "en", True, True)
    assert parsed([track("video/1", [90_000], width=2, height=2)], [sound]).get("mediaPresentationDuration") == (
        "PT10.000000S"
    )


def test_children_come_in_the_order_of_the_schema(both):
    for adaptation in both.iterfind("m:Period/m:AdaptationSet", SPACE):
        places = [ORDER.index(child.tag.partition("}")[2]) for child in adaptation]
        assert places == sorted(places)


def test_sound_alone_needs_no_picture():
    sound = AudioRendition(track("audio/0", [480_000], timescale=48_000, channels=1), "A", None, True, True)
    sets = parsed([], [sound]).findall("m:Period/m:AdaptationSet", SPACE)
    assert [item.get("contentType") for item in sets] == ["audio"]


def test_a_moved_manifest_finds_its_segments_one_folder_down(both):
    text = dash.moved(ET.tostring(both, encoding="unicode").replace("ns0:", ""), "hls")
    assert "  <BaseURL>hls/</BaseURL>\n  <Period " in text
    root = ET.fromstring(
        dash.moved(dash.manifest([(track("v/1", [9], width=2, height=2), 1)], [], frame_rate=None, target_s=1), "hls")
    )
    assert [child.tag.partition("}")[2] for child in root] == ["BaseURL", "Period"]
