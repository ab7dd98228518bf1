"""What a kill or a stop costs: `sourcebound process` cut off in the middle and asked again, in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from operations import processes
from operations.session import open_session
from resources.dagster_home import CODE
from resources.settings import load_settings
from tests.database import execute
from tests.media_long import make_long_film

pytestmark = pytest.mark.timeout(600)

COMMAND = (sys.executable, "-c", "from operations.cli.main import app; app()")
CHUNKS = 6
STOP_BAR_S = 10.0
DEADLINE_S = 240.0  # a machine may be busy with other tests; a hang is what it ends
REDONE = """
SELECT coalesce(sum(tries - 1), 0) FROM (
  SELECT count(*) AS tries FROM ledger.attempts WHERE asset = 'chunks' AND unit IS NOT NULL GROUP BY unit, recipe_hash
) AS made
"""


@dataclass(frozen=True)
class Call:
    """What one `process --json` said."""

    status: int
    report: dict[str, Any]

    @property
    def source(self) -> dict[str, Any]:
        return self.report["sources"][0]

    @property
    def states(self) -> dict[str, str]:
        return {name: asset["state"] for name, asset in self.source["assets"].items()}

    @property
    def data_versions(self) -> dict[str, str]:
        """Of all but the page, which tells what everything took."""
        return {name: asset["data_version"] for name, asset in self.source["assets"].items() if name != "dossier"}


class Home:
    """A home of its own, with permits of its own: other work on the machine takes no turn away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        runtime = folder / "runtime"
        runtime.mkdir(parents=True)
        folder.chmod(0o711)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SOURCEBOUND_", "DAGSTER_"))},
            "SOURCEBOUND_HOME": str(folder / "home"),
            "SOURCEBOUND_INBOX": str(folder / "inbox"),
            "SOURCEBOUND_PERMITS": "2",
            "XDG_RUNTIME_DIR": str(runtime),
        }

    def begin(self, film: Path, workers: int = 2) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, "process", str(film), "--json", "--workers", str(workers)],
            env=self.environment, cwd=CODE, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def end(self, call: subprocess.Popen[str]) -> Call:
        said, complained = call.communicate(timeout=DEADLINE_S)
        assert "Traceback" not in complained, complained
        assert said, complained
        return Call(call.returncode, json.loads(said))

    def process(self, film: Path, workers: int = 2) -> Call:
        return self.end(self.begin(film, workers))

    def chunks(self) -> int:
        """How many chunks' ladders are published."""
        return len(list((self.folder / "home/store/artifacts/chunks").glob("*/chunk.mp4")))

    def redone(self) -> int:
        """How often a chunk was begun that had been begun before."""
        settings = load_settings(home=str(self.folder / "home"))
        with open_session(settings) as session:
            ((count,),) = execute(session.database_url, REDONE)
        return int(str(count))

    def staging(self) -> list[Path]:
        return list((self.folder / "home/store/staging").glob("*"))


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def runs_of(call: subprocess.Popen[str]) -> list[int]:
    """The processes that execute runs: the call's first run, and the forks of a nursery."""
    below = processes.descendants(call.pid)
    parents = processes.parents()
    nurseries = [pid for pid in below if "resources.runs.keeper" in command_line(pid)]
    first = [pid for pid in below if "resources.runs.first_process" in command_line(pid)]
    return first + [pid for pid in nurseries if parents.get(pid) in nurseries]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_long_film(tmp_path_factory.mktemp("film") / "film.mp4", chunks=CHUNKS)


@pytest.fixture(scope="module")
def undisturbed(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Call:
    call = Home(tmp_path_factory.mktemp("undisturbed")).process(film)
    assert call.status == 0, call.report
    assert call.source["assets"]["chunks"]["encoder_calls"] == CHUNKS
    return call


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_after_a_kill_of_everything_only_what_is_missing_is_made_and_the_bytes_are_the_same(
    home: Home, film: Path, undisturbed: Call, workers: int
) -> None:
    cut = home.begin(film, workers)
    wait_for(lambda: home.chunks() >= 2)
    processes.send([pid for pid in [cut.pid, *processes.descendants(cut.pid)] if processes.name(pid) != "postgres"],
                   signal.SIGKILL)  # fmt: skip
    cut.wait()
    there = home.chunks()
    assert 2 <= there < CHUNKS
    again = home.process(film, workers)
    assert again.status == 0, again.report
    assert again.source["assets"]["chunks"]["encoder_calls"] == CHUNKS - there
    assert again.data_versions == undisturbed.data_versions
    assert home.staging() == []
    assert home.redone() <= workers


def test_a_run_that_is_killed_is_followed_by_another_within_the_same_call(
    home: Home, film: Path, undisturbed: Call
) -> None:
    call = home.begin(film)
    wait_for(lambda: home.chunks() >= 2)
    processes.send(runs_of(call), signal.SIGKILL)
    ended = home.end(call)
    assert ended.status == 0, ended.report
    assert home.redone() <= 2
    assert ended.data_versions == undisturbed.data_versions


def test_a_stop_ends_at_the_chunk_leaves_the_rest_queued_and_the_next_call_completes_it(
    home: Home, film: Path, undisturbed: Call
) -> None:
    call = home.begin(film)
    wait_for(lambda: home.chunks() >= 2)
    started = time.monotonic()
    call.terminate()
    stopped = home.end(call)
    assert time.monotonic() - started < STOP_BAR_S
    assert stopped.status == 3
    assert stopped.states["chunks"] == "queued"
    assert "running" not in stopped.states.values()
    assert home.staging() == []
    there = home.chunks()
    again = home.process(film)
    assert again.status == 0, again.report
    assert again.source["assets"]["chunks"]["encoder_calls"] == CHUNKS - there
    assert again.data_versions == undisturbed.data_versions
