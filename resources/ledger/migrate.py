"""Bringing a database to this version of the ledger.

Belongs here: the question whether it is current, asked at every start in one query, and the upgrade. Does not belong
here: what a version changes (migrations/versions).
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.schema import CreateSchema

from resources.ledger.tables import SCHEMA
from resources.postgres.database import ONE_ALEMBIC

HEAD = "0007"  # the newest revision below migrations/versions; known here so that alembic, 300 ms, is rarely imported
MIGRATIONS = Path(__file__).with_name("migrations")
LOCK = 0x736F7572  # one upgrade at a time in a database; any number, the same for ever


class NewerLedger(RuntimeError):
    """The database was upgraded by a newer version of this program."""


def migrate(engine: Engine) -> None:
    """Upgrade the ledger in the engine's database where it is not current. Raises `NewerLedger`."""
    if current(engine) == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
        config.attributes["connection"] = connection
        try:
            with ONE_ALEMBIC:
                command.upgrade(config, "head")
        except CommandError as error:
            raise NewerLedger(
                f"the database's ledger is of a version this program does not know ({error}); "
                "use the program that upgraded it, or restore a backup from before"
            ) from None


def current(engine: Engine) -> str | None:
    """The revision the database is at, None before the first."""
    try:
        with engine.connect() as connection:
            revision: str | None = connection.scalar(text("SELECT version_num FROM ledger.alembic_version"))
            return revision
    except ProgrammingError:
        return None
