"""The inbox: files that lie still in the watched folder become sources, and sources get runs.

Belongs here: listing the folder and the sensor around the plan. Does not belong here: deciding (plan, requests) or
reading a file (resources/intake).
"""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from media_assets.jobs import Job
from media_assets.partitions import add_sources
from media_assets.plain import door_of
from media_assets.spec import Declaration
from processing.failures import WorkFailure
from resources import household
from resources.house import House
from resources.intake import register_files
from resources.ledger.keys import as_stored_ns
from resources.ledger.rows import Registration
from sensors.plan import Plan, Seen, plan
from sensors.requests import look_for_work, requests

log = logging.getLogger(__name__)

INTERVAL_S = 5
REGISTER_AT_ONCE = 50  # files a look may take in: each is read once, to its end
TICK_BUDGET_S = 40.0  # then the rest waits for the next look, five seconds later
ACTOR = "sensor/inbox"


@dataclass(slots=True)
class Listing:
    """What a folder holds; `unreadable` are folders and files whose listing failed, which is not the same as empty."""

    files: list[Seen] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def list_folder(root: Path) -> Listing:
    """Every file below `root`, recursively, without dot folders and without following links.

    Raises OSError where `root` itself cannot be listed: a failed read is not an empty folder.
    """
    listing = Listing()
    pending = [os.fspath(root)]
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            if folder == os.fspath(root):
                raise
            listing.unreadable.append(folder)
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    pending.append(entry.path)
            elif entry.is_symlink():
                listing.files.append(Seen(entry.path, 0, 0, is_link=True))
            elif entry.is_file(follow_symlinks=False):
                listing.files.extend(_seen(entry, listing))
    return listing


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the inbox did."""

    plan: Plan
    registrations: tuple[Registration, ...]
    requests: tuple[dg.RunRequest, ...]
    unreadable: int
    refused: tuple[str, ...] = ()

    def sentence(self) -> str:
        """What the tick shows of a look without a run to ask for."""
        parts = [f"{self.plan.waiting_count} files wait"]
        parts += [f"{Path(one.location).name}: {one.reason}" for one in self.plan.waiting[:3]]
        if self.unreadable:
            parts.append(f"{self.unreadable} folders or files cannot be listed")
        parts += [f"{Path(location).name} could not be taken in; the log says why" for location in self.refused[:3]]
        return "; ".join(parts)


def look(
    house: House, instance: dg.DagsterInstance, declarations: Mapping[str, Declaration], cursor: str | None
) -> Look:
    """One look at the inbox: take in what lies still, make its partitions, ask for its runs."""
    started = time.monotonic()
    inbox = house.settings.inbox
    with _collector_at_rest():
        listing = list_folder(inbox)
        known = house.ledger.known_files(f"{inbox}/")
        decided = plan(listing.files, known, cursor, time.time(), REGISTER_AT_ONCE, house.settings.settle_ticks)
    door = door_of(declarations)
    registrations: list[Registration] = []
    refused: list[str] = []
    for seen in decided.register:
        if time.monotonic() - started > TICK_BUDGET_S:
            log.info("%d files are left for the next look", len(decided.register) - len(registrations))
            break
        try:
            registrations += register_files(house, [Path(seen.location)], door, actor=ACTOR)
        except WorkFailure:
            raise  # the database or the disk: it would be the same with the next file
        except Exception:  # whatever is wrong with one file, the others do not wait for it
            log.exception("%s could not be taken in", seen.location)
            refused.append(seen.location)
    asked: list[dg.RunRequest] = []
    if registrations:
        keys = [registration.source_key for registration in registrations]
        add_sources(instance, keys)
        asked = _ask(house, instance, declarations, keys)
    return Look(decided, tuple(registrations), tuple(asked), len(listing.unreadable), tuple(refused))


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """No garbage collection meanwhile: over 100,000 files it goes through the whole process again and again, for half
    of the time of a look, and finds nothing.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _ask(
    house: House, instance: dg.DagsterInstance, declarations: Mapping[str, Declaration], keys: list[str]
) -> list[dg.RunRequest]:
    """Runs for the sources just taken in, as far as there is room; the rest is asked for by `unfinished`."""
    mine = set(keys)
    unfinished = [item for item in house.ledger.unfinished() if item.source_key in mine]
    chosen, _ = look_for_work(house, instance, unfinished)
    return requests(house.ledger, chosen.start, declarations, actor=ACTOR)


def _seen(entry: os.DirEntry[str], listing: Listing) -> Iterator[Seen]:
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # gone since the folder was read
    except OSError:
        listing.unreadable.append(entry.path)
        return
    yield Seen(entry.path, found.st_size, as_stored_ns(found.st_mtime_ns))


def build(declarations: Mapping[str, Declaration], jobs: Sequence[Job]) -> dg.SensorDefinition:
    """The sensor `inbox`."""

    @dg.sensor(
        name="inbox",
        jobs=jobs,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Takes in the files that lie still in the watched folder.",
    )
    def inbox(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        found = look(household.the_house(), context.instance, declarations, context.cursor)
        if not found.requests:
            return dg.SensorResult(skip_reason=found.sentence(), cursor=found.plan.cursor)
        return dg.SensorResult(run_requests=list(found.requests), cursor=found.plan.cursor)

    return inbox
