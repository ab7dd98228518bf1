"""Subtitles that lie beside a file: `film.srt`, `film.de.forced.vtt`, `film.mp4.en.srt` beside `film.mp4`.

Belongs here: which files belong to a medium, and what their names say. Does not belong here: names that are no sources
of their own (file_names) or what the texts say (processing/words).
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processing.probe.language import bcp47
from resources.file_names import SUBTITLE_SUFFIXES, is_temporary

log = logging.getLogger(__name__)

MOST_TEXTS = 32
MOST_BYTES = 10 << 20  # an hour of dense subtitles is 100 kB
FORCED = frozenset({"forced", "foreign"})
HEARING = frozenset({"sdh", "cc", "hi"})
DEFAULT = frozenset({"default"})


@dataclass(frozen=True, slots=True)
class TextBeside:
    """One text file: where it is, what is in it, and what its name says. `format` is "srt" or "vtt"."""

    path: Path
    sha256: str
    bytes: int
    format: str
    language: str | None
    forced: bool
    hearing_impaired: bool
    default: bool

    def to_json(self) -> dict[str, Any]:
        """What is recorded at arrival."""
        return {
            "sha256": self.sha256,
            "bytes": self.bytes,
            "format": self.format,
            "language": self.language,
            "forced": self.forced,
            "hearing_impaired": self.hearing_impaired,
            "default": self.default,
        }


def texts_beside(path: Path) -> list[TextBeside]:
    """The texts of a file, in the order of their names. One that cannot be read or is too large is left out."""
    found = []
    for candidate, tags in sorted(_candidates(path)):
        try:
            size = candidate.stat().st_size
            if size > MOST_BYTES or not candidate.is_file():
                log.warning("%s is left out: it is no text file of at most %d bytes", candidate, MOST_BYTES)
                continue
            content = candidate.read_bytes()
        except OSError as error:
            log.warning("%s is left out: it cannot be read (%s)", candidate, os.strerror(error.errno or 0))
            continue
        languages = [language for tag in tags if (language := _language(tag)) is not None]
        found.append(
            TextBeside(
                candidate,
                hashlib.sha256(content).hexdigest(),
                len(content),
                candidate.suffix.lower().removeprefix("."),
                languages[0] if languages else None,
                forced=bool(FORCED.intersection(tags)),
                hearing_impaired=bool(HEARING.intersection(tags)),
                default=bool(DEFAULT.intersection(tags)),
            )
        )
    return found[:MOST_TEXTS]


def _candidates(path: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Text files whose name is the medium's, with or without its own suffix, then nothing but tags."""
    stems = (path.name.lower(), path.stem.lower())
    try:
        names = [entry.name for entry in os.scandir(path.parent) if entry.name.lower().endswith(SUBTITLE_SUFFIXES)]
    except OSError:
        return
    for name in names:
        if is_temporary(name):
            continue
        bare = name.rpartition(".")[0].lower()
        for stem in stems:
            rest = bare.removeprefix(stem)
            if bare.startswith(stem) and (not rest or rest.startswith(".")):
                tags = tuple(tag for tag in rest.split(".") if tag)
                if all(_is_tag(tag) for tag in tags):
                    yield path.parent / name, tags
                break


def _is_tag(tag: str) -> bool:
    return tag in FORCED | HEARING | DEFAULT or _language(tag) is not None


def _language(tag: str) -> str | None:
    return None if tag in FORCED | HEARING | DEFAULT else bcp47(tag)
