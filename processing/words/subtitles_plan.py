"""Which texts a source comes with. Pure: facts and options in, parameters out, no media library.

Belongs here: which tracks are text, what a file beside the source is told to be, names of files. Does not belong here:
reading them (subtitles).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CODE_VERSION = "2"  # raised when the same texts would give other cues or facts
ASSET = "subtitles"
NAMING = ("language", "title", "forced", "default", "hearing_impaired")  # what only presents a track


def applies(info: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
    """None where there is a text, else why there is none."""
    if info["kind"] == "image":
        return "stills have no subtitles"
    if any(track["text"] for track in info["subtitles"]) or options.get("texts"):
        return None
    if info["subtitles"]:
        return "its subtitles are pictures, not text"
    return "it came without subtitles"


def parameters(info: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines the files: the embedded text tracks, the files beside the source, where its time begins."""
    embedded = [
        {"stream_index": track["stream_index"], "codec": track["codec"], **_presented(track)}
        for track in info["subtitles"]
        if track["text"]
    ]
    beside = [
        {"sha256": text["sha256"], "format": text["format"], **_presented(text)} for text in options.get("texts") or ()
    ]
    return {"embedded": embedded, "beside": beside, "origin": info["origin"], "duration": info["duration"]}


def _presented(track: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "language": track.get("language"),
        "title": track.get("title"),
        **{name: bool(track.get(name)) for name in ("forced", "default", "hearing_impaired")},
    }


def file_name(number: int) -> str:
    """The WebVTT file of track `number`."""
    return f"subtitles-{number}.vtt"


def playlist_name(number: int) -> str:
    """The HLS media playlist over it."""
    return f"subtitles-{number}.m3u8"
