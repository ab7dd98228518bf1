"""This house by plain calls, without Dagster and contracts: its workers are warm when it says "ready".

Belongs here: the contestant `bare` as a program. Does not belong here: timing it (contestants).
Run: `python -m benchmarks.bare HOME DATABASE_URL FILM`; it begins at a line on standard input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

from media_assets.declared import declared
from media_assets.plain import door_of, make_source
from processing.failures import WorkFailure
from processing.manifest import Outcome, Verdict
from processing.work import Bounds, Task
from resources.attempts import RunFacts
from resources.compute.port import ComputePort, Done, Usage
from resources.dagster_bindings.executor import steps_at_once
from resources.house import open_house
from resources.intake import register_files
from resources.settings import load_settings

LADDER = (1080, 720, 540, 360)
# What has no counterpart in the commands: they do not look for voices or hash pictures.
COMPARED = ("hls", "proxy", "poster", "storyboard", "scenes", "loudness", "waveform")


class Unjudged(ComputePort):
    """A compute whose contracts say yes without looking."""

    def __init__(self, inner: ComputePort) -> None:
        self._inner = inner

    def run(self, task: Task, bounds: Bounds, *, media_s: float, needs_permit: bool = True, label: str) -> Done:
        return self._inner.run(task, bounds, media_s=media_s, needs_permit=needs_permit, label=label)

    def check(
        self, task: Task, bounds: Bounds, *, media_s: float, needs_permit: bool = False, label: str
    ) -> tuple[tuple[Verdict, ...], Usage]:
        return (Verdict("not judged", Outcome.PASSED),), Usage(0.0, 0.0, 0, 0.0, 0.0, 1)

    def permit(self, stopping: Callable[[], bool]) -> AbstractContextManager[object]:
        return self._inner.permit(stopping)

    def spare_permit(self) -> AbstractContextManager[bool]:
        return self._inner.spare_permit()

    def warm(self) -> None:
        self._inner.warm()

    def request_stop(self) -> None:
        self._inner.request_stop()

    def kill_all(self) -> None:
        self._inner.kill_all()

    def close(self) -> None:
        self._inner.close()


def main() -> None:
    """Make everything that is compared of one film."""
    home, database_url, film = sys.argv[1:]
    house = open_house(load_settings(home=Path(home), ladder=LADDER), database_url)
    house.compute = Unjudged(house.compute)
    house.compute.warm()
    print("ready", flush=True)
    sys.stdin.readline()
    with closing(house):
        (registered,) = register_files(house, [Path(film)], door_of(declared(), COMPARED), actor="benchmark")
        run = RunFacts(run_id="bare", correlation=registered.arrival_id, actor="benchmark", wanted=COMPARED)
        outcomes = make_source(house, declared(), registered.source_key, run, COMPARED, at_once=steps_at_once())
    for name, made in outcomes.items():
        if isinstance(made, WorkFailure):
            raise SystemExit(f"{name}: {made.sentence}")


if __name__ == "__main__":
    main()
