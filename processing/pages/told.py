"""What a page tells of a source, as one JSON value: what plays, what is where on its timeline, what was said.

Belongs here: reading the outputs of other assets into that value. Does not belong here: their making, tables and prose
(tables), markup (templates).

Times are milliseconds from time 0 of the source's timeline, which is that of players too. Whatever is absent is null or
empty: a page is made of what there is. What there are thousands of are lists and no objects, to keep a page small.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from processing import webvtt
from processing.pages.dossier_plan import MEDIA
from processing.picture.playlists import MASTER_NAME
from processing.release import SOUND, SOUND_FILE, Links, link_to, sound_name
from processing.timeline import to_seconds
from processing.work import Input

MS = 1000
HEARD = "Automatic"
Json = dict[str, Any]


def told_of(inputs: Mapping[str, Input], rules: Mapping[str, int]) -> Json:
    """All that the page's script works with."""
    info = inputs["media_info"].facts
    return {
        "kind": info["kind"],
        "duration_ms": _ms_of(info.get("duration")),
        "size": _size(info),
        "play": play_of(inputs),
        "shots": shots_of(inputs.get("scenes"), rules["most_shots"]),
        "storyboard": storyboard_of(inputs.get("storyboard")),
        "wave": wave_of(inputs.get("waveform"), rules["wave_points"]),
        "loudness": loudness_of(inputs.get("loudness"), rules["curve_points"]),
        "texts": texts_of(inputs),
        "transcript": transcript_of(inputs.get("transcript"), rules["most_words"]),
        "screen": screen_of(inputs.get("screen_text"), rules["most_lines"]),
        "summary": summary_of(inputs.get("summary")),
        "labels": labels_of(inputs.get("labels")),
    }


def links_of(inputs: Mapping[str, Input]) -> Links:
    """The files of other artifacts that the page shows or plays, by their names below its folder."""
    links: Links = {}

    def link(name: str, item: Input, path: str) -> None:
        links[f"{MEDIA}/{name}"] = link_to(item, path)

    if "hls" in inputs:
        link("hls", inputs["hls"], "")
    if "proxy" in inputs:
        link("proxy.mp4", inputs["proxy"], str(inputs["proxy"].facts["file"]))
    if "poster" in inputs:
        link("poster.jpg", inputs["poster"], str(inputs["poster"].facts["poster"]))
    for sheet in inputs["storyboard"].facts["sheets"] if "storyboard" in inputs else ():
        link(sheet["file"], inputs["storyboard"], sheet["file"])
    if "scenes" in inputs and any(entry.path.startswith("shots/") for entry in inputs["scenes"].files):
        link("scenes", inputs["scenes"], "")
    if "thumbnails" in inputs:
        link("still.jpg", inputs["thumbnails"], _largest_still(inputs["thumbnails"]))
    for asset, files in (("captions", (".vtt", ".srt")), ("transcript", (".json",)), ("summary", ("summary.json",))):
        for entry in inputs[asset].files if asset in inputs else ():
            if entry.path.endswith(files):
                link(entry.path, inputs[asset], entry.path)
    for name in _sounds(inputs):
        link(sound_name(name), inputs[name], SOUND_FILE)
    return links


def _sounds(inputs: Mapping[str, Input]) -> list[str]:
    """The tracks of a source without pictures."""
    return sorted(name for name in inputs if name.startswith(SOUND))


def play_of(inputs: Mapping[str, Input]) -> Json:
    """What a player opens: adaptive where the page is served, one file from a disk."""
    return {
        "hls": f"{MEDIA}/hls/{MASTER_NAME}" if "hls" in inputs else None,
        "file": f"{MEDIA}/proxy.mp4" if "proxy" in inputs else None,
        "sound": [f"{MEDIA}/{sound_name(name)}" for name in _sounds(inputs)],
        "poster": f"{MEDIA}/poster.jpg" if "poster" in inputs else None,
        "still": f"{MEDIA}/still.jpg" if "thumbnails" in inputs else None,
    }


def _largest_still(thumbnails: Input) -> str:
    jpegs = [file for file in thumbnails.facts["files"] if file["format"] == "jpeg"]
    return str(max(jpegs, key=lambda file: int(file["width"]))["path"])


def _size(info: Mapping[str, Any]) -> list[int] | None:
    video, image = info.get("video"), info.get("image")
    if video:
        return [int(video["display_width"]), int(video["display_height"])]
    return [int(image["width"]), int(image["height"])] if image else None


