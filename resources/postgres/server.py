"""The embedded PostgreSQL: started by whoever needs it first, stopped by whoever leaves last.

Belongs here: start, stop, the count of users. Does not belong here: where its programs and data lie (place) or
connections to it (database).

Everything rests on `flock`, which the kernel gives back at any death. Whoever starts the server holds the start lock.
The server and all its backends inherit the live lock: getting it proves that no server process is left, whatever a
`postmaster.pid` says. Every user holds a share of the users lock: getting it whole proves that nobody else is left.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from resources.postgres.database import PostgresError, connect_arguments, ensure_database, with_database
from resources.postgres.locks import locked, try_lock
from resources.postgres.place import PORT, Place, ServerUser, recorded, settled, socket_file

log = logging.getLogger(__name__)

DATABASE = "sourcebound"
SUPERUSER = "sourcebound"
START_DEADLINE_S = 60.0  # crash recovery of a busy database takes seconds, not minutes
LOST_SOCKET_S = 5.0  # a server makes its socket first of all: without one it can be reached by nobody any more
STOP_DEADLINE_S = 20.0
FAST_STOP_S = 8.0  # then the backends are told to leave at once; the next start recovers from the log
POLL_S = 0.02
BALLAST_BYTES = 48 << 20  # three segments of the write-ahead log: enough to come up on a full disk
LOG_BYTES = 8 << 20  # the server's log is started anew at a start above this size
SERVER_SETTINGS = {
    "shared_buffers": "64MB",  # 13 MB resident idle
    "max_connections": "100",  # 1.5 MB each; ten runs and a busy web page take 56
    "io_method": "sync",
    "jit": "off",
    "max_wal_senders": "2",
    "autovacuum_max_workers": "2",
    "max_parallel_workers_per_gather": "0",
    "max_wal_size": "256MB",  # bounds the disk; the default of 1 GB is for bulk loads
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
INITDB_OPTIONS = (
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--auth=trust",  # the socket's folder admits its owner and root, nobody else
    f"--username={SUPERUSER}",
)

_launched: list[subprocess.Popen[bytes]] = []  # referred to for as long as we live: a server outlives its starter


class EmbeddedPostgres:
    """The PostgreSQL server of one home. Cheap to make; nothing happens before `start` or `users`."""

    def __init__(self, home: Path) -> None:
        self._home = Path(os.path.realpath(home))
        self._known_place: Place | None = None
        self._users: IO[str] | None = None

    def start(self) -> str:
        """Start the server if it does not run, and return its SQLAlchemy address.

        Safe to call from any number of processes at once. Raises `PostgresError`.
        """
        place = self._place()
        url = self._url(place)
        if _answers(url):
            return url
        with locked(place.folder / "start.lock", fcntl.LOCK_EX):
            if not _answers(url):
                self._bring_up(place)
            return url

    def address(self) -> str:
        """The SQLAlchemy address it has, or will have once it is started. Raises `PostgresError`."""
        return self._url(self._place())

    def stop(self) -> None:
        """Stop the server if it runs, whoever uses it. Returns when no server process is left."""
        place = self._recorded()
        if place is None or not place.folder.exists():
            return
        with locked(place.folder / "start.lock", fcntl.LOCK_EX):
            self._bring_down(place)

    def is_running(self) -> bool:
        """Whether it answers."""
        place = self._recorded()
        return place is not None and _answers(self._url(place))

    def join(self) -> None:
        """Become one of its users until `leave`, or until this process ends in whatever way. Does not start it."""
        if self._users is None:
            users = (self._place().folder / "users.lock").open("a")
            fcntl.flock(users, fcntl.LOCK_SH)  # waits while a last user stops the server
            self._users = users

    def leave(self) -> bool:
        """Stop being a user, and stop the server if nobody else is one; whether it was stopped."""
        if self._users is None:
            return False
        with self._users as users:
            self._users = None
            if not try_lock(users):
                return False
            try:
                self.stop()
            finally:
                fcntl.flock(users, fcntl.LOCK_UN)  # a forked child may still hold this very lock
            return True

    @contextlib.contextmanager
    def users(self) -> Iterator[str]:
        """Be one of its users: started when entered, stopped when left if nobody else uses it. Gives the address."""
        self.join()
        try:
            yield self.start()
        finally:
            self.leave()

    def describe(self) -> dict[str, Any]:
        """For `doctor`: where everything is, as whom it runs, and whether it runs."""
        place = self._place()
        return {
            **place.to_json(),
            "data": str(place.data),
            "log": str(place.folder / "server.log"),
            "running": self.is_running(),
            "in_home": place.folder.is_relative_to(self._home),
        }

    def _url(self, place: Place) -> str:
        return f"postgresql+psycopg2://{SUPERUSER}@/{DATABASE}?host={quote(str(place.sockets))}&port={PORT}"

    def _recorded(self) -> Place | None:
        if self._known_place is None:
            self._known_place = recorded(self._home)
        return self._known_place

    def _place(self) -> Place:
        self._known_place = settled(self._home, self._recorded())
        return self._known_place

    def _bring_up(self, place: Place) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        url = self._url(place)
        with (place.folder / "live.lock").open("a") as live:
            while not try_lock(live):
                if _answers(url):  # it was still recovering, or somebody else was faster
                    return
                if not socket_file(place).exists() and time.monotonic() > deadline - START_DEADLINE_S + LOST_SOCKET_S:
                    _signal_server(place.data, signal.SIGINT)
                if time.monotonic() > deadline:
                    raise PostgresError(
                        f"server processes of {place.data} are left that do not answer; end them, then try again"
                    )
                time.sleep(POLL_S)
            _make_room(place.folder)
            if not place.data.exists():
                _initialise(place)
            for stale in (place.data / "postmaster.pid", *place.sockets.iterdir()):
                stale.unlink(missing_ok=True)  # their pids may be somebody else's by now
            server = _launch(place, live.fileno())
        self._await_answer(place, server, deadline)
        _keep_ballast(place.folder)

    def _await_answer(self, place: Place, server: subprocess.Popen[bytes], deadline: float) -> None:
        maintenance = with_database(self._url(place), "postgres")
        while not _answers(maintenance):
            if server.poll() is not None:
                raise PostgresError(
                    f"the embedded database did not start: {_last_line(place.folder / 'server.log')}; "
                    f"its log is {place.folder / 'server.log'}"
                )
            if time.monotonic() > deadline:
                raise PostgresError(f"the embedded database took more than {START_DEADLINE_S:.0f} s to start")
            time.sleep(POLL_S)
        ensure_database(maintenance, DATABASE)

    def _bring_down(self, place: Place) -> None:
        deadline = time.monotonic() + STOP_DEADLINE_S
        fast_until = deadline - STOP_DEADLINE_S + FAST_STOP_S
        told: set[signal.Signals] = set()
        with (place.folder / "live.lock").open("a") as live:
            while not try_lock(live):
                order = signal.SIGINT if time.monotonic() < fast_until else signal.SIGQUIT
                if order not in told and _signal_server(place.data, order):
                    told.add(order)
                if time.monotonic() > deadline:
                    raise PostgresError(f"the embedded database at {place.data} does not stop; end it by hand")
                time.sleep(POLL_S)
        for server in _launched:
            server.poll()


def _answers(url: str) -> bool:
    import psycopg2

    arguments = connect_arguments(url)
    if not Path(arguments["host"], f".s.PGSQL.{PORT}").exists():
        return False
    try:
        psycopg2.connect(**arguments).close()
    except psycopg2.OperationalError:
        return False
    return True


def _initialise(place: Place) -> None:
    """Make an empty data directory beside and rename it, so that a killed start leaves none half made."""
    for leftover in place.folder.glob("data.new-*"):
        shutil.rmtree(leftover)
    side = Path(tempfile.mkdtemp(prefix="data.new-", dir=place.folder))
    if place.user is not None:
        os.chown(side, place.user.uid, place.user.gid)
    done = subprocess.run(
        [place.programs / "initdb", "-D", side, *INITDB_OPTIONS],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        check=False,
        **_as_user(place.user),
    )
    if done.returncode != 0:
        shutil.rmtree(side, ignore_errors=True)
        text = " ".join(done.stdout.decode(errors="replace").split())[-300:]
        raise PostgresError(f"the embedded database could not be made at {place.data}: {text}")
    side.rename(place.data)


def _launch(place: Place, live_fd: int) -> subprocess.Popen[bytes]:
    options = [item for name, value in SERVER_SETTINGS.items() for item in ("-c", f"{name}={value}")]
    log_path = place.folder / "server.log"
    if _size(log_path) > LOG_BYTES:
        log_path.rename(log_path.with_suffix(".log.1"))
    with log_path.open("ab") as log_file:
        server = subprocess.Popen(
            [place.programs / "postgres", "-D", place.data, "-k", place.sockets, "-h", "", "-p", str(PORT), *options],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            cwd="/",
            start_new_session=True,  # a Ctrl-C in the terminal is not meant for it
            pass_fds=[live_fd],
            **_as_user(place.user),
        )
    _launched.append(server)
    return server


def _environment() -> dict[str, str]:
    return {"LC_ALL": "C", "PATH": os.defpath}


def _as_user(user: ServerUser | None) -> dict[str, Any]:
    return {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}


def _signal_server(data: Path, order: signal.Signals) -> bool:
    """Tell the postmaster. Only called while the live lock is held: then the pid file is that server's own."""
    pid = _server_pid(data)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, order)
        return True
    return False


def _server_pid(data: Path) -> int | None:
    """What the pid file says; None while the server starts, or when it is all but gone."""
    try:
        return int((data / "postmaster.pid").read_bytes().split(maxsplit=1)[0])  # a path of any letters follows
    except (FileNotFoundError, PermissionError, ValueError, IndexError):
        return None


def _make_room(folder: Path) -> None:
    """Give the ballast up where the disk is so full that the server could not recover."""
    if shutil.disk_usage(folder).free < BALLAST_BYTES:
        (folder / "ballast").unlink(missing_ok=True)


def _keep_ballast(folder: Path) -> None:
    """Set room aside while there is plenty: a server that ran into a full disk needs some to come up again."""
    path = folder / "ballast"
    if _size(path) == BALLAST_BYTES or shutil.disk_usage(folder).free < 8 * BALLAST_BYTES:
        return
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
    except OSError as error:
        log.warning("no room was set aside for the database: %s", error)
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.exists() else []
    telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "ERROR" in line]
    return (telling or lines or ["its log is empty"])[-1].strip()
