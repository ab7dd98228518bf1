"""What a run costs beside the media work: CPU of every process it takes, less that of the media workers.

The product's own graph over a clip of 5 s, through a warm nursery as the launcher does it: the nursery, the run, the
process that forks workers, PostgreSQL with its backends, and this process as the one who asks; then the same source
again, where everything is found made. Beside it, in pairs, a graph of ten assets with one check each that make nothing:
once through the nursery, once on Dagster as shipped (its default instance on SQLite, in process, imported and warm,
which is the cheapest way it comes). Run: `python -m benchmarks.orchestration [RUNS]`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import sqlalchemy

from benchmarks.clips import clip
from benchmarks.machine import postgres_pids, tree_cpu_s
from benchmarks.results import Figure, record
from media_assets.declared import declared
from media_assets.plain import door_of
from resources.house import House, open_house
from resources.intake import register_files
from resources.runs.messages import SourceOrder
from resources.runs.nursery import Nursery
from tests.dagster_home import TOY, DagsterHome, dagster_home
from tests.database import server
from tests.toy_graph import NAMES

BAR_CPU_S = 2.5
STRETCH_CPU_S = 1.5
CLIP_S = 5
QUIET = {"telemetry": {"enabled": False}, "nux": {"enabled": False}, "python_logs": {"python_log_level": "CRITICAL"}}
WATCH_S = 0.05  # as the command line
SETTLED_S = 0.3  # after a run: backends end, and their CPU is counted with the server's children


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU (s) of one run by who used it; `media` is that of media workers, which is in none of the others."""

    wall_s: float
    asking: float
    running: float
    database: float
    media: float

    @property
    def together(self) -> float:
        """All of it but the media workers'."""
        return self.asking + self.running + self.database


class Site:
    """A home with a warm nursery, and the clocks of all processes that a run of it takes."""

    def __init__(self, home: DagsterHome, data: Path) -> None:
        self.home = home
        self._data = data
        self.nursery = Nursery(home.settings.home)
        self.nursery.ensure_started()
        self._engine = sqlalchemy.create_engine(home.database_url)

    def close(self) -> None:
        """End the nursery."""
        self.nursery.stop()
        self._engine.dispose()

    def run(self, source: str) -> Cost:
        """One run of the job `video` over a source, to its end."""
        before, started = self._clocks(), time.monotonic()
        run = self.nursery.start_source(SourceOrder(source, "video"))
        while (ended := run.poll()) is None:
            time.sleep(WATCH_S)
        wall_s = time.monotonic() - started
        time.sleep(SETTLED_S)
        if ended.status != "SUCCESS":
            raise SystemExit(f"the run ended as {ended}")
        asking, running, database = (after - earlier for after, earlier in zip(self._clocks(), before, strict=True))
        media = self._media_cpu_s(ended.run_id)
        return Cost(wall_s, asking, running - media, database, media)

    def _clocks(self) -> tuple[float, float, float]:
        nursery = [] if self.nursery.pid is None else [self.nursery.pid]
        return time.process_time(), tree_cpu_s(nursery), tree_cpu_s(postgres_pids(self._data))

    def _media_cpu_s(self, run_id: str | None) -> float:
        query = sqlalchemy.text(
            "SELECT coalesce(sum(cpu_s), 0) FROM ledger.attempts a JOIN ledger.attempt_ends e ON e.attempt = a.seq "
            "WHERE a.run_id = :run_id"
        )
        with self._engine.connect() as connection:
            return float(connection.execute(query, {"run_id": run_id}).scalar_one())


@contextmanager
def site(postgres_url: str, data: Path, *, workspace: str | None = None) -> Iterator[Site]:
    """A fresh home on the server."""
    with (
        tempfile.TemporaryDirectory() as folder,
        dagster_home(postgres_url, Path(folder), workspace=workspace) as home,
        closing(Site(home, data)) as made,
    ):
        yield made


def measure_product(place: Site, runs: int) -> tuple[list[Cost], list[Cost]]:
    """Costs of first runs over different clips, and of second runs over the same sources."""
    first, again = [], []
    settings = place.home.settings
    with closing(open_house(settings, place.home.database_url)) as house:
        for index in range(runs + 1):
            key = _taken_in(house, settings.home.parent / f"clip {index}.mp4", index)
            costs = place.run(key), place.run(key)
            if index:  # the first warms up
                first.append(costs[0])
                again.append(costs[1])
    return first, again


