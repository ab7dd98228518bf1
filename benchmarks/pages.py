"""The page of an hour: what it weighs without media, and how soon a browser has it open and ready.

The bars are 1 MB and 1 s. The hour has 9,000 words, 900 shots, 1,500 captions, 500 lines on screen, a storyboard of 720
stills. Opened from the disk and from a server, each a few times. Run: `python -m benchmarks.pages`.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.machine import wait_for_quiet
from benchmarks.results import Figure, record
from processing import webvtt
from processing.manifest import list_files
from processing.pages import dossier, dossier_plan
from processing.webvtt import Cue
from processing.work import Input, Task
from tests.players.harness import browser, served

BYTES_BAR, OPEN_BAR_S = 1_000_000, 1.0
HOUR_S = 3600
TICKS = 90_000
TIMES = 5
SENTENCE = ["the", "ferry", "to", "the", "outer", "islands", "leaves", "every", "hour", "from", "pier", "nine", "today"]
OPENED_S = """() => new Promise((done) => {
  const told = () => setTimeout(() => done(performance.getEntriesByType('navigation')[0].loadEventEnd / 1000), 0);
  if (document.readyState === 'complete') told(); else addEventListener('load', told);
})"""


def hour(folder: Path) -> Task:
    """The task of the page of an hour-long film."""
    inputs = {each.name: replace(each, recipe_hash="0" * 64) for each in _inputs(folder)}
    rows = [_row(name) for name in ("source", "media_info", *dossier_plan.TOLD_OF)]
    told = dossier_plan.parameters(inputs["media_info"].facts, {"record": rows})
    told["source"] = {"source": "an-hour-0123456789", "file_name": "an hour.mp4", "title": None, "tags": []}
    return Task("", told, folder / "work", inputs=inputs)


def _row(name: str) -> dict[str, Any]:
    empty = {
        "cause": None,
        "recipe_hash": "0" * 64,
        "determinism": "A",
        "code_version": "1",
        "passed": 12,
        "models": [],
    }
    made = {"made_of": ["media_info"] if name != "source" else [], "verdicts": [], "models": [], "files": 3}
    return {
        "asset": name,
        "state": "ready",
        **empty,
        **made,
        "bytes": 10_000_000,
        "wall_ms": 60_000,
        "cpu_ms": 110_000,
        "attempts": 1,
    }


def _inputs(folder: Path) -> Iterator[Input]:
    end = HOUR_S * TICKS
    rate = {"num": 25, "den": 1}
    video = {"codec": "h264", "display_width": 1920, "display_height": 1080, "width": 1920, "height": 1080}
    video |= {"frame_count": 90_000, "frame_rate": rate, "frame_rate_kind": "constant", "bit_depth": 8}
    sound = {"codec": "aac", "channels": 2, "layout": "stereo", "rate_hz": 48_000, "language": "en"}
    info = {"kind": "video", "video": video, "image": None, "audio": [sound], "damage": {}}
    info |= {"format": {"name": "mp4", "title": None}, "duration": {"ticks": end, "timescale": TICKS}}
    yield _input(folder, "media_info", info, {})
    words = [
        {"text": SENTENCE[number % 12], "start": number * 6_400, "end": number * 6_400 + 5_000, "confidence": 870}
        for number in range(9_000)
    ]
    segments = [
        {"start": first * 6_400, "end": (first + 12) * 6_400, "first": first, "words": 12}
        for first in range(0, 9_000, 12)
    ]
    by_model = {"ai_generated": True, "review": "unreviewed", "model": {"id": "a-model", "version": "1.0.0"}}
    track = {"track": 0, "language": "en", "words": words, "segments": segments}
    yield _input(folder, "transcript", by_model, {"transcript.json": {"rate_hz": 16_000, "tracks": [track]}})
    cues = [
        Cue(n * 2_400, n * 2_400 + 2_000, " ".join(SENTENCE[:3]) + "\n" + " ".join(SENTENCE[3:6])) for n in range(1_500)
    ]
    tracks = [{"file": "captions-0.vtt", "language": "en", "title": None}]
    yield _input(folder, "captions", {**by_model, "tracks": tracks}, {"captions-0.vtt": webvtt.written(cues)})
    shots = [
        {"start": n * end // 900, "end": (n + 1) * end // 900, "still": {"file": f"shots/{n:05d}.jpg", "ticks": 0}}
        for n in range(900)
    ]
    stills: dict[str, Any] = {f"shots/{n:05d}.jpg": "" for n in range(900)}
    yield _input(folder, "scenes", {}, {"scenes.json": {"timescale": TICKS, "shots": shots}, **stills})
    yield _storyboard(folder, end)
    peaks = [value for n in range(16_000) for value in (-(n % 9_000), n % 9_000)]
    wave = {"version": 2, "bits": 16, "sample_rate": 48_000, "samples_per_pixel": 16_384, "data": peaks}
    tracks = [{"files": {"json": "waveform.json"}}]
    yield _input(folder, "waveform", {"tracks": tracks}, {"waveform.json": wave})
    curve = {"short_term_lufs": [-23.0 - n % 7 for n in range(HOUR_S)], "step": {"num": 1, "den": 1}}
    loud = {"curve": curve, "integrated_lufs": -23.0, "range_lu": 7.0, "true_peak_dbtp": -1.0}
    yield _input(folder, "loudness", {"file": "l.json", "tracks": [{}]}, {"l.json": {"tracks": [loud]}})
    lines = [
        {"text": " ".join(SENTENCE), "confidence": 900, "start": n * end // 500, "end": n * end // 500 + TICKS}
        | {"box": [[10, 10], [500, 10], [500, 60], [10, 60]]}
        for n in range(500)
    ]
    shown = {"timescale": TICKS, "picture": {"width": 1920, "height": 1080}, "lines": lines}
    yield _input(folder, "screen_text", by_model, {"screen_text.json": shown})
    for name in ("hls", "proxy", "poster"):
        yield _input(folder, name, {"file": "proxy.mp4", "poster": "poster.jpg"}, {"proxy.mp4": "", "poster.jpg": ""})


def _storyboard(folder: Path, end: int) -> Input:
    tiles = [{"start": n * end // 720, "end": (n + 1) * end // 720, "ticks": 0} for n in range(720)]
    sheets = [{"file": f"storyboard-{n:03d}.jpg", "width": 2400, "height": 1360, "tiles": 100} for n in range(8)]
    cues = [
        Cue(
            n * 5_000,
            n * 5_000 + 5_000,
            f"storyboard-{n // 100:03d}.jpg#xywh={n % 10 * 240},{n // 10 % 10 * 136},240,136",
        )
        for n in range(720)
    ]
    facts = {"cues": "storyboard.vtt", "sheets": sheets, "tile": {"width": 240, "height": 136}}
    facts |= {"tiles": tiles, "timescale": TICKS}
    files: dict[str, Any] = {"storyboard.vtt": webvtt.written(cues), **{str(sheet["file"]): "" for sheet in sheets}}
    return _input(folder, "storyboard", facts, files)


def _input(folder: Path, name: str, facts: Mapping[str, Any], files: Mapping[str, Any]) -> Input:
    place = folder / name
    place.mkdir(parents=True)
    for path, content in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (place / path).write_text(text, encoding="utf-8")
    return Input(name, place, list_files(place), facts, "0" * 64)


def opened_s(chromium: Any, address: str) -> float:
    """The median of how long a page takes from its address to its load event, its script done."""
    took = []
    for _ in range(TIMES):
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        took.append(float(page.evaluate(OPENED_S)))
        assert page.locator(".word").count() == 9_000
        page.close()
    return statistics.median(took)


def main() -> None:
    """Measure and print; fail beyond a bar."""
    with tempfile.TemporaryDirectory() as temporary:
        task = hour(Path(temporary))
        dossier.make(task)
        weight = sum(entry.bytes for entry in list_files(task.out))
        own = (task.out / "index.html").stat().st_size
        print(f"the page of an hour weighs {weight:,} bytes, of which index.html {own:,}")
        with served(task.out.parent) as (address, _), browser() as chromium:
            wait_for_quiet()
            from_disk = opened_s(chromium, (task.out / "index.html").as_uri())
            from_server = opened_s(chromium, f"{address}/media/out/index.html")
    print(f"open from the disk after {from_disk:.2f} s, from a server after {from_server:.2f} s")
    figures = {
        "page_of_an_hour_bytes": Figure(weight, BYTES_BAR, "lower", "bytes"),
        "page_of_an_hour_open_s": Figure(round(max(from_disk, from_server), 2), OPEN_BAR_S, "lower", "s"),
    }
    record(figures)
    if not all(figure.holds for figure in figures.values()):
        raise SystemExit("beyond a bar")


if __name__ == "__main__":
    main()
