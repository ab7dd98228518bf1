"""The nursery's own process (`python -m resources.runs.keeper`): it has everything imported, and forks.

Belongs here: preloading, answering, forking, reaping, stopping. Does not belong here: what a fork does (run_process)
or finding and starting this process (nursery).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources import run_log
from resources.dagster_home import code_module
from resources.identity import Identity
from resources.runs import run_process
from resources.runs.messages import REPLY_DEADLINE_S, read_line, say, socket_path
from resources.settings import load_settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

log = logging.getLogger("resources.runs.keeper")  # also where this module is __main__

POLL_S = 0.02
GRACE_MARGIN_S = 1.5  # beyond the house's own grace, for the run to write its last events


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
        path = socket_path(self.home)
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
                message = json.loads(read_line(connection) or b"{}")
                if "ping" in message:
                    say(connection, {"pid": os.getpid()})
                else:
                    self._fork(message, server, connection)
            except (OSError, ValueError) as error:
                say(connection, {"error": str(error)})

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
                run_process.become(self.home, parent, self.lifeline, self.grace_s)
                say(connection, {"worker": Identity.current().to_text()})
                os.write(tell, b"1")
                os.close(tell)
                run_process.work(self.instance, message, connection)
                status = 0
            except BaseException:
                log.exception("%s could not be done", message)
            finally:
                run_process.leave(status)
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


def _preload() -> DagsterInstance:
    """Import and build all that a run needs, and leave nothing open that a fork would share."""
    instance = run_process.preloaded()
    from resources.dagster_bindings.storage import close_connections

    close_connections()
    return instance


def main(preload: Callable[[], DagsterInstance] = _preload) -> None:
    """`python -m resources.runs.keeper`: be the nursery of a home."""
    parser = argparse.ArgumentParser(description="Forks one process a run (started by sourcebound itself).")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--lifeline", type=int, required=True)
    arguments = parser.parse_args()
    settings = load_settings()
    run_log.configure(settings.log_level)
    log.info("preloading %s", code_module()["module_name"])
    _Keeper(arguments.home, arguments.lifeline, settings.stop_grace_s, preload()).serve()


if __name__ == "__main__":
    main()