def _taken_in(house: House, path: Path, number: int) -> str:
    clip(path, seconds=CLIP_S, number=number)
    return register_files(house, [path], door_of(declared()), actor="benchmark")[0].source_key


def measure_toy(place: Site, runs: int) -> list[tuple[Cost, float]]:
    """Pairs: a run of the graph that makes nothing here, and the CPU (s) of one on Dagster as shipped."""
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder, QUIET) as instance:
        job = _shipped_job()
        pairs = []
        for index in range(runs + 1):
            key = f"film-{index}"
            ours = place.run(key)
            instance.add_dynamic_partitions("sources", [key])
            before = time.process_time()
            if not job.execute_in_process(instance=instance, partition_key=key).success:
                raise SystemExit("the graph on Dagster as shipped failed")
            if index:
                pairs.append((ours, time.process_time() - before))
    return pairs


def _shipped_job() -> dg.JobDefinition:
    """The same shape with nothing of ours: each asset has one check, partitioned by source."""
    partitions = dg.DynamicPartitionsDefinition(name="sources")

    def asset(name: str, deps: Sequence[str]) -> dg.AssetsDefinition:
        @dg.asset(
            key=name,
            deps=list(deps),
            partitions_def=partitions,
            check_specs=[dg.AssetCheckSpec("contract", asset=name)],
        )
        def made() -> dg.MaterializeResult:  # type: ignore[type-arg]  # so by Dagster
            return dg.MaterializeResult(
                metadata={"bytes": 1},
                data_version=dg.DataVersion("1"),
                check_results=[dg.AssetCheckResult(check_name="contract", passed=True)],
            )

        return made

    needs = {NAMES[0]: [], NAMES[1]: [NAMES[0]]}
    assets = [asset(name, needs.get(name, [NAMES[1]])) for name in NAMES]
    definitions = dg.Definitions(
        assets=assets, jobs=[dg.define_asset_job("video", "*", executor_def=dg.in_process_executor)]
    )
    job: dg.JobDefinition = definitions.resolve_job_def("video")
    return job


def tell(name: str, costs: Sequence[Cost]) -> float:
    """Print one line of medians; the median of the sums (CPU-s)."""
    parts = {
        part: statistics.median(getattr(cost, part) for cost in costs)
        for part in ("wall_s", "asking", "running", "database", "media", "together")
    }
    print(
        f"{name:22} together {parts['together']:.2f} CPU-s (run {parts['running']:.2f}, database "
        f"{parts['database']:.2f}, asking {parts['asking']:.2f}), media workers {parts['media']:.2f}, "
        f"wall {parts['wall_s']:.2f} s"
    )
    return float(parts["together"])


def main() -> None:
    """Measure, print and record; fail above the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int, nargs="?", default=5)
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}")
    with server() as postgres:
        data = Path(postgres.describe()["data"])
        with site(postgres.start(), data) as place:
            first, again = measure_product(place, given.runs)
        with site(postgres.start(), data, workspace=TOY) as place:
            pairs = measure_toy(place, given.runs)
    product = tell("the product, first", first)
    found = tell("the product, again", again)
    tell("makes nothing, here", [ours for ours, _ in pairs])
    shipped = statistics.median(cpu_s for _, cpu_s in pairs)
    ratio = statistics.median(ours.together / cpu_s for ours, cpu_s in pairs)
    print(f"{'makes nothing, shipped':22} together {shipped:.2f} CPU-s; here {ratio:.2f} of it")
    print(f"at most {BAR_CPU_S:g} CPU-s, stretch {STRETCH_CPU_S:g}")
    figures = {
        "run_orchestration": Figure(round(product, 2), BAR_CPU_S, "lower", "CPU-s"),
        "run_orchestration_all_made": Figure(round(found, 2), None, "lower", "CPU-s"),
        "run_orchestration_to_dagster_as_shipped": Figure(round(ratio, 2), 1.0, "lower", "times"),
    }
    record(figures)
    if not all(figure.holds for figure in figures.values()):
        raise SystemExit("above a bar")


if __name__ == "__main__":
    main()
