"""Runs without a cold start: a process that has everything imported forks one process a run.

Belongs here: the nursery (`python -m resources.run_nursery`), finding or starting it, asking it for runs. Does not
belong here: what Dagster asks of a launcher (resources/launcher) or how a run is executed (resources/dagster_bindings);
whoever asks for runs imports no Dagster.

The nursery lives as long as whoever started it: it watches a pipe whose other end only that process holds. Its runs
live as long as the nursery: the kernel kills them with it. So nothing is left behind by any kill, and a run that is
gone is recognised by its pid, start time and boot id.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import functools
import gc
import hashlib
import json
import logging
import os
import resource
import selectors
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources import household, run_log
from resources.dagster_home import CODE, code_module, process_environment, write_instance_files
from resources.identity import Identity, is_alive
from resources.settings import Settings, load_settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from resources.dagster_bindings import RunOutcome

MODULE = "resources.run_nursery"
HOME_MARK = "_SOURCEBOUND_SUPERVISED_HOME"  # in the environment of everything a supervisor starts
log = logging.getLogger(MODULE)

SOCKET_PATH_BYTES = 103  # sun_path holds 104 bytes on macOS, 108 on Linux, with the closing zero
START_DEADLINE_S = 60.0  # a cold import of the definitions takes 3 s of CPU; a busy machine many times that
REPLY_DEADLINE_S = 15.0  # a fork takes milliseconds
POLL_S = 0.02
SHORTEST_GRACE_S = 0.01  # a timer of nothing would never ring
GRACE_MARGIN_S = 1.5  # beyond the house's own grace, for the run to write its last events
MAX_MESSAGE_BYTES = 1 << 20  # partitions come in lots of a thousand keys of at most 43 characters
PARTITION_LOT = 1_000  # as media_assets.partitions.LOT
PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True, slots=True)
class SourceOrder:
    """A run to be made and executed for a caller who waits for it.

    `assets` None is the whole job. `environment` holds the caller's settings, which go above the nursery's own.
    """

    source: str
    job: str
    assets: tuple[str, ...] | None = None
    call_id: str | None = None
    arrival: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """How an ordered run ended. `reported` is False where its process died; CPU counts its workers too."""

    reported: bool
    status: str = "FAILURE"
    run_id: str | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0


class SourceRun:
    """An ordered run at work."""

    def __init__(self, connection: socket.socket, worker: Identity) -> None:
        self._connection = connection
        self._connection.setblocking(False)
        self._worker = worker
        self._received = b""
        self._started = time.monotonic()
        self._ended: Ended | None = None

    @property
    def pid(self) -> int:
        """The process that executes the run."""
        return self._worker.pid

    def fileno(self) -> int:
        """What becomes readable when it ended: for select(2), until `poll` has told the end."""
        return self._connection.fileno()

    def poll(self) -> Ended | None:
        """How it ended, or None while it works. Never blocks."""
        while self._ended is None:
            try:
                block = self._connection.recv(MAX_MESSAGE_BYTES)
            except BlockingIOError:
                return None
            except ConnectionError:
                block = b""
            self._received += block
            if self._received.endswith(b"\n"):
                self._ended = Ended(**json.loads(self._received))
            elif not block:
                self._ended = Ended(reported=False, seconds=time.monotonic() - self._started)
        self._connection.close()
        return self._ended

    def terminate(self) -> None:
        """Ask it to stop: running tasks may finish, then it ends as cancelled."""
        if is_alive(self._worker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._worker.pid, signal.SIGTERM)


def wait_for_any(runs: Sequence[SourceRun], timeout_s: float) -> None:
    """Return when one of the runs has news, or after `timeout_s`."""
    with selectors.DefaultSelector() as selector:
        for run in runs:
            selector.register(run, selectors.EVENT_READ)
        selector.select(timeout_s)


class Nursery:
    """The nursery of one home, found or started. Raises OSError where none can be had."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None

    @property
    def pid(self) -> int | None:
        """The nursery this object started; None where another's answers."""
        return None if self._process is None else self._process.pid

    def start_run(self, run_id: str) -> Identity:
        """Execute an existing run in a process of its own and return who that is."""
        self.ensure_started()
        connection, answer = _ask(self._home, {"run": run_id})
        connection.close()
        return Identity.from_text(answer["worker"])

    def start_source(self, order: SourceOrder) -> SourceRun:
        """Make a run for a source and execute it in a process of its own."""
        self.ensure_started()
        connection, answer = _ask(self._home, {"source": asdict(order)})
        return SourceRun(connection, Identity.from_text(answer["worker"]))

    def add_partitions(self, keys: Sequence[str]) -> None:
        """Make sure the partitions of many sources exist, in lots; a run sees to its own, one at a time."""
        self.ensure_started()
        for at in range(0, len(keys), PARTITION_LOT):
            connection, _ = _ask(self._home, {"partitions": list(keys[at : at + PARTITION_LOT])})
            with connection:
                if not _line(connection):
                    raise OSError(f"the partitions could not be added; {self._home / 'logs'} has the reason")

    def begin(self, settings: Settings, database_url: str) -> None:
        """Start a nursery unless one answers, and do not wait for it: it gets ready while the caller works."""
        write_instance_files(settings)
        if self._process is None and not self.answers():
            self.start({**os.environ, **process_environment(settings, database_url)})

    def ensure_started(self, settings: Settings | None = None, database_url: str | None = None) -> None:
        """Return when a nursery answers, starting one if need be.

        Without arguments it is started with the environment of this process (a launcher's has all it needs).
        """
        if self.answers():
            return
        if os.environ.get(HOME_MARK) == str(self._home):  # the supervisor starts it again; two would be in the way
            self._wait_until_ready()
            return
        run_folder(self._home)
        with _locked(self._home / "run" / "nursery.lock"):
            if self._process is None or self._process.poll() is not None:
                if self.answers():
                    return
                if settings is not None and database_url is not None:
                    self.begin(settings, database_url)
                else:
                    self.start(os.environ)
            self._wait_until_ready()

    def answers(self) -> bool:
        """Whether a nursery is ready to start runs."""
        try:
            _ask(self._home, {"ping": True})[0].close()
        except OSError:
            return False
        return True

    def start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a nursery that ends with this process at the latest. SIGTERM drains it, once more than its grace."""
        self._drop_lifeline()
        reading, self._lifeline = os.pipe()
        paths = [str(CODE), *filter(None, [environment.get("PYTHONPATH")])]
        try:
            with log_file(self._home, "nursery") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", MODULE, "--home", str(self._home), "--lifeline", str(reading)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[reading],
                    start_new_session=True,
                    env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
                )
        finally:
            os.close(reading)
        return self._process

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the nursery this object started, draining its runs for at most `timeout_s`; leave another's alone."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._drop_lifeline()

    def _drop_lifeline(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        while not self.answers():
            if self._process is not None and self._process.poll() is not None:
                raise OSError(f"the nursery of runs did not start; {self._home / 'logs'} has the reason")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the nursery of runs was not ready within {START_DEADLINE_S:g} s")
            time.sleep(POLL_S)


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


@contextlib.contextmanager
def log_file(home: Path, name: str) -> Iterator[int]:
    """A descriptor that appends to today's log of `name` below `logs/` of the home."""
    folder = home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{time.strftime('%Y-%m-%d', time.gmtime())}.log"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _ask(home: Path, message: Mapping[str, Any]) -> tuple[socket.socket, dict[str, Any]]:
    """Ask the nursery: the connection and the first answer. Raises OSError, also for an answer that is an error."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(REPLY_DEADLINE_S)
        connection.connect(str(run_folder(home) / "nursery.sock"))
        connection.sendall(json.dumps(message).encode() + b"\n")
        received = _line(connection)
        if not received:
            raise ConnectionResetError("the nursery of runs went away")
        answer: dict[str, Any] = json.loads(received)
        if "error" in answer:
            raise OSError(f"the nursery of runs refused: {answer['error']}")
    except BaseException:
        connection.close()
        raise
    return connection, answer


def _line(connection: socket.socket) -> bytes:
    """One line, read byte-wise past nothing: what follows it stays in the socket."""
    received = b""
    while not received.endswith(b"\n") and len(received) < MAX_MESSAGE_BYTES:
        peeked = connection.recv(65536, socket.MSG_PEEK)
        if not peeked:
            break
        end = peeked.find(b"\n")
        received += connection.recv(end + 1 if end >= 0 else len(peeked))
    return received


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(slots=True)
class _Keeper:
    """The nursery's one thread: it answers, forks, reaps, and stops. It never touches the database itself."""

    home: Path
    lifeline: int
    grace_s: float
    instance: DagsterInstance
    runs: dict[int, str] = field(default_factory=dict)
    stopping: bool = False

    def serve(self) -> None:
        """Serve until told to stop or left alone, then drain the runs."""
        path = run_folder(self.home) / "nursery.sock"
        path.unlink(missing_ok=True)
        woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, self._note)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server, selectors.DefaultSelector() as selector:
            server.bind(str(path))
            bound = path.stat().st_ino
            server.listen(64)
            for source in (server, self.lifeline, woken):
                selector.register(source, selectors.EVENT_READ)
            log.info("ready after %.1f s of CPU", time.process_time())
            while not self.stopping:
                for key, _ in selector.select():
                    if key.fileobj is server:
                        self._answer(server)
                    elif key.fd == self.lifeline:
                        self.stopping = True
                    else:
                        os.read(woken, 512)
                self._reap()
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == bound:  # a younger nursery of the home may have taken the place
                    path.unlink()
        self._drain()

    def _note(self, number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:
            self.stopping = True

    def _answer(self, server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(REPLY_DEADLINE_S)
            try:
                message = json.loads(_line(connection) or b"{}")
                if "ping" in message:
                    _say(connection, {"pid": os.getpid()})
                else:
                    self._fork(message, server, connection)
            except (OSError, ValueError) as error:
                _say(connection, {"error": str(error)})

    def _fork(self, message: dict[str, Any], server: socket.socket, connection: socket.socket) -> None:
        """Fork a process for the message. It answers itself; by a pipe it tells us that it has. Raises OSError."""
        parent = os.getpid()
        answered, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(answered)
                server.close()
                _become_a_run(self.home, parent, self.lifeline, self.grace_s)
                _say(connection, {"worker": Identity.current().to_text()})
                os.write(tell, b"1")
                os.close(tell)
                _work(self.instance, message, connection)
                status = 0
            except BaseException:
                log.exception("%s could not be done", message)
            finally:
                _leave(status)
        os.close(tell)
        self.runs[pid] = str(next(iter(message.values())))[:80]
        with os.fdopen(answered, "rb") as pipe:
            if not pipe.read(1):
                raise OSError(f"process {pid} ended before it was ready")

    def _reap(self) -> None:
        for pid in list(self.runs):
            with contextlib.suppress(ChildProcessError):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended == 0:
                    continue
                if status:
                    code = os.waitstatus_to_exitcode(status)
                    log.warning("process %d (%s) ended with %d", pid, self.runs[pid], code)
            del self.runs[pid]

    def _drain(self) -> None:
        self._signal_runs(signal.SIGTERM)
        deadline = time.monotonic() + self.grace_s + GRACE_MARGIN_S
        while self.runs and time.monotonic() < deadline:
            time.sleep(POLL_S)
            self._reap()
        self._signal_runs(signal.SIGKILL)

    def _signal_runs(self, number: signal.Signals) -> None:
        for pid in self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _become_a_run(home: Path, parent: int, lifeline: int, grace_s: float) -> None:
    """Make the fork a process of its own: session, output, signals, and death together with the nursery."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, functools.partial(_stop, grace_s))
    signal.signal(signal.SIGALRM, lambda *_: household.end_work_now())
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.setsid()
    os.close(lifeline)
    with log_file(home, "runs") as output:
        os.dup2(output, 1)
        os.dup2(output, 2)


def _stop(grace_s: float, _number: int, _frame: object) -> None:
    """Let running tasks end for `grace_s` seconds, then end them."""
    household.request_stop()
    signal.setitimer(signal.ITIMER_REAL, max(grace_s, SHORTEST_GRACE_S))


def _work(instance: DagsterInstance, message: dict[str, Any], connection: socket.socket) -> None:
    """Do what was asked, in the fork; a caller who waits gets one more line at the end."""
    from resources import dagster_bindings

    last: dict[str, Any] | None = None
    if "run" in message:
        connection.close()
        _log_end(_launched(instance, message["run"]))
    elif "source" in message:
        order = message["source"]
        os.environ.update(order["environment"])
        household.work_for(order["call_id"])
        last = asdict(_ordered(instance, order))
    elif "partitions" in message:
        dagster_bindings.add_partitions(instance, message["partitions"])
        last = {"added": True}
    household.close()
    dagster_bindings.close_connections()
    if last is not None:
        if "cpu_seconds" in last:
            last["cpu_seconds"] = round(_cpu_s(), 3)  # the workers were waited for when the house was closed
        _say(connection, last)


def _launched(instance: DagsterInstance, run_id: str) -> RunOutcome:
    """Execute a queued run. Another run at work on its source is waited for, but not for ever."""
    from resources import claims, dagster_bindings

    source = dagster_bindings.source_of_run(instance, run_id) or ""
    with claims.claimed(source, run_id, patience_s=claims.QUEUED_RUN_PATIENCE_S):
        household.expect_work(source)
        return dagster_bindings.run_to_end(instance, run_id)


def _ordered(instance: DagsterInstance, order: Mapping[str, Any]) -> Ended:
    """Make and execute the run a command waits for, once no other run is at work on the source: it then finds all made.

    There is no run before that, for Dagster would take one that does not begin for lost.
    """
    from resources import claims, dagster_bindings

    run_id = str(uuid.uuid4())
    with claims.claimed(order["source"], run_id, patience_s=None):
        if household.stop_requested():
            return Ended(True, "CANCELED")
        household.expect_work(order["source"])
        dagster_bindings.add_partitions(instance, [order["source"]])
        tags = dagster_bindings.caller_tags(order)
        outcome = dagster_bindings.execute_run_here(
            instance, order["source"], order["job"], order["assets"], tags, run_id
        )
    _log_end(outcome)
    return Ended(True, outcome.status, outcome.run_id, outcome.seconds)


def _say(connection: socket.socket, message: Mapping[str, Any]) -> None:
    """Send one line to a caller who may have gone."""
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")


def _log_end(outcome: RunOutcome) -> None:
    log.info("run %s: %s after %.2f s", outcome.run_id, outcome.status, outcome.seconds)


def _cpu_s() -> float:
    """CPU seconds of this process and of those it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _leave(status: int) -> None:
    """End the fork without the clean-up of the nursery it was copied from."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _preload() -> DagsterInstance:
    """Import and build all that a run needs, and leave nothing open that a fork would share."""
    gc.disable()  # nothing that is imported is garbage: looking for some took a sixth of the start
    from resources import dagster_bindings

    instance = dagster_bindings.preload()
    dagster_bindings.close_connections()
    gc.freeze()  # what is shared stays shared: the collector of a run does not write into it
    gc.enable()
    return instance


def main(preload: Callable[[], DagsterInstance] = _preload) -> None:
    """`python -m resources.run_nursery`: be the nursery of a home."""
    parser = argparse.ArgumentParser(description="Forks one process a run (started by sourcebound itself).")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--lifeline", type=int, required=True)
    arguments = parser.parse_args()
    settings = load_settings()
    run_log.configure(settings.log_level.upper())
    log.info("preloading %s", code_module()["module_name"])
    _Keeper(arguments.home, arguments.lifeline, settings.stop_grace_s, preload()).serve()


if __name__ == "__main__":
    main()
