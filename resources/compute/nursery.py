"""A nursery as its owner holds it: one process, one socket, one thread that reads its reports.

Belongs here: starting it, sending orders, handing each report to whoever waits for it. Does not belong here: what an
end means (outcomes) or which task runs when (local).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO

import processing
from processing.protocol import Channel, Order, Report

LAST_WORDS_BYTES = 4000
END_TIMEOUT_S = 5.0  # it has only to kill its children and reap them; a machine that swaps needs a while for that

# Isolated mode keeps the caller's folder, PYTHON* variables and user site out of sys.path, so it is told where its
# code and the media libraries are.
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); sys.path.append(sys.argv.pop(1)); "
    "from processing.worker import main; main(sys.argv[1:])"
)
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",  # a nursery with threads could not be forked safely
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",  # a heap a thread took a worker from 442 to 468 MB, for no time won
}
_PASSED_ON = ("LD_LIBRARY_PATH",)  # a Python that was moved does not find its libraries without it


class NurseryGone(Exception):
    """The nursery ended before it reported; `last_words` is what it printed."""

    def __init__(self, last_words: str) -> None:
        super().__init__("the nursery is gone")
        self.last_words = last_words


class NurseryProcess:
    """A running nursery. `log_path` collects what it prints (default: a file that vanishes with it).

    `operations` are folders whose modules are found as if they lay in `processing`: tests bring operations that
    crash, hang and spy with it; nothing else may.
    """

    def __init__(self, *, log_path: Path | None = None, operations: Sequence[Path] = ()) -> None:
        ours, theirs = socket.socketpair()
        self._log: IO[bytes] = log_path.open("a+b") if log_path else tempfile.TemporaryFile()  # noqa: SIM115  _read closes it
        with theirs:
            self._process = subprocess.Popen(
                _command(theirs.fileno(), operations),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[theirs.fileno()],
                env=_ENVIRONMENT | {name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                cwd="/",
                start_new_session=True,  # a Ctrl-C on the terminal is for the owner alone
            )
        self._channel = Channel(ours)
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Report]] = {}
        self._last_words: str | None = None
        self._reader = threading.Thread(target=self._read, name="nursery-reports", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The nursery's process id."""
        return self._process.pid

    @property
    def is_gone(self) -> bool:
        """Whether it has ended, for whatever reason."""
        return self._last_words is not None

    def start(self, order: Order, permit: int | None) -> Future[Report]:
        """Have a child forked that holds a copy of the descriptor `permit`; the future fails with `NurseryGone`."""
        future: Future[Report] = Future()
        with self._lock:
            if self._last_words is not None:
                raise NurseryGone(self._last_words)
            self._waiting[order.id] = future
            with contextlib.suppress(OSError):  # it is just ending: the reader thread notices and fails the future
                self._channel.send({"order": order.to_json()}, [] if permit is None else [permit])
        return future

    def kill(self, order_id: int | None = None) -> None:
        """Have one child killed, or all of them."""
        with self._lock, contextlib.suppress(OSError):
            self._channel.send({"kill": "all" if order_id is None else order_id})

    def close(self) -> None:
        """End it and all its children, and wait for that."""
        with contextlib.suppress(OSError):
            self._channel.stream.shutdown(socket.SHUT_WR)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_TIMEOUT_S)
        self._process.kill()  # does nothing to one that has ended
        self._reader.join()

    def _read(self) -> None:
        while (messages := self._channel.receive()) is not None:
            for message, _ in messages:
                report = Report.from_json(message["report"])
                with self._lock:
                    future = self._waiting.pop(report.id)
                future.set_result(report)
        self._process.wait()
        with self._log as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
            last_words = log.read().decode(errors="replace")
        with self._lock:
            self._last_words = last_words
            self._channel.stream.close()
            forsaken = list(self._waiting.values())
            self._waiting.clear()
        for future in forsaken:
            future.set_exception(NurseryGone(last_words))


def _command(control: int, operations: Sequence[Path]) -> list[str]:
    room = Path(processing.__file__).resolve().parents[1]
    media = importlib.util.find_spec("av")
    if media is None or media.origin is None:
        raise ModuleNotFoundError("the media library av is not installed")
    libraries = Path(media.origin).resolve().parents[1]
    command = [sys.executable, "-I", "-c", _BOOT, str(room), str(libraries)]
    command += ["--control", str(control), "--owner", str(os.getpid()), "--library", str(libraries)]
    for folder in operations:
        command += ["--operations", str(folder)]
    return command
