"""Databases of any PostgreSQL server, the embedded one or the company's: addresses, connections, waiting.

Belongs here: what is done with an address. Does not belong here: the embedded server (server, place), or what is in a
database (resources/ledger, Dagster's storage).
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.pool import ConnectionPoolEntry

ANSWER_DEADLINE_S = 60.0  # crash recovery of a busy database takes seconds, not minutes
POLL_S = 0.02
TRUSTED_S = 5.0  # no firewall forgets a connection so soon
STATEMENT_TIMEOUT_MS = 60_000  # no statement here takes a second; a stuck one must not hold a run for ever
_LEFT_AT = "left_at"
ONE_ALEMBIC = threading.Lock()  # its proxies are global to a process: two threads in it undo each other's


class PostgresError(RuntimeError):
    """The database cannot be had; the text is one sentence of cause and what to do."""


def with_driver(url: str) -> str:
    """The same address with psycopg 2 named: SQLAlchemy 2.1 would take psycopg 3, which Dagster does not use."""
    return url.replace("postgresql://", "postgresql+psycopg2://", 1)


def ensure_database(url: str, name: str) -> str:
    """Make the database `name` on the server of `url` if it is missing, and return its address."""
    import psycopg2
    from psycopg2 import errors, sql

    connection = psycopg2.connect(**connect_arguments(url))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                with contextlib.suppress(errors.DuplicateDatabase, errors.UniqueViolation):
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    finally:
        connection.close()
    return with_database(url, name)


def with_database(url: str, name: str) -> str:
    """The address of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{quote(name)}").geturl()


def connect_arguments(url: str) -> dict[str, Any]:
    """Arguments of `psycopg2.connect` for a SQLAlchemy address, whatever the PG* variables of this process say."""
    parts = urlsplit(url)
    named = {
        "dbname": unquote(parts.path.lstrip("/")),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "host": parts.hostname,
        "port": parts.port,
        "connect_timeout": 10,
    }
    given = {name: value for name, value in named.items() if value}
    return given | {name: values[-1] for name, values in parse_qs(parts.query).items()}


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def engine(url: str, *, pool_size: int = 2, max_overflow: int = 18, durable: bool = True) -> Engine:
    """A small pool of connections that survives a restart of the server and a fork of this process.

    Without `durable` a commit does not wait for the disk: a server that crashes forgets the last half second.

    It grows to twice what the steps of a run can be at once and some: a step that is stopped holds two for a moment.

    A forked child that used its parent's connections would hang or read its answers; it gets new ones.
    """
    from sqlalchemy import create_engine

    made = create_engine(
        with_driver(url),
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_use_lifo=True,
        connect_args={
            "connect_timeout": 10,
            "application_name": "sourcebound",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC"
            + ("" if durable else " -c synchronous_commit=off"),
        },
    )
    renew_lost_connections(made)
    _engines.add(made)
    return made


def renew_lost_connections(engine: Engine) -> None:
    """Let the pool of `engine` notice at every use whether the server has closed a connection, and open another.

    As `pool_pre_ping`, without its round trip, which was a third of all statements of a run: a connection that was
    used a moment ago is lost only if there is something to read from it, the end of the stream or the server's last
    words. One that was idle for longer is asked, because something on the way may have dropped it silently.
    """
    from sqlalchemy import event, exc

    def left(_raw: Any, record: ConnectionPoolEntry) -> None:
        record.info[_LEFT_AT] = time.monotonic()

    def taken(raw: Any, record: ConnectionPoolEntry, _fairy: Any) -> None:
        left_at = record.info.pop(_LEFT_AT, None)
        if left_at is None or (time.monotonic() - left_at < TRUSTED_S and not _has_news(raw)):
            return
        try:
            engine.dialect.do_ping(raw)
        except engine.dialect.loaded_dbapi.Error as error:
            raise exc.InvalidatePoolError from error

    event.listen(engine, "checkin", left)
    event.listen(engine, "checkout", taken)


@contextmanager
def each_statement_alone(connection: Connection) -> Iterator[None]:
    """Let each statement on `connection` be its own transaction, without the round trip of setting an isolation level.

    What was done stays done where the server dies before the connection is given back: that connection is dropped.
    """
    raw: Any = connection.connection.driver_connection
    raw.autocommit = True
    try:
        yield
    finally:
        if not connection.invalidated:
            try:
                raw.autocommit = False
            except connection.dialect.loaded_dbapi.Error as error:
                connection.invalidate(error)


def _has_news(raw: Any) -> bool:
    if raw.closed:
        return True
    waiting = select.poll()
    waiting.register(raw.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def _drop_inherited_connections() -> None:
    for inherited in list(_engines):
        inherited.dispose(close=False)


os.register_at_fork(after_in_child=_drop_inherited_connections)


def wait_for_database(url: str) -> None:
    """Return when a database answers at `url`, any server's. Raises `PostgresError` where none does in a minute."""
    import psycopg2

    deadline = time.monotonic() + ANSWER_DEADLINE_S
    while True:
        try:
            psycopg2.connect(**connect_arguments(url)).close()
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                raise PostgresError(f"the database does not answer: {str(error).strip()}") from None
            time.sleep(POLL_S)
        else:
            return
