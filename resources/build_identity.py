"""Which build runs: the digest of the lock that pinned its libraries, or of the image it came in.

Belongs here: finding that digest once. Does not belong here: versions of single libraries (they are in recipes).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
from pathlib import Path

LOCK_NAME = "requirements.lock"
IMAGE_VARIABLE = "_SOURCEBOUND_IMAGE_DIGEST"  # set by whoever builds an image; a lock file says less than an image


@functools.cache
def build_identity() -> str:
    """`image:<digest>`, else `lock:<sha256>` of the lock beside the packages, else `version:<version>`."""
    image = os.environ.get(IMAGE_VARIABLE)
    if image:
        return f"image:{image}"
    here = Path(__file__).resolve().parent
    for folder in (here, here.parent):
        lock = folder / LOCK_NAME
        if lock.is_file():
            return f"lock:{hashlib.sha256(lock.read_bytes()).hexdigest()}"
    return f"version:{importlib.metadata.version('sourcebound')}"
