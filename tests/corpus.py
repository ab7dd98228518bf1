"""Where the corpus of real files is and what its manifest says."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest


def corpus_root() -> Path | None:
    """The corpus folder: `SOURCEBOUND_CORPUS`, else `../shared/corpus` beside the checkout, else None."""
    named = os.environ.get("SOURCEBOUND_CORPUS")
    candidates = [Path(named)] if named else [Path(__file__).resolve().parents[2] / "shared" / "corpus"]
    return next((path.resolve() for path in candidates if (path / "manifest.csv").is_file()), None)


def rows() -> list[dict[str, str]]:
    """The manifest's rows, or an empty list where there is no corpus."""
    root = corpus_root()
    if root is None:
        return []
    with (root / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def corpus_file(relative: str) -> Path:
    """One corpus file; the calling test is skipped, with the reason, where there is no corpus."""
    root = corpus_root()
    if root is None:
        pytest.skip("needs the corpus: set SOURCEBOUND_CORPUS to its folder")
    return root / relative


# Representative and quick, about 90 CPU seconds together: containers, variable rates, rotation, odd sizes, sound alone,
# stills, and what must be refused. `python -m benchmarks.kills` makes them under fire.
NAMED_25 = (
    "video/testsrc.mp4",
    "video/sample_fragmented.mp4",
    "video/sample_rotate_and_reflect.mp4",
    "video/portrait.MOV",
    "video/awesome'movie.mov",
    "video/vonly.mov",
    "video/sample_with_srt.mkv",
    "video/bear-vp9-odd-dimensions.webm",
    "video/no_duration.webm",
    "video/bbb_2500ms.ts",
    "video/sample.avi",
    "scene/pos_video.mp4",
    "speech/friday.mp4",
    "audio/bear.opus",
    "audio/mono.mp3",
    "audio/opus-5.1.mka",
    "speech/jfk.flac",
    "image/Landscape_6.jpg",
    "image/anim.webp",
    "image/colors_hdr_rec2020.avif",
    "hostile/decompression_bomb.gif",
    "hostile/ssrf_ffmpeg.avi",
    "damaged/empty-file_0.mp4",
    "damaged/sample_mdat_too_long.mp4",
    "damaged/truncated.jpg",
)
