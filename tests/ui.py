"""The web server as a person uses it: the GraphQL calls behind the buttons, and waiting for what they start.

Belongs here: questions and orders, over HTTP alone. Does not belong here: starting what answers them, assertions.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from resources import run_tags

SELECTOR = {"repositoryLocationName": "sourcebound", "repositoryName": "__repository__"}
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
query($key: AssetKeyInput!, $name: String!) { assetCheckExecutions(assetKey: $key, checkName: $name, limit: 20) {
  status evaluation { severity partition metadataEntries { label } } } }
"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status tags { key value } } } }"
RUNS = """
query($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs { results { runId status jobName } } } }
"""
EVENTS = """
query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events { __typename
  ... on MessageEvent { stepKey }
  ... on ExecutionStepFailureEvent { error { message stack } failureMetadata { description } }
  ... on RunFailureEvent { error { message stack } } } } } }
"""
MATERIALIZATIONS = """
query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset { assetMaterializations(limit: 200) {
  partition runId tags { key value }
  metadataEntries { label ... on TextMetadataEntry { text } ... on IntMetadataEntry { intValue } } } } } }
"""


@dataclass(frozen=True)
class Made:
    """One materialization: what determined it, what came of it, and whether an encoder ran for it."""

    run_id: str
    recipe: str | None
    data_version: str | None
    encoder_calls: int


@dataclass(frozen=True)
class Ui:
    """A web server on this machine."""

    port: int

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        return next(iter(answer["data"].values()))

    def is_up(self) -> bool:
        try:
            return self.ask("query { version }") is not None
        except OSError:
            return False

    def materialize(self, asset: str | None, source: str, job: str = "__ASSET_JOB") -> str:
        """The button Materialize, of one asset or of a whole job; the run's id."""
        selector: dict[str, Any] = {**SELECTOR, "jobName": job}
        if asset is not None:
            selector |= {"assetSelection": [{"path": [asset]}], "assetCheckSelection": None}
        metadata = {"tags": [{"key": run_tags.PARTITION, "value": source}]}
        answer = self.ask(LAUNCH, params={"selector": selector, "executionMetadata": metadata, "mode": "default"})
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def reexecute(self, run_id: str, strategy: str = "FROM_FAILURE") -> str:
        """The button Re-execute; the new run's id."""
        answer = self.ask(REEXECUTE, params={"parentRunId": run_id, "strategy": strategy})
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def backfill(self, assets: Sequence[str], sources: Sequence[str]) -> str:
        selection = [{"path": [name]} for name in assets]
        answer = self.ask(BACKFILL, params={"assetSelection": selection, "partitionNames": list(sources)})
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return str(answer["backfillId"])

    def backfill_is_complete(self, backfill_id: str) -> bool:
        return self.ask(BACKFILL_STATUS, id=backfill_id)["status"] in ("COMPLETED", "COMPLETED_SUCCESS")

    def terminate(self, run_id: str) -> None:
        assert self.ask(TERMINATE, id=run_id)["__typename"] == "TerminateRunSuccess"

    def status(self, run_id: str) -> str:
        return str(self.ask(RUN, id=run_id)["status"])

    def tags(self, run_id: str) -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in self.ask(RUN, id=run_id)["tags"]}

    def until(self, run_id: str, status: str, timeout_s: float = 180.0) -> None:
        """Wait for a run's end; another end than `status` is an error at once."""
        ends = {"SUCCESS", "FAILURE", "CANCELED"}
        wait_for(lambda: self.status(run_id) in ends, timeout_s)
        assert self.status(run_id) == status

    def runs_of(self, source: str, status: str | None = None) -> list[str]:
        """The runs of a source, newest first."""
        chosen: dict[str, Any] = {"tags": [{"key": run_tags.PARTITION, "value": source}]}
        if status is not None:
            chosen["statuses"] = [status]
        return [str(run["runId"]) for run in self.ask(RUNS, filter=chosen)["results"]]

    def events(self, run_id: str) -> list[dict[str, Any]]:
        return list(self.ask(EVENTS, id=run_id)["events"])

    def steps(self, run_id: str) -> set[str]:
        """The steps a run has begun."""
        began = "ExecutionStepStartEvent"
        return {event["stepKey"] for event in self.events(run_id) if event["__typename"] == began}

    def checks(self, asset: str) -> list[dict[str, Any]]:
        return list(self.ask(CHECKS, key={"path": [asset]}, name="contract"))

    def made(self, asset: str) -> dict[str, Made]:
        """The newest materialization of each source."""
        found: dict[str, Made] = {}
        for event in self.ask(MATERIALIZATIONS, key={"path": [asset]}).get("assetMaterializations", []):
            shown = {entry["label"]: entry.get("text", entry.get("intValue")) for entry in event["metadataEntries"]}
            tags = {tag["key"]: tag["value"] for tag in event["tags"]}
            made = Made(
                event["runId"], shown.get("recipe"), tags.get("dagster/data_version"), shown.get("encoder_calls") or 0
            )
            found.setdefault(event["partition"], made)
        return found


def wait_for(condition: Callable[[], object], timeout_s: float = 180.0) -> None:
    """Return when `condition` holds."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.1)
