"""The layers put together, in the one order that works, and the truth about which of them this machine offers.

Belongs here: `enclose` for the nursery, `lock_down` for each child, `report` for whoever asks. Does not belong here:
any layer's own workings (limits, namespaces, privileges, landlock, seccomp).

A layer that the machine does not offer is left out and the rest still holds; one that it offers and that then fails
stops the work, for a sandbox with an unnoticed hole is worse than none. What is active is returned, never assumed.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from processing.sandbox import landlock, limits, namespaces, privileges, seccomp
from processing.sandbox.limits import Limits

LAYERS = (limits.NAME, namespaces.NAME, privileges.NAME, landlock.NAME, seccomp.NAME)
REPORT_TIMEOUT_S = 5.0
_REPORT_LIMITS = Limits(memory_bytes=64 << 20, cpu_s=2, file_bytes=1 << 20)


def enclose() -> tuple[str, ...]:
    """Leave the machine's network for the rest of this process and all its children; names of the active layers.

    The one layer that may be refused where it is offered: containers and hardened systems forbid new namespaces, and
    seccomp refuses sockets besides.
    """
    if not namespaces.available():
        return ()
    try:
        namespaces.apply()
    except OSError:
        return ()
    return (namespaces.NAME,)


def lock_down(
    read: Sequence[Path], write: Path, bounds: Limits, *, parent: int, libraries: Sequence[Path] = ()
) -> tuple[str, ...]:
    """Confine the calling single-threaded process for good; names of the layers that became active.

    It may read the paths in `read` and the interpreter's own files (`libraries`: further folders of code), write
    below `write`, use what `bounds` says, and it dies with `parent` (a pid). Raises OSError when a layer fails.
    """
    active = []
    if privileges.available():
        # Landlock says which files root may read past their owners' wishes; without it, none.
        privileges.apply(parent, may_read_everything=landlock.available())
        active.append(privileges.NAME)
    limits.apply(bounds)  # before landlock, which hides the /proc that tells what memory is in use already
    active.append(limits.NAME)
    if landlock.available():
        landlock.apply(read, write, libraries=libraries)
        active.append(landlock.NAME)
    if seccomp.available():  # last: it refuses some of the calls the others are made of
        seccomp.apply()
        active.append(seccomp.NAME)
    return tuple(active)


def report() -> dict[str, bool | str]:
    """Layer by layer what this machine offers: True, or a sentence that says what is missing.

    Nothing is taken from version numbers: a child is locked down and tries what each layer must refuse.
    """
    with tempfile.TemporaryDirectory(prefix="sourcebound-") as name:
        folder = Path(name)
        canary = folder / "canary"
        canary.write_text("readable")
        scratch = folder / "scratch"
        scratch.mkdir()
        reader, writer = os.pipe()
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _report_from_inside(writer, parent, canary, scratch)
        os.close(writer)
        try:
            answer = _read_all(reader, REPORT_TIMEOUT_S)
        finally:
            os.close(reader)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    if not answer:
        return dict.fromkeys(LAYERS, "the process that was to try it gave no answer")
    found: dict[str, bool | str] = json.loads(answer)
    return found


def _report_from_inside(writer: int, parent: int, canary: Path, scratch: Path) -> None:
    """In the child of `report`: lock down, try, tell, end. Never returns."""
    try:
        gc.disable()
        active = {*enclose(), *lock_down([], scratch, _REPORT_LIMITS, parent=parent)}
        found: dict[str, Any] = {
            name: True if name in active and holds else (broken if name in active else absent)
            for name, holds, broken, absent in (
                (limits.NAME, _memory_is_limited(), "set, but memory is not limited by them", "could not be set"),
                (namespaces.NAME, _network_is_empty(), "entered, but a network is in reach", "refused by this system"),
                (privileges.NAME, True, "", "cannot be dropped on this system"),
                (landlock.NAME, not _readable(canary), "active, but a foreign file was read", "not in this kernel"),
                (seccomp.NAME, not _can_fork(), "active, but a process was started", "not in this kernel"),
            )
        }
        os.write(writer, json.dumps(found).encode())
    finally:
        os._exit(0)


def _memory_is_limited() -> bool:
    try:
        bytearray(_REPORT_LIMITS.memory_bytes + limits.MEMORY_MARGIN_BYTES + (64 << 20))
    except MemoryError:
        return True
    return False


def _network_is_empty() -> bool:
    """Whether no interface but loopback exists. Where seccomp refuses even to look, that is the answer."""
    try:
        return [name for _, name in socket.if_nameindex()] == ["lo"]
    except OSError:
        return True


def _readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def _can_fork() -> bool:
    try:
        child = os.fork()
    except OSError:
        return False
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return True


def _read_all(reader: int, timeout_s: float) -> bytes:
    collected = b""
    until = time.monotonic() + timeout_s
    while (left_s := until - time.monotonic()) > 0 and select.select([reader], [], [], left_s)[0]:
        block = os.read(reader, 65536)
        if not block:
            break
        collected += block
    return collected
