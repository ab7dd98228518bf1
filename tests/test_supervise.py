"""`sourcebound up`: refused twice, stopped in time, carried on after any kill. Real processes throughout."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from operations import processes
from operations.supervise import _Part
from resources.dagster_home import CODE
from resources.runs.nursery import HOME_MARK
from tests.media_long import make_long_film
from tests.site import Site, free_port

COMMAND = (sys.executable, "-c", "from operations.cli.main import app; app()")
STOP_BAR_S = 10.0
CHUNKS = 16  # more than are made while a stop is on its way
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)
# Told so: in the background of a shell SIGINT is ignored, and Dagster, which has run by then, puts SIGTERM to that use.
DOCILE = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_DFL); print('ready', flush=True); time.sleep(60)"
)


def up_once(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, "up"], env={**os.environ, **settings}, cwd=CODE, capture_output=True, text=True)


def started(program: str, **environment: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def wait_for(condition: Callable[[], object], timeout_s: float = 100.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.1)


def test_a_second_supervisor_of_a_home_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / "supervisor.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = up_once({"SOURCEBOUND_HOME": str(tmp_path)})
    assert refused.returncode == 2
    assert refused.stderr.startswith("sourcebound: it runs already for")
    assert refused.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_told_in_one_sentence_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = up_once({"SOURCEBOUND_HOME": str(tmp_path), "SOURCEBOUND_PORT": str(port)})
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"sourcebound: port {port} cannot be used")
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "postgres.json").exists()


def test_what_a_supervisor_of_this_home_started_is_known_by_its_mark(tmp_path: Path) -> None:
    ours = started(DOCILE, **{HOME_MARK: str(tmp_path)})
    other = started(DOCILE, **{HOME_MARK: str(tmp_path / "other")})
    try:
        assert processes.marked(tmp_path) == [ours.pid]
    finally:
        ours.kill()
        other.kill()


def test_each_group_has_its_own_grace_and_all_are_told_at_once() -> None:
    docile, stubborn = started(DOCILE), started(STUBBORN)
    begun = time.monotonic()
    killed = processes.end_together([([docile.pid], 60.0), ([stubborn.pid], 0.5)])
    assert killed == [stubborn.pid]
    assert time.monotonic() - begun < 30.0  # not the grace of the one that ended at once
    assert not processes.alive(docile.pid)


def test_a_part_that_dies_is_started_again_ever_more_slowly() -> None:
    starts = []

    def start() -> subprocess.Popen[bytes]:
        starts.append(time.monotonic())
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])

    told: list[str] = []
    part = _Part("the part", start)
    while len(starts) < 3:
        part.tend(told.append)
        time.sleep(0.02)
    assert part.process is not None
    part.process.wait()
    assert told == ["the part ended with status 3 and is started again"] * 2
    assert starts[1] - starts[0] >= 0.5
    assert starts[2] - starts[1] >= 1.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    tmp_path.chmod(0o711)
    (tmp_path / "inbox").mkdir()
    made = Site(tmp_path, free_port())
    yield made
    while left := made.everything():
        processes.send(left, signal.SIGKILL)
        if made.supervisor is not None:
            made.supervisor.poll()


def output(site: Site) -> str:
    return (site.folder / "up.log").read_text()


def chunks(site: Site) -> int:
    return len(list((site.folder / "home/store/artifacts/chunks").glob("*/chunk.mp4")))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_stop_during_encodes_ends_all_of_it_in_time_and_the_next_start_carries_on(site: Site) -> None:
    make_long_film(site.folder / "inbox" / "film.mp4", chunks=CHUNKS)
    site.start()
    assert site.supervisor is not None
    wait_for(lambda: chunks(site) >= 1)
    begun = time.monotonic()
    site.supervisor.terminate()
    status = site.supervisor.wait(30)
    assert time.monotonic() - begun < STOP_BAR_S
    assert status == 0
    assert site.everything() == []
    assert "Traceback" not in output(site)
    before = chunks(site)
    assert before < CHUNKS

    site.start()
    wait_for(lambda: site.settled(1))
    assert site.ask("SELECT DISTINCT state FROM ledger.asset_states WHERE asset = 'hls'") == [("ready",)]
    again = site.ask(
        "SELECT unit, count(*) FROM ledger.attempts WHERE unit IS NOT NULL GROUP BY asset, unit HAVING count(*) > 2"
    )
    assert again == []
    site.supervisor.terminate()
    site.supervisor.wait(30)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_after_the_supervisor_alone_is_killed_its_leftovers_are_ended_and_the_work_goes_on(site: Site) -> None:
    make_long_film(site.folder / "inbox" / "film.mp4", chunks=CHUNKS)
    site.start()
    assert site.supervisor is not None
    wait_for(lambda: chunks(site) >= 1)
    left = processes.marked(site.settings.home)
    site.supervisor.kill()
    site.supervisor.wait()
    site.start()
    wait_for(lambda: site.settled(1))
    assert not [pid for pid in left if processes.alive(pid)]
    unfinished = "SELECT count(*) FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')"
    wait_for(lambda: site.ask(unfinished) == [(0,)])  # a run's last events come after the last asset's state
    site.supervisor.send_signal(signal.SIGINT)
    assert site.supervisor.wait(30) == 0
    assert site.everything() == []
