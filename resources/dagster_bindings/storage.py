"""Dagster's PostgreSQL storage, with pooled connections that survive forks and restarts of the server.

Belongs here: the class named in dagster.yaml and the pools behind it. Does not belong here: the instance (instance).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy
from dagster._core.storage.event_log.schema import ConcurrencySlotsTable
from dagster._serdes import ConfigurableClassData
from dagster._utils.concurrency import ConcurrencySlotStatus
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config, set_pg_statement_timeout

from resources.postgres.database import ONE_ALEMBIC, renew_lost_connections, with_driver

HELD_CONNECTIONS = 2  # kept open between events, by all three storages; with 1 a run opens 14, not 4
OVERFLOW_CONNECTIONS = 8  # a process with many threads (daemon, web server) waits for the tenth instead of failing
RECYCLE_S = 1800  # a pooler or firewall in between drops what is idle for an hour


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

    def _has(self, part: str, look: Callable[[], bool]) -> bool:
        """Whether the database has a table or column. What was there once is not looked for again.

        As shipped the catalogue is asked at every event: 127 of the 700 statements of a run of ten assets.
        """
        known = _present.setdefault(self.postgres_url, set())
        if part not in known and look():
            known.add(part)
        return part in known


class _EventLog(_Pooled, PostgresEventLogStorage):
    def has_table(self, table_name: str) -> bool:
        """Whether the database has the table."""
        return self._has(table_name, lambda: super(_EventLog, self).has_table(table_name))

    def _has_asset_key_col_on_connection(self, conn: sqlalchemy.Connection, column_name: str) -> bool:
        look = super()._has_asset_key_col_on_connection
        return self._has(f"asset_keys.{column_name}", lambda: look(conn, column_name))

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
    def has_run_stats_index_cols(self) -> bool:
        """Whether the table of runs has the columns of their start and end."""
        return self._has("runs.start_time", super().has_run_stats_index_cols)


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
        with ONE_ALEMBIC if look else contextlib.nullcontext():
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
_present: dict[str, set[str]] = {}  # by database: tables and columns that were found in it
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
