"""What surrounds the media work: wall clock of `process` over a clip of 5 s less the time in which a media worker runs.

The home exists and has made other files of the kind. Measured as a user calls it, alone and beside a running `up`; the
workers' times are those the ledger has of every attempt. Run: `python -m benchmarks.overhead [RUNS] [--gaps]`.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy

from benchmarks.clips import clip
from benchmarks.command import COMMAND, PICTURE_AND_SOUND, ROOT
from benchmarks.machine import Others, tree_cpu_s, wait_for_quiet
from benchmarks.results import Figure, record
from operations.session import open_session
from resources.runs.nursery import Nursery
from resources.settings import Settings, load_settings

BAR_S = 4.0
CLIP_S = 5
WARM_UP = 1  # the first source of a home also makes its database
UP_DEADLINE_S = 120.0

_numbers = itertools.count()  # no two files are the same

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of `process`: its start and end, and when media workers ran (seconds since the epoch).

    `foreign` is the share of the machine that was busy with other things meanwhile.
    """

    started: float
    ended: float
    workers: Sequence[Interval]
    foreign: float

    @property
    def union(self) -> list[Interval]:
        """The workers' times without overlaps, in order."""
        found: list[Interval] = []
        for start, end in sorted(self.workers):
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], max(end, found[-1][1]))
            else:
                found.append((start, end))
        return found

    @property
    def overhead_s(self) -> float:
        """Wall clock in which no media worker ran."""
        return self.ended - self.started - sum(end - start for start, end in self.union)

    def gaps(self) -> str:
        """Before the first worker, between workers, after the last (s)."""
        union = self.union
        between = sum(after[0] - before[1] for before, after in itertools.pairwise(union))
        return (
            f"before {union[0][0] - self.started:.2f}, between {between:.2f} in {len(union) - 1}, "
            f"after {self.ended - union[-1][1]:.2f}, workers {sum(end - start for start, end in union):.2f}"
        )


def call(settings: Settings, file: Path) -> Call:
    """Run `process` on one file as its own program and read from the ledger when its workers ran."""
    environment = {**os.environ, "SOURCEBOUND_HOME": str(settings.home)}
    wait_for_quiet()
    others, used = Others(), tree_cpu_s([os.getpid()])
    started = time.time()
    command = [*COMMAND, "process", str(file), "--json", *PICTURE_AND_SOUND]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    ended = time.time()
    foreign = others.share(tree_cpu_s([os.getpid()]) - used)
    if done.returncode:
        raise SystemExit(f"process ended with {done.returncode}: {done.stderr[-2000:]}")
    return Call(started, ended, _intervals(settings, started), foreign)


def _intervals(settings: Settings, since: float) -> list[Interval]:
    query = sqlalchemy.text("SELECT intervals FROM ledger.attempt_ends WHERE at >= to_timestamp(:since)")
    with open_session(settings) as session:
        engine = sqlalchemy.create_engine(session.database_url)
        with engine.connect() as connection:
            rows = connection.execute(query, {"since": since}).scalars().all()
        engine.dispose()
    return [(start, end) for row in rows for start, end in row]


@contextlib.contextmanager
def up(settings: Settings) -> Iterator[None]:
    """A running sourcebound over the home, ready to take runs."""
    environment = {**os.environ, "SOURCEBOUND_HOME": str(settings.home), "SOURCEBOUND_PORT": "3977"}
    environment["SOURCEBOUND_INBOX"] = str(settings.home.parent / "inbox")
    with (settings.home.parent / "up.log").open("wb") as output:
        process = subprocess.Popen([*COMMAND, "up"], env=environment, cwd=ROOT, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + UP_DEADLINE_S
        while not Nursery(settings.home).answers():
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit(f"`up` did not start: {(settings.home.parent / 'up.log').read_text()[-2000:]}")
            time.sleep(0.1)
        time.sleep(15)  # the UI and the daemon are still importing; it is the steady state that counts
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def measure(settings: Settings, folder: Path, name: str, runs: int, *, gaps: bool) -> float:
    """The median overhead (s) of `runs` calls over different files; a first call warms up and is not counted."""
    found = []
    for index in range(runs + WARM_UP):
        file = clip(folder / f"{name}-{index}.mp4", seconds=CLIP_S, number=next(_numbers))
        made = call(settings, file)
        if index >= WARM_UP:
            found.append(made.overhead_s)
            told = f"  ({made.gaps()})" if gaps else ""
            print(
                f"  {name}: {made.overhead_s:.2f} s of {made.ended - made.started:.2f}, others {made.foreign:.0%}{told}"
            )
    return statistics.median(found)


def main() -> None:
    """Measure both, print and record; fail above the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int, nargs="?", default=5)
    parser.add_argument("--gaps", action="store_true", help="say where the time lies")
    parser.add_argument("--alone", action="store_true", help="leave out the measurement beside a running `up`")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        settings = load_settings(home=folder / "home")
        figures = {"process_overhead": measure(settings, folder, "alone", given.runs, gaps=given.gaps)}
        if not given.alone:
            with up(settings):
                figures["process_overhead_beside_up"] = measure(settings, folder, "beside", given.runs, gaps=given.gaps)
    for name, value in figures.items():
        print(f"{name}: {value:.2f} s (at most {BAR_S:g})")
    record({name: Figure(round(value, 2), BAR_S, "lower", "s") for name, value in figures.items()})
    if max(figures.values()) > BAR_S:
        raise SystemExit(f"above the bar of {BAR_S:g} s")


if __name__ == "__main__":
    main()
