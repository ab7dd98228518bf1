"""Everything that touches Dagster's insides, in one place: pooled storage, the instance of a home, runs made by hand.

Belongs here: the storage subclass named in dagster.yaml, the instance every command uses, runs with the code
location's origin (so that the UI can run them again) and their execution in this process. Does not belong here:
starting other processes (resources/launcher) or what the graph consists of (media_assets).

Private parts of Dagster 1.13 used: `_engine` of the three storages, the claim of a pool's slot, the origins of runs,
`core_execute_run`. Each use says what it replaces; tests/test_instance.py fails where a new version changes them.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy
from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.event_log.schema import ConcurrencySlotsTable
from dagster._serdes import ConfigurableClassData
from dagster._utils.concurrency import ConcurrencySlotStatus
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config, set_pg_statement_timeout

from resources import run_log, run_tags
from resources.dagster_home import code_module, process_environment, with_driver, write_instance_files
from resources.identity import Identity, is_alive
from resources.postgres import renew_lost_connections, wait_for_database
from resources.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.reconstruct import ReconstructableRepository
    from dagster._core.remote_origin import RemoteJobOrigin

log = logging.getLogger(__name__)

HELD_CONNECTIONS = 2  # kept open between events, by all three storages; with 1 a run opens 14, not 4
OVERFLOW_CONNECTIONS = 8  # a process with many threads (daemon, web server) waits for the tenth instead of failing
RECYCLE_S = 1800  # a pooler or firewall in between drops what is idle for an hour
PARTITION_TAG = "dagster/partition"
PARTITIONS = "sources"
PRIORITY_TAG = "dagster/priority"
RUN_KEY_TAG = "dagster/run_key"
POOL_LIMITS = "pool_limits"  # in the metadata of the definitions: pool name to number of slots
IMPORTED_BY_RUNS = (  # else every run imports them for itself
    "dagster._core.execution.api",
    "dagster._core.execution.plan.active",
    "dagster._core.executor.in_process",
    "dagster._core.instance.runs.run_domain",
    "dagster._core.storage.noop_compute_log_manager",
    "dagster._core.system_config.composite_descent",
    "dagster._grpc.impl",
    "dagster._utils.hosted_user_process",
    "resources.claims",
    "resources.production",
)
UNFINISHED = (
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)


class _Pooled:
    """What each of the three storages does differently: connections are kept, and belong to one process only.

    As shipped a storage connects anew for every statement unless the web server asks it not to
    (`optimize_for_webserver`); that method makes an engine which a fork would share, so it is replaced as well.
    """

    postgres_url: str
    _engine: sqlalchemy.engine.Engine

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Bound the pool as the web server's command line says (timeout in milliseconds, recycling in seconds)."""
        overflow = max(OVERFLOW_CONNECTIONS, max_overflow)
        self._engine = shared_engine(self.postgres_url, statement_timeout, pool_recycle, overflow)


class _EventLog(_Pooled, PostgresEventLogStorage):
    def _claim_concurrency_slot(self, concurrency_key: str, run_id: str, step_key: str) -> ConcurrencySlotStatus:
        """Find and take a free slot in one statement.

        As shipped these are two, and each is committed at once, which ends the lock between them: of 8 runs that asked
        a pool of 2 in the same instant, up to 7 got a slot.
        """
        free = (
            sqlalchemy.select(ConcurrencySlotsTable.c.id)
            .where(
                ConcurrencySlotsTable.c.concurrency_key == concurrency_key,
                ConcurrencySlotsTable.c.step_key.is_(None),
                ConcurrencySlotsTable.c.deleted.is_(False),
            )
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        taking = ConcurrencySlotsTable.update().where(ConcurrencySlotsTable.c.id == free)
        with self.index_connection() as connection:
            taken = connection.execute(taking.values(run_id=run_id, step_key=step_key)).rowcount
        return ConcurrencySlotStatus.CLAIMED if taken else ConcurrencySlotStatus.BLOCKED


class _Runs(_Pooled, PostgresRunStorage):
    pass


class _Schedules(_Pooled, PostgresScheduleStorage):
    pass


class PooledPostgresStorage(DagsterPostgresStorage):
    """Dagster's PostgreSQL storage with one pool of connections a process: a run costs a fifth of what it did."""

    def __init__(
        self, postgres_url: str, should_autocreate_tables: bool = True, inst_data: ConfigurableClassData | None = None
    ) -> None:
        url = with_driver(postgres_url)
        self.postgres_url = url
        self.should_autocreate_tables = should_autocreate_tables
        self._inst_data = inst_data
        # Each looks for its tables over a connection of its own; a code server makes an instance a sensor tick.
        look = should_autocreate_tables and url not in _with_tables
        self._run_storage = _Runs(url, look)
        self._event_log_storage = _EventLog(url, look)
        self._schedule_storage = _Schedules(url, look)
        _with_tables.add(url)
        self._instance_weakref = None  # all that the base class does; the nearer one would open unpooled storages
        engine = shared_engine(url)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine  # noqa: SLF001

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledPostgresStorage:
        """What Dagster calls with the `config` of dagster.yaml."""
        return cls(
            pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
        )


_engines: dict[tuple[str, int, int, int], sqlalchemy.engine.Engine] = {}
_engines_lock = threading.Lock()
_with_tables: set[str] = set()  # databases in which this process found or made Dagster's tables


def shared_engine(
    url: str, statement_timeout_ms: int = 0, recycle_s: int = RECYCLE_S, overflow: int = OVERFLOW_CONNECTIONS
) -> sqlalchemy.engine.Engine:
    """The pool of this process for `url`; every storage and every instance of the process shares it."""
    key = (url, statement_timeout_ms, recycle_s, overflow)
    with _engines_lock:
        if key not in _engines:
            engine = sqlalchemy.create_engine(
                url,
                isolation_level="AUTOCOMMIT",
                pool_size=HELD_CONNECTIONS,
                max_overflow=overflow,
                pool_recycle=recycle_s,
                pool_use_lifo=True,
            )
            renew_lost_connections(engine)  # the server may have been restarted under us
            if statement_timeout_ms:
                sqlalchemy.event.listen(
                    engine, "connect", lambda raw, _: set_pg_statement_timeout(raw, statement_timeout_ms)
                )
            _engines[key] = engine
        return _engines[key]


def _leave_connections_to_parent() -> None:
    """A connection used by two processes hangs or answers the wrong one: a forked child opens its own."""
    global _engines_lock  # noqa: PLW0603 - a thread of the parent may have held it
    _engines_lock = threading.Lock()
    for engine in _engines.values():
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_leave_connections_to_parent)


