"""The run launcher dagster.yaml names: each run is a fork of the home's nursery, and its death is noticed.

Belongs here: what Dagster asks of a launcher. Does not belong here: the nursery (resources/runs), executing a run
(resources/dagster_bindings), or what follows from a death (sensors/outcomes).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from dagster import DagsterInstance, DagsterRun, Field, StringSource
from dagster._config import UserConfigSchema
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from resources import run_tags
from resources.dagster_bindings import execution
from resources.identity import is_alive
from resources.runs.nursery import Nursery

log = logging.getLogger(__name__)


class WarmRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Starts each run as a fork of the home's nursery and answers whether its process still lives."""

    def __init__(self, home: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._nursery = Nursery(Path(home))
        self._inst_data = inst_data
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What dagster.yaml said of this class."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """`home`: the folder that holds all state."""
        return {"home": Field(StringSource, description="The folder that holds all state.")}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """What Dagster calls with the `config` of dagster.yaml."""
        return cls(home=config_value["home"], inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Fork a process for the run. Raises OSError where no nursery can be had; Dagster then fails the run."""
        worker = self._nursery.start_run(context.dagster_run.run_id)
        log.info("run %s is process %d", context.dagster_run.run_id, worker.pid)

    def terminate(self, run_id: str) -> bool:
        """Ask the run to stop: it starts no new work, drains, and ends as cancelled. False if it had ended.

        Who stops the run of a whole source cancels the source, or the next look would start it again.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        if not run.asset_selection:
            execution.cancel_source(run)
        worker = execution.run_worker(run)
        if worker is None or is_alive(worker) is False:
            self._instance.report_run_canceled(run, message="No process was executing the run.")
            self._instance.event_log_storage.free_concurrency_slots_for_run(run_id)
            return True
        if is_alive(worker):  # another machine's process learns of it at its next chunk; its pid says nothing here
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes: run monitoring asks `check_run_worker_health` at every poll."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the very process that took the run still lives. Another host's process is believed to."""
        worker = execution.run_worker(run)
        if worker is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"No process has the tag {run_tags.WORKER}.")
        if is_alive(worker) is False:
            return CheckRunHealthResult(WorkerStatus.FAILED, f"Process {worker.pid} of the run is gone.")
        return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=worker.to_text())

    @property
    def supports_resume_run(self) -> bool:
        """No: what a run had published stays, so a new run takes only what is missing."""
        return False
