"""What the owner of a nursery and the nursery say to each other over one local stream socket.

Belongs here: the messages, their framing, how descriptors come along, and the names of the files and folders
through which a task and its outcome travel. Does not belong here: doing any of it (processing/worker) or judging it
(resources/compute).

Messages are small and come from trusted sides only. The task itself and its outcome are files in the task's scratch
folder, so that the nursery never parses anything that came from a media file.
"""

from __future__ import annotations

import array
import json
import shutil
import socket
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from processing.sandbox.limits import Limits
from processing.work import Task

TASK_FILE = "task.json"
RESULT_FILE = "result.json"
FAILURE_FILE = "failure.json"
WORKING_FOLDER = "cwd"  # empty and private: a playlist or concat script finds no sibling to name
TEMPORARY_FOLDER = "tmp"

# How a child ends that cannot write down why.
STATUS_NOT_LOCKED_DOWN = 97  # a layer of its sandbox failed, so it refused to work
STATUS_DISK_FULL = 98  # there was no room for its outcome either

_LENGTH = struct.Struct("!I")
_BLOCK_BYTES = 1 << 16
_MOST_DESCRIPTORS = 16  # in one receive; an order carries at most one


class Kind(StrEnum):
    """What an operation returns: a `Result`, or the list of `Verdict` of a contract."""

    OPERATION = "operation"
    CONTRACT = "contract"


class StoppedBy(StrEnum):
    """Why the nursery ended a child, or that it did not."""

    NOBODY = "nobody"
    WALL_CLOCK = "wall_clock"
    MEMORY = "memory"
    OWNER = "owner"
    NO_PROCESS = "no_process"  # the machine refused to fork: there never was a child


@dataclass(frozen=True, slots=True)
class Order:
    """One child to fork. `module` is imported beforehand in the nursery, so that later children find it loaded.

    `read` are the paths the task names, `scratch` the one it may write to, `wall_s` its seconds on the wall clock.
    """

    id: int
    kind: Kind
    module: str
    scratch: Path
    read: tuple[Path, ...]
    wall_s: float
    limits: Limits

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind.value,
            "module": self.module,
            "scratch": str(self.scratch),
            "read": [str(path) for path in self.read],
            "wall_s": self.wall_s,
            "limits": self.limits.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Order:
        return cls(
            id=value["id"],
            kind=Kind(value["kind"]),
            module=value["module"],
            scratch=Path(value["scratch"]),
            read=tuple(map(Path, value["read"])),
            wall_s=float(value["wall_s"]),
            limits=Limits.from_json(value["limits"]),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """How a child ended: exit `status` (negative: the signal's number), who stopped it, what it used.

    Times are seconds since the epoch, `log` the first and last of what it and its libraries printed.
    """

    id: int
    status: int
    stopped_by: StoppedBy
    started_at: float
    ended_at: float
    cpu_s: float
    peak_memory_bytes: int
    log: str

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status,
            "stopped_by": self.stopped_by.value,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "cpu_s": self.cpu_s,
            "peak_memory_bytes": self.peak_memory_bytes,
            "log": self.log,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Report:
        return cls(**{**value, "stopped_by": StoppedBy(value["stopped_by"])})


def paths_named(task: Task) -> tuple[Path, ...]:
    """Everything a task may read, each once: the original and its texts, its inputs' folders, what it is to judge."""
    found = [task.source.path] if task.source else []
    found += [text.path for text in task.texts]
    found += [item.folder for item in task.inputs.values()]
    found += [task.made.folder] if task.made else []
    return tuple(dict.fromkeys(found))


def prepare(task: Task) -> None:
    """Make a task's scratch folder ready for a child: what an earlier one left goes, then the task is written down.

    Nothing that lies there is followed or written through: an earlier child may have been taken over. Raises OSError.
    """
    folders = ("out", WORKING_FOLDER, TEMPORARY_FOLDER)
    for name in (*folders, "products", TASK_FILE, RESULT_FILE, FAILURE_FILE):
        _remove(task.scratch / name)
    for name in folders:
        (task.scratch / name).mkdir()
    with (task.scratch / TASK_FILE).open("x", encoding="utf-8") as file:
        json.dump(task.to_json(), file)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Channel:
    """Whole messages over a stream socket, each a length and JSON, the first byte carrying descriptors.

    Not safe for several senders at once, nor for several receivers.
    """

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self._received = bytearray()
        self._descriptors: deque[int] = deque()

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send one message and copies of open descriptors with it. Raises OSError when the other side is gone."""
        body = json.dumps({**message, "descriptors": len(descriptors)}).encode()
        data = _LENGTH.pack(len(body)) + body
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        sent = self.stream.sendmsg([data], ancillary)
        if sent < len(data):
            self.stream.sendall(memoryview(data)[sent:])

    def receive(self) -> list[tuple[dict[str, Any], tuple[int, ...]]] | None:
        """Read once and return the messages that are now whole, with their descriptors; None at the end."""
        space = socket.CMSG_SPACE(_MOST_DESCRIPTORS * array.array("i").itemsize)
        try:
            block, ancillary, _, _ = self.stream.recvmsg(_BLOCK_BYTES, space)
        except ConnectionError:
            return None
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(data[: len(data) - len(data) % received.itemsize])
                self._descriptors.extend(received)
        if not block:
            return None
        self._received += block
        return list(self._whole_messages())

    def _whole_messages(self) -> list[tuple[dict[str, Any], tuple[int, ...]]]:
        messages = []
        while len(self._received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._received)
            end = _LENGTH.size + length
            if len(self._received) < end:
                break
            message = json.loads(self._received[_LENGTH.size : end])
            del self._received[:end]
            count = message.pop("descriptors")
            messages.append((message, tuple(self._descriptors.popleft() for _ in range(count))))
        return messages
