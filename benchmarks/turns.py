"""Programs that take turns on one machine: each has all cores for a slice of time while the others stand still.

Belongs here: starting, holding and clocking them. Does not belong here: which programs (contestants).

The speed of a machine that is shared with others changes by a fifth within minutes. Programs that run one after the
other are compared with different machines then; slices of a few seconds meet the same one. What is compared is the sum
of a program's slices, and what the whole machine used in them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.command import ROOT
from benchmarks.machine import Clock, wait_for_quiet

SLICE_S = 3.0
TAIL = 2000  # characters of what a program that failed said last


@dataclass(frozen=True, slots=True)
class Took:
    """Wall clock and CPU of the whole machine, in seconds."""

    wall_s: float
    cpu_s: float

    def __add__(self, other: Took) -> Took:
        return Took(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)


class Program:
    """A program to be timed; `begin` starts what is timed of it. Output goes to a file, errors end the benchmark."""

    def __init__(self, name: str, command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._command, self._log, self._environment = command, log, environment
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start it."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=self._environment, cwd=ROOT
            )

    def said(self, line: str) -> None:
        """Wait until it has printed `line`. Raises SystemExit when it ends without."""
        while line not in self._log.read_text(errors="replace").splitlines():
            if self.process.poll() is not None:
                self._fail()
            time.sleep(0.05)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process. Raises ValueError before `begin`."""
        if self._process is None:
            raise ValueError(f"{self.name} has not begun")
        return self._process

    def ended(self, within_s: float) -> bool:
        """Whether it ended well within a time. Raises SystemExit with what it said when it failed."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        if code:
            self._fail()
        return True

    def hold(self) -> None:
        """Make it and everything it started stand still."""
        held: set[int] = set()
        while found := {member.pid for member in self._members()} - held:
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            held |= found

    def go_on(self) -> None:
        """Let all of it go on."""
        for member in self._members():
            with suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGCONT)

    def _members(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        return []

    def _fail(self) -> None:
        said = self._log.read_text(errors="replace")[-TAIL:]
        raise SystemExit(f"{self.name} ended with {self.process.returncode}: {said}")


class Prepared(Program):
    """A program that gets ready untimed, prints "ready" and begins at a line on its standard input."""

    def prepare(self) -> None:
        """Start it and wait until it is ready."""
        super().begin()
        self.said("ready")

    def begin(self) -> None:
        """Tell it to begin."""
        if self.process.stdin is not None:
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()


def in_turns(*programs: Program) -> dict[str, Took]:
    """Run all to their ends in turns, on a quiet machine; what each took."""
    wait_for_quiet()
    used = {program.name: Took(0.0, 0.0) for program in programs}
    waiting: deque[tuple[Program, Callable[[], None]]] = deque((program, program.begin) for program in programs)
    while waiting:
        program, start = waiting.popleft()
        before = Clock.now()
        start()
        if not program.ended(SLICE_S):
            program.hold()
            waiting.append((program, program.go_on))
        after = Clock.now()
        used[program.name] += Took(after.at_s - before.at_s, after.busy_s - before.busy_s)
    for name, took in used.items():
        print(f"{name:8s} {took.wall_s:6.1f} s wall {took.cpu_s:6.1f} CPU-s", flush=True)
    return used
