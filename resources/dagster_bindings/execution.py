"""Runs: made for a source by hand, executed in this process, ended when their process is gone.

Belongs here: runs with the code location's origin (so that the UI can run them again), their execution and their end.
Does not belong here: starting processes (resources/runs, resources/launcher) or what the graph consists of
(media_assets).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster import (
    AssetKey,
    DagsterExecutionInterruptedError,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunsFilter,
)

from resources import run_log, run_tags
from resources.dagster_bindings.waiting import sleep_while_waiting
from resources.dagster_home import code_module
from resources.identity import Identity, is_alive

if TYPE_CHECKING:
    from dagster._core.definitions.reconstruct import ReconstructableRepository
    from dagster._core.remote_origin import RemoteJobOrigin

log = logging.getLogger(__name__)

UNFINISHED = (
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended: "SUCCESS", "FAILURE" or "CANCELED" (Dagster's words), after `seconds` of wall clock."""

    run_id: str
    status: str
    seconds: float


@dataclass(frozen=True, slots=True)
class DeadRun:
    """A run whose process is gone, and its source."""

    run_id: str
    source_key: str | None


def code_location() -> tuple[ReconstructableRepository, str]:
    """The repository the workspace names, as every process of a run finds it, and the location's name.

    Equal in every field to what a code server makes of the same workspace file: an origin that differs leaves the UI
    unable to find the job again.
    """
    from dagster._core.code_pointer import CodePointer
    from dagster._core.definitions.reconstruct import ReconstructableRepository
    from dagster._core.origin import get_python_environment_entry_point

    module = code_module()
    repository = ReconstructableRepository(
        CodePointer.from_module(module["module_name"], module["attribute"], module["working_directory"]),
        executable_path=sys.executable,
        entry_point=get_python_environment_entry_point(sys.executable),
    )
    return repository, module["location_name"]


def _remote_origin(job: str, repository_name: str, location_name: str) -> RemoteJobOrigin:
    from dagster._core.remote_origin import (
        ManagedGrpcPythonEnvCodeLocationOrigin,
        RemoteJobOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    module = code_module()
    target = LoadableTargetOrigin(
        module_name=module["module_name"],
        attribute=module["attribute"],
        working_directory=module["working_directory"],
    )
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name)
    return RemoteJobOrigin(repository_origin=RemoteRepositoryOrigin(location, repository_name), job_name=job)


def create_run(
    instance: DagsterInstance,
    source_key: str,
    job: str,
    assets: Sequence[str] | None = None,
    tags: Mapping[str, str] | None = None,
    run_id: str | None = None,
) -> DagsterRun:
    """A run of `job` for one source that nobody has started: the UI shows it and can run it again.

    `assets` narrows the job; None is all of it. The partition must exist.
    """
    repository, location_name = code_location()
    reconstructable = repository.get_reconstructable_job(job)
    definition = repository.get_definition()
    return instance.create_run_for_job(
        job_def=definition.get_job(job),
        run_id=run_id,
        tags={**(tags or {}), run_tags.SOURCE: source_key, run_tags.PARTITION: source_key},
        asset_selection=frozenset(AssetKey(name) for name in assets) if assets else None,
        remote_job_origin=_remote_origin(job, definition.name, location_name),
        job_code_origin=reconstructable.get_python_origin(),
    )


def execute_run_here(
    instance: DagsterInstance,
    source_key: str,
    job: str,
    assets: Sequence[str] | None = None,
    tags: Mapping[str, str] | None = None,
    run_id: str | None = None,
) -> RunOutcome:
    """Create a run and execute it in this process, to its end. Signals stay the caller's: see `run_to_end`.

    From its first moment the run says whose it is: one that nobody executes would count as live for ever.
    """
    tags = {**(tags or {}), run_tags.WORKER: Identity.current().to_text()}
    run = create_run(instance, source_key, job, assets, tags, run_id)
    return _to_end(instance, run.run_id)


