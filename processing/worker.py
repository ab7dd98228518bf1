"""The nursery: a small process that has the media libraries loaded and forks one locked-down child a task.

Belongs here: starting, forking, watching, ending and reaping. Does not belong here: what a child does
(processing/child), the messages (processing/protocol), or which task runs when (resources/compute).

It is single-threaded, opens no media file and parses nothing that came from one, so that a fork of it is always
clean. It ends, with all its children, as soon as its owner is gone. SIGINT and SIGTERM leave it cold: a Ctrl-C reaches
the owner, who decides.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from processing.child import live
from processing.protocol import Channel, Order, Report, StoppedBy
from processing.sandbox.lockdown import enclose
from processing.work import OPERATION_ROOT

PRELOADED = ("av", "numpy")
WATCH_INTERVAL_S = 0.1  # a decoder fills at most some 100 MB in that time, which RLIMIT_DATA stops anyway
LOG_HEAD_BYTES = 16 << 10
LOG_TAIL_BYTES = 48 << 10  # the end holds what a crash said last
LIKELIER_OOM_VICTIM = 500  # of 1000: should the machine run out of memory, a worker goes before a database


@dataclass(slots=True)
class _Log:
    """The first and the last of what a child printed."""

    descriptor: int
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)

    def drain(self) -> bool:
        """Take what is there, one pipe's worth at most; False when there was nothing."""
        try:
            block = os.read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return False
        room = max(0, LOG_HEAD_BYTES - len(self.head))
        self.head += block[:room]
        self.tail += block[room:]
        del self.tail[:-LOG_TAIL_BYTES]
        return bool(block)

    @property
    def text(self) -> str:
        return (bytes(self.head) + bytes(self.tail)).decode(errors="replace")


@dataclass(slots=True)
class _Child:
    """One running child as the nursery sees it; `deadline` is on the monotonic clock."""

    pid: int
    order: Order
    started_at: float
    deadline: float
    log: _Log
    stopped_by: StoppedBy = StoppedBy.NOBODY

    def kill(self, why: StoppedBy) -> None:
        """End it and its group. It is not reaped yet, so the pid is still its own."""
        if self.stopped_by is StoppedBy.NOBODY:
            self.stopped_by = why
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.end_group()

    def end_group(self) -> None:
        """End what it may have started where no seccomp forbade it. There is no group before its first line ran."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def resident_bytes(self) -> int:
        """Resident memory by proc(5) statm, 0 where there is no /proc or it has just ended."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]) * resource.getpagesize()
        except (OSError, IndexError):
            return 0


