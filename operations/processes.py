"""Finding and ending processes that belong to a home, on Linux by /proc.

Belongs here: the mark in the environment by which a process is recognised, the tree below a process, ending it in
time. Does not belong here: deciding when (operations/supervise).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from resources.runs.nursery import HOME_MARK

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.05


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies (prctl(2)); Linux only, else nothing."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """To be called between fork and exec: SIGTERM when the parent ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def parents() -> dict[int, int]:
    """Every visible process's parent, by pid."""
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = (entry / "stat").read_text()
                found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, nearest first."""
    tree = parents()
    found: list[int] = []
    frontier = {pid}
    while frontier:
        frontier = {child for child, parent in tree.items() if parent in frontier}
        found.extend(sorted(frontier))
    return found


def marked(home: Path) -> list[int]:
    """Processes of this user that a supervisor of `home` started, whoever their parent is now; never this one."""
    mark = f"{HOME_MARK}={home}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    """Whether `pid` runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def name(pid: int) -> str:
    """The program's short name, empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def end(pids: Iterable[int], *, grace_s: float) -> list[int]:
    """SIGTERM, then SIGKILL after `grace_s` seconds to those left. Returns the pids that had to be killed."""
    return end_together([(pids, grace_s)])


def end_together(groups: Iterable[tuple[Iterable[int], float]]) -> list[int]:
    """SIGTERM to all at once, then SIGKILL to each group's rest after its own grace (s). Returns the pids killed."""
    started = time.monotonic()
    waiting = [([pid for pid in pids if alive(pid)], grace_s) for pids, grace_s in groups]
    for pids, _ in waiting:
        send(pids, signal.SIGTERM)
    killed: list[int] = []
    while waiting:
        reap()
        passed_s = time.monotonic() - started
        waiting = [(left, grace_s) for pids, grace_s in waiting if (left := [pid for pid in pids if alive(pid)])]
        overdue = [pid for pids, grace_s in waiting if passed_s >= grace_s for pid in pids]
        send(overdue, signal.SIGKILL)
        killed += overdue
        waiting = [(pids, grace_s) for pids, grace_s in waiting if passed_s < grace_s]
        if waiting:
            time.sleep(POLL_S)
    reap()
    return killed


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each, ignoring those already gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def reap() -> None:
    """Collect adopted children that have ended, so that none stays a zombie."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
