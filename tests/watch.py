"""Things that nobody in a worker may touch, watched from outside: sockets that listen, a folder of canaries.

Belongs here: laying them out, telling what was touched. Does not belong here: who is to leave them alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from pathlib import Path

SECRET = b"nobody may read this"
# inotify(7); opening a folder, as listing does, is an event of the folder itself, without a name
_EVENTS = {0x1: "read", 0x2: "written", 0x4: "its attributes changed", 0x20: "opened", 0x100: "made", 0x200: "deleted"}
_MOVED = {0x40: "moved away", 0x80: "moved here"}
_HEADER = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Five sockets of this machine and the file `canary.mp4` in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.folder = folder
        self.canary = folder / "canary.mp4"
        self.canary.write_bytes(SECRET)
        self.listening = {
            "TCP": socket.create_server(("127.0.0.1", 0), backlog=64),
            "local": socket.socket(socket.AF_UNIX),
            "abstract": socket.socket(socket.AF_UNIX),
        }
        self.receiving = {
            "UDP": socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            "local": socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        }
        self.receiving["UDP"].bind(("127.0.0.1", 0))
        self.receiving["local"].bind(str(folder / "datagrams"))
        self.listening["local"].bind(str(folder / "stream"))
        self.listening["abstract"].bind(f"\0sourcebound-watch-{os.getpid()}-{id(self)}")
        for each in (*self.listening.values(), *self.receiving.values()):
            each.setblocking(False)
            if each.type == socket.SOCK_STREAM:
                each.listen(64)
        self._before = self._states()
        self._events = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        _libc.inotify_add_watch(self._events, os.fsencode(folder), sum(_EVENTS) | sum(_MOVED))

    @property
    def tcp_port(self) -> int:
        return int(self.listening["TCP"].getsockname()[1])

    @property
    def udp_port(self) -> int:
        return int(self.receiving["UDP"].getsockname()[1])

    @property
    def abstract_name(self) -> str:
        """The abstract socket's name without the zero in front."""
        return bytes(self.listening["abstract"].getsockname())[1:].decode()

    @property
    def addresses(self) -> list[str]:
        """Where the things are, as a media file could name them."""
        return [
            f"http://127.0.0.1:{self.tcp_port}/canary.mp4", f"tcp://127.0.0.1:{self.tcp_port}",
            f"udp://127.0.0.1:{self.udp_port}", f"unix:{self.folder / 'stream'}", f"file://{self.canary}",
            str(self.canary), f"../{self.folder.name}/canary.mp4",
        ]  # fmt: skip

    def touched(self) -> list[str]:
        """What was touched since the last question."""
        found = []
        for name, server in self.listening.items():
            with contextlib.suppress(BlockingIOError):
                server.accept()[0].close()
                found.append(f"{name} connection")
        for name, box in self.receiving.items():
            with contextlib.suppress(BlockingIOError):
                found.append(f"{name} datagram: {box.recv(100).decode(errors='replace')}")
        found += self._happened()
        now = self._states()
        self._happened()  # the look itself is an event
        names = sorted(self._before.keys() | now.keys())
        return found + [f"{name} differs" for name in names if self._before.get(name) != now.get(name)]

    def close(self) -> None:
        for each in (*self.listening.values(), *self.receiving.values()):
            each.close()
        os.close(self._events)

    def _happened(self) -> list[str]:
        """What the kernel noticed of the folder, each once."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while block := os.read(self._events, 1 << 16):
                at = 0
                while at < len(block):
                    _, mask, _, length = _HEADER.unpack_from(block, at)
                    name = block[at + _HEADER.size : at + _HEADER.size + length].rstrip(b"\0").decode() or "the folder"
                    found += [f"{name} {what}" for bit, what in (_EVENTS | _MOVED).items() if mask & bit]
                    at += _HEADER.size + length
        return list(dict.fromkeys(found))

    def _states(self) -> dict[str, tuple[int, int, int, int]]:
        states = {path.name: path.lstat() for path in self.folder.iterdir()} | {"the folder": self.folder.lstat()}
        return {name: (one.st_size, one.st_mtime_ns, one.st_mode, one.st_uid) for name, one in states.items()}
