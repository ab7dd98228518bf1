"""What a provider itself must know of an answer's bytes: whether there is anything in them, and what was charged.

Belongs here: reading JSON that nobody vouches for, and numbers in it. Does not belong here: its meaning, which
operations read in a locked-down worker (processing/words/answers).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from resources.providers.port import Vacuous


def parsed(body: bytes, who: str) -> Mapping[str, Any]:
    """The JSON object of an answer that was called good. Raises Vacuous for anything else."""
    if not body.strip():
        raise Vacuous(f"{who} answered well, with nothing in it")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Vacuous(f"{who} answered well, with {len(body)} bytes that are no JSON") from None
    if not isinstance(value, dict):
        raise Vacuous(f"{who} answered well, with JSON that is no object")
    return value


def at(value: Any, *path: str | int) -> Any:
    """What lies at a path of names and numbers; None where any step of it is not there."""
    for step in path:
        if isinstance(step, str) and isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def count(value: Any) -> int | None:
    """A count that somebody else wrote; None for what cannot be one."""
    number = amount(value)
    return None if number is None else int(number)


def amount(value: Any) -> float | None:
    """An amount that somebody else wrote; None for what cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = float(value) if abs(value) < 1 << 53 else math.nan
    return number if math.isfinite(number) and number >= 0 else None


def text(value: Any) -> str:
    """A short text that somebody else wrote, empty for anything else: identifiers, names of models."""
    return value[:200] if isinstance(value, str) and value.isprintable() else ""
