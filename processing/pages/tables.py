"""What a page says in tables and sentences: the file, its outputs and their checks, what they took, downloads.

Belongs here: facts as rows of texts. Does not belong here: what a script works with (told), markup (templates).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from processing.timeline import to_seconds
from processing.work import Input

Rows = list[tuple[str, str]]
CLASSES = {
    "A": "the same bytes whenever and wherever it is made",
    "B": "the same content when it is decoded",
    "C": "equivalent within a declared bound: made by a model, or by a machine that matters",
}
STATES = {
    "ready": "is there and kept its contract",
    "not_applicable": "there is no such thing of this source",
    "registered": "is known and not asked for yet",
    "queued": "is to be made",
    "running": "is being made",
    "waiting": "waits",
    "quarantined": "the file is at fault",
    "bounded": "its bound was reached",
    "failed": "did not keep its contract",
    "stale": "is of before, and is to be made again",
    "cancelled": "somebody cancelled it",
    "superseded": "another file is in its place",
    "forgotten": "was removed on purpose",
}
BYTES = ("bytes", "kB", "MB", "GB", "TB")


def facts_of(info: Input, source: Mapping[str, Any]) -> list[tuple[str, Rows]]:
    """What the file is, in groups."""
    facts = info.facts
    groups = [("File", _file(facts, source))]
    if facts.get("video"):
        groups.append(("Picture", _video(facts["video"])))
    if facts.get("image"):
        groups.append(("Picture", _image(facts["image"])))
    audio = facts.get("audio") or ()
    groups += [
        (f"Sound {number + 1}" if len(audio) > 1 else "Sound", _sound(each)) for number, each in enumerate(audio)
    ]
    if any(facts.get("damage", {}).get(name) for name in ("decode_errors", "packets_corrupt", "truncated", "notes")):
        groups.append(("Damage", _damage(facts["damage"])))
    return [(title, [row for row in rows if row[1]]) for title, rows in groups]


def _file(facts: Mapping[str, Any], source: Mapping[str, Any]) -> Rows:
    named = facts["format"]
    return [
        ("name", str(source.get("file_name") or "")),
        ("kind", str(facts["kind"])),
        ("format", str(named.get("long_name") or named.get("name") or "")),
        ("length", clock(facts.get("duration"))),
        ("made on", str(named.get("creation_time") or "")),
        ("tags", ", ".join(map(str, source.get("tags", ())))),
    ]


def _video(video: Mapping[str, Any]) -> Rows:
    rate = video.get("frame_rate")
    color = video.get("color") or {}
    named = [str(color[name]) for name in ("primaries", "transfer", "matrix", "range") if color.get(name)]
    per_second = (
        f"{float(Fraction(rate['num'], rate['den'])):.5g} a second, {video.get('frame_rate_kind')}" if rate else ""
    )
    return [
        ("codec", " ".join(str(each) for each in (video["codec"], video.get("profile")) if each)),
        (
            "size",
            f"{video.get('width')} x {video.get('height')}, shown {video['display_width']} x {video['display_height']}",
        ),
        ("pictures", f"{video['frame_count']:,}; {per_second}" if per_second else f"{video['frame_count']:,}"),
        ("bits", f"{video['bit_depth']} a channel" if video.get("bit_depth") else ""),
        ("colour", ", ".join(named)),
        ("high dynamic range", str(video.get("hdr") or "")),
        ("rotation", f"{video['rotation']} degrees" if video.get("rotation") else ""),
        ("bit rate", f"{int(video['bit_rate']) // 1000:,} kb/s" if video.get("bit_rate") else ""),
    ]


def _image(image: Mapping[str, Any]) -> Rows:
    return [
        ("codec", str(image.get("codec") or image.get("format") or "")),
        ("size", f"{image['width']} x {image['height']}"),
    ]


def _sound(track: Mapping[str, Any]) -> Rows:
    return [
        ("codec", str(track["codec"])),
        ("language", str(track.get("language") or "")),
        ("channels", f"{track['channels']}, {track['layout']}" if track.get("layout") else str(track["channels"])),
        ("rate", f"{int(track['rate_hz']):,} Hz" if track.get("rate_hz") else ""),
        ("bit rate", f"{int(track['bit_rate']) // 1000:,} kb/s" if track.get("bit_rate") else ""),
        ("title", str(track.get("title") or "")),
    ]


def _damage(damage: Mapping[str, Any]) -> Rows:
    return [
        ("decoding errors", str(damage.get("decode_errors") or "")),
        ("corrupt packets", str(damage.get("packets_corrupt") or "")),
        ("cut off", "yes" if damage.get("truncated") else ""),
        ("notes", "; ".join(map(str, damage.get("notes") or ()))),
    ]


def gaps_of(inputs: Mapping[str, Input]) -> list[str]:
    """What is missing of the source, each span once."""
    spans = {
        (Fraction(int(gap["start"]), int(gap["timescale"])), Fraction(int(gap["end"]), int(gap["timescale"])))
        for item in inputs.values()
        for gap in item.gaps
        if "timescale" in gap
    }
    return [f"{_clock(start)} to {_clock(end)}" for start, end in sorted(spans)]


def assets_of(record: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each asset on record as texts: state, cause, checks, class, what it took, its recipe."""
    return [
        {
            "name": row["asset"],
            "state": row["state"],
            "says": STATES.get(row["state"], row["state"]),
            "cause": row["cause"] or "",
            "checks": f"{row['passed']} kept" + (f", {len(row['verdicts'])} to be known" if row["verdicts"] else ""),
            "has_checks": bool(row["passed"] or row["verdicts"]),
            "verdicts": row["verdicts"],
            "determinism": row["determinism"] or "",
            "means": CLASSES.get(row["determinism"] or "", ""),
            "made_of": ", ".join(row["made_of"]),
            "models": ", ".join(sorted(row["models"])),
            "recipe_hash": row["recipe_hash"] or "",
            "size": size(row["bytes"]) if row["bytes"] else "",
            "wall": _seconds(row["wall_ms"]),
            "cpu": _seconds(row["cpu_ms"]),
            "attempts": str(row["attempts"] or ""),
        }
        for row in record
    ]


