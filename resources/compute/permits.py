"""Machine-wide permits: how many tasks that keep a core busy may run at once, over all processes and homes of a user.

Belongs here: slot files and the queue for them. Does not belong here: how many a single call may use (local).

A permit is an exclusive flock(2) on a slot file. A lock belongs to the open file description, so that a child that
inherited the descriptor holds the permit too, and the kernel gives it back when the last holder is gone, however it
went. Nothing has to be cleaned up after a kill.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from processing.failures import Interrupted

HEAD_POLL_S = 0.02  # a slot that stays free for 10 ms on average costs a task of 4 s a quarter of a percent
QUEUE_POLL_S = 0.05  # those behind the head only ask whether they are the head
_SLOT, _WAITING = "slot-", "wait-"


class Permit:
    """One held permit. `fileno()` is what a child inherits; `close` (or `with`) gives up this process's hold on it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor of the locked slot file. Raises ValueError after `close`."""
        if self._descriptor < 0:
            raise ValueError("the permit was given back")
        return self._descriptor

    def close(self) -> None:
        """Give it back as far as this process is concerned. Never unlocks: a child may still hold it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Permits:
    """`count` permits (default: the cores this process may use) in `folder` (default: the user's runtime folder).

    Processes that were given different counts share the slots they have in common, so that together they never run
    more than the largest count. Raises PermissionError for a folder that is a link or somebody else's.
    """

    def __init__(self, count: int | None = None, *, folder: Path | None = None) -> None:
        self.count = count or len(os.sched_getaffinity(0))
        self.folder = folder or runtime_folder()
        with self._opened():
            pass

    def acquire(self, *, stopping: Callable[[], bool] = lambda: False, timeout_s: float | None = None) -> Permit:
        """Wait for a permit, first come first served over all processes.

        Raises `Interrupted` as soon as `stopping()` is true, TimeoutError after `timeout_s` seconds.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._opened() as folder, _Waiting(folder) as waiting:
            while True:
                if stopping():
                    raise Interrupted.by_a_stop()
                first = waiting.is_first()
                if first and (descriptor := self._take_slot(folder)) is not None:
                    return Permit(descriptor)
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"no permit came free within {timeout_s:g} s")
                time.sleep(HEAD_POLL_S if first else QUEUE_POLL_S)

    def spare(self) -> Permit | None:
        """A permit that is free and that nobody waits for."""
        with self._opened() as folder:
            names = [name for name in os.listdir(folder) if name.startswith(_WAITING)]  # noqa: PTH208  by descriptor
            if any(_is_locked(folder, name) for name in names):
                return None
            descriptor = self._take_slot(folder)
            return None if descriptor is None else Permit(descriptor)

    def in_use(self) -> int:
        """How many of the permits are held at this moment, by whomever."""
        with self._opened() as folder:
            return sum(_is_locked(folder, self._slot(index)) for index in range(self.count))

    def _take_slot(self, folder: int) -> int | None:
        for index in range(self.count):
            descriptor = _lock(folder, self._slot(index), create=True)
            if descriptor is not None:
                return descriptor
        return None

    @staticmethod
    def _slot(index: int) -> str:
        return f"{_SLOT}{index:03d}"

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The folder as a descriptor, checked: whoever could exchange it could take or multiply permits."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise PermissionError(f"{self.folder} is not a folder of its own: remove it") from error
        try:
            found = os.fstat(folder)
            if found.st_uid != os.geteuid():
                raise PermissionError(f"{self.folder} belongs to another user: remove it")
            if stat.S_IMODE(found.st_mode) & 0o077:
                os.fchmod(folder, 0o700)
            yield folder
        finally:
            os.close(folder)


class _Waiting:
    """A place in the queue: a locked file whose name tells when its owner came. An unlocked one is a dead owner's."""

    def __init__(self, folder: int) -> None:
        self._folder = folder
        self._name = f"{_WAITING}{time.monotonic_ns():020d}-{os.getpid()}-{threading.get_ident()}"
        self._descriptor = -1

    def __enter__(self) -> Self:
        self._descriptor = self._stand()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._folder)
        os.close(self._descriptor)

    def is_first(self) -> bool:
        """Whether everyone who came before is served or dead; the files of the dead are removed."""
        names = sorted(name for name in os.listdir(self._folder) if name.startswith(_WAITING))  # noqa: PTH208  by descriptor
        if self._name not in names:  # taken for dead between making the file and locking it
            os.close(self._descriptor)
            self._descriptor = self._stand()
            return False
        for name in names[: names.index(self._name)]:
            if _is_locked(self._folder, name):
                return False
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._folder)
        return True

    def _stand(self) -> int:
        descriptor = _open(self._folder, self._name, create=True)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor


def runtime_folder() -> Path:
    """XDG_RUNTIME_DIR/sourcebound where that is this user's own, else /tmp/sourcebound-<uid>: the same for every home.

    Not the TMPDIR of the session, which differs between a login and a service.
    """
    user = os.geteuid()
    for candidate in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{user}"):
        if candidate and Path(candidate).is_dir() and Path(candidate).stat().st_uid == user:
            return Path(candidate) / "sourcebound"
    return Path(f"/tmp/sourcebound-{user}")  # noqa: S108  ownership and mode are checked at every opening


def _open(folder: int, name: str, *, create: bool) -> int:
    # For reading, all that a lock needs: a worker inherits it, and no lock-down takes away what is open already.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    return os.open(name, flags, 0o600, dir_fd=folder)


def _lock(folder: int, name: str, *, create: bool) -> int | None:
    """The locked file's descriptor, or None where another holds it, or where the name is gone or changed hands."""
    try:
        descriptor = _open(folder, name, create=create)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _is_locked(folder: int, name: str) -> bool:
    try:
        descriptor = _open(folder, name, create=False)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
