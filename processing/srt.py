"""SubRip (SRT), as captions are written and judged.

Belongs here: the text of cues and back, times in whole milliseconds. Does not belong here: what cues say.

There is no standard; this is the form all players read: number, times with a comma, text, an empty line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from processing.webvtt import Cue, timestamp

_TIME = r"(\d{2,}):([0-5]\d):([0-5]\d),(\d{3})"
_TIMING = re.compile(rf"^{_TIME} --> {_TIME}$")


def written(cues: Iterable[Cue]) -> str:
    """The text of a file. Raises ValueError for a cue without length or text, or whose text would end it early."""
    blocks = []
    for number, cue in enumerate(cues, start=1):
        if cue.end_ms <= cue.start_ms or not cue.text.strip("\n") or "\n\n" in cue.text:
            raise ValueError(f"cue {number} cannot be written")
        times = " --> ".join(timestamp(ms).replace(".", ",") for ms in (cue.start_ms, cue.end_ms))
        blocks.append(f"{number}\n{times}\n{cue.text}\n")
    return "\n".join(blocks)


def parsed(text: str) -> list[Cue]:
    """The cues of a file. Raises ValueError where a block has no number in order, no timing line or no text."""
    cues = []
    for number, block in enumerate(filter(None, re.split(r"\n{2,}", text.strip("\n"))), start=1):
        lines = block.split("\n")
        timing = _TIMING.match(lines[1]) if len(lines) > 2 else None
        if lines[0] != str(number) or timing is None:
            raise ValueError(f"block {number} is no cue")
        start, end = _ms(timing.groups()[:4]), _ms(timing.groups()[4:])
        cues.append(Cue(start, end, "\n".join(lines[2:])))
    return cues


def _ms(parts: tuple[str, ...]) -> int:
    hour, minute, second, fraction = map(int, parts)
    return ((hour * 60 + minute) * 60 + second) * 1000 + fraction
