"""The nursery of runs as whoever asks for runs holds it: found or started, asked, ended.

Belongs here: its process and its lifeline, and an ordered run at work. Does not belong here: what the nursery does
(keeper), what is said between them (messages), or what Dagster asks of a launcher (resources/launcher). Whoever asks
for runs imports no Dagster.

The nursery lives as long as whoever started it: it watches a pipe whose other end only that process holds. Its runs
live as long as the nursery: the kernel kills them with it. So nothing is left behind by any kill, and a run that is
gone is recognised by its pid, start time and boot id.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from resources.dagster_home import process_environment, write_instance_files
from resources.identity import Identity
from resources.runs.first import FirstRun
from resources.runs.messages import SourceOrder, ask, read_line, run_folder
from resources.runs.program import end, started
from resources.runs.run import SourceRun
from resources.settings import Settings

KEEPER = "resources.runs.keeper"  # the module that is the nursery's process
HOME_MARK = "_SOURCEBOUND_SUPERVISED_HOME"  # in the environment of everything a supervisor starts
START_DEADLINE_S = 60.0  # a cold import of the definitions takes 3 s of CPU; a busy machine many times that
POLL_S = 0.02
PARTITION_LOT = 1_000  # as media_assets.partitions.LOT


class Nursery:
    """The nursery of one home, found or started. Raises OSError where none can be had."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._environment: Mapping[str, str] = os.environ  # a launcher's has all that a nursery needs
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None
        self._first: FirstRun | None = None

    @property
    def pid(self) -> int | None:
        """The nursery this object started; None where another's answers."""
        return None if self._process is None else self._process.pid

    def start_run(self, run_id: str) -> Identity:
        """Execute an existing run in a process of its own and return who that is."""
        self.ensure_started()
        connection, answer = ask(self._home, {"run": run_id})
        connection.close()
        return Identity.from_text(answer["worker"])

    def start_source(self, order: SourceOrder) -> SourceRun:
        """Make a run for a source and execute it in a process of its own."""
        if self._first is not None and self._first.waits:
            try:
                return self._first.start_source(order)
            except OSError:
                self._first.stop(0.0)  # or two would be at work
        self.ensure_started()
        connection, answer = ask(self._home, {"source": asdict(order)})
        return SourceRun(connection, Identity.from_text(answer["worker"]))

    def add_partitions(self, keys: Sequence[str]) -> None:
        """Make sure the partitions of many sources exist, in lots; a run sees to its own, one at a time."""
        self.ensure_started()
        for at in range(0, len(keys), PARTITION_LOT):
            connection, _ = ask(self._home, {"partitions": list(keys[at : at + PARTITION_LOT])})
            with connection:
                if not read_line(connection):
                    raise OSError(f"the partitions could not be added; {self._home / 'logs'} has the reason")

    def begin(self, settings: Settings, database_url: str) -> None:
        """Start a nursery unless one answers, and do not wait for it: it gets ready while the caller works."""
        self._serve(settings, database_url)
        if self._process is None and not self.answers():
            self.start(self._environment)

    def begin_first(self, settings: Settings, database_url: str, call_id: str, works: str) -> None:
        """For a caller with one source: unless a nursery answers, get its run ready instead of one (see `first`)."""
        self._serve(settings, database_url)
        if self._first is None and not self.answers():
            self._first = FirstRun(self._home, self._environment, call_id, works)

    def _serve(self, settings: Settings, database_url: str) -> None:
        """Remember what is told to every process started from here on, also in another's stead."""
        write_instance_files(settings)
        self._environment = {**os.environ, **process_environment(settings, database_url)}

    def ensure_started(self) -> None:
        """Return when a nursery answers or the first run waits, starting a nursery if need be."""
        if (self._first is not None and self._first.waits) or self.answers():
            return
        if os.environ.get(HOME_MARK) == str(self._home):  # the supervisor starts it again; two would be in the way
            self._wait_until_ready()
            return
        run_folder(self._home)
        with _locked(self._home / "run" / "nursery.lock"):
            if self._process is None or self._process.poll() is not None:
                if self.answers():
                    return
                self.start(self._environment)
            self._wait_until_ready()

    def answers(self) -> bool:
        """Whether a nursery is ready to start runs."""
        try:
            ask(self._home, {"ping": True})[0].close()
        except OSError:
            return False
        return True

    def start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a nursery that ends with this process at the latest. SIGTERM drains it, once more than its grace."""
        self._drop_lifeline()
        reading, self._lifeline = os.pipe()
        arguments = ["--home", str(self._home), "--lifeline", str(reading)]
        try:
            self._process = started(
                KEEPER, arguments, home=self._home, log="nursery", kept=reading, environment=environment
            )
        finally:
            os.close(reading)
        return self._process

    def stop(self, timeout_s: float = 10.0) -> None:
        """End what this object started, draining its runs for at most `timeout_s`; leave another's nursery alone."""
        if self._first is not None:
            self._first.stop(timeout_s)
            self._first = None
        if self._process is None:
            return
        end(self._process, timeout_s)
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


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
