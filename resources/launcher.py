"""Runs without a cold start: a nursery that has everything imported forks one process a run.

Belongs here: the launcher Dagster names in dagster.yaml, the nursery (`python -m resources.launcher`), how a run is
stopped and how its death is noticed. Does not belong here: executing a run (resources/dagster_bindings) or what
follows from a death (sensors/outcomes).

The nursery lives as long as whoever started it: it watches a pipe whose other end only that process holds. Its runs
live as long as the nursery: the kernel kills them with it. So nothing is left behind by any kill, and a run that is
gone is recognised by its pid, start time and boot id.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import gc
import hashlib
import json
import logging
import os
import selectors
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from dagster import DagsterInstance, DagsterRun, Field, StringSource
from dagster._config import UserConfigSchema
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from resources import dagster_bindings, household, run_tags
from resources.identity import Identity, is_alive

log = logging.getLogger(__name__)

SOCKET_PATH_BYTES = 103  # sun_path holds 104 bytes on macOS, 108 on Linux, with the closing zero
START_DEADLINE_S = 45.0  # a cold import of the definitions takes 3 s of CPU; a busy machine many times that
REPLY_DEADLINE_S = 15.0  # a fork takes milliseconds
POLL_S = 0.05
GRACE_MARGIN_S = 1.5  # beyond the house's own grace, for the run to write its last events
MAX_MESSAGE_BYTES = 4096
PR_SET_PDEATHSIG = 1  # prctl(2)


class WarmRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Starts each run as a fork of the home's nursery and answers whether its process still lives."""

    def __init__(self, home: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._nursery = Nursery(Path(home))
        self._inst_data = inst_data
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """Where dagster.yaml said so."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """`home`: the folder that holds all state."""
        return {"home": Field(StringSource, description="The folder that holds all state.")}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """What Dagster calls with the `config` of dagster.yaml."""
        return cls(home=config_value["home"], inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Fork a process for the run. Raises OSError where no nursery can be had; Dagster then fails the run."""
        worker = self._nursery.start_run(context.dagster_run.run_id)
        log.info("run %s is process %d", context.dagster_run.run_id, worker.pid)

    def terminate(self, run_id: str) -> bool:
        """Ask the run to stop: it starts no new work, drains, and ends as cancelled. False if it had ended."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        worker = dagster_bindings.run_worker(run)
        if worker is None or is_alive(worker) is False:
            self._instance.report_run_canceled(run, message="No process was executing the run.")
            self._instance.event_log_storage.free_concurrency_slots_for_run(run_id)
            return True
        if run_tags.CALL not in run.tags:  # a command executes many runs: it looks at the run's status instead
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes: run monitoring asks `check_run_worker_health` at every poll."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the very process that took the run still lives. Another host's process is believed to."""
        worker = dagster_bindings.run_worker(run)
        if worker is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "No process has taken the run.")
        if is_alive(worker) is False:
            return CheckRunHealthResult(WorkerStatus.FAILED, f"Process {worker.pid} of the run is gone.")
        return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=worker.to_text())

    @property
    def supports_resume_run(self) -> bool:
        """No: what a run had published stays, so a new run takes only what is missing."""
        return False


# --- the nursery seen from outside ------------------------------------------------------------------------------


class Nursery:
    """The nursery of one home, found or started."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None

    def start_run(self, run_id: str) -> Identity:
        """Fork a process for `run_id` and return who it is, starting the nursery if need be. Raises OSError."""
        try:
            answer = _ask(self._home, {"run": run_id})
        except (FileNotFoundError, ConnectionError):
            self.ensure_started()
            answer = _ask(self._home, {"run": run_id})
        if "worker" not in answer:
            raise OSError(f"the run was not started: {answer.get('error', 'no reason given')}")
        return Identity.from_text(answer["worker"])

    def ensure_started(self) -> None:
        """Start the nursery unless one answers; it ends with this process at the latest. Raises OSError."""
        run_folder(self._home)
        with _locked(self._home / "run" / "nursery.lock"):
            if not self.answers():
                self._spawn()

    def answers(self) -> bool:
        """Whether a nursery is ready to start runs."""
        try:
            return "pid" in _ask(self._home, {"ping": True})
        except OSError:
            return False

    def stop(self, timeout_s: float) -> None:
        """Drain and end the nursery this object started; kill it after `timeout_s`."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._lifeline is not None:
            os.close(self._lifeline)
        self._process = self._lifeline = None

    def _spawn(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
        reading, self._lifeline = os.pipe()
        try:
            with log_file(self._home, "nursery") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "resources.launcher", "--home", str(self._home), "--lifeline", str(reading)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[reading],
                    start_new_session=True,
                    env={**os.environ, "PYTHONPATH": _python_path()},
                )
        finally:
            os.close(reading)
        deadline = time.monotonic() + START_DEADLINE_S
        while not self.answers():
            if self._process.poll() is not None:
                raise OSError(f"the nursery of runs did not start; {self._home / 'logs'} has the reason")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the nursery of runs was not ready within {START_DEADLINE_S:g} s")
            time.sleep(POLL_S)


