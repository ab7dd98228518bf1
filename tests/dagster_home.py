"""Homes with a real instance for tests: dagster.yaml as shipped, a fresh database, and a workspace of choice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import yaml

from resources.dagster_bindings.instance import instance_for
from resources.dagster_bindings.storage import close_connections
from resources.dagster_home import CODE
from resources.settings import Settings, load_settings
from tests.database import database

TOY = "tests.toy_graph"


@dataclass(frozen=True)
class DagsterHome:
    """An open instance, the settings of its home and the address of its database."""

    instance: dg.DagsterInstance
    settings: Settings
    database_url: str


@contextmanager
def dagster_home(
    postgres_url: str, folder: Path, *, workspace: str | None = None, template: str = "template1", **settings: object
) -> Iterator[DagsterHome]:
    """An instance in `folder`; `workspace` names another module of definitions than the product's.

    The environment is as before afterwards.
    """
    before = dict(os.environ)
    made = load_settings(home=str(folder / "home"), inbox=str(folder / "inbox"), **settings)
    made.inbox.mkdir(parents=True, exist_ok=True)
    with database(postgres_url, template) as url:
        try:
            with instance_for(made, url) as instance:
                if workspace is not None:
                    use_workspace(made, workspace)
                os.environ["TOY_JOURNAL"] = str(folder / "journal")
                yield DagsterHome(instance, made, url)
        finally:
            close_connections()
            os.environ.clear()
            os.environ.update(before)


def use_workspace(settings: Settings, module: str) -> None:
    """Make `module` the code location of a home, in place of the product's."""
    location = {
        "module_name": module,
        "attribute": "defs",
        "location_name": "sourcebound",
        "working_directory": str(CODE),
    }
    text = yaml.safe_dump({"load_from": [{"python_module": location}]})
    (settings.home / "dagster" / "workspace.yaml").write_text(text)
