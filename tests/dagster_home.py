"""Homes with a real instance for tests: an embedded PostgreSQL, dagster.yaml, and the toy graph as the workspace."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from resources.dagster_bindings import close_connections, instance_for
from resources.dagster_home import CODE
from resources.postgres import EmbeddedPostgres, ensure_database
from resources.settings import Settings


def settings_at(home: Path, **values: object) -> Settings:
    return Settings(home=home, inbox=home.parent / "inbox", **values)  # type: ignore[arg-type]


@contextmanager
def database_server() -> Iterator[str]:
    """A PostgreSQL of its own, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="sb-pg-"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder)
    try:
        yield server.start()
    finally:
        close_connections()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def toy_home(server_url: str, folder: Path, **values: object) -> Iterator[tuple[object, Settings, str]]:
    """An instance over a fresh database whose workspace is the toy graph: (instance, settings, database address)."""
    before = dict(os.environ)
    url = ensure_database(server_url, f"toy_{os.urandom(4).hex()}")
    settings = settings_at(folder / "home", **values)
    settings.inbox.mkdir(parents=True, exist_ok=True)
    try:
        with instance_for(settings, url) as instance:
            use_workspace(settings, "tests.toy_graph")
            os.environ["TOY_JOURNAL"] = str(folder / "journal")
            yield instance, settings, url
    finally:
        close_connections()
        os.environ.clear()
        os.environ.update(before)


def use_workspace(settings: Settings, module: str) -> None:
    """Make `module` the code location of a home, in place of the product's."""
    location = {"module_name": module, "attribute": "defs", "location_name": "sourcebound"}
    location["working_directory"] = str(CODE)
    text = yaml.safe_dump({"load_from": [{"python_module": location}]})
    (settings.home / "dagster" / "workspace.yaml").write_text(text)
