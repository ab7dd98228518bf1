"""Log lines of a run: each carries the id of the arrival it works for.

Belongs here: the format, the id of this process's run, the files below `logs/`. Does not belong here: what is logged.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

FORMAT = "%(asctime)s %(process)d %(levelname)s [%(arrival)s] %(name)s: %(message)s"
NOBODY = "-"  # a line that belongs to no run, such as those of the nursery itself

_arrival = NOBODY
_is_configured = False


def configure(level: str, file: Path | None = None) -> None:
    """Send this process's log lines to stderr or to a file, in `FORMAT`, those of its forks too; once a process."""
    global _is_configured  # noqa: PLW0603
    if _is_configured:
        return
    _is_configured = True
    made_before = logging.getLogRecordFactory()

    def make(*args: object, **kwargs: object) -> logging.LogRecord:
        record = made_before(*args, **kwargs)
        record.arrival = _arrival
        return record

    logging.setLogRecordFactory(make)
    handlers = [logging.FileHandler(file, encoding="utf-8")] if file else None
    logging.basicConfig(level=level.upper(), format=FORMAT, handlers=handlers)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # lists its plugins at every start


def follow(arrival: str) -> None:
    """From now on the lines of this process carry `arrival`; a process executes one run."""
    global _arrival  # noqa: PLW0603 - one run a process is the point
    _arrival = arrival


def log_path(home: Path, name: str) -> Path:
    """Today's log of `name` below `logs/` of the home, whose folder is made."""
    folder = home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}-{time.strftime('%Y-%m-%d', time.gmtime())}.log"


@contextlib.contextmanager
def log_file(home: Path, name: str) -> Iterator[int]:
    """A descriptor that appends to today's log of `name` below `logs/` of the home."""
    descriptor = os.open(log_path(home, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
