"""A run that somebody ordered and waits for.

Belongs here: learning of its end, asking it to stop. Does not belong here: starting it (nursery, first).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Sequence

from resources.identity import Identity, is_alive
from resources.runs.messages import MAX_MESSAGE_BYTES, Ended


class SourceRun:
    """An ordered run at work."""

    def __init__(self, connection: socket.socket, worker: Identity) -> None:
        self._connection = connection
        self._connection.setblocking(False)
        self._worker = worker
        self._received = b""
        self._started = time.monotonic()
        self._ended: Ended | None = None

    @property
    def pid(self) -> int:
        """The process that executes the run."""
        return self._worker.pid

    def fileno(self) -> int:
        """What becomes readable when it ended: for select(2), until `poll` has told the end."""
        return self._connection.fileno()

    def poll(self) -> Ended | None:
        """How it ended, or None while it works. Never blocks."""
        while self._ended is None:
            try:
                block = self._connection.recv(MAX_MESSAGE_BYTES)
            except BlockingIOError:
                return None
            except ConnectionError:
                block = b""
            self._received += block
            if self._received.endswith(b"\n"):
                self._ended = Ended(**json.loads(self._received))
            elif not block:
                self._ended = Ended(reported=False, seconds=time.monotonic() - self._started)
        self._connection.close()
        return self._ended

    def terminate(self) -> None:
        """Ask it to stop: running tasks may finish, then it ends as cancelled."""
        if is_alive(self._worker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._worker.pid, signal.SIGTERM)


def wait_for_any(runs: Sequence[SourceRun], timeout_s: float) -> None:
    """Return when one of the runs has news, or after `timeout_s`."""
    with selectors.DefaultSelector() as selector:
        for run in runs:
            selector.register(run, selectors.EVENT_READ)
        selector.select(timeout_s)
