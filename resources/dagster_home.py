"""What a home's Dagster is told from outside: its two files and the variables of its processes.

Belongs here: writing them, without importing Dagster, for a command that leaves Dagster to the nursery must not pay
for it. Does not belong here: the instance itself (resources/dagster_bindings/instance).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from resources.postgres.database import with_driver
from resources.settings import Settings

EVENT_BATCH_SIZE = 50  # planned events of a run and what a step yields, in one insert each; see the test with kill -9
SENSOR_TICK_LIMIT_S = 300  # 60 as shipped, which hashing one file of 30 GB takes; own budgets end a tick long before
SHIPPED = Path(__file__).resolve().parent  # where a wheel puts dagster.yaml and workspace.yaml
CODE = SHIPPED.parent  # the folder of the five packages


def process_environment(settings: Settings, database_url: str) -> dict[str, str]:
    """The variables under which any process finds this home's instance, settings and database."""
    return {
        **settings.to_environment(),
        "SOURCEBOUND_DATABASE_URL": with_driver(database_url),
        "DAGSTER_HOME": str(settings.home / "dagster"),
        "DAGSTER_EVENT_BATCH_SIZE": str(EVENT_BATCH_SIZE),
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": str(SENSOR_TICK_LIMIT_S),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }


def shipped_file(name: str) -> Path:
    """`dagster.yaml` or `workspace.yaml`: the checkout's, else the one the wheel carries beside this module."""
    return CODE / name if (CODE / name).is_file() else SHIPPED / name


def write_instance_files(settings: Settings) -> Path:
    """Write `dagster.yaml` and `workspace.yaml` into the home's Dagster folder and return that folder.

    They are the shipped ones with the number of run slots and the absolute place of the code filled in.
    """
    folder = settings.home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    instance: dict[str, Any] = yaml.safe_load(shipped_file("dagster.yaml").read_text(encoding="utf-8"))
    instance["concurrency"]["runs"]["max_concurrent_runs"] = settings.run_slots
    workspace: dict[str, Any] = yaml.safe_load(shipped_file("workspace.yaml").read_text(encoding="utf-8"))
    for location in workspace["load_from"]:
        location["python_module"]["working_directory"] = str(CODE)
    for name, content in (("dagster.yaml", instance), ("workspace.yaml", workspace)):
        _write_if_changed(folder / name, yaml.safe_dump(content, sort_keys=False))
    return folder


def code_module() -> dict[str, str]:
    """The one module the workspace file of this process's home names: module, attribute, location, working folder."""
    path = Path(os.environ["DAGSTER_HOME"]) / "workspace.yaml"
    workspace: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    module: dict[str, str] = workspace["load_from"][0]["python_module"]
    return module


def _write_if_changed(path: Path, text: str) -> None:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
