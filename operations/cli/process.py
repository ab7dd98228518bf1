"""`sourcebound process`: take files in and see their jobs through, in the foreground.

Belongs here: finding the files, asking for runs, watching them, the report. Does not belong here: what a run does; it is
the same job on the same instance that the sensor asks for, executed by the same nursery.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resources.run_nursery import Nursery, SourceOrder, SourceRun

from media_assets.declared import declared
from media_assets.plain import required_assets
from operations.cli.output import err, out, print_json, shown_state
from operations.cli.progress import Progress
from operations.session import Session, open_session
from resources.file_names import counts
from resources.house import House, open_house
from resources.intake import Door, register_files
from resources.ledger.rows import Registration, SourceRow
from resources.ledger.states import AssetState
from resources.settings import Settings
from resources.status import Spent, exit_status, overall, report, source_entry

ACTOR = "cli"
WATCH_S = 0.05
LOOK_S = 0.5  # how often the database is asked how far things are
MAX_RUNS_OF_A_SOURCE = 3  # in one call, where runs die under it


@dataclass(slots=True)
class _Work:
    """One source of this call: its run now, how many it had, and what they used."""

    registration: Registration
    row: SourceRow
    wanted: tuple[str, ...]
    run: SourceRun | None = None
    runs: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(slots=True)
class _Call:
    """The state of one `process` call."""

    settings: Settings
    session: Session
    nursery: Nursery
    call_id: str
    assets: tuple[str, ...] | None
    runs_at_once: int
    stopping: bool = False
    waiting: deque[_Work] = field(default_factory=deque)
    running: list[_Work] = field(default_factory=list)
    done: list[_Work] = field(default_factory=list)

    def work(self, progress: Progress) -> None:
        """Run everything to its end, or to a stop."""
        looked = 0.0
        while self.waiting or self.running:
            while self.waiting and len(self.running) < self.runs_at_once and not self.stopping:
                self._start(self.waiting.popleft())
            self._collect()
            if self.stopping and not self.running:
                self.done.extend(self.waiting)
                self.waiting.clear()
            if time.monotonic() - looked > LOOK_S:
                looked = time.monotonic()
                progress.show(self.session.ledger, [item.row.key for item in self.running], len(self.done))
            time.sleep(WATCH_S)

    def stop(self) -> None:
        """Let running work end at its chunk and start nothing more."""
        self.stopping = True
        for item in self.running:
            if item.run is not None:
                item.run.terminate()

    def _start(self, item: _Work) -> None:
        state, _ = overall(self.session.ledger.states(item.row.key))
        if state in (AssetState.QUARANTINED, AssetState.SUPERSEDED) and item.runs == 0 and self._refused(item):
            self.done.append(item)
            return
        item.runs += 1
        item.run = self.nursery.start_source(
            SourceOrder(
                source=item.row.key,
                job=item.row.job,
                assets=item.wanted if self.assets else None,
                call_id=self.call_id,
                arrival=item.registration.arrival_id,
                environment=self.settings.to_environment(),
            )
        )
        self.running.append(item)

    def _refused(self, item: _Work) -> bool:
        """Whether the door refused it: no run would find anything else in the same bytes."""
        states = self.session.ledger.states(item.row.key).values()
        return all(row.run_id is None for row in states)

    def _collect(self) -> None:
        for item in list(self.running):
            assert item.run is not None
            ended = item.run.poll()
            if ended is None:
                continue
            self.running.remove(item)
            item.seconds += ended.seconds
            item.cpu_seconds += ended.cpu_seconds
            if not ended.reported and not self.stopping and item.runs < MAX_RUNS_OF_A_SOURCE:
                self.waiting.append(item)
            else:
                self.done.append(item)

    def spent(self, item: _Work) -> Spent:
        used = self.session.ledger.usage(source=item.row.key, call_id=self.call_id)
        return Spent(
            seconds=item.seconds,
            cpu_seconds=item.cpu_seconds,
            encoder_calls=sum(asset.encoder_calls for asset in used.values()),
            by_asset=used,
        )


def process_paths(settings: Settings, paths: Sequence[Path], *, assets: tuple[str, ...] | None, as_json: bool) -> int:
    """Process files and folders. Raises ValueError for an asset nobody declares."""
    started = time.monotonic()
    catalogue = declared()
    unknown = sorted(set(assets or ()) - set(catalogue))
    if unknown:
        raise ValueError(f"--only: there is no asset {', '.join(unknown)}; the assets are {', '.join(catalogue)}")
    door = Door(frozenset(catalogue), lambda job, named: required_assets(catalogue, job, named))
    with open_session(settings) as session:
        nursery = Nursery(settings.home)
        nursery.begin(settings, session.database_url)
        house = open_house(settings, session.database_url)
        try:
            house.sweep()
            session.ledger.requeue_abandoned(actor=ACTOR)
            call = _Call(settings, session, nursery, secrets.token_hex(8), assets, _runs_at_once(settings))
            _register(call, house, door, paths)
            with Progress(len(call.waiting)) as progress, _stopped_by_signals(call):
                nursery.ensure_started(settings, session.database_url)
                nursery.add_partitions([item.row.key for item in call.waiting])
                call.work(progress)
            session.ledger.requeue_abandoned(actor=ACTOR)  # of runs that died and were not followed by another
            return _tell(call, house, started, as_json=as_json)
        finally:
            nursery.stop()
            house.close()


def _register(call: _Call, house: House, door: Door, paths: Sequence[Path]) -> None:
    seen: set[str] = set()
    for registration in register_files(house, find_files(paths), door, actor=ACTOR):
        if registration.source_key not in seen:
            seen.add(registration.source_key)
            row = call.session.ledger.source(registration.source_key)
            wanted = door.required(row.job, call.assets)
            call.waiting.append(_Work(registration, row, tuple(wanted)))


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The files that count, absolute and sorted: files as named, folders recursively without sidecars and dot files."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in sorted(names):
                    if counts(name):
                        found[Path(os.path.abspath(Path(folder) / name))] = None
        else:
            found[Path(os.path.abspath(path))] = None
    return list(found)


def _runs_at_once(settings: Settings) -> int:
    return min(settings.run_slots, settings.workers or settings.run_slots)


@contextlib.contextmanager
def _stopped_by_signals(call: _Call) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: call.stop())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(call: _Call, house: House, started: float, *, as_json: bool) -> int:
    entries = [
        source_entry(call.session.ledger, house.store, item.row, call.spent(item))
        for item in sorted(call.done, key=lambda item: item.row.location)
    ]
    if as_json:
        print_json(report(entries, time.monotonic() - started))
    else:
        for entry in entries:
            cause = f"  {entry['cause']}" if entry["cause"] else ""
            out().print(f"{shown_state(entry['state'])}  {entry['source']}{cause}", soft_wrap=True)
        err().print(f"{len(entries)} sources in {time.monotonic() - started:.1f} s")
    return exit_status(entry["state"] for entry in entries)
