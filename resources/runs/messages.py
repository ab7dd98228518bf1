"""What is said between the nursery of runs and whoever asks it for one: orders, ends, the socket and its lines.

Belongs here: the types, where the socket lies, reading and writing one line. Does not belong here: starting a nursery
(nursery), answering (keeper) or doing what was asked (run_process).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOCKET_PATH_BYTES = 103  # sun_path holds 104 bytes on macOS, 108 on Linux, with the closing zero
REPLY_DEADLINE_S = 15.0  # a fork takes milliseconds
MAX_MESSAGE_BYTES = 1 << 20  # partitions come in lots of a thousand keys of at most 43 characters


@dataclass(frozen=True, slots=True)
class SourceOrder:
    """A run to be made and executed for a caller who waits for it.

    `assets` None is the whole job; `begin` are its assets in an order in which they can be made. `environment` holds
    the caller's settings, which go above the nursery's own.
    """

    source: str
    job: str
    assets: tuple[str, ...] | None = None
    call_id: str | None = None
    arrival: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    begin: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """How an ordered run ended. `reported` is False where its process died; CPU counts its workers too."""

    reported: bool
    status: str = "FAILURE"
    run_id: str | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def run_folder(home: Path) -> Path:
    """The private folder of the nursery's socket: in the home, or a short one where its path would be too long."""
    folder = home / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if len(os.fsencode(folder / "nursery.sock")) > SOCKET_PATH_BYTES:
        name = hashlib.sha256(os.fsencode(os.path.realpath(home))).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"sourcebound-{os.getuid()}-{name}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to someone else; remove it")
    folder.chmod(0o700)
    return folder


def socket_path(home: Path) -> Path:
    """Where the nursery of a home listens."""
    return run_folder(home) / "nursery.sock"


def ask(home: Path, message: Mapping[str, Any]) -> tuple[socket.socket, dict[str, Any]]:
    """Ask the nursery: the connection and the first answer. Raises OSError, also for an answer that is an error."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(REPLY_DEADLINE_S)
        connection.connect(str(socket_path(home)))
        connection.sendall(json.dumps(message).encode() + b"\n")
        received = read_line(connection)
        if not received:
            raise ConnectionResetError("the nursery of runs went away")
        answer: dict[str, Any] = json.loads(received)
        if "error" in answer:
            raise OSError(f"the nursery of runs refused: {answer['error']}")
    except BaseException:
        connection.close()
        raise
    return connection, answer


def read_line(connection: socket.socket) -> bytes:
    """One line, read byte-wise past nothing: what follows it stays in the socket."""
    received = b""
    while not received.endswith(b"\n") and len(received) < MAX_MESSAGE_BYTES:
        peeked = connection.recv(65536, socket.MSG_PEEK)
        if not peeked:
            break
        end = peeked.find(b"\n")
        received += connection.recv(end + 1 if end >= 0 else len(peeked))
    return received


def say(connection: socket.socket, message: Mapping[str, Any]) -> None:
    """Send one line to a caller who may have gone."""
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")
