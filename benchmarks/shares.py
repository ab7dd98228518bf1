"""Where the time of both cores goes while `process` makes everything of one film.

Belongs here: tasks as the ledger has them, a chunk's cost taken apart, the table. Does not belong here: contestants.

What tasks used is the ledger's; a chunk is taken apart by making one in this process, with less and less ordered. The
rest of what the machine used is the command itself: Dagster, database, ledger, store. Hashing is part of that and
is measured by hashing once more all that was read and written.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from media_assets.declared import declared
from media_assets.spec import works_of
from operations.session import open_session
from processing.chunks.chunk_pass import make_unit
from processing.chunks.decode import ChunkReader
from processing.manifest import hash_file
from processing.picture.scaling import FramePictures
from processing.probe.media_info import facts_of
from processing.probe.opening import open_media
from processing.timeline import from_rational
from processing.work import SourceFile, Task
from resources.postgres.database import connect_arguments
from resources.recipes import plan_units, taps_wanted
from resources.settings import Settings

INTERVALS = """
SELECT a.asset, e.intervals, e.cpu_s FROM ledger.attempts a JOIN ledger.attempt_ends e ON e.attempt = a.seq
"""


@dataclass(frozen=True, slots=True)
class Spell:
    """One task of an asset: when it ran (seconds since 1970), what it used, and whether it judged."""

    asset: str
    start: float
    end: float
    cpu_s: float
    is_contract: bool


def spells(settings: Settings, since: float) -> list[Spell]:
    """Every task of a home that began after `since`: of an attempt's two the first makes, the second judges."""
    found = []
    with (
        open_session(settings) as session,
        closing(psycopg2.connect(**connect_arguments(session.database_url))) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(INTERVALS)
        for asset, intervals, cpu_s in cursor.fetchall():
            total = sum(end - start for start, end in intervals) or 1.0
            for number, (start, end) in enumerate(intervals):
                judges = number == len(intervals) - 1
                found.append(Spell(asset, start, end, cpu_s * (end - start) / total, judges))
    return [spell for spell in found if spell.start > since]


def taken_apart(film: Path, options: Mapping[str, Any]) -> dict[str, float]:
    """What share of a chunk's making is decoding, scaling, encoding, and what the other taps take."""
    works = works_of(declared())
    work = works["chunks"]
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        source = SourceFile(film, "0" * 64, film.stat().st_size)
        info = facts_of(film, dict(works["media_info"].parameters({}, {})))
        taps = taps_wanted(work, works.values(), list(works), info, options)
        unit = plan_units(work, taps, info, options, source.sha256)[1]
        rungs = [product for product in unit.products if product.name.startswith("ladder/")]
        sizes = [(int(rung.parameters["width"]), int(rung.parameters["height"])) for rung in rungs]

        def read(*wanted: tuple[int, int]) -> float:
            base_width, base_height = unit.parameters["base"]
            pictures = FramePictures(info["video"], (int(base_width), int(base_height)), place)
            before = time.process_time()
            with open_media(film) as container:
                chunk = unit.parameters["chunk"]
                reader = ChunkReader(container, info["video"], from_rational(unit.parameters["origin"]), chunk)
                for timed in reader.frames():
                    pictures.show(timed.frame)
                    for size in wanted:
                        pictures.at(*size)
            return time.process_time() - before

        def made(name: str, products: Any) -> float:
            orders = tuple(product.ordered() for product in products)
            task = Task(work.operation, unit.parameters, place / name, source, products=orders)
            task.scratch.mkdir()
            before = time.process_time()
            make_unit(task)
            return time.process_time() - before

        read()
        decoding, scaled, encoded, everything = read(), read(*sizes), made("rungs", rungs), made("all", unit.products)
    parts = {
        "decode": decoding,
        "scale": scaled - decoding,
        "encode": encoded - scaled,
        "stills, shots, quality": everything - encoded,
    }
    return {name: max(0.0, part) / everything for name, part in parts.items()}


def shares(
    settings: Settings, film: Path, options: Mapping[str, Any], since: float, wall_s: float, cpu_s: float, cores: int
) -> dict[str, float]:
    """The share of `cores` over `wall_s` by what used them; the sum is 1."""
    tasks = spells(settings, since)
    chunks_s = sum(spell.cpu_s for spell in tasks if spell.asset == "chunks" and not spell.is_contract)
    contracts_s = sum(spell.cpu_s for spell in tasks if spell.is_contract)
    other_s = sum(spell.cpu_s for spell in tasks) - chunks_s - contracts_s
    hashing_s = hashing(settings, film, since)
    spent = {name: share * chunks_s for name, share in taken_apart(film, options).items()}
    spent |= {"contracts": contracts_s, "sound and packaging": other_s, "hashing": hashing_s}
    spent["Dagster, database, store"] = cpu_s - sum(spent.values())
    spent["idle"] = cores * wall_s - cpu_s
    return {name: seconds / (cores * wall_s) for name, seconds in spent.items()}


def hashing(settings: Settings, film: Path, since: float) -> float:
    """Seconds that hashing takes of the film and of every file of the home that was written since.

    Each counts twice: the film as it comes in and as it is kept, a file before its contract and when it is sealed.
    """
    files = [path for path in settings.home.rglob("*") if path.is_file() and not path.is_symlink()]
    written = [path for path in files if path.stat().st_mtime > since and "postgres" not in path.parts]
    before = time.process_time()
    for path in [film, *written] * 2:
        hash_file(path)
    return time.process_time() - before