def shots_of(scenes: Input | None, most: int) -> Json:
    """Shots, each with its start, its end and its still's name below `folder` (null: it has none)."""
    if scenes is None:
        return {"folder": f"{MEDIA}/scenes/", "list": []}
    document = json.loads(scenes.path("scenes.json").read_bytes())
    scale = int(document["timescale"])
    shots = [
        [_ms(shot["start"], scale), _ms(shot["end"], scale), shot["still"]["file"] if shot.get("still") else None]
        for shot in document["shots"][:most]
    ]
    return {"folder": f"{MEDIA}/scenes/", "list": shots}


def storyboard_of(storyboard: Input | None) -> Json | None:
    """Small stills: the tile's size, the sheets, and when each tile begins."""
    if storyboard is None:
        return None
    facts = storyboard.facts
    scale = int(facts["timescale"])
    cues = webvtt.parsed(storyboard.path(str(facts["cues"])).read_text(encoding="utf-8"))
    return {
        "tile": [int(facts["tile"]["width"]), int(facts["tile"]["height"])],
        "sheets": [
            {"file": f"{MEDIA}/{sheet['file']}", "size": [int(sheet["width"]), int(sheet["height"])]}
            for sheet in facts["sheets"]
        ],
        "starts": [_ms(tile["start"], scale) for tile in facts["tiles"]],
        "places": [_place(cue.text, facts["sheets"]) for cue in cues],
    }


def _place(text: str, sheets: Sequence[Mapping[str, Any]]) -> list[int]:
    """Sheet number, left and top of a tile, from a cue such as "storyboard-000.jpg#xywh=0,0,240,136"."""
    file, _, fragment = text.partition("#xywh=")
    left, top, _, _ = (int(each) for each in fragment.split(","))
    return [next(number for number, sheet in enumerate(sheets) if sheet["file"] == file), left, top]


