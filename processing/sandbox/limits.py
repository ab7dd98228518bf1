"""The kernel's own limits on one process: memory, CPU, size of a file, open files, no core dumps.

Belongs here: the numbers a task is held to and setting them. Does not belong here: the resident peak and the wall
clock, which the kernel does not limit and the nursery watches (processing/worker).
"""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "limits"
OPEN_FILES = 256  # a pass over a chunk has about 20 open; a runaway is stopped long before the machine notices
MEMORY_MARGIN_BYTES = 192 << 20  # writable address space a healthy task reserves and never touches: stacks, arenas
STACK_BYTES = 8 << 20  # each thread's stack counts in full against RLIMIT_DATA, whatever the caller's shell had
RESERVE_BYTES = 32 << 20  # on top of the memory bound, for writing down that it was crossed
CPU_GRACE_S = 2  # between SIGXCPU, which ends the process, and the SIGKILL nothing can ignore


@dataclass(frozen=True, slots=True)
class Limits:
    """What one task may use: resident memory in bytes, CPU in seconds, the largest single file in bytes."""

    memory_bytes: int
    cpu_s: int
    file_bytes: int

    def to_json(self) -> dict[str, int]:
        return {"memory_bytes": self.memory_bytes, "cpu_s": self.cpu_s, "file_bytes": self.file_bytes}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Limits:
        return cls(int(value["memory_bytes"]), int(value["cpu_s"]), int(value["file_bytes"]))


def apply(limits: Limits) -> None:
    """Set the limits for the calling process. A limit that is already lower stays.

    Memory is bounded through RLIMIT_DATA (private writable memory, Linux 4.7 and later), not RLIMIT_AS, which counts
    every mapped library and file and would have to be set far above what is meant.
    """
    data_bytes = limits.memory_bytes + MEMORY_MARGIN_BYTES + _data_now_bytes()
    for name, soft, hard in (
        (resource.RLIMIT_DATA, data_bytes, data_bytes + RESERVE_BYTES),
        (resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + CPU_GRACE_S),
        (resource.RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        (resource.RLIMIT_STACK, STACK_BYTES, STACK_BYTES),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        _lower(name, soft, hard)


def release_reserve() -> None:
    """Allow the calling process the last of its memory, so that it can say how it failed."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _lower(name: int, soft: int, hard: int) -> None:
    _, ceiling = resource.getrlimit(name)
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(name, (soft, hard))


def _data_now_bytes() -> int:
    """Private writable memory the process starts with (statm field 6, pages), 0 where there is no /proc."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[5]) * resource.getpagesize()
    except FileNotFoundError:
        return 0
