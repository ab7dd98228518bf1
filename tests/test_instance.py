"""The instance of a home: as dagster.yaml says, pooled, safe over forks, whatever a kill leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy
import yaml
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin
from dagster._core.workspace.load import location_origins_from_yaml_paths

from media_assets.partitions import LOT, add_sources, in_lots
from media_assets.policies import POOLS
from resources.dagster_bindings import execution, storage
from resources.dagster_bindings.instance import PARTITIONS, add_partitions, instance_for, set_pool_limits
from resources.dagster_home import CODE, shipped_file, write_instance_files
from resources.launcher import WarmRunLauncher
from resources.ledger import migrate
from resources.postgres.database import ONE_ALEMBIC, engine, with_driver
from resources.settings import load_settings
from tests.dagster_home import TOY, DagsterHome, dagster_home, use_workspace
from tests.database import execute


@pytest.fixture(scope="module")
def home(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterHome]:
    with dagster_home(postgres_url, tmp_path_factory.mktemp("instance"), workspace=TOY, run_slots=3) as opened:
        yield opened


def connections(home: DagsterHome) -> int:
    name = home.database_url.partition("?")[0].rpartition("/")[2]
    rows = execute(home.database_url, "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", name)
    return int(str(rows[0][0])) - 1  # the asking one


def test_ledger_and_dagster_make_their_tables_one_after_the_other(database_url: str) -> None:
    """Alembic's proxies belong to a process: a first run that opened its house meanwhile ended both."""
    made = engine(database_url)
    makers = [
        threading.Thread(target=migrate.migrate, args=(made,)),
        threading.Thread(target=storage.PooledPostgresStorage, args=(database_url,)),
    ]
    with ONE_ALEMBIC:
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join(timeout=2)
            assert maker.is_alive()
    for maker in makers:
        maker.join(timeout=60)
    assert migrate.current(made) == migrate.HEAD
    assert execute(database_url, "SELECT count(*) FROM public.alembic_version") == [(1,)]
    made.dispose()


def test_the_instance_is_limited_watched_and_silent(home: DagsterHome) -> None:
    instance = home.instance
    assert instance.event_log_storage.get_pool_config().default_pool_limit == 2
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_poll_interval_seconds <= 5
    assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] <= 5
    assert instance.run_monitoring_max_resume_run_attempts == 0
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled
    assert not instance.run_retries_enabled
    assert isinstance(instance.run_launcher, WarmRunLauncher)
    assert instance.run_launcher.supports_check_run_worker_health
    assert isinstance(instance.event_log_storage, storage._EventLog)
    coordinator = instance.run_coordinator
    assert isinstance(coordinator, dg.QueuedRunCoordinator)
    assert coordinator.dequeue_interval_seconds == 1
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_concurrent_runs == 3


def test_the_home_has_the_shipped_file_with_the_slots_of_the_settings(tmp_path: Path) -> None:
    settings = load_settings(home=str(tmp_path / "home"), run_slots=7)
    folder = write_instance_files(settings)
    shipped = yaml.safe_load(shipped_file("dagster.yaml").read_text())
    shipped["concurrency"]["runs"]["max_concurrent_runs"] = 7
    assert yaml.safe_load((folder / "dagster.yaml").read_text()) == shipped
    before = (folder / "dagster.yaml").stat().st_mtime_ns
    write_instance_files(settings)
    assert (folder / "dagster.yaml").stat().st_mtime_ns == before, "unchanged files are left alone"


def test_pool_limits_are_those_of_the_policies(home: DagsterHome) -> None:
    set_pool_limits(home.instance, {pool.name: pool.limit for pool in POOLS})
    limits = {pool.name: pool.limit for pool in home.instance.event_log_storage.get_pool_limits()}
    assert limits == {pool.name: pool.limit for pool in POOLS}


def test_a_run_of_many_events_keeps_its_connections(home: DagsterHome) -> None:
    """As shipped, a connection is opened for every event: a thousand a run."""
    add_partitions(home.instance, ["film-pool"])
    opened = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
    storage.close_connections()
    before = int(str(execute(home.database_url, opened)[0][0]))
    assert execution.execute_run_here(home.instance, "film-pool", "video").status == "SUCCESS"
    home.instance.get_runs(limit=1)
    execute(home.database_url, "SELECT pg_stat_force_next_flush()")
    after = int(str(execute(home.database_url, opened)[0][0]))
    assert after - before < 25  # several a thread, and steps run side by side
    assert connections(home) <= storage.HELD_CONNECTIONS + 1


def test_the_web_servers_wish_for_pools_keeps_what_makes_them_safe(home: DagsterHome) -> None:
    with instance_for(home.settings, home.database_url) as instance:
        instance.optimize_for_webserver(statement_timeout=5000, pool_recycle=60, max_overflow=5)
        use_workspace(home.settings, TOY)
        engine = instance.event_log_storage._engine  # type: ignore[attr-defined]
        assert engine in storage._engines.values(), "an engine nobody knows is shared by a fork"
        with engine.connect() as connection:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        execute(home.database_url, f"SELECT pg_terminate_backend({pid}, 5000)")
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "5s"


