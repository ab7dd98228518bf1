"""A graph of one asset a pool whose steps hold on until they are let go, for counting what is in flight over runs.

`picture`, `sound` and `out` hold in the run itself; `encoded` has a worker hold, inside the machine-wide permits. Each
writes when it began and ended to a file of its own below `POOLS_FOLDER`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from media_assets.definitions import build_defs
from media_assets.policies import INTAKE_POOL, OUT_POOL, PICTURE_POOL, SOUND_POOL, STORAGE
from media_assets.spec import Declaration
from processing.manifest import DeterminismClass, Manifest
from processing.work import Bounds, Work
from resources import household
from resources.attempts import RunFacts
from resources.compute.local import LocalCompute
from resources.ledger.states import AssetState
from resources.production import Produced
from tests.compute_trial import MISBEHAVING, task_of
from tests.toy_graph import manifest_of

FOLDER = "POOLS_FOLDER"
POOLS = {"picture": PICTURE_POOL, "sound": SOUND_POOL, "out": OUT_POOL, "encoded": INTAKE_POOL}
PATIENCE_S = 60.0
BOUNDS = Bounds(PATIENCE_S, 1.0, 256)


def begun_mark(asset: str, source_key: str) -> Path:
    """Made when the step begins to hold; the worker of `encoded` makes its own, below its scratch folder."""
    folder = Path(os.environ[FOLDER]) / asset / source_key
    return folder / "out" / "started" if asset == "encoded" else folder / "begun"


def go_mark(asset: str, source_key: str) -> Path:
    """A step holds until this file is there."""
    return Path(os.environ[FOLDER]) / asset / source_key / "go"


def span_file(asset: str, source_key: str) -> Path:
    """When the step, or its worker, began and ended (Unix time, s), once it is over."""
    return Path(os.environ[FOLDER]) / f"{asset}-{source_key}.span"


class HoldingWorkshop:
    def produce(self, work: Work, works: Mapping[str, Work], source_key: str, run: RunFacts) -> Produced:
        began, ended = (self._worker if work.asset == "encoded" else self._hold)(work.asset, source_key)
        span_file(work.asset, source_key).write_text(f"{began} {ended}")
        manifest = manifest_of(work.asset, source_key)
        return Produced(work.asset, AssetState.READY, None, manifest, "file:///x", False, 0.1, 0.2, 1)

    def page_of(self, source_key: str) -> str:
        return ""

    def file_of(self, manifest: Manifest, path: str) -> Path | None:
        return None

    def _hold(self, asset: str, source_key: str) -> tuple[float, float]:
        began = time.time()
        mark = begun_mark(asset, source_key)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        while not go_mark(asset, source_key).exists():
            assert time.time() - began < PATIENCE_S, "nobody let the step go"
            time.sleep(0.02)
        return began, time.time()

    def _worker(self, asset: str, source_key: str) -> tuple[float, float]:
        compute = household.the_house().compute
        assert isinstance(compute, LocalCompute)
        compute._operations = (MISBEHAVING,)
        task = task_of("waits_for_file", go_mark(asset, source_key).parent)
        usage = compute.run(task, BOUNDS, media_s=0, label=f"{asset} of {source_key}").usage
        return usage.started_at, usage.ended_at


def declarations() -> list[Declaration]:
    return [
        Declaration(
            work=Work(
                asset=name,
                code_version="1",
                operation="processing.toy:make",
                contract="processing.toy:check",
                bounds=BOUNDS,
                determinism=DeterminismClass.A,
                needs=(),
            ),
            description=f"Holds in the pool {pool.name}.",
            owner="team:media",
            group="toy",
            kinds=("video",),
            pool=pool,
            retry=STORAGE,
            freshness=timedelta(days=1),
            latency=timedelta(minutes=1),
        )
        for name, pool in POOLS.items()
    ]


defs = build_defs(declarations=declarations(), resource_overrides={"house": HoldingWorkshop()})
