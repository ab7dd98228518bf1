"""Which model the embedded one of task `writing` is. Pure, and imports no numbers library.

Belongs here: its version, the digest of all that determines its answers. Does not belong here: extracting.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path
from typing import Any

from processing.words.answers.extractive import FORMAT

VERSION = "1.0.0"  # raised when the same material would get another answer
MODULES = ("processing.words.embedded.extracting", "processing.words.stop_words", "processing.words.wording")


@functools.cache
def model() -> dict[str, Any]:
    """Id, version, sha256 over its modules, languages, answer format: the model is its code and its lists."""
    digest = hashlib.sha256()
    for name in MODULES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise RuntimeError(f"{name} is not installed; set the environment up again with `make setup`")
        content = Path(spec.origin).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return {
        "id": "extractive",
        "version": VERSION,
        "sha256": digest.hexdigest(),
        "languages": ["*"],  # any: it counts words, and has lists of those that say little for some
        "format": FORMAT,
    }