def test_children_of_a_fork_use_connections_of_their_own(home: DagsterHome) -> None:
    """With inherited connections three of four children hung or read each other's answers."""
    home.instance.get_runs(limit=1)
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                signal.alarm(20)
                for _ in range(20):
                    assert home.instance.get_runs(limit=1) is not None
                    assert home.instance.get_dynamic_partitions(PARTITIONS) is not None
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    for _ in range(20):
        home.instance.get_runs(limit=1)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0, 0]


def test_a_connection_the_server_closed_is_replaced(home: DagsterHome) -> None:
    home.instance.get_runs(limit=1)
    execute(
        home.database_url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "  # and wait until it is gone
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    home.instance.get_runs(limit=1)


def test_a_run_does_not_ask_for_dagsters_tables_at_every_event(home: DagsterHome) -> None:
    """As shipped a fifth of the statements of a run looked whether tables and columns are there."""
    asked: list[str] = []
    engine = home.instance.event_log_storage._engine  # type: ignore[attr-defined]
    add_partitions(home.instance, ["film-tables"])
    sqlalchemy.event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert execution.execute_run_here(home.instance, "film-tables", "video").status == "SUCCESS"
    looks = sum("pg_catalog" in statement for statement in asked)
    assert 0 < looks <= 10  # each table and column once; 127 as shipped
    assert len(asked) > 20 * looks


def test_many_threads_share_the_pool_without_failing(home: DagsterHome) -> None:
    with ThreadPoolExecutor(24) as threads:
        found = list(threads.map(lambda _: home.instance.get_runs(limit=1) is not None, range(200)))
    assert all(found)
    assert connections(home) <= storage.HELD_CONNECTIONS + storage.OVERFLOW_CONNECTIONS


def test_a_command_run_has_the_origin_the_workspace_yields(home: DagsterHome) -> None:
    add_partitions(home.instance, ["film-origin"])
    run = execution.create_run(home.instance, "film-origin", "video", ["a1"])
    workspace = home.settings.home / "dagster" / "workspace.yaml"
    (origin,) = location_origins_from_yaml_paths([str(workspace)])
    assert isinstance(origin, ManagedGrpcPythonEnvCodeLocationOrigin)
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.repository_origin.code_location_origin == origin
    assert run.job_code_origin is not None
    assert run.job_code_origin.executable_path == sys.executable
    assert run.asset_selection == {dg.AssetKey("a1")}
    home.instance.report_run_failed(run)


def test_a_run_in_a_thread_leaves_signals_to_the_command(home: DagsterHome) -> None:
    """In a main thread Dagster would replace the handlers and break into a step at any line."""
    seen: list[object] = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append(signal.getsignal(signal.SIGTERM)))
    mine = signal.getsignal(signal.SIGTERM)
    try:
        add_partitions(home.instance, ["film-signal"])
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        assert execution.execute_run_here(home.instance, "film-signal", "video").status == "SUCCESS"
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


KILLED = """
import os, sys
from pathlib import Path
from dagster import DagsterInstance
from resources.dagster_bindings import execution
with DagsterInstance.get() as instance:
    execution.execute_run_here(instance, sys.argv[1], "video")
"""


def test_what_was_materialized_before_a_kill_is_on_record(home: DagsterHome) -> None:
    """Events are written in lots; a lot never spans steps, so that a kill loses nothing of a finished step."""
    assert int(os.environ["DAGSTER_EVENT_BATCH_SIZE"]) > 1
    add_partitions(home.instance, ["crash-batch"])
    done = subprocess.run([sys.executable, "-c", KILLED, "crash-batch"], cwd=CODE, check=False)
    assert done.returncode == -signal.SIGKILL
    for asset in ("a0", "a1"):  # before the step that was killed; others were at work beside it
        records = home.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=["crash-batch"]), limit=1
        )
        assert len(records.records) == 1, asset
    (dead,) = execution.reap_dead_runs(home.instance)
    assert dead.source_key == "crash-batch"


def test_partitions_are_added_in_lots(home: DagsterHome, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [len(lot) for lot in in_lots(map(str, range(2 * LOT + 1)))] == [LOT, LOT, 1]
    lots: list[int] = []
    monkeypatch.setattr("media_assets.partitions.add_partitions", lambda _, keys: lots.append(len(keys)))
    add_sources(home.instance, [str(n) for n in range(LOT + 5)])
    assert lots == [LOT, 5]


def test_psycopg_2_is_named_in_the_address() -> None:
    assert with_driver("postgresql://u@/d?host=/x") == "postgresql+psycopg2://u@/d?host=/x"
    assert with_driver("postgresql+psycopg2://u@/d") == "postgresql+psycopg2://u@/d"