def _python_path() -> str:
    """The code this process runs comes first in the nursery too, wherever it is started."""
    given = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(dagster_bindings.CHECKOUT), *([given] if given else [])])


def run_folder(home: Path) -> Path:
    """The private folder of the nursery's socket: in the home, or a short one where its path would be too long."""
    folder = home / "run"
    if len(os.fsencode(folder / "nursery.sock")) > SOCKET_PATH_BYTES:
        (home / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
        name = hashlib.sha256(os.fsencode(os.path.realpath(home))).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"sourcebound-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to someone else; remove it")
    folder.chmod(0o700)
    return folder


def _ask(home: Path, message: Mapping[str, Any]) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(REPLY_DEADLINE_S)
        connection.connect(str(run_folder(home) / "nursery.sock"))
        connection.sendall(json.dumps(message).encode() + b"\n")
        received = _line(connection)
    if not received:
        raise ConnectionResetError("the nursery of runs went away")
    answer: dict[str, Any] = json.loads(received)
    return answer


def _line(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n") and len(received) < MAX_MESSAGE_BYTES:
        block = connection.recv(MAX_MESSAGE_BYTES)
        if not block:
            break
        received += block
    return received


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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


# --- the nursery itself -------------------------------------------------------------------------------------------


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
            server.listen(64)
            selector.register(server, selectors.EVENT_READ)
            selector.register(self.lifeline, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            log.info("ready in %.1f s of CPU", time.process_time())
            while not self.stopping:
                for key, _ in selector.select():
                    if key.fileobj is server:
                        self._answer(server)
                    elif key.fd == self.lifeline:
                        self.stopping = True
                    else:
                        os.read(woken, 512)
                self._reap()
            path.unlink(missing_ok=True)
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
                reply = self._fork(message["run"], server, connection) if "run" in message else {"pid": os.getpid()}
            except (OSError, ValueError) as error:
                reply = {"error": str(error)}
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps(reply).encode() + b"\n")

    def _fork(self, run_id: str, server: socket.socket, connection: socket.socket) -> dict[str, str]:
        parent = os.getpid()
        ready, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(ready)
                server.close()
                connection.close()
                _become_a_run(self.home, parent, self.lifeline)
                os.write(tell, Identity.current().to_text().encode())
                os.close(tell)
                status = _run(self.instance, run_id)
            except BaseException:
                log.exception("run %s could not be executed", run_id)
            finally:
                _leave(status)
        os.close(tell)
        self.runs[pid] = run_id
        with os.fdopen(ready, "rb") as pipe:
            told = pipe.read(MAX_MESSAGE_BYTES)
        return {"worker": told.decode()} if told else {"error": f"process {pid} ended before it was a run"}

    def _reap(self) -> None:
        for pid in list(self.runs):
            with contextlib.suppress(ChildProcessError):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended == 0:
                    continue
                if status:
                    log.warning(
                        "run %s: process %d ended with %d", self.runs[pid], pid, os.waitstatus_to_exitcode(status)
                    )
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


def _become_a_run(home: Path, parent: int, lifeline: int) -> None:
    """Make the fork a process of its own: session, output, signals, and death together with the nursery."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: household.request_stop())
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.setsid()
    os.close(lifeline)
    with log_file(home, "runs") as output:
        os.dup2(output, 1)
        os.dup2(output, 2)


def _run(instance: DagsterInstance, run_id: str) -> int:
    outcome = dagster_bindings.run_to_end(instance, run_id)
    log.info("run %s: %s after %.2f s", run_id, outcome.status, outcome.seconds)
    household.close()
    dagster_bindings.close_connections()
    return 0


def _leave(status: int) -> None:
    """End the fork without the clean-up of the nursery it was copied from."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _preload() -> DagsterInstance:
    """Import and build all that a run needs, open nothing that a fork would share."""
    from dagster._core.execution import api  # noqa: F401 - half of a run's imports hang on it
    from dagster._core.execution.plan import execute_plan  # noqa: F401
    from dagster._grpc import impl  # noqa: F401

    repository, _ = dagster_bindings.code_location()
    definition = repository.get_definition()
    definition.load_all_definitions()
    for job in definition.get_all_jobs():
        job.get_job_snapshot_id()
    instance = DagsterInstance.get()
    instance.get_runs(limit=1)
    dagster_bindings.close_connections()
    gc.collect()
    gc.freeze()  # what is shared stays shared: the collector of a run does not write into it
    return instance


def main() -> None:
    """`python -m resources.launcher`: be the nursery of a home."""
    parser = argparse.ArgumentParser(description="Forks one process a run (started by the launcher).")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--lifeline", type=int, required=True)
    arguments = parser.parse_args()
    from resources.settings import load_settings

    settings = load_settings()
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
    )
    _Keeper(arguments.home, arguments.lifeline, settings.stop_grace_s, _preload()).serve()


if __name__ == "__main__":
    main()
