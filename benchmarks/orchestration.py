"""What a run costs beside the media work: CPU of the run's process and of PostgreSQL, over a graph that makes nothing.

Ten assets with one check each, warm, through the nursery as the daemon does it; beside it the same graph on Dagster's
PostgreSQL storage as shipped. Run: `python -m benchmarks.orchestration [RUNS]`.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

from resources import dagster_bindings as bindings
from resources.run_nursery import Nursery, SourceOrder
from tests.dagster_home import TOY, dagster_home
from tests.database import server

SHIPPED = {"module": "dagster_postgres.storage", "class": "DagsterPostgresStorage"}


def database_cpu_s(data: Path) -> float:
    """CPU seconds of the server over `data` and of every backend it had: those that ended are in its children's."""
    total = 0.0
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "postgres" and str(data) in " ".join(process.info["cmdline"] or ()):
            for one in (process, *process.children()):
                times = one.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def measure(nursery: Nursery, data: Path, runs: int) -> list[tuple[float, float, float]]:
    """Wall, CPU of the run's process and CPU of the database (s) of each run."""
    found = []
    for index in range(runs):
        nursery.add_partitions([f"film-{index}"])
        before, started = database_cpu_s(data), time.monotonic()
        run = nursery.start_source(SourceOrder(f"film-{index}", "video"))
        while (ended := run.poll()) is None:
            time.sleep(0.005)
        assert ended.status == "SUCCESS", ended
        found.append((time.monotonic() - started, ended.cpu_seconds, database_cpu_s(data) - before))
    return found


def tell(name: str, rows: list[tuple[float, float, float]]) -> None:
    """One line of medians."""
    wall, run, database = (statistics.median(column) for column in zip(*rows, strict=True))
    print(
        f"{name:24} wall {wall:.2f} s   run {run:.2f}   database {database:.2f}   together {run + database:.2f} CPU-s"
    )


def main() -> None:
    """Measure both and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with server() as postgres:
        data = Path(postgres.describe()["data"])
        for name in ("pooled", "as shipped"):
            with (
                tempfile.TemporaryDirectory() as folder,
                dagster_home(postgres.start(), Path(folder), workspace=TOY) as home,
            ):
                if name == "as shipped":
                    path = home.settings.home / "dagster" / "dagster.yaml"
                    instance = yaml.safe_load(path.read_text())
                    instance["storage"]["custom"] |= SHIPPED
                    path.write_text(yaml.safe_dump(instance))
                    os.environ["DAGSTER_EVENT_BATCH_SIZE"] = "0"
                nursery = Nursery(home.settings.home)
                nursery.ensure_started()
                measure(nursery, data, 1)
                tell(name, measure(nursery, data, runs))
                nursery.stop()
                bindings.close_connections()


if __name__ == "__main__":
    main()
