"""What the machine does while something is measured: CPU of whole process trees, and how busy others keep it.

Belongs here: reading /proc. Does not belong here: any figure.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

TICKS_S = os.sysconf("SC_CLK_TCK")
QUIET_SHARE = 0.15  # of all cores, in use by others
LOOK_S = 1.0
PATIENCE_S = 60.0
IDLE_FIELDS = (3, 4)  # of the first line of /proc/stat: idle, and waiting for a disk; see proc(5)


@dataclass(frozen=True, slots=True)
class Clock:
    """How long the machine's cores have been busy, all together, and when that was read; both in seconds."""

    busy_s: float
    at_s: float

    @classmethod
    def now(cls) -> Clock:
        """Read both."""
        fields = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        busy = sum(value for index, value in enumerate(fields) if index not in IDLE_FIELDS)
        return cls(busy / TICKS_S, time.monotonic())


def wait_for_quiet(patience_s: float = PATIENCE_S) -> None:
    """Return when others leave the machine alone, or after `patience_s` at the latest."""
    until = time.monotonic() + patience_s
    cores = os.cpu_count() or 1
    while time.monotonic() < until:
        before = Clock.now()
        time.sleep(LOOK_S)
        after = Clock.now()
        if (after.busy_s - before.busy_s) / (after.at_s - before.at_s) / cores < QUIET_SHARE:
            return


class Others:
    """Measures which share of the machine others use, from its making to `share`."""

    def __init__(self) -> None:
        self._start = Clock.now()

    def share(self, own_cpu_s: float) -> float:
        """Share of all cores (0 to 1) that others used."""
        now = Clock.now()
        cores = os.cpu_count() or 1
        return max(0.0, (now.busy_s - self._start.busy_s - own_cpu_s) / (now.at_s - self._start.at_s) / cores)


def tree_cpu_s(roots: Iterable[int]) -> float:
    """User and system seconds of processes, of their living descendants, and of all ended ones that were waited for."""
    total = 0.0
    for root in roots:
        try:
            process = psutil.Process(root)
            members = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for member in members:
            try:
                used = member.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += used.user + used.system + used.children_user + used.children_system
    return total


def postgres_pids(data: Path) -> list[int]:
    """The server over the data directory `data`; empty where none runs."""
    try:
        return [int((data / "postmaster.pid").read_text().split("\n", 1)[0])]
    except (FileNotFoundError, ValueError):
        return []
