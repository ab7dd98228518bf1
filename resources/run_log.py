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
    """Send this process's log lines to stderr, in `FORMAT`, those of its forks too; once a process.

    With `file` they go there, and only warnings to stderr, as one line each, for the person at a terminal.
    """
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
    logging.basicConfig(level=level.upper(), format=FORMAT, handlers=_for_a_command(file) if file else None)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # lists its plugins at every start


def _for_a_command(file: Path) -> list[logging.Handler]:
    shown = logging.StreamHandler()
    shown.setLevel(logging.WARNING)
    shown.setFormatter(_OneLine())
    return [logging.FileHandler(file, encoding="utf-8", delay=True), shown]


class _OneLine(logging.Formatter):
    """The message alone: a person is shown no traceback; the file has it."""

    def format(self, record: logging.LogRecord) -> str:
        return f"sourcebound: {record.getMessage()}"


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
