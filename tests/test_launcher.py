"""Runs are forks of a warm process; any death is noticed, any stop drains. Real processes, a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.launcher.base import LaunchRunContext, WorkerStatus

from resources import run_tags
from resources.dagster_bindings import execution
from resources.dagster_bindings.instance import add_partitions, set_pool_limits
from resources.identity import Identity, is_alive
from resources.launcher import WarmRunLauncher
from resources.runs.messages import SourceOrder, run_folder
from resources.runs.nursery import Nursery
from resources.settings import load_settings
from tests.dagster_home import TOY, dagster_home


@dataclass
class Site:
    """A home with the toy graph, its instance and its nursery."""

    instance: dg.DagsterInstance
    home: Path
    nursery: Nursery

    @property
    def launcher(self) -> WarmRunLauncher:
        launcher = self.instance.run_launcher
        assert isinstance(launcher, WarmRunLauncher)
        return launcher

    def launch(self, source: str, job: str = "video") -> str:
        """What the daemon does with a queued run."""
        add_partitions(self.instance, [source])
        run = execution.create_run(self.instance, source, job)
        self.instance.report_engine_event("starting", run)
        self.launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
        return run.run_id

    def run(self, run_id: str) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def worker(self, run_id: str) -> Identity:
        wait_for(lambda: execution.run_worker(self.run(run_id)) is not None)
        worker = execution.run_worker(self.run(run_id))
        assert worker is not None
        return worker

    def until(self, run_id: str, status: dg.DagsterRunStatus, timeout_s: float = 30.0) -> dg.DagsterRun:
        wait_for(lambda: self.run(run_id).status is status, timeout_s)
        return self.run(run_id)

    def until_journal(self, text: str) -> None:
        journal = Path(os.environ["TOY_JOURNAL"])
        wait_for(lambda: journal.exists() and text in journal.read_text())


def wait_for(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def site(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("launcher")
    with dagster_home(postgres_url, folder, workspace=TOY, stop_grace_s=3.0) as home:
        nursery = Nursery(home.settings.home)
        nursery.ensure_started()
        try:
            yield Site(home.instance, home.settings.home, nursery)
        finally:
            nursery.stop()


def test_a_launched_run_succeeds_in_a_process_of_its_own(site: Site) -> None:
    run_id = site.launch("film-1")
    run = site.until(run_id, dg.DagsterRunStatus.SUCCESS)
    worker = Identity.from_text(run.tags[run_tags.WORKER])
    assert worker.pid != os.getpid()
    wait_for(lambda: is_alive(worker) is False)


def test_the_nursery_has_one_thread_and_no_connection_so_that_a_fork_shares_nothing(site: Site) -> None:
    site.until(site.launch("film-2"), dg.DagsterRunStatus.SUCCESS)
    pid = site.nursery._process.pid  # type: ignore[union-attr]
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    open_files = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    assert sum(name.startswith("socket:") for name in open_files) == 1, open_files


def test_the_sockets_folder_is_private_and_its_path_short_enough_anywhere(tmp_path: Path) -> None:
    near = run_folder(tmp_path)
    assert near == tmp_path / "run"
    assert near.stat().st_mode & 0o777 == 0o700
    far_home = tmp_path / ("long" * 30)
    far = run_folder(far_home)
    assert len(os.fsencode(far / "nursery.sock")) < 104
    assert far == run_folder(far_home)
    assert far != run_folder(tmp_path / ("long" * 30 + "er"))
    far.rmdir()


def test_a_nursery_in_the_first_runs_stead_is_told_the_same(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command's own environment names no Dagster home, and where its first run died the nursery did not start."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    settings = load_settings(home=tmp_path / "home")
    nursery = Nursery(settings.home)
    try:
        nursery.begin_first(settings, database_url, "a-call", "media_assets.declared:works")
        first = nursery._first._process  # type: ignore[union-attr]
        first.kill()
        first.wait()
        nursery.ensure_started()
        assert nursery.answers()
    finally:
        nursery.stop()


def test_two_commands_at_once_start_one_nursery(site: Site) -> None:
    before = site.nursery._process.pid  # type: ignore[union-attr]
    other = Nursery(site.home)
    other.ensure_started()
    assert other._process is None
    assert is_running(before)


def test_a_living_run_is_healthy_and_a_killed_one_is_not(site: Site) -> None:
    run_id = site.launch("slow-health")
    site.until(run_id, dg.DagsterRunStatus.STARTED)
    worker = site.worker(run_id)
    assert site.launcher.check_run_worker_health(site.run(run_id)).status is WorkerStatus.RUNNING
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: is_alive(worker) is False)
    health = site.launcher.check_run_worker_health(site.run(run_id))
    assert health.status is WorkerStatus.FAILED
    dead = execution.reap_dead_runs(site.instance)
    assert [item.run_id for item in dead] == [run_id]
    assert dead[0].source_key == "slow-health"
    assert site.run(run_id).status is dg.DagsterRunStatus.FAILURE


def test_a_pid_that_was_given_out_again_is_not_the_run(site: Site) -> None:
    add_partitions(site.instance, ["film-pid"])
    run = execution.create_run(site.instance, "film-pid", "video")
    me = Identity.current()
    taken_over = Identity(me.host, me.boot_id, me.pid, me.started - 1)
    site.instance.add_run_tags(run.run_id, {run_tags.WORKER: taken_over.to_text()})
    assert site.launcher.check_run_worker_health(site.run(run.run_id)).status is WorkerStatus.FAILED
    site.instance.report_run_failed(run)


def test_a_killed_run_gives_its_pool_slot_back(site: Site) -> None:
    set_pool_limits(site.instance, {"out": 1})
    run_id = site.launch("slow-slot")
    site.until_journal("a2 slow-slot")
    pool = site.instance.event_log_storage.get_concurrency_info("out")
    assert pool.active_slot_count == 1
    os.kill(site.worker(run_id).pid, signal.SIGKILL)
    wait_for(lambda: bool(execution.reap_dead_runs(site.instance)))
    assert site.instance.event_log_storage.get_concurrency_info("out").active_slot_count == 0
    set_pool_limits(site.instance, {"out": 4})


def test_terminating_a_run_drains_it_and_it_ends_as_cancelled(site: Site) -> None:
    run_id = site.launch("slow-stop")
    site.until_journal("a2 slow-stop")
    worker = site.worker(run_id)
    assert site.launcher.terminate(run_id)
    site.until(run_id, dg.DagsterRunStatus.CANCELED, 10)
    wait_for(lambda: is_alive(worker) is False)
    log = next((site.home / "logs").glob("runs-*.log")).read_text()
    assert "Traceback" not in log
    assert not site.launcher.terminate(run_id)


def test_terminating_a_run_whose_process_is_gone_ends_it_at_once(site: Site) -> None:
    run_id = site.launch("slow-gone")
    site.until(run_id, dg.DagsterRunStatus.STARTED)
    worker = site.worker(run_id)
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: is_alive(worker) is False)
    assert site.launcher.terminate(run_id)
    assert site.run(run_id).status is dg.DagsterRunStatus.CANCELED


def test_a_command_gets_the_end_of_its_run_and_what_it_used(site: Site) -> None:
    site.nursery.add_partitions(["film-cli"])
    order = SourceOrder("film-cli", "video", None, "call-1", "arrival-1", {"SOURCEBOUND_WORKERS": "1"})
    run = site.nursery.start_source(order)
    wait_for(lambda: run.poll() is not None)
    ended = run.poll()
    assert ended is not None
    assert ended.reported
    assert ended.status == "SUCCESS"
    assert 0 < ended.cpu_seconds < 10
    tags = site.run(str(ended.run_id)).tags
    assert (tags[run_tags.CALL], tags[run_tags.ARRIVAL]) == ("call-1", "arrival-1")
    journal = Path(os.environ["TOY_JOURNAL"]).read_text()
    assert f"a0 film-cli {ended.run_id} {run.pid} arrival-1 1" in journal


def test_a_command_learns_that_its_run_died(site: Site) -> None:
    site.nursery.add_partitions(["crash-cli"])
    run = site.nursery.start_source(SourceOrder("crash-cli", "video"))
    wait_for(lambda: run.poll() is not None)
    ended = run.poll()
    assert ended is not None
    assert not ended.reported
    assert len(execution.reap_dead_runs(site.instance)) == 1


def test_the_next_run_of_a_command_gets_the_slots_of_one_that_died(site: Site) -> None:
    """Without a daemon nobody gave them back: the fifth call after four power cuts waited for ever."""
    set_pool_limits(site.instance, {"out": 1})
    try:
        died = site.nursery.start_source(SourceOrder("crash-slot", "video"))
        wait_for(lambda: died.poll() is not None)
        run = site.nursery.start_source(SourceOrder("film-slot", "video"))
        wait_for(lambda: run.poll() is not None, 30)
        ended = run.poll()
        assert ended is not None
        assert ended.status == "SUCCESS"
    finally:
        set_pool_limits(site.instance, {"out": 4})


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used (proc(5), stat, fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_run_that_waits_for_its_turn_can_be_stopped(site: Site) -> None:
    """It waited on for a slot that a dead run held, whatever it was told."""
    set_pool_limits(site.instance, {"out": 1})
    try:
        slow = site.nursery.start_source(SourceOrder("slow-turn", "video"))
        site.until_journal("a2 slow-turn")
        waiting = site.nursery.start_source(SourceOrder("film-turn", "video"))
        wait_for(lambda: bool(site.instance.get_runs(dg.RunsFilter(tags={run_tags.SOURCE: "film-turn"}))))
        before = cpu_s(waiting.pid)
        time.sleep(2.0)
        assert cpu_s(waiting.pid) - before < 0.7, "as shipped it spins"
        waiting.terminate()
        wait_for(lambda: waiting.poll() is not None, 10)
        ended = waiting.poll()
        assert ended is not None
        assert ended.status == "CANCELED"
        slow.terminate()
        wait_for(lambda: slow.poll() is not None, 10)
    finally:
        set_pool_limits(site.instance, {"out": 4})


def test_a_command_can_stop_its_run(site: Site) -> None:
    site.nursery.add_partitions(["slow-cli"])
    run = site.nursery.start_source(SourceOrder("slow-cli", "video"))
    site.until_journal("a2 slow-cli")
    run.terminate()
    wait_for(lambda: run.poll() is not None, 10)
    ended = run.poll()
    assert ended is not None
    assert ended.status == "CANCELED"


NURSERY_OF_ANOTHER = """
import os, sys, time
from pathlib import Path
from resources.runs.messages import SourceOrder
from resources.runs.nursery import Nursery
nursery = Nursery(Path(sys.argv[1]))
process = nursery.start(os.environ)
nursery.ensure_started()
run = nursery.start_source(SourceOrder(sys.argv[2], "video"))
print(process.pid, run.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def lonely(site: Site, tmp_path: Path) -> Iterator[Callable[[str], tuple[subprocess.Popen[str], int, int]]]:
    """Start, in a process of its own, a nursery with a slow run: (starter, pid of the nursery, pid of the run)."""
    started: list[subprocess.Popen[str]] = []
    site.nursery.stop()

    def start(source: str) -> tuple[subprocess.Popen[str], int, int]:
        add_partitions(site.instance, [source])
        starter = subprocess.Popen(
            [sys.executable, "-c", NURSERY_OF_ANOTHER, str(site.home), source], stdout=subprocess.PIPE, text=True
        )
        started.append(starter)
        assert starter.stdout is not None
        nursery, run = map(int, starter.stdout.readline().split())
        site.until_journal(f"a2 {source}")
        return starter, nursery, run

    yield start
    for starter in started:
        starter.kill()
        starter.wait()
        starter.stdout.close()  # type: ignore[union-attr]
    site.nursery.ensure_started()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_the_nursery_and_its_runs_end_when_whoever_started_it_is_killed(site: Site, lonely: Any) -> None:
    starter, nursery, run = lonely("slow-orphan")
    starter.kill()
    wait_for(lambda: not is_running(nursery) and not is_running(run), 10)
    assert execution.reap_dead_runs(site.instance) == [], "it was drained, so it had ended by itself"


def test_runs_die_with_their_nursery_and_are_found_dead(site: Site, lonely: Any) -> None:
    _, nursery, run = lonely("slow-nursery")
    os.kill(nursery, signal.SIGKILL)
    wait_for(lambda: not is_running(run), 5)
    dead = execution.reap_dead_runs(site.instance)
    assert [item.source_key for item in dead] == ["slow-nursery"]
