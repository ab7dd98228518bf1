"""What one step costs apart from its work, beside what a person would write by hand, paired in one run.

A task of a worker that does nothing, beside a new Python program that imports what the worker has in memory; publishing
a small product, beside writing the same files, synced, and renaming their folder. An hour of video has 2,400 of each.
Run: `python -m benchmarks.steps`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import wait_for_quiet
from benchmarks.results import Figure, record
from resources.compute.local import LocalCompute
from resources.compute.permits import Permits
from resources.store.store import Store
from tests.compute_trial import BOUNDS, MISBEHAVING, task_of
from tests.store_samples import publish, recipe, write

ROUNDS = 40
WARM_UP = 2
PRODUCT = {"chunk.mp4": bytes(400_000), "stills/00001.jpg": bytes(20_000)}
NEW_PROGRAM = [sys.executable, "-c", "import processing.worker, av, numpy"]
TASK_BAR, PUBLISH_BAR = 0.1, 3.0  # times what is written by hand

Step = Callable[[int], None]


def paired(name: str, ours: Step, by_hand: Step) -> float:
    """The median of ours to by hand over rounds that take both in turn; prints both."""
    wait_for_quiet()
    ratios, taken_ms, by_hand_ms = [], [], []
    for number in range(ROUNDS + WARM_UP):
        mine, theirs = _timed_ms(ours, number), _timed_ms(by_hand, number)
        if number >= WARM_UP:
            ratios.append(mine / theirs)
            taken_ms.append(mine)
            by_hand_ms.append(theirs)
    ratio = statistics.median(ratios)
    print(
        f"{name}: {statistics.median(taken_ms):.2f} ms, by hand {statistics.median(by_hand_ms):.2f} ms, "
        f"{ratio:.2f} times (slowest {max(taken_ms):.2f} ms)"
    )
    return ratio


def _timed_ms(step: Step, number: int) -> float:
    started = time.perf_counter()
    step(number)
    return (time.perf_counter() - started) * 1000


def task(folder: Path) -> float:
    """A forked, locked-down worker for nothing, beside a new program for nothing."""
    compute = LocalCompute(
        Permits(1, folder=folder / "run"), workers=1, on_attempt=lambda _: None, operations=[MISBEHAVING]
    )
    compute.warm()

    def ours(number: int) -> None:
        compute.run(task_of("nothing", folder / f"task {number}"), BOUNDS, media_s=0, label="a trial")

    def by_hand(_: int) -> None:
        subprocess.run(NEW_PROGRAM, check=True)

    try:
        return paired("a task", ours, by_hand)
    finally:
        compute.close()


def publishing(folder: Path) -> float:
    """One product hashed, judged and committed, beside its files written and synced."""
    store = Store.open(folder / "store")
    with store.stage("chunks", "owner") as staging:

        def ours(number: int) -> None:
            publish(store, folder=write(staging.folder / f"out {number}", PRODUCT), recipe=recipe(number))

        def by_hand(number: int) -> None:
            made = write(folder / f"made {number}", PRODUCT)
            for path in [*(made / name for name in PRODUCT), made / "stills", made]:
                _sync(path)
            made.rename(folder / f"done {number}")
            _sync(folder)

        return paired("publishing a small product", ours, by_hand)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def main() -> None:
    """Measure both, print and record; fail above a bar."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        figures = {
            "step_task_to_new_program": Figure(round(task(folder), 3), TASK_BAR, "lower", "times"),
            "step_publishing_to_plain_files": Figure(round(publishing(folder), 2), PUBLISH_BAR, "lower", "times"),
        }
    record(figures)
    if broken := [name for name, figure in figures.items() if not figure.holds]:
        raise SystemExit(f"above the bar: {', '.join(broken)}")


if __name__ == "__main__":
    main()
