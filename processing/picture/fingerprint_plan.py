"""Which sources have a fingerprint. Pure: facts in, an answer out, no media library.

Belongs here: the version and what it applies to. Does not belong here: hashing (fingerprint).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CODE_VERSION = "1"  # raised when the same stills would get other hashes


def applies(info: Mapping[str, Any], _options: Mapping[str, Any]) -> str | None:
    """None for what can be seen, else why there is nothing to hash."""
    return None if info.get("video") or info["kind"] == "image" else "the source has no picture"
