"""Where something was found: the shape that all ways of searching answer in.

Belongs here: that. Does not belong here: any way (words, meanings, resources/near_duplicates).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MS = 1000  # milliseconds a second


@dataclass(frozen=True, slots=True)
class Hit:
    """Where something was found: in which kind of text, when (None: it has no time), and the text there."""

    source: str
    kind: str
    start_ms: int | None
    text: str

    def to_json(self) -> dict[str, Any]:
        time_s = None if self.start_ms is None else self.start_ms / MS
        return {"source": self.source, "kind": self.kind, "time_s": time_s, "text": self.text}
