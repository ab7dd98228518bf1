"""A local compute over operations that misbehave, and the look at the process table that tests of it share.

Belongs here: making tasks, watching processes. Does not belong here: assertions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processing.work import Bounds, Input, SourceFile, Task
from resources.identity import Identity, is_alive

MISBEHAVING = Path(__file__).parent / "misbehaving"
BOUNDS = Bounds(wall_base_s=20, wall_per_media_s=1, memory_mb=300, output_mb=64)


def task_of(
    operation: str, scratch: Path, source: Path | None = None, *, made: Input | None = None, **parameters: Any
) -> Task:
    """A task over one of the misbehaving operations."""
    scratch.mkdir(parents=True, exist_ok=True)
    original = SourceFile(source, "0" * 64, source.stat().st_size) if source else None
    module = "unguarded" if operation == "hangs_with_a_child" else "mischief"
    return Task(f"processing.{module}:{operation}", parameters, scratch, source=original, made=made)


def children_of(pid: int) -> list[int]:
    """Pids of the living children of a process, from /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def identity_of(pid: int) -> Identity:
    """The identity of another process of this machine."""
    me = Identity.current()
    started = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    return Identity(me.host, me.boot_id, pid, int(started))


def eventually(question: Callable[[], Any], *, within_s: float = 20.0) -> Any:
    """Ask until the answer is truthy; the last answer when time is over."""
    until = time.monotonic() + within_s
    while not (answer := question()) and time.monotonic() < until:
        time.sleep(0.01)
    return answer


def all_dead(*identities: Identity) -> bool:
    """Whether none of these processes lives."""
    return not any(is_alive(identity) for identity in identities)
