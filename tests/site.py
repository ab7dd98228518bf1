"""One home under a running `sourcebound up`, as tests and benchmarks of kills handle it.

Belongs here: starting, asking, killing parts of it, finding every process. Does not belong here: when to kill, or what
is expected afterwards.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from operations import processes
from resources.ledger.states import MOVING
from resources.postgres.database import connect_arguments
from resources.postgres.server import EmbeddedPostgres
from resources.settings import Settings, load_settings

UP = (sys.executable, "-c", "from operations.cli.main import app; app()", "up")
CODE = Path(__file__).resolve().parents[1]
EVERYTHING = "everything"
PORTS = (20_000, 30_000)


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: when (Unix time, s), of what, and how many processes."""

    at: float
    what: str
    count: int


@dataclass(slots=True)
class Site:
    """One home under fire."""

    folder: Path
    port: int
    supervisor: subprocess.Popen[bytes] | None = None
    kills: list[Kill] = field(default_factory=list)
    began: float = field(default_factory=time.time)

    @property
    def settings(self) -> Settings:
        return load_settings(home=str(self.folder / "home"), inbox=str(self.folder / "inbox"), port=self.port)

    def start(self) -> None:
        """`sourcebound up`, alone."""
        environment = {**os.environ, **self.settings.to_environment()}
        with (self.folder / "up.log").open("ab") as log:
            self.supervisor = subprocess.Popen(
                UP, env=environment, cwd=CODE, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def answers(self) -> bool:
        """Whether the web server takes connections."""
        with socket.socket() as probe:
            probe.settimeout(0.5)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, statement: str) -> list[tuple[Any, ...]] | None:
        """Rows from the home's database, or None where it does not answer just now."""
        try:
            connection = psycopg2.connect(**connect_arguments(self._url()))
            try:
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                    return list(cursor.fetchall())
            finally:
                connection.close()
        except (psycopg2.Error, OSError, ValueError):
            return None

    def settled(self, files: int) -> bool:
        """Whether every file is a source and nothing moves any more."""
        moving = ", ".join(f"'{state}'" for state in MOVING)
        found = self.ask(
            f"SELECT (SELECT count(*) FROM ledger.sources),"
            f" (SELECT count(*) FROM ledger.asset_states WHERE state IN ({moving}))"
        )
        return found is not None and found[0] == (files, 0)

    def settlements(self) -> list[float]:
        """When each asset came to rest (Unix time, s), in order."""
        moving = ", ".join(f"'{state}'" for state in MOVING)
        found = self.ask(
            "SELECT extract(epoch FROM since)::float FROM ledger.asset_states"
            f" WHERE state NOT IN ({moving}) ORDER BY since"
        )
        return [row[0] for row in found or []]

    def stop(self) -> None:
        """What Ctrl-C does, and wait for it."""
        assert self.supervisor is not None
        self.supervisor.terminate()
        self.supervisor.wait()

    def _url(self) -> str:
        return EmbeddedPostgres(self.settings.home).address()

    def victims(self, what: str) -> list[int]:
        """The processes of one part that live now."""
        home = self.settings.home
        if what == "database":
            return self._database()[:1]
        if what == "supervisor":
            return [self.supervisor.pid] if self.supervisor and self.supervisor.poll() is None else []
        marked = {pid: command_line(pid) for pid in processes.marked(home)}
        nurseries = [pid for pid, line in marked.items() if "resources.runs.keeper" in line]
        parents = processes.parents()
        runs = [pid for pid in nurseries if parents.get(pid) in nurseries]
        media = [pid for pid, parent in parents.items() if parent in runs and "processing.worker" in command_line(pid)]
        found = {
            "daemon": [pid for pid, line in marked.items() if "dagster._daemon" in line],
            "run nursery": [pid for pid in nurseries if pid not in runs],
            "run": runs,
            "media nursery": media,
            "media worker": [pid for pid, parent in parents.items() if parent in media],
        }
        return found[what]

    def everything(self) -> list[int]:
        """Every process of the home: by descent, by the mark in the environment, and the database."""
        supervisor = [self.supervisor.pid] if self.supervisor else []
        roots = {*supervisor, *processes.marked(self.settings.home), *self._database()}
        below = {pid for root in roots for pid in processes.descendants(root)}
        return [pid for pid in roots | below if processes.alive(pid) and pid != os.getpid()]

    def _database(self) -> list[int]:
        pid_file = EmbeddedPostgres(self.settings.home).describe()["data"] + "/postmaster.pid"
        try:
            pid = int(Path(pid_file).read_text().split(maxsplit=1)[0])
        except (OSError, ValueError, IndexError):
            return []
        if processes.name(pid) != "postgres":
            return []
        return [pid, *processes.descendants(pid)]

    def kill(self, what: str, choice: random.Random) -> Kill:
        """SIGKILL, now. A part that does not exist at this instant makes it a kill of everything."""
        found = [] if what == EVERYTHING else self.victims(what)
        if found:
            pids = [choice.choice(sorted(found))] if what in {"run", "media worker", "media nursery"} else found
        else:
            what, pids = EVERYTHING, self.everything()
        at = time.time()
        processes.send(pids, signal.SIGKILL)
        if what == EVERYTHING:
            while left := self.everything():  # what was born in between
                processes.send(left, signal.SIGKILL)
                time.sleep(0.05)
                if self.supervisor is not None:
                    self.supervisor.poll()
        kill = Kill(at, what, len(pids))
        self.kills.append(kill)
        return kill

    def revive(self) -> None:
        """Start `sourcebound up` where it is gone."""
        if self.supervisor is None or self.supervisor.poll() is not None or not processes.alive(self.supervisor.pid):
            if self.supervisor is not None:
                self.supervisor.wait()
            self.start()


def command_line(pid: int) -> str:
    """The program and its arguments; empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def free_port() -> int:
    """A port that nobody has, as the one above it, which the library takes.

    Below those that the system gives to whoever asks for any: of these the next one is often taken a moment later.
    """
    while True:
        port = random.SystemRandom().randrange(*PORTS)  # whoever seeds the other one gets what he seeded
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 1))
            return port
