"""What a person does in the UI, through the same GraphQL calls, against the real daemon, web server and launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from resources.dagster_bindings import execution
from resources.dagster_bindings.instance import add_partitions, set_pool_limits
from resources.identity import is_alive
from tests.dagster_home import TOY, DagsterHome, dagster_home
from tests.site import free_port
from tests.ui import Ui, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Toy(Ui):
    """A running `dagster dev` over the toy graph."""

    home: DagsterHome

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.home.instance

    def run(self, run_id: str) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run


@pytest.fixture(scope="module")
def ui(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    folder = tmp_path_factory.mktemp("ui")
    with dagster_home(postgres_url, folder, workspace=TOY, stop_grace_s=2.0) as home:
        port = free_port()
        workspace = home.settings.home / "dagster" / "workspace.yaml"
        command = [
            sys.executable,
            "-m",
            "dagster",
            "dev",
            "-w",
            str(workspace),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        with (folder / "dagster.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            found = Toy(port, home)
            wait_for(found.is_up, 120)
            yield found
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def test_one_asset_of_one_source_is_materialized(ui: Toy) -> None:
    add_partitions(ui.instance, ["film-ui"])
    run_id = ui.materialize("a1", "film-ui")
    ui.until(run_id, "SUCCESS")
    assert ui.made("a1").keys() == {"film-ui"}
    assert "film-ui" not in ui.made("a2")
    checks = ui.checks("a1")
    assert checks[0]["status"] == "SUCCEEDED"
    assert {entry["label"] for entry in checks[0]["evaluation"]["metadataEntries"]} == {"clauses", "verdicts"}


def test_a_job_from_the_ui_makes_what_a_command_makes(ui: Toy) -> None:
    add_partitions(ui.instance, ["film-both"])
    outcome = execution.execute_run_here(ui.instance, "film-both", "video")
    assert outcome.status == "SUCCESS"
    by_command = {name: ui.made(name)["film-both"].data_version for name in ("a0", "a5", "a9")}
    run_id = ui.materialize(None, "film-both", job="video")
    ui.until(run_id, "SUCCESS")
    assert {name: ui.made(name)["film-both"].data_version for name in by_command} == by_command


def test_a_failed_run_of_a_command_is_run_again_from_its_failure(ui: Toy) -> None:
    add_partitions(ui.instance, ["mended-ui"])
    failed = execution.execute_run_here(ui.instance, "mended-ui", "video")
    assert failed.status == "FAILURE"
    again = ui.reexecute(failed.run_id)
    ui.until(again, "SUCCESS")
    assert ui.steps(again) == {"a2"}


def test_ten_sources_are_backfilled(ui: Toy) -> None:
    sources = [f"film-back-{index}" for index in range(10)]
    add_partitions(ui.instance, sources)
    backfill = ui.backfill(("a0", "a1"), sources)
    wait_for(lambda: set(sources) <= ui.made("a1").keys(), 150)
    wait_for(lambda: ui.backfill_is_complete(backfill), 90)


def test_a_run_is_terminated_and_ends_as_cancelled(ui: Toy) -> None:
    add_partitions(ui.instance, ["slow-ui"])
    run_id = ui.materialize(None, "slow-ui", job="video")
    journal = Path(os.environ["TOY_JOURNAL"])
    wait_for(lambda: journal.exists() and "a2 slow-ui" in journal.read_text())
    ui.terminate(run_id)
    ui.until(run_id, "CANCELED", 15)


def test_a_killed_run_is_failed_by_the_daemon_within_seconds_and_frees_its_slots(ui: Toy) -> None:
    """As shipped, such a run stays STARTED for ever and holds a run slot and a pool slot."""
    set_pool_limits(ui.instance, {"out": 1})
    add_partitions(ui.instance, ["slow-kill", "film-after"])
    run_id = ui.materialize(None, "slow-kill", job="video")
    wait_for(lambda: "a2 slow-kill" in Path(os.environ["TOY_JOURNAL"]).read_text())
    worker = execution.run_worker(ui.run(run_id))
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_for(lambda: is_alive(worker) is False)
    ui.until(run_id, "FAILURE", 20)
    wait_for(lambda: ui.instance.event_log_storage.get_concurrency_info("out").active_slot_count == 0, 30)
    print(f"found and freed {time.monotonic() - killed:.1f} s after the kill")
    ui.until(ui.materialize("a0", "film-after"), "SUCCESS")
    set_pool_limits(ui.instance, {"out": 4})
