"""A small graph of ten assets over a workshop that makes nothing, for tests of everything around the making.

The name of a source says what happens to it at `a2`: `bad-...` is refused, `blink-...` fails once in passing,
`mended-...` fails its first run, `full-...` is told to come again in half a minute, `slow-...` takes seconds and stops
when told, `crash-...` loses its process, `bug-...` raises what no work raises. Of `meet-...` `a2` and `a3` wait for
each other. `warned-...` has a clause that warns, `still-...` has no `a9`.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from media_assets.definitions import build_defs
from media_assets.policies import OUT_POOL, STORAGE
from media_assets.spec import Declaration
from processing.failures import BadInput, ContractBroken, Interrupted, Throttled, Transient
from processing.manifest import DeterminismClass, FileEntry, Manifest, Outcome, Verdict
from processing.work import Bounds, Work
from resources import household
from resources.attempts import RunFacts
from resources.ledger.states import AssetState
from resources.production import Produced

NAMES = tuple(f"a{index}" for index in range(10))
SLOW_S = 30.0
MEETING = threading.Barrier(2)  # of one process
MEETING_S = 10.0
JOURNAL = "TOY_JOURNAL"  # a file with one line a call: what was made, by which process


def works() -> dict[str, Work]:
    """a1 needs a0, a2 needs a1, all others need a1."""
    bounds = Bounds(10, 1.0, 256)
    needs = {"a0": (), "a1": ("a0",), "a2": ("a1",)}
    return {
        name: Work(
            asset=name,
            code_version="1",
            operation="processing.toy:make",
            contract="processing.toy:check",
            bounds=bounds,
            determinism=DeterminismClass.A,
            needs=needs.get(name, ("a1",)),
        )
        for name in NAMES
    }


def declarations() -> list[Declaration]:
    return [
        Declaration(
            work=work,
            description=f"Toy {name}.",
            owner="team:media",
            group="toy",
            kinds=("video",) if name != "a0" else ("video", "audio", "image"),
            pool=OUT_POOL,
            retry=STORAGE,
            freshness=timedelta(days=1),
            latency=timedelta(minutes=1),
        )
        for name, work in works().items()
    ]


def manifest_of(asset: str, source_key: str, *, warned: bool = False) -> Manifest:
    digest = hashlib.sha256(f"{asset} {source_key}".encode()).hexdigest()
    recipe = {"asset": asset}
    verdicts = (
        Verdict("decodes", Outcome.PASSED, "yes"),
        Verdict("covers the duration", Outcome.WARNED if warned else Outcome.PASSED, "9.9 s", "10 s"),
    )
    facts = {"width": 640, "streams": [{"codec": "h264", "language": None}]}
    entry = FileEntry("picture.bin", 1234, digest)
    return Manifest(asset, recipe, digest, (entry,), facts, verdicts, DeterminismClass.A, {})


class ToyWorkshop:
    def produce(self, work: Work, works: Mapping[str, Work], source_key: str, run: RunFacts) -> Produced:
        journal = os.environ.get(JOURNAL)
        calls = 0
        if journal:
            line = f"{work.asset} {source_key} {run.run_id} {os.getpid()} {run.correlation} {run.attempt}\n"
            with Path(journal).open("a") as file:
                file.write(line)
            calls = sum(f"{work.asset} {source_key} " in seen for seen in Path(journal).read_text().splitlines())
        if work.asset == "a2":
            self._behave(source_key, calls)
        if work.asset in {"a2", "a3"} and source_key.startswith("meet-"):
            MEETING.wait(MEETING_S)
        if work.asset == "a9" and source_key.startswith("still-"):
            return Produced("a9", AssetState.NOT_APPLICABLE, "a still has no sound", None, None, True, 0.0, 0.0, 0)
        manifest = manifest_of(work.asset, source_key, warned=source_key.startswith("warned-"))
        return Produced(work.asset, AssetState.READY, None, manifest, "file:///x", False, 0.1, 0.2, 1)

    def page_of(self, source_key: str) -> str:
        return ""

    def file_of(self, manifest: Manifest, path: str) -> Path | None:
        return None

    def _behave(self, source_key: str, calls: int) -> None:
        if source_key.startswith("bad-"):
            raise BadInput("the file is no media", cure="upload the right one")
        if source_key.startswith("bug-"):
            raise MemoryError("a bug, not a failure of work")
        if source_key.startswith("mended-") and calls == 1:
            raise ContractBroken("the output was empty")
        if source_key.startswith("blink-") and calls == 1:
            raise Transient("the store blinked")
        if source_key.startswith("full-"):
            raise Throttled("too many ask at once", retry_after_s=30.0)
        if source_key.startswith("crash-"):
            os.kill(os.getpid(), signal.SIGKILL)
        if source_key.startswith("slow-"):
            until = time.monotonic() + SLOW_S
            while time.monotonic() < until:
                if household.stop_requested():
                    raise Interrupted("the work was told to stop")
                time.sleep(0.02)


defs = build_defs(declarations=declarations(), resource_overrides={"house": ToyWorkshop()})
