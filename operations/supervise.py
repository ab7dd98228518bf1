"""What `make run` starts: the database, the warm run nursery and `dagster dev`, kept alive, stopped in time.

Belongs here: order of start and stop, restart of what dies, leftovers of a supervisor that was killed. Does not belong
here: how each part works (resources/postgres, resources/runs) or the command line's texts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import IO

from operations import processes
from operations.serve.exposure import Unguarded, require_guarded
from operations.session import Session, open_session
from operations.telling import Teller
from resources.dagster_bindings.execution import reap_dead_runs
from resources.dagster_bindings.instance import closing, instance_for
from resources.dagster_home import process_environment
from resources.house import open_house
from resources.postgres.database import PostgresError
from resources.runs.nursery import HOME_MARK, Nursery
from resources.settings import Settings

DRAIN_MARGIN_S = 2.0  # the nursery drains its runs for the grace of the settings and 1.5 s; then it is ended
DAGSTER_GRACE_S = 2.0
LEFTOVER_GRACE_S = 3.0  # what a killed supervisor left is mostly ending already
WATCH_S = 0.5
READY_DEADLINE_S = 90.0
RESTART_PAUSE_S = (0.5, 1.0, 2.0, 5.0, 10.0)  # a part that keeps dying is restarted ever more slowly
STEADY_S = 60.0  # after this long alive the pauses start over


ACTOR = "supervisor"
HOST = "127.0.0.1"


class AlreadyRunning(RuntimeError):
    """Another supervisor serves this home, or another program has its port."""


@dataclass(slots=True)
class _Part:
    """A child process that must live: how to start it, since when it runs, how often it died lately."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    deaths: int = 0
    not_before: float = 0.0

    def tend(self, tell: Callable[[str], None]) -> None:
        now = time.monotonic()
        if self.process is not None and self.process.poll() is None:
            if now - self.since > STEADY_S:
                self.deaths = 0
            return
        if self.process is not None:
            code = self.process.returncode
            self.process = None
            self.not_before = now + RESTART_PAUSE_S[min(self.deaths, len(RESTART_PAUSE_S) - 1)]
            self.deaths += 1
            tell(f"{self.name} ended with status {code} and is started again")
        if now >= self.not_before:
            self.process = self.start()
            self.since = now


