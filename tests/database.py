"""A real PostgreSQL for tests: one server a session, a database a test, gone afterwards.

`database_url` is an empty database, `ledger_url` one with the ledger's tables, `ledger` an open ledger in it,
`postgres_url` the server itself.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from resources.ledger.ledger import Ledger
from resources.postgres.database import connect_arguments, ensure_database, with_database
from resources.postgres.server import EmbeddedPostgres

PREFIX = "sb-test-"
TEMPLATE = "ledger_template"
_numbers = itertools.count()


@contextlib.contextmanager
def server() -> Iterator[EmbeddedPostgres]:
    """A server of its own in a folder that every account can reach."""
    _end_leftovers()
    home = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    home.chmod(0o755)
    postgres = EmbeddedPostgres(home)
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def database(postgres_url: str, template: str = "template1") -> Iterator[str]:
    """A fresh database, dropped afterwards whoever is still connected. Costs 35 ms and 60 ms."""
    name = f"t{os.getpid()}_{next(_numbers)}"
    execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield with_database(postgres_url, name)
    finally:
        execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def execute(url: str, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Run one statement past all of the product's code, each in its own transaction."""
    connection = psycopg2.connect(**connect_arguments(url))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def _end_leftovers() -> None:
    """Servers of sessions that were killed."""
    for home in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        pid = home.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(Exception):
                EmbeddedPostgres(home).stop()
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of this session's server, which nobody stops. It does not wait for the disk."""
    with server() as postgres:
        url = postgres.start()
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            execute(url, f"ALTER SYSTEM SET {setting} = off")
        execute(url, "SELECT pg_reload_conf()")
        yield url


@pytest.fixture(scope="session")
def own_server() -> Iterator[EmbeddedPostgres]:
    """A server that a test may stop and kill; it starts it as it needs it."""
    with server() as postgres:
        yield postgres


@pytest.fixture(scope="session")
def ledger_template(postgres_url: str) -> str:
    """The name of a database with the ledger's tables, to be copied."""
    Ledger.open(ensure_database(postgres_url, TEMPLATE)).close()
    return TEMPLATE


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """An empty database of this test's own."""
    with database(postgres_url) as url:
        yield url


@pytest.fixture
def ledger_url(postgres_url: str, ledger_template: str) -> Iterator[str]:
    """A database of this test's own with an empty ledger."""
    with database(postgres_url, ledger_template) as url:
        yield url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An empty ledger of this test's own."""
    opened = Ledger.open(ledger_url)
    yield opened
    opened.close()
