"""The inbox sensor over a folder of many known files: one whole look with the ledger's answer and ten registrations.

The bound is 2 s over 100,000 files. Run: `python -m benchmarks.sensor [FILES]`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.machine import wait_for_quiet
from benchmarks.results import Figure, record
from media_assets.declared import declared
from resources import household
from resources.house import open_house
from sensors import folder
from tests.dagster_home import dagster_home
from tests.database import server

BOUND_S = 2.0
FILES = 100_000
A_FOLDER = 1_000  # files a folder
NEW_FILES = 10
LONG_AGO = 1_700_000_000  # s since 1970
MINIMAL_PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


def fill(inbox: Path, files: int) -> dict[str, tuple[int, int]]:
    """Make empty files, and what the ledger is to know of them."""
    known = {}
    for index in range(files):
        place = inbox / f"{index // A_FOLDER:04d}"
        if index % A_FOLDER == 0:
            place.mkdir(parents=True)
        path = place / f"clip {index:06d}.mp4"
        path.touch()
        found = path.stat()
        known[str(path)] = (found.st_size, found.st_mtime_ns)
    return known


def main() -> None:
    """Measure and print; fail above the bound."""
    files = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    with (
        server() as postgres,
        tempfile.TemporaryDirectory() as temporary,
        dagster_home(postgres.start(), Path(temporary)) as home,
        closing(open_house(home.settings, home.database_url)) as house,
    ):
        household.adopt(house)
        known = fill(home.settings.inbox, files)
        house.ledger.leave_alone(known, actor="benchmark")
        for index in range(NEW_FILES):
            path = home.settings.inbox / f"new {index}.png"
            path.write_bytes(MINIMAL_PNG + bytes([index]))
            os.utime(path, (LONG_AGO, LONG_AGO))
        cursor, slowest = None, 0.0
        for name in ("nothing is settled", "ten are taken in", "nothing is new"):
            wait_for_quiet()
            started = time.monotonic()
            look = folder.look(house, home.instance, declared(), cursor)
            took = time.monotonic() - started
            cursor = look.plan.cursor
            found = f"{len(look.registrations)} registered, {len(look.requests)} runs asked for"
            print(f"{files} known files, {name}: {took:.2f} s ({found}, cursor of {len(cursor)} bytes)")
            slowest = max(slowest, took)
    if files == FILES:
        figure = Figure(round(slowest, 2), BOUND_S, "lower", "s")
        record({"sensor_look_over_100000_files": figure})
        if not figure.holds:
            raise SystemExit(f"above the bound of {BOUND_S:g} s")


if __name__ == "__main__":
    main()
