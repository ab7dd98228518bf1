"""How things are named in the ledger: sources, arrivals, and paths that are no text.

Belongs here: pure functions from facts to names. Does not belong here: the rows themselves (rows).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from datetime import datetime
from pathlib import PurePosixPath

SLUG_CHARACTERS = 32
LOCATION_BYTES = 2_400  # a row of a B-tree holds 2,704; paths may have 4,096
DIGEST_CHARACTERS = 10  # 40 bits beside the slug: a million sources of one name collide with a chance of one in two
_NOT_IN_SLUG = re.compile(r"[^a-z0-9]+")
_LONE_SURROGATES = {code: chr(0x100000 + code) for code in range(0xDC80, 0xDD00)}
_BACK = {ord(to): code for code, to in _LONE_SURROGATES.items()}


def source_key(location: str, content: str) -> str:
    """The key of a source: readable, opaque, never a path; `[a-z0-9-]` only, at most 43 characters.

    `content` is the sha256 (hex) of the bytes, or the object's version where the bytes were not read.
    """
    stem = unicodedata.normalize("NFKD", PurePosixPath(location).stem).encode("ascii", "ignore").decode()
    slug = _NOT_IN_SLUG.sub("-", stem.lower()).strip("-")[:SLUG_CHARACTERS].strip("-") or "source"
    return f"{slug}-{_digest(location, content)[:DIGEST_CHARACTERS]}"


def arrival_id(location: str, version: str | None, size_bytes: int, mtime_ns: int, content: str, at: datetime) -> str:
    """The name of one sighting: the same event delivered twice has the same one."""
    return f"a{_digest(location, version or '', str(size_bytes), str(mtime_ns), content, at.isoformat())[:19]}"


def as_stored(text: str) -> str:
    """`text` as PostgreSQL can hold it.

    File names that are no UTF-8 carry lone surrogates (PEP 383); they are moved to a private plane of Unicode, from
    where `as_named` brings them back. Zero characters, which no path holds, are dropped.
    """
    return text.translate(_LONE_SURROGATES).replace("\0", "").encode("utf-8", "replace").decode()


def as_stored_ns(ns: int) -> int:
    """A time in ns since 1970 as PostgreSQL can hold it: 64 bits end in the year 2262, a file system's times later."""
    return max(-(2**63), min(ns, 2**63 - 1))


def is_too_long(location: str) -> bool:
    """Whether a path is longer than an index of PostgreSQL takes."""
    return len(as_stored(location).encode()) > LOCATION_BYTES


def as_named(text: str) -> str:
    """The inverse of `as_stored` for every path."""
    return text if text.isascii() else text.translate(_BACK)


def _digest(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()