@dataclass(slots=True)
class Supervisor:
    """Runs until told to stop. `tell` receives one line at a time for whoever watches the terminal."""

    settings: Settings
    tell: Callable[[str], None]
    _stop: bool = False
    _parts: list[_Part] = field(default_factory=list)
    _lock: IO[str] | None = None
    _told: str = ""

    def run(self) -> int:
        """Start everything, watch it, stop it. Returns the exit status."""
        self._take_lock()
        processes.adopt_orphans()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._clear_leftovers()
        self._require_ports()
        os.environ[HOME_MARK] = str(self.settings.home)
        self.settings.inbox.mkdir(parents=True, exist_ok=True)
        with open_session(self.settings) as session:
            session.ledger.settings_changed(self.settings.to_record(), actor=ACTOR)
            self._prepare_instance(session)
            self._prepare_ledger(session)
            nursery = Nursery(self.settings.home)
            environment = self._environment(session)
            self._parts = [
                _Part("the run nursery", lambda: nursery.start(environment)),
                _Part("Dagster", lambda: self._start_dagster(environment)),
                _Part("the library", lambda: self._start_library(environment)),
            ]
            self._tend(session)
            teller = Teller(session.ledger, self.tell)
            teller.look()
            self._announce(session)
            while not self._stop:
                self._tend(session)
                teller.look()
                time.sleep(WATCH_S)
            return self._stop_all()

    def _tend(self, session: Session) -> None:
        try:
            session.keep_database()
        except (PostgresError, OSError) as error:
            self._tell_once(str(error))
        for part in self._parts:
            try:
                part.tend(self.tell)
            except OSError as error:
                self._tell_once(f"{part.name} cannot be started: {error}")

    def _tell_once(self, line: str) -> None:
        """Say what goes wrong at every look only when it begins or changes."""
        if line != self._told:
            self._told = line
            self.tell(line)

    def _take_lock(self) -> None:
        folder = self.settings.home / "run"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / "supervisor.lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            port = self._lock.read().strip() or self.settings.port
            raise AlreadyRunning(
                f"it runs already for {self.settings.home}: open http://localhost:{port}, or stop it first"
            ) from None
        self._lock.truncate(0)
        self._lock.write(str(self.settings.port))
        self._lock.flush()
        os.set_inheritable(self._lock.fileno(), False)

    def _clear_leftovers(self) -> None:
        left = processes.marked(self.settings.home)
        if left:
            self.tell(f"ending {len(left)} processes that a killed supervisor left behind")
            processes.end(left, grace_s=LEFTOVER_GRACE_S)

    def _require_ports(self) -> None:
        settings = self.settings
        try:
            require_guarded(settings)
        except Unguarded as told:
            raise AlreadyRunning(str(told)) from None
        for host, port, name in (
            (HOST, settings.port, "SOURCEBOUND_PORT"),
            (settings.library_host, settings.library_at, "SOURCEBOUND_LIBRARY_PORT"),
        ):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the web servers do
                try:
                    probe.bind((host, port))
                except (OSError, OverflowError) as error:
                    why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "there is no such port"
                    raise AlreadyRunning(
                        f"port {port} cannot be used ({why}); end the program that has it, or set {name} to another"
                    ) from None

    def _prepare_instance(self, session: Session) -> None:
        """Create the tables once, before several processes would, and end what a kill left as started."""
        with closing(instance_for(self.settings, session.database_url)) as instance:
            dead = reap_dead_runs(instance, untaken=True)
        if dead:
            self.tell(f"{len(dead)} runs were cut off; what is left of them is started again")

    def _prepare_ledger(self, session: Session) -> None:
        """What dead processes left half done goes back into the queue, their unfinished files away."""
        session.ledger.house_started(actor=ACTOR, reason="sourcebound was started")
        session.ledger.drop_dead_leases()
        session.ledger.requeue_abandoned(actor=ACTOR)
        with contextlib.closing(open_house(self.settings, session.database_url)) as house:
            house.sweep()

    def _environment(self, session: Session) -> Mapping[str, str]:
        return {
            **os.environ,
            **process_environment(self.settings, session.database_url),
            HOME_MARK: str(self.settings.home),
            "PYTHONUNBUFFERED": "1",
        }

    def _start_library(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return self._start(["operations.serve.program"], "library.log", environment)

    def _start_dagster(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        workspace = self.settings.home / "dagster" / "workspace.yaml"
        program = ["dagster", "dev", "--workspace", str(workspace), "--host", HOST, "--port", str(self.settings.port)]
        return self._start(program, "dagster.log", environment)

    def _start(self, program: Sequence[str], log_name: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """A module of this installation as a process that does not outlive this one, its output in a log."""
        logs = self.settings.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / log_name).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *program],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=processes.die_with_parent,  # noqa: PLW1509 - no thread of ours holds a lock it needs
            )

    def _announce(self, session: Session) -> None:
        url = f"http://localhost:{self.settings.port}"
        until = time.monotonic() + READY_DEADLINE_S
        while time.monotonic() < until and not self._stop:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/server_info", timeout=2):  # noqa: S310
                self.tell(f"the library: http://localhost:{self.settings.library_at}")
                self.tell(f"sourcebound is up: {url}")
                self.tell(f"drop media files into {self.settings.inbox}")
                return
            self._tend(session)
            time.sleep(0.2)
        if not self._stop:
            self.tell(f"the UI does not answer on {url} yet; see {self.settings.home / 'logs' / 'dagster.log'}")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = True

    def _stop_all(self) -> int:
        self.tell("stopping: running work ends at its chunk and goes on at the next start")
        nursery, *servers = (part.process for part in self._parts)
        groups: list[tuple[Sequence[int], float]] = [
            ([server.pid, *processes.descendants(server.pid)], DAGSTER_GRACE_S)
            for server in servers
            if server is not None
        ]
        if nursery is not None:
            groups.append(([nursery.pid], self.settings.stop_grace_s + DRAIN_MARGIN_S))
        processes.end_together(groups)
        left = [pid for pid in processes.descendants(os.getpid()) if processes.name(pid) != "postgres"]
        processes.end(left, grace_s=0.0)
        return 0


def supervise(settings: Settings, tell: Callable[[str], None]) -> int:
    """Run a supervisor in this process until SIGINT or SIGTERM. Raises `AlreadyRunning`."""
    return Supervisor(settings, tell).run()
