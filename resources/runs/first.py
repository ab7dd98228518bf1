"""The first run of a command that finds no nursery: a process that gets ready before anybody knows its source.

Belongs here: that process as the command holds it. Does not belong here: what it does (first_process), or the runs
that follow it (nursery).

A nursery would be of no use to a command with one file: it imports first and forks then. This process imports while
the command opens the database and reads the file, and makes the first assets while it still imports.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from resources.identity import Identity
from resources.runs.messages import REPLY_DEADLINE_S, SourceOrder, read_line, say
from resources.runs.program import end, started
from resources.runs.run import SourceRun

PROGRAM = "resources.runs.first_process"


class FirstRun:
    """A process that waits for its one order. It dies with this one."""

    def __init__(self, home: Path, environment: Mapping[str, str], call_id: str, works: str) -> None:
        """Start it. `works` names a function without arguments that returns the catalogue, as `module:name`."""
        self._connection, theirs = socket.socketpair()
        self._connection.settimeout(REPLY_DEADLINE_S)
        with theirs:
            self._process = started(
                PROGRAM,
                _arguments(home, theirs.fileno(), call_id, works),
                home=home,
                log="runs",
                kept=theirs.fileno(),
                environment=environment,
            )

    @property
    def waits(self) -> bool:
        """Whether it lives and can be given its order."""
        return self._connection.fileno() >= 0 and self._process.poll() is None

    def start_source(self, order: SourceOrder) -> SourceRun:
        """Give it its order. Raises OSError where it died before."""
        say(self._connection, asdict(order))
        answer = read_line(self._connection)
        if not answer:
            raise ConnectionResetError("the process of the run ended before it had its order")
        run = SourceRun(self._connection.dup(), Identity.from_text(json.loads(answer)["worker"]))
        self._connection.close()
        return run

    def stop(self, timeout_s: float) -> None:
        """End it: without an order at once, with one by draining it for at most `timeout_s`."""
        self._connection.close()
        end(self._process, timeout_s)


def _arguments(home: Path, control: int, call_id: str, works: str) -> list[str]:
    given = {"--home": str(home), "--control": str(control), "--call": call_id, "--works": works}
    return ["--owner", str(os.getpid()), *(text for pair in given.items() for text in pair)]
