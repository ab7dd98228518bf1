"""How busy both cores are while one long file is worked on, from its first chunk to its last, and where time goes.

Ten minutes of 720p through the command `process`, in a home that exists; nothing else may run. Work beside the chunks
(sound, the database, Dagster) counts as use: what is looked for is a core that waits. As many chunks run at once as
there are cores. Run: `python -m benchmarks.full_use [MINUTES]`.
"""

from __future__ import annotations

import argparse
import bisect
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from benchmarks.clips import clip
from benchmarks.contestants import whole
from benchmarks.machine import Clock, wait_for_quiet
from benchmarks.results import Figure, record
from benchmarks.shares import spells
from benchmarks.worker_memory import REPEATED_S, repeated
from resources.settings import load_settings

BAR = 0.95
CORES = 2
EVERY_S = 0.25
WIDTH, HEIGHT = 1280, 720


@dataclass(slots=True)
class Watch:
    """Reads the machine's clock every quarter of a second."""

    at: list[float] = field(default_factory=list)
    busy_s: list[float] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(EVERY_S):
            self.busy_s.append(Clock.now().busy_s)
            self.at.append(time.time())

    def use(self, start: float, end: float) -> float:
        """The share of all cores that was busy between two instants."""
        first, last = bisect.bisect_left(self.at, start), bisect.bisect_right(self.at, end) - 1
        return (self.busy_s[last] - self.busy_s[first]) / (self.at[last] - self.at[first]) / CORES


def main() -> None:
    """Measure, print and record; fail below the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=int, nargs="?", default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        settings = load_settings(home=place / "home", workers=CORES)
        whole(settings, clip(place / "warm.mp4", seconds=2, number=9_999))
        before = time.time()
        model = clip(place / "model.mp4", seconds=REPEATED_S, number=1, width=WIDTH, height=HEIGHT)
        film = repeated(place / "film.mp4", model, given.minutes * 60 // REPEATED_S)
        wait_for_quiet()
        with Watch() as watch:
            whole(settings, film)
        chunks = [spell for spell in spells(settings, before) if spell.asset == "chunks"]
    making = [spell for spell in chunks if not spell.is_contract]
    start, last = min(spell.start for spell in making), max(spell.start for spell in making)
    end = max(spell.end for spell in making)
    use = watch.use(start, last)
    print(f"{len(making)} chunks in {end - start:.1f} s; until the last began {use:.3f} of {CORES} cores")
    record({"full_use": Figure(round(use, 3), BAR, "higher", "share")})
    if use < BAR:
        raise SystemExit(f"below the bar: {use:.3f}")


if __name__ == "__main__":
    main()