def wave_of(waveform: Input | None, most: int) -> Json | None:
    """The first track's peaks in thousandths of full scale, and how long each stands for."""
    if waveform is None or not waveform.facts["tracks"]:
        return None
    track = waveform.facts["tracks"][0]
    document = json.loads(waveform.path(str(track["files"]["json"])).read_bytes())
    lows, highs = document["data"][0::2], document["data"][1::2]
    full = 1 << (int(document["bits"]) - 1)
    factor = max(1, -(-len(highs) // most))
    peaks = [
        max(abs(min(lows[at : at + factor])), abs(max(highs[at : at + factor]))) * 1000 // full
        for at in range(0, len(highs), factor)
    ]
    step = Fraction(int(document["samples_per_pixel"]) * factor * MS, int(document["sample_rate"]))
    return {"step_ms": float(round(step, 3)), "peaks": peaks}


def loudness_of(loudness: Input | None, most: int) -> Json | None:
    """The first track's short-term loudness in tenths of LUFS over time, and what is said of all of it."""
    if loudness is None or not loudness.facts["tracks"]:
        return None
    document = json.loads(loudness.path(str(loudness.facts["file"])).read_bytes())
    track = document["tracks"][0]
    curve = (track.get("curve") or {}).get("short_term_lufs") or []
    factor = max(1, -(-len(curve) // most))
    heard = [[value for value in curve[at : at + factor] if value is not None] for at in range(0, len(curve), factor)]
    step = (track.get("curve") or {}).get("step") or {"num": 1, "den": 1}
    return {
        "step_ms": int(Fraction(int(step["num"]), int(step["den"])) * factor * MS),
        "tenths": [round(10 * max(values)) if values else None for values in heard],
        **{name: track.get(name) for name in ("integrated_lufs", "range_lu", "true_peak_dbtp")},
    }


def texts_of(inputs: Mapping[str, Input]) -> list[Json]:
    """Every text track with its cues: those that came with the source, then those that a machine heard."""
    found = []
    for name in ("subtitles", "captions"):
        item = inputs.get(name)
        for number, track in enumerate(item.facts["tracks"] if item is not None else ()):
            assert item is not None
            cues = webvtt.parsed(item.path(str(track["file"])).read_text(encoding="utf-8"))
            by_machine = name == "captions"
            label = HEARD if by_machine else track.get("title") or track.get("language") or f"Subtitles {number + 1}"
            found.append(
                {
                    "label": str(label),
                    "language": track.get("language"),
                    "by_machine": by_machine,
                    "cues": [[cue.start_ms, cue.end_ms, cue.text] for cue in cues],
                }
            )
    return found


def transcript_of(transcript: Input | None, most_words: int) -> list[Json]:
    """Each track's segments: start, end, the words parted by spaces, after how many hundredths of a second each begins
    (the first of them after the segment does), how sure the model was of it, a digit a word.

    Of a transcript with more words than that the last two are null: only whole segments have times.
    """
    if transcript is None:
        return []
    document = json.loads(transcript.path("transcript.json").read_bytes())
    rate = int(document["rate_hz"])
    whole = sum(len(track["words"]) for track in document["tracks"]) > most_words
    return [
        {
            "track": int(track["track"]),
            "language": track.get("language"),
            "segments": [_segment(each, track["words"], rate, whole=whole) for each in track["segments"]],
        }
        for track in document["tracks"]
    ]


def _segment(segment: Mapping[str, Any], words: Sequence[Mapping[str, Any]], rate: int, *, whole: bool) -> list[Any]:
    own = words[int(segment["first"]) : int(segment["first"]) + int(segment["words"])]
    start, end = _ms(segment["start"], rate), _ms(segment["end"], rate)
    text = " ".join("\u00a0".join(str(word["text"]).split()) or "\u00a0" for word in own)
    if whole:
        return [start, end, text, None, None]
    at = [(_ms(word["start"], rate) - start) // 10 for word in own]
    after = [later - earlier for earlier, later in itertools.pairwise([0, *at])]
    return [start, end, text, after, "".join(_sureness(word.get("confidence")) for word in own)]


def _sureness(confidence: int | None) -> str:
    """Tenths as a digit; "-" where nothing is said."""
    return "-" if confidence is None else str(min(9, int(confidence) // 100))


def screen_of(screen_text: Input | None, most: int) -> Json | None:
    """Lines in the picture: start, end, text, and the corners in pixels of the displayed picture, x and y in turn."""
    if screen_text is None:
        return None
    document = json.loads(screen_text.path("screen_text.json").read_bytes())
    scale = document["timescale"]
    return {
        "size": [int(document["picture"]["width"]), int(document["picture"]["height"])],
        "lines": [
            [
                _ms(line["start"], scale) if scale else None,
                _ms(line["end"], scale) if scale else None,
                line["text"],
                [value for corner in line["box"] for value in corner],
            ]
            for line in document["lines"][:most]
        ],
        "left_out": max(0, len(document["lines"]) - most),
    }


def summary_of(summary: Input | None) -> Json | None:
    """Abstract, chapters and keywords, each with the spans it rests on."""
    if summary is None:
        return None
    document = json.loads(summary.path(str(summary.facts["file"])).read_bytes())
    rate = int(document["rate_hz"])
    return {
        "method": summary.facts["method"],
        "abstract": [{"text": each["text"], "cites": _cites(each, rate)} for each in document["abstract"]],
        "chapters": [
            {"title": each["title"], "start": _ms(each["start"], rate), "end": _ms(each["end"], rate)}
            for each in document["chapters"]
        ],
        "keywords": [{"text": each["text"], "cites": _cites(each, rate)} for each in document["keywords"]],
    }


def _cites(item: Mapping[str, Any], rate: int) -> list[list[int]]:
    return [[_ms(cite["start"], rate), _ms(cite["end"], rate)] for cite in item["cites"]]


def labels_of(labels: Input | None) -> Json | None:
    """What is to be seen: each label once, with the times of its frames; what a moderator should know, and faces."""
    if labels is None:
        return None
    document = json.loads(labels.path("labels.json").read_bytes())
    scale = document["timescale"]
    seen: dict[str, list[int | None]] = {}
    for label in document["labels"]:
        seen.setdefault(str(label["name"]), []).append(_ms(label["ticks"], scale) if scale else None)
    counted = {name: None if document[name] is None else len(document[name]) for name in ("moderation", "faces")}
    return {"labels": [{"name": name, "at": at} for name, at in sorted(seen.items())], **counted}


def _ms(ticks: int, scale: int) -> int:
    return round(Fraction(int(ticks) * MS, int(scale)))


def _ms_of(duration: Mapping[str, Any] | None) -> int | None:
    return None if not duration else round(to_seconds(int(duration["ticks"]), int(duration["timescale"])) * MS)
