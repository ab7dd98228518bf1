"""What a forked child does from its first line to its last: lock down, run one operation, write down the outcome.

Belongs here: the child's life. Does not belong here: what a failure is called (processing/naming), forking, watching
and ending children (processing/worker).
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import io
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from processing.naming import DISK_FULL, named
from processing.protocol import (
    FAILURE_FILE,
    RESULT_FILE,
    STATUS_DISK_FULL,
    STATUS_NOT_LOCKED_DOWN,
    TASK_FILE,
    TEMPORARY_FOLDER,
    WORKING_FOLDER,
    Kind,
    Order,
)
from processing.sandbox.limits import release_reserve
from processing.sandbox.lockdown import lock_down
from processing.work import Result, Task, resolve


def live(order: Order, *, parent: int, log: int, kept: Sequence[int], libraries: Sequence[Path]) -> None:
    """Be the child: never returns. `log` becomes stdout and stderr, `kept` are descriptors held open until the end."""
    status = STATUS_NOT_LOCKED_DOWN
    try:
        _settle(order.scratch, log, kept)
        lock_down(order.read, order.scratch, order.limits, parent=parent, libraries=libraries)
        status = 1
        _run(order)
        status = 0
    except BaseException as error:  # noqa: BLE001  nothing above may run on in a process that is a copy of the nursery
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            status = STATUS_DISK_FULL
        traceback.print_exc()
    finally:
        os._exit(status)


def _settle(scratch: Path, log: int, kept: Sequence[int]) -> None:
    """Own session, empty working folder, no descriptor but nothing in, the log out, and those that are to be kept."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    _close_all_but(kept)
    sys.stdin = io.TextIOWrapper(io.BytesIO())
    sys.stdout = sys.stderr = _Log()
    faulthandler.enable(file=2)
    os.chdir(scratch / WORKING_FOLDER)
    tempfile.tempdir = str(scratch / TEMPORARY_FOLDER)
    gc.enable()


def _close_all_but(kept: Sequence[int]) -> None:
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


class _Log(io.TextIOBase):
    """Text to descriptor 2, dropped where the pipe is full: nobody's chatter may stop or fail the work."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            os.write(2, text.encode(errors="replace"))
        return len(text)


def _run(order: Order) -> None:
    task = Task.from_json(json.loads((order.scratch / TASK_FILE).read_bytes()))
    try:
        made = resolve(task.operation)(task)
        _write(order.scratch / RESULT_FILE, _outcome(order.kind, task, made))
    except Exception as error:  # noqa: BLE001  whatever it is, it gets a name and a sentence
        release_reserve()
        failure = named(error, task, order.kind, order.limits)
        error.__traceback__ = None  # frees the frames, and the memory a failure for want of memory needs
        _write(order.scratch / FAILURE_FILE, failure.to_json())


def _outcome(kind: Kind, task: Task, made: Any) -> Any:
    if kind is Kind.CONTRACT:
        return [verdict.to_json() for verdict in made]
    if not isinstance(made, Result):
        raise TypeError(f"{task.operation} returned {type(made).__name__}, not a Result")
    return made.to_json()


def _write(path: Path, value: Any) -> None:
    """The file is there whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value), encoding="utf-8")
    partial.replace(path)
