"""Locks of files, which the kernel gives back at any death.

Belongs here: taking one, waiting or not. Does not belong here: what each protects (place, server).
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def locked(path: Path, how: int) -> Iterator[None]:
    """Hold the lock on `path` (`fcntl.LOCK_EX` or `LOCK_SH`), waiting for it."""
    with path.open("a") as file:
        fcntl.flock(file, how)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def try_lock(file: IO[str]) -> bool:
    """Take the lock on an open file alone, if that is possible now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
