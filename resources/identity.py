"""Who a process is: enough to tell, later and from another process, whether that very process still lives.

Belongs here: the identity, its text form for database rows, the question whether it is alive. Does not belong here:
what its death means (leases in resources/ledger, runs in resources/launcher).

A pid alone says nothing, for it is given out again; with its start time and the kernel's boot id it names one process
for ever.
"""

from __future__ import annotations

import functools
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MACHINE_ID = Path("/etc/machine-id")
_DEAD_STATES = frozenset("ZXx")  # proc(5): a zombie holds nothing any more, it only waits to be noticed
_UNKNOWN = "-"


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, for ever: machine, boot of that machine, pid, start in clock ticks since that boot.

    Where the kernel offers no /proc (macOS), `boot_id` is "-" and `started` 0: a pid that was given out again is then
    taken for the old process, so that a dead holder is noticed late, never a live one early.
    """

    host: str
    boot_id: str
    pid: int
    started: int

    @classmethod
    def current(cls) -> Identity:
        """The calling process. Not cached: a fork changes the answer."""
        pid = os.getpid()
        found = _process(pid)
        return cls(_host(), _boot_id(), pid, found.started if found else 0)

    def to_text(self) -> str:
        """Host, boot id, pid and start, separated by single spaces."""
        return f"{self.host} {self.boot_id} {self.pid} {self.started}"

    @classmethod
    def from_text(cls, text: str) -> Identity:
        """The inverse of `to_text`. Raises ValueError for anything else."""
        parts = text.split(" ")
        if len(parts) != 4:
            raise ValueError(f"{text!r} is not the identity of a process")
        host, boot_id, pid, started = parts
        return cls(host, boot_id, int(pid), int(started))


def is_alive(identity: Identity) -> bool | None:
    """Whether that process still runs; None for a process of another host, which nobody here can know.

    A process of this host from before its last boot is dead, and so is a zombie.
    """
    if identity.host != _host():
        return None
    if identity.boot_id != _boot_id():
        return False
    if not _BOOT_ID.exists():
        return _answers(identity.pid)
    found = _process(identity.pid)
    return found is not None and found.started == identity.started and found.state not in _DEAD_STATES


class _Process(NamedTuple):
    state: str
    started: int


def _process(pid: int) -> _Process | None:
    """State (field 3) and start time (field 22) from proc(5) stat, or None where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name before it may hold spaces and brackets
    return _Process(fields[0].decode(), int(fields[19]))


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@functools.cache
def _host() -> str:
    """Node name and, where there is one, the start of the machine id: cloned machines share names, not both."""
    try:
        machine = _MACHINE_ID.read_text(encoding="ascii").strip()[:12]
    except OSError:
        machine = ""
    return f"{platform.node() or 'localhost'}/{machine or _UNKNOWN}".replace(" ", "_")


@functools.cache
def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return _UNKNOWN
