"""How much is in flight at once, counted over concurrent runs: steps by their pool, encoders by the machine's permits.

The runs are forks of the nursery, as the daemon has them made. Steps hold on until the test lets them go, so that the
count does not depend on how fast a machine is.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher.base import LaunchRunContext

from media_assets.policies import POOLS as DECLARED
from resources.dagster_bindings import execution
from resources.dagster_bindings.instance import add_partitions, set_pool_limits
from resources.launcher import WarmRunLauncher
from resources.runs.nursery import Nursery
from tests import toy_pools
from tests.dagster_home import dagster_home

PERMITS = 2


@dataclass(frozen=True)
class Site:
    """A home with the holding graph and a nursery that has given the pools their declared limits."""

    instance: dg.DagsterInstance
    runtime: Path

    def launch(self, asset: str, sources: list[str]) -> list[str]:
        """A run of `asset` for each source, all started at once."""
        launcher = self.instance.run_launcher
        assert isinstance(launcher, WarmRunLauncher)
        add_partitions(self.instance, sources)
        runs = [execution.create_run(self.instance, source, "video", [asset]) for source in sources]
        for run in runs:
            self.instance.report_engine_event("starting", run)
            launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
        return [run.run_id for run in runs]

    def asked_for_a_slot(self, pool: str) -> int:
        return len(self.instance.event_log_storage.get_concurrency_info(pool).pending_steps)

    def waiting_for_a_permit(self) -> int:
        return len(list((self.runtime / "sourcebound").glob("wait-*")))

    def finish(self, asset: str, sources: list[str], runs: list[str]) -> list[tuple[float, float]]:
        """Let every step go, now or when it begins, and return when each began and ended."""
        for source in sources:
            go = toy_pools.go_mark(asset, source)
            go.parent.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + 60
        while not all(run.is_finished for run in self._runs(runs)):
            for source in sources:
                if toy_pools.begun_mark(asset, source).exists():
                    toy_pools.go_mark(asset, source).touch()
            assert time.monotonic() < until, "the runs did not end in time"
            time.sleep(0.05)
        assert {run.status for run in self._runs(runs)} == {dg.DagsterRunStatus.SUCCESS}
        spans = [toy_pools.span_file(asset, source).read_text().split() for source in sources]
        return [(float(began), float(ended)) for began, ended in spans]

    def _runs(self, run_ids: list[str]) -> list[dg.DagsterRun]:
        return list(self.instance.get_runs(filters=dg.RunsFilter(run_ids=run_ids)))


@pytest.fixture(scope="module")
def site(postgres_url: str, ledger_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("pools")
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    with dagster_home(
        postgres_url, folder, workspace="tests.toy_pools", template=ledger_template, permits=PERMITS
    ) as home:
        os.environ[toy_pools.FOLDER] = str(folder / "steps")
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        nursery = Nursery(home.settings.home)
        nursery.ensure_started()
        try:
            yield Site(home.instance, runtime)
        finally:
            nursery.stop()


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """The largest number of spans that have an instant in common."""
    return max(sum(began <= instant < ended for began, ended in spans) for instant, _ in spans)


def begun(asset: str, sources: list[str]) -> int:
    return sum(toy_pools.begun_mark(asset, source).exists() for source in sources)


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize(("asset", "limit"), [("picture", None), ("sound", 2), ("out", 1)])
def test_no_more_steps_of_a_pool_are_in_flight_over_all_runs_than_its_limit(
    site: Site, asset: str, limit: int | None
) -> None:
    """As declared where `limit` is None: the default of an instance is narrower, so that one never set is seen."""
    if limit is None:
        limit = {pool.name: pool.limit for pool in DECLARED}[asset]
    else:
        set_pool_limits(site.instance, {asset: limit})
    sources = [f"{asset}-{number}" for number in range(limit + 2)]
    runs = site.launch(asset, sources)
    wait_for(lambda: max(begun(asset, sources), site.asked_for_a_slot(asset)) == len(sources))
    wait_for(lambda: begun(asset, sources) >= limit, 5)
    assert begun(asset, sources) == limit
    assert most_at_once(site.finish(asset, sources, runs)) == limit


def test_steps_that_ask_in_the_same_instant_never_share_a_slot(site: Site) -> None:
    """As Dagster is shipped they do in every third round, and a pool of 2 then has up to 7 steps in flight."""
    storage = site.instance.event_log_storage
    with ThreadPoolExecutor(8) as threads:
        for pool in (f"instant-{number}" for number in range(20)):
            storage.set_concurrency_slots(pool, 2)
            together = threading.Barrier(8)

            def ask(run_id: str, pool: str = pool, together: threading.Barrier = together) -> bool:
                together.wait(30)
                return bool(storage.claim_concurrency_slot(pool, run_id, "step").is_claimed)

            claims = list(threads.map(ask, [str(uuid.uuid4()) for _ in range(8)]))
            assert sum(claims) <= 2
            assert sum(claims) == storage.get_concurrency_info(pool).active_slot_count


def test_no_more_encoders_are_in_flight_over_all_runs_than_the_machine_has_permits(site: Site) -> None:
    """Here the pool leaves room for more: the runs share the permits, each with workers of its own."""
    count = PERMITS + 2
    assert toy_pools.POOLS["encoded"].limit >= count
    sources = [f"encoded-{number}" for number in range(count)]
    runs = site.launch("encoded", sources)
    wait_for(lambda: begun("encoded", sources) + site.waiting_for_a_permit() >= count)
    time.sleep(0.2)  # one that takes no permit would hold by now
    assert begun("encoded", sources) == PERMITS
    assert most_at_once(site.finish("encoded", sources, runs)) == PERMITS