def close_connections() -> None:
    """Give this process's pooled connections back; they are opened again when needed."""
    for engine in _engines.values():
        engine.dispose()


def instance_for(settings: Settings, database_url: str) -> DagsterInstance:
    """The Dagster instance of a home, for this process and, by the environment it sets, for its children.

    The database must be up. Use it in a `with`.
    """
    folder = write_instance_files(settings)
    os.environ.update(process_environment(settings, database_url))
    return DagsterInstance.from_config(str(folder))


def set_pool_limits(instance: DagsterInstance, limits: Mapping[str, int]) -> None:
    """Give every named pool its number of slots, which replaces what the database had."""
    storage = instance.event_log_storage
    known = {pool.name: pool.limit for pool in storage.get_pool_limits() if not pool.from_default}
    for name, limit in limits.items():
        if known.get(name) != limit:
            storage.set_concurrency_slots(name, limit)


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
        tags={**(tags or {}), run_tags.SOURCE: source_key, PARTITION_TAG: source_key},
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
        job: ReconstructableJob = recon_job_from_origin(run.job_code_origin)
        for _ in core_execute_run(job, run, instance, inject_env_vars=False):
            pass
    except KeyboardInterrupt:
        log.info("run %s was interrupted", run_id)
    except BaseException as error:
        if type(error).__name__ != "DagsterExecutionInterruptedError":
            log.exception("run %s ended outside its steps", run_id)
            _fail(instance, run_id, "The run ended outside its steps; its log file has the details.")


def _fail(instance: DagsterInstance, run_id: str, message: str) -> bool:
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return False
    instance.report_run_failed(run, message)
    instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return True


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
    return run.tags.get(PARTITION_TAG) if run else None


def reap_dead_runs(instance: DagsterInstance, *, untaken: bool = False) -> list[DeadRun]:
    """End every run whose process is gone and give its pool slots back: failed, or cancelled if that was asked for.

    Runs that no process has taken yet are left to run monitoring, which knows how long a start may take; with
    `untaken` they are ended too, for a caller who knows that nobody is starting any.
    """
    dead = []
    for run in instance.get_runs(filters=RunsFilter(statuses=list(UNFINISHED))):
        worker = run_worker(run)
        if not untaken if worker is None else is_alive(worker) is not False:
            continue
        if run.status is DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message="The process of the run is gone.")
        else:
            instance.report_run_failed(run, "The process of the run is gone; what it had published stays.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        dead.append(DeadRun(run.run_id, run.tags.get(PARTITION_TAG)))
    return dead


@contextmanager
def closing(instance: DagsterInstance) -> Iterator[DagsterInstance]:
    """Dispose of the instance and of its connections at the end."""
    with instance:
        yield instance
    close_connections()


def cancel_source(run: DagsterRun) -> None:
    """Put on record that the run's source is not to be worked on any more, because its run was stopped."""
    from resources.ledger.ledger import Ledger
    from resources.ledger.moves import UnknownSource

    source_key = run.tags.get(PARTITION_TAG)
    if source_key is None:
        return
    ledger = Ledger.open(os.environ["SOURCEBOUND_DATABASE_URL"])
    try:
        ledger.control(source_key, "cancel", actor="dagster", reason=f"run {run.run_id} was stopped")
    except UnknownSource:
        log.info("run %s was stopped; its partition %s is no source", run.run_id, source_key)
    finally:
        ledger.close()


def caller_tags(order: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a run a command asked for, from a `SourceOrder` as JSON."""
    named = {run_tags.ACTOR: "cli", run_tags.CALL: order["call_id"], run_tags.ARRIVAL: order["arrival"]}
    return {name: value for name, value in named.items() if value}


def add_partitions(instance: DagsterInstance, keys: Sequence[str]) -> None:
    """Make the partitions `keys` exist; those that do are left as they are."""
    instance.add_dynamic_partitions(PARTITIONS, list(keys))


def preload() -> DagsterInstance:
    """Import and build all that executing a run needs, and return the instance of this process's DAGSTER_HOME."""
    for name in IMPORTED_BY_RUNS:
        importlib.import_module(name)

    definition = code_location()[0].get_definition()
    definition.load_all_definitions()
    for job in definition.get_all_jobs():
        job.get_job_snapshot_id()
    wait_for_database(os.environ["SOURCEBOUND_DATABASE_URL"])  # whoever started us may still be starting it
    instance = DagsterInstance.get()
    # Before the first run: two runs that meet a pool without a limit both insert the default, and one of them fails.
    set_pool_limits(instance, cast("Mapping[str, int]", (definition.metadata or {})[POOL_LIMITS].value))
    return instance