def total_of(record: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What all of it took."""
    return {
        "wall": _seconds(sum(row["wall_ms"] or 0 for row in record)),
        "cpu": _seconds(sum(row["cpu_ms"] or 0 for row in record)),
        "size": size(sum(row["bytes"] for row in record)),
    }


def downloads_of(links: Mapping[str, Mapping[str, str]], inputs: Mapping[str, Input]) -> list[dict[str, str]]:
    """Single files that people want, with what they are and how large."""
    found = []
    for name, link in sorted(links.items()):
        if not link["path"]:
            continue  # a folder of segments or stills
        item = next((each for each in inputs.values() if each.recipe_hash == link["recipe_hash"]), None)
        entry = next((file for file in item.files if file.path == link["path"]), None) if item else None
        found.append({"href": name, "asset": link["asset"], "size": size(entry.bytes) if entry else ""})
    return found


def size(count: int) -> str:
    """Bytes for people, decimal."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(BYTES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {BYTES[unit]}" if value < 100 else f"{value:.0f} {BYTES[unit]}"


def clock(duration: Mapping[str, Any] | None) -> str:
    """A length as people say it: 1:02:03.4; nothing of what has none."""
    if not duration or not duration["ticks"]:
        return ""
    return _clock(to_seconds(int(duration["ticks"]), int(duration["timescale"])))


def _clock(seconds: Fraction) -> str:
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest // 10:02d}.{rest % 10}"


def _seconds(ms: int | None) -> str:
    return "" if not ms else f"{ms / 1000:,.1f} s" if ms >= 50 else "under 0.1 s"
