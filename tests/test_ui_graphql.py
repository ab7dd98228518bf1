"""What a person does in the UI, through the same GraphQL calls, against the real daemon, web server and launcher."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources import dagster_bindings as bindings
from resources.identity import is_alive
from tests.dagster_home import TOY, DagsterHome, dagster_home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } ... on UnauthorizedError { message } } }
"""
REEXECUTE = """
mutation($params: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
BACKFILL = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
BACKFILL_STATUS = (
    "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
)
TERMINATE = "mutation($id: String!) { terminateRun(runId: $id) { __typename } }"
CHECKS = """
query($key: AssetKeyInput!, $name: String!) { assetCheckExecutions(assetKey: $key, checkName: $name, limit: 5) {
  status evaluation { severity partition metadataEntries { label } } } }
"""


@dataclass
class Ui:
    """A running `dagster dev` over the toy graph."""

    home: DagsterHome
    port: int

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.home.instance

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        return next(iter(answer["data"].values()))

    def materialize(self, asset: str | None, source: str, job: str = "__ASSET_JOB") -> str:
        selector = {"repositoryLocationName": "sourcebound", "repositoryName": "__repository__", "jobName": job}
        if asset is not None:
            selector |= {"assetSelection": [{"path": [asset]}], "assetCheckSelection": None}  # type: ignore[dict-item]
        metadata = {"tags": [{"key": bindings.PARTITION_TAG, "value": source}]}
        answer = self.ask(LAUNCH, params={"selector": selector, "executionMetadata": metadata, "mode": "default"})
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def run(self, run_id: str) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def until(self, run_id: str, status: dg.DagsterRunStatus, timeout_s: float = 60) -> None:
        wait_for(lambda: self.run(run_id).status is status, timeout_s)

    def versions(self, asset: str) -> dict[str, str]:
        """The data version of the newest materialization of each partition."""
        records = self.instance.fetch_materializations(dg.AssetKey(asset), limit=100).records
        found: dict[str, str] = {}
        for record in records:
            event = record.asset_materialization
            assert event is not None
            found.setdefault(str(event.partition), (event.tags or {})["dagster/data_version"])
        return found


def wait_for(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def ui(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
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
            found = Ui(home, port)
            wait_for(lambda: is_up(found), 120)
            yield found
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def is_up(ui: Ui) -> bool:
    try:
        return ui.ask("query { version }") is not None
    except OSError:
        return False


def test_one_asset_of_one_source_is_materialized(ui: Ui) -> None:
    bindings.add_partitions(ui.instance, ["film-ui"])
    run_id = ui.materialize("a1", "film-ui")
    ui.until(run_id, dg.DagsterRunStatus.SUCCESS)
    assert ui.versions("a1").keys() == {"film-ui"}
    assert "film-ui" not in ui.versions("a2")
    checks = ui.ask(CHECKS, key={"path": ["a1"]}, name="contract")
    assert checks[0]["status"] == "SUCCEEDED"
    assert {entry["label"] for entry in checks[0]["evaluation"]["metadataEntries"]} == {"clauses", "verdicts"}


def test_a_job_from_the_ui_makes_what_a_command_makes(ui: Ui) -> None:
    bindings.add_partitions(ui.instance, ["film-both"])
    outcome = bindings.execute_run_here(ui.instance, "film-both", "video")
    assert outcome.status == "SUCCESS"
    by_command = {name: ui.versions(name)["film-both"] for name in ("a0", "a5", "a9")}
    run_id = ui.materialize(None, "film-both", job="video")
    ui.until(run_id, dg.DagsterRunStatus.SUCCESS)
    assert {name: ui.versions(name)["film-both"] for name in by_command} == by_command


def test_a_failed_run_of_a_command_is_run_again_from_its_failure(ui: Ui) -> None:
    bindings.add_partitions(ui.instance, ["mended-ui"])
    failed = bindings.execute_run_here(ui.instance, "mended-ui", "video")
    assert failed.status == "FAILURE"
    answer = ui.ask(REEXECUTE, params={"parentRunId": failed.run_id, "strategy": "FROM_FAILURE"})
    assert answer["__typename"] == "LaunchRunSuccess", answer
    again = answer["run"]["runId"]
    ui.until(again, dg.DagsterRunStatus.SUCCESS)
    steps = {event.step_key for event in ui.instance.all_logs(again) if event.step_key}
    assert steps == {"a2"}


def test_ten_sources_are_backfilled(ui: Ui) -> None:
    sources = [f"film-back-{index}" for index in range(10)]
    bindings.add_partitions(ui.instance, sources)
    assets = [{"path": [name]} for name in ("a0", "a1")]
    answer = ui.ask(BACKFILL, params={"assetSelection": assets, "partitionNames": sources})
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    wait_for(lambda: set(sources) <= ui.versions("a1").keys(), 150)
    wait_for(
        lambda: ui.ask(BACKFILL_STATUS, id=answer["backfillId"])["status"] in ("COMPLETED", "COMPLETED_SUCCESS"), 90
    )


def test_a_run_is_terminated_and_ends_as_cancelled(ui: Ui) -> None:
    bindings.add_partitions(ui.instance, ["slow-ui"])
    run_id = ui.materialize(None, "slow-ui", job="video")
    journal = Path(os.environ["TOY_JOURNAL"])
    wait_for(lambda: journal.exists() and "a2 slow-ui" in journal.read_text())
    assert ui.ask(TERMINATE, id=run_id)["__typename"] == "TerminateRunSuccess"
    ui.until(run_id, dg.DagsterRunStatus.CANCELED, 15)


def test_a_killed_run_is_failed_by_the_daemon_within_seconds_and_frees_its_slots(ui: Ui) -> None:
    """As shipped, such a run stays STARTED for ever and holds a run slot and a pool slot."""
    bindings.set_pool_limits(ui.instance, {"out": 1})
    bindings.add_partitions(ui.instance, ["slow-kill", "film-after"])
    run_id = ui.materialize(None, "slow-kill", job="video")
    wait_for(lambda: "a2 slow-kill" in Path(os.environ["TOY_JOURNAL"]).read_text())
    worker = bindings.run_worker(ui.run(run_id))
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_for(lambda: is_alive(worker) is False)
    ui.until(run_id, dg.DagsterRunStatus.FAILURE, 20)
    wait_for(lambda: ui.instance.event_log_storage.get_concurrency_info("out").active_slot_count == 0, 30)
    print(f"found and freed {time.monotonic() - killed:.1f} s after the kill")
    ui.until(ui.materialize("a0", "film-after"), dg.DagsterRunStatus.SUCCESS)
    bindings.set_pool_limits(ui.instance, {"out": 4})
