"""WebVTT, as storyboards, subtitles and captions are written and judged.

Belongs here: the text of cues and back, times in whole milliseconds. Does not belong here: what cues say.

Source: W3C WebVTT (Candidate Recommendation, 4 April 2019), sections 4 and 6. Cue settings and regions are kept as text
and not interpreted; notes and styles are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from processing.timeline import to_seconds

HEADER = "WEBVTT"
MS = 1000
_TIME = r"(?:(\d{2,}):)?([0-5]\d):([0-5]\d)\.(\d{3})"
_TIMING = re.compile(rf"^{_TIME}[ \t]+-->[ \t]+{_TIME}(?:[ \t]+(\S.*?))?[ \t]*$")
_LINE = re.compile("\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Cue:
    """One cue: start and end in milliseconds, its payload (lines joined by a line feed), its settings."""

    start_ms: int
    end_ms: int
    text: str
    settings: str = ""


def ms_of(ticks: int, timescale: int) -> int:
    """Whole milliseconds of an instant, rounded down, so that a cue never begins after what it names."""
    return int(to_seconds(ticks, timescale) * MS)


def timestamp(ms: int) -> str:
    """A time of section 4.1: hours of at least two digits."""
    seconds, fraction = divmod(ms, MS)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d}.{fraction:03d}"


def written(cues: Iterable[Cue]) -> str:
    """The text of a file. Raises ValueError for a cue that ends before it starts or whose text ends it early."""
    blocks = [HEADER]
    for cue in cues:
        if cue.end_ms <= cue.start_ms:
            raise ValueError(f"a cue must last: {cue.start_ms} to {cue.end_ms} ms")
        if "-->" in cue.text or "\n\n" in cue.text or not cue.text.strip("\n"):
            raise ValueError("a cue's text has neither an arrow nor an empty line, and is not empty")
        settings = f" {cue.settings}" if cue.settings else ""
        blocks.append(f"{timestamp(cue.start_ms)} --> {timestamp(cue.end_ms)}{settings}\n{cue.text.strip(chr(10))}")
    return "\n\n".join(blocks) + "\n"


def parsed(text: str) -> list[Cue]:
    """The cues of a file, in its order. Raises ValueError where it is none or a timing line is malformed."""
    lines = _LINE.split(text.removeprefix("\ufeff"))
    if not lines[0].startswith(HEADER) or lines[0][len(HEADER) : len(HEADER) + 1] not in {"", " ", "\t"}:
        raise ValueError(f"it does not begin with {HEADER}")
    return [cue for block in _blocks(lines[1:]) if (cue := _cue(block)) is not None]


def _blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in [*lines, ""]:
        if line:
            block.append(line)
        elif block:
            yield block
            block = []


def _cue(block: list[str]) -> Cue | None:
    """None for what is no cue: a note, a style, a region, the rest of the header."""
    at = next((index for index, line in enumerate(block[:2]) if "-->" in line), None)
    if at is None:
        return None
    timing = _TIMING.match(block[at])
    if timing is None:
        raise ValueError(f"{block[at]!r} is no timing line")
    start, end = _ms(timing.groups()[:4]), _ms(timing.groups()[4:8])
    return Cue(start, end, "\n".join(block[at + 1 :]), timing.group(9) or "")


def _ms(parts: tuple[str | None, ...]) -> int:
    hour, minute, second, fraction = (int(part or 0) for part in parts)
    return ((hour * 60 + minute) * 60 + second) * MS + fraction