class Nursery:
    """Serves one owner over `control` until the owner closes it or dies."""

    def __init__(self, control: socket.socket, owner: int, libraries: Sequence[Path]) -> None:
        self._channel = Channel(control)
        self._libraries = libraries
        self._children: dict[int, _Child] = {}
        self._selector = selectors.DefaultSelector()
        self._wakeup, wakeup_writer = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(wakeup_writer, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)
        self._selector.register(control, selectors.EVENT_READ, "control")
        self._selector.register(self._wakeup, selectors.EVENT_READ, "child ended")
        with contextlib.suppress(OSError, AttributeError):  # no pidfd before Linux 5.3: then the closed socket tells
            self._selector.register(os.pidfd_open(owner), selectors.EVENT_READ, "owner ended")

    def serve(self) -> None:
        """Fork, watch and report until the owner is gone; then end every child."""
        try:
            while self._turn():
                self._reap()
                self._watch()
        finally:
            for child in self._children.values():
                child.kill(StoppedBy.OWNER)

    def _turn(self) -> bool:
        """Wait for what happens next and take it in; False when the owner is gone."""
        for key, _ in self._selector.select(WATCH_INTERVAL_S if self._children else None):
            if key.data == "owner ended":
                return False
            if key.data == "control" and not self._obey():
                return False
            if key.data == "child ended":
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wakeup, 4096)
            if isinstance(key.data, _Log) and not key.data.drain():
                self._selector.unregister(key.fd)
        return True

    def _obey(self) -> bool:
        messages = self._channel.receive()
        if messages is None:
            return False
        for message, descriptors in messages:
            if "order" in message:
                self._fork(Order.from_json(message["order"]), descriptors)
            if "kill" in message:
                for child in self._children.values():
                    if message["kill"] in {child.order.id, "all"}:
                        child.kill(StoppedBy.OWNER)
        return True

    def _fork(self, order: Order, descriptors: Sequence[int]) -> None:
        _preload(order.module)
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)  # a child that prints without end is not slowed down, its chatter is dropped
        parent = os.getpid()
        started_at, started = time.time(), time.monotonic()
        try:
            pid = os.fork()
        except OSError as error:
            for descriptor in (reader, writer, *descriptors):
                os.close(descriptor)
            self._tell(Report(order.id, 1, StoppedBy.NO_PROCESS, started_at, time.time(), 0.0, 0, str(error)))
            return
        if pid == 0:
            live(order, parent=parent, log=writer, kept=descriptors, libraries=self._libraries)
        for descriptor in (writer, *descriptors):
            os.close(descriptor)  # the child's copies alone hold its permit now
        log = _Log(reader)
        self._selector.register(reader, selectors.EVENT_READ, log)
        self._children[pid] = _Child(pid, order, started_at, started + order.wall_s, log)

    def _watch(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if now > child.deadline:
                child.kill(StoppedBy.WALL_CLOCK)
            elif child.resident_bytes() > child.order.limits.memory_bytes:
                child.kill(StoppedBy.MEMORY)

    def _reap(self) -> None:
        while self._children:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            child = self._children.pop(ended.si_pid)
            child.end_group()
            _, status, usage = os.wait4(child.pid, 0)
            self._close_log(child.log)
            self._tell(
                Report(
                    id=child.order.id,
                    status=os.waitstatus_to_exitcode(status),
                    stopped_by=child.stopped_by,
                    started_at=child.started_at,
                    ended_at=time.time(),
                    cpu_s=usage.ru_utime + usage.ru_stime,
                    peak_memory_bytes=usage.ru_maxrss * 1024,
                    log=child.log.text,
                )
            )

    def _close_log(self, log: _Log) -> None:
        while log.drain():
            pass
        with contextlib.suppress(KeyError):  # it was taken out when the child closed its side
            self._selector.unregister(log.descriptor)
        os.close(log.descriptor)

    def _tell(self, report: Report) -> None:
        with contextlib.suppress(OSError):  # the owner is gone: the next turn notices
            self._channel.send({"report": report.to_json()})


def _preload(module: str) -> None:
    """Import a module of operations here, once, so that no child has to. A module that cannot be is left to the child,
    which can say so.
    """
    if module in sys.modules or not module.startswith(OPERATION_ROOT):
        return
    with contextlib.suppress(Exception):
        importlib.import_module(module)
        gc.freeze()


def main(arguments: Sequence[str]) -> None:
    """Run a nursery on an inherited socket until its owner is gone."""
    parser = argparse.ArgumentParser(prog="processing.worker", description=main.__doc__)
    parser.add_argument("--control", type=int, required=True, help="descriptor of a connected local stream socket")
    parser.add_argument("--owner", type=int, required=True, help="pid of the process it serves")
    parser.add_argument("--library", type=Path, action="append", default=[], help="a further folder of code to read")
    parser.add_argument("--operations", type=Path, action="append", default=[], help="more operations, for tests")
    given = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(LIKELIER_OOM_VICTIM))
    enclose()
    _add_operations(given.operations)
    for name in PRELOADED:
        importlib.import_module(name)
    _let_libav_print()
    gc.disable()
    gc.freeze()  # a collection in a child would touch, and so copy, every page it shares with this process
    Nursery(socket.socket(fileno=given.control), given.owner, [*given.library, *given.operations]).serve()


def _add_operations(folders: Sequence[Path]) -> None:
    """Let modules in `folders` be found as if they lay in this room: how tests bring operations that misbehave."""
    import processing

    processing.__path__.extend(map(str, folders))


def _let_libav_print() -> None:
    """Errors of libav*, and nothing less, go straight to descriptor 2, not through Python as by PyAV's own hook."""
    import av.logging

    av.logging.set_libav_level(av.logging.ERROR)
    av.logging.restore_default_callback()


if __name__ == "__main__":
    main(sys.argv[1:])