def run_to_end(instance: DagsterInstance, run_id: str) -> RunOutcome:
    """Execute an existing run in this process. Never raises for what the run does; the outcome says how it ended.

    It works in a thread of its own, for in a main thread Dagster would take over SIGINT and SIGTERM and break into a
    step at any line; here a stop goes through `household.request_stop` and the step drains.
    """
    instance.add_run_tags(run_id, {run_tags.WORKER: Identity.current().to_text()})
    return _to_end(instance, run_id)


def _to_end(instance: DagsterInstance, run_id: str) -> RunOutcome:
    started = time.monotonic()
    worker = threading.Thread(target=_execute, args=(instance, run_id), name=f"run-{run_id[:8]}")
    worker.start()
    while worker.is_alive():
        worker.join(timeout=0.5)  # a join without a timeout would keep the main thread from seeing signals
    run = instance.get_run_by_id(run_id)
    status = run.status.value if run else "DELETED"
    return RunOutcome(run_id, status, time.monotonic() - started)


def _execute(instance: DagsterInstance, run_id: str) -> None:
    """What `dagster api execute_run` does, without a process of its own and without its cancellation thread."""
    from dagster._core.definitions.reconstruct import ReconstructableJob
    from dagster._grpc.impl import core_execute_run
    from dagster._utils.hosted_user_process import recon_job_from_origin

    try:
        run = instance.get_run_by_id(run_id)
        if run is None or run.job_code_origin is None:
            raise LookupError(f"run {run_id} is not in this instance, or has no origin")
        run_log.follow(run.tags.get(run_tags.ARRIVAL, run_id))
        sleep_while_waiting()
        job: ReconstructableJob = recon_job_from_origin(run.job_code_origin)
        for _ in core_execute_run(job, run, instance, inject_env_vars=False):
            pass
    except (KeyboardInterrupt, DagsterExecutionInterruptedError):
        log.info("run %s was interrupted", run_id)
        _cancel(instance, run_id)
    except BaseException:
        log.exception("run %s ended outside its steps", run_id)
        _fail(instance, run_id, "The run ended outside its steps; its log file has the details.")
    finally:
        # Every step has ended. One whose end could not be written, for the database died, still holds its slot.
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)


def _cancel(instance: DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_canceled(run, message="The run was stopped.")


def _fail(instance: DagsterInstance, run_id: str, message: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, message)


def run_worker(run: DagsterRun) -> Identity | None:
    """The process that executes the run, as its tag says; None where no process has taken it yet."""
    text = run.tags.get(run_tags.WORKER)
    try:
        return Identity.from_text(text) if text else None
    except ValueError:
        return None


def source_of_run(instance: DagsterInstance, run_id: str) -> str | None:
    """The source a run is about."""
    run = instance.get_run_by_id(run_id)
    return run.tags.get(run_tags.PARTITION) if run else None


def reap_dead_runs(instance: DagsterInstance, *, untaken: bool = False) -> list[DeadRun]:
    """End every run whose process is gone and give its pool slots back: failed, or cancelled if that was asked for.

    Runs that no process has taken yet are left to run monitoring, which knows how long a start may take; with
    `untaken` they are ended too, for a caller who knows that nobody is starting any.
    """
    dead = []
    for run in instance.get_runs(filters=RunsFilter(statuses=list(UNFINISHED))):
        worker = run_worker(run)
        is_ours_to_end = untaken if worker is None else is_alive(worker) is False
        if not is_ours_to_end:
            continue
        if run.status is DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message="The process of the run is gone.")
        else:
            instance.report_run_failed(run, "The process of the run is gone; what it had published stays.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        dead.append(DeadRun(run.run_id, run.tags.get(run_tags.PARTITION)))
    return dead


def cancel_source(run: DagsterRun) -> None:
    """Put on record that the run's source is not to be worked on any more, because its run was stopped."""
    from resources.ledger.ledger import Ledger
    from resources.ledger.moves import UnknownSource

    source_key = run.tags.get(run_tags.PARTITION)
    if source_key is None:
        return
    ledger = Ledger.open(os.environ["SOURCEBOUND_DATABASE_URL"])
    try:
        ledger.control(source_key, "cancel", actor="dagster", reason=f"run {run.run_id} was stopped")
    except UnknownSource:
        log.info("run %s was stopped; its partition %s is no source", run.run_id, source_key)
    finally:
        ledger.close()
