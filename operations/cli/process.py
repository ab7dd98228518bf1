"""`sourcebound process`: take files in and see their jobs through, in the foreground.

Belongs here: asking for runs, watching them, the report. Does not belong here: finding the files (files), or what a run
does; it is the same job on the same instance that the sensor asks for, executed by the same nursery.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from media_assets.declared import declared
from media_assets.plain import assets_of_part, door_of, parts_of
from media_assets.spec import works_of
from operations.cli.files import Found
from operations.cli.output import print_json, say, show_table, shown_state
from operations.cli.progress import Progress
from operations.session import Session, disk_is_full, open_session
from processing.failures import WorkFailure
from resources import run_tags
from resources.claims import turn_of
from resources.house import House, call_folder, open_house
from resources.intake import Door, register_files, was_refused
from resources.ledger.rows import Registration, SourceRow
from resources.ledger.states import UNFINISHED, AssetState
from resources.planned import nothing_to_make
from resources.runs.messages import SourceOrder
from resources.runs.nursery import Nursery
from resources.runs.run import SourceRun, wait_for_any
from resources.settings import Settings
from resources.status import EXIT_NOT_READY, Spent, exit_status, report, source_entry, warnings_of

log = logging.getLogger(__name__)

WATCH_S = 0.05
LOOK_S = 0.5  # how often the database is asked how far things are
TAKE_IN_S = 2.0  # of reading new files in one go; then the runs at work are looked after
MAX_RUNS_OF_A_SOURCE = 3  # in one call, where runs end with work left: killed, or without their database
PUT_OFF_S = 30.0  # until a sourcebound that runs may try what this call gave up
WORKS = works_of(declared())


@dataclass(slots=True)
class _Work:
    """One source of this call: its run now, how many it had, and what they used."""

    registration: Registration
    row: SourceRow
    wanted: tuple[str, ...]
    parts: deque[tuple[str, tuple[str, ...]]]
    run: SourceRun | None = None
    runs: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(slots=True)
class _Call:
    """The state of one `process` call. `assets` None is whatever each source requires."""

    settings: Settings
    session: Session
    house: House
    nursery: Nursery
    assets: tuple[str, ...] | None
    files: deque[Path]
    call_id: str
    stopping: bool = False
    waiting: deque[_Work] = field(default_factory=deque)
    running: list[_Work] = field(default_factory=list)
    done: list[_Work] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def give_back(self) -> None:
        """Leave to others what this call did not come to."""
        for item in [*self.waiting, *self.done]:
            self.session.ledger.release_run(item.row.key, turn_of(self.call_id))

    def work(self, progress: Progress) -> None:
        """Run everything to its end, or to a stop."""
        slots = self.settings.run_slots
        runs_at_once = min(slots, self.settings.workers or slots)
        looked = 0.0
        while (self.files and not self.stopping) or self.waiting or self.running:
            if self.files and not self.waiting and not self.stopping:
                self._take_in()
            while self.waiting and len(self.running) < runs_at_once and not self.stopping:
                self._start(self.waiting.popleft())
            self._collect()
            if self.stopping and not self.running:
                self.done.extend(self.waiting)
                self.waiting.clear()
            if time.monotonic() - looked > LOOK_S:
                looked = time.monotonic()
                progress.show(self.session.ledger, [item.row.key for item in self.running], len(self.done))
            if self.running:
                wait_for_any([item.run for item in self.running if item.run is not None], WATCH_S)

    def stop(self) -> None:
        """Let running work end at its chunk and start nothing more."""
        self.stopping = True
        for item in self.running:
            if item.run is not None:
                item.run.terminate()

    def _take_in(self) -> None:
        """Register files for a while, and make their partitions."""
        door = door_of(declared(), self.assets)
        until = time.monotonic() + TAKE_IN_S
        taken = []
        while self.files and time.monotonic() < until and not self.stopping:
            path = self.files.popleft()
            try:
                registrations = register_files(self.house, [path], door, actor=run_tags.CLI)
            except WorkFailure:
                raise
            except Exception as error:  # whatever is wrong with one file, the others do not suffer from it
                log.exception("%s could not be taken in", path)
                self.left_out.append(f"{path} could not be taken in ({type(error).__name__}); the log says why")
                continue
            if not registrations:
                self.left_out.append(f"{path} is no longer there; put it back and process it again")
            for registration in registrations:
                if registration.source_key not in self.seen:
                    self.seen.add(registration.source_key)
                    taken.append(self._work_on(registration, door))
        self.nursery.ensure_started()
        if len(taken) > 1:
            self.nursery.add_partitions([item.row.key for item in taken])
        self.waiting.extend(taken)

    def _work_on(self, registration: Registration, door: Door) -> _Work:
        row = self.session.ledger.source(registration.source_key)
        self.session.ledger.claim_run(row.key, turn_of(self.call_id), self.house.identity)
        of_job = frozenset(door.made_by(row.job))
        wanted = door.required(row.job, row.options.get("assets"))
        wanted = tuple(name for name in wanted if name in of_job)
        return _Work(registration, row, wanted, deque(parts_of(declared(), row.job, wanted)))

    def _start(self, item: _Work) -> None:
        started, used = time.monotonic(), time.thread_time()
        if self._is_refused(item):
            item.parts.clear()
        while item.parts and nothing_to_make(self.house, WORKS, item.row.key, item.parts[0][1]):
            item.parts.popleft()
        item.seconds += time.monotonic() - started
        item.cpu_seconds += time.thread_time() - used
        if not item.parts:
            self.done.append(item)
            return
        job, assets = item.parts[0]
        if self.stopping:  # it was told to while this one was looked at
            self.waiting.appendleft(item)
            return
        item.runs += 1
        self.nursery.ensure_started()
        item.run = self.nursery.start_source(
            SourceOrder(
                source=item.row.key,
                job=job,
                assets=None if set(assets) == set(assets_of_part(declared().values(), job)) else assets,
                begin=assets,
                call_id=self.call_id,
                arrival=item.registration.arrival_id,
                environment=self.settings.to_environment(),
            )
        )
        self.running.append(item)
        if self._was_told_to_stop():
            item.run.terminate()

    def _was_told_to_stop(self) -> bool:
        """By a signal, at any moment."""
        return self.stopping

    def _is_refused(self, item: _Work) -> bool:
        """Whether the door refused it, or a newer file is in its place: no run would find anything else."""
        states = self.session.ledger.states(item.row.key)
        return was_refused(states) or all(row.state is AssetState.SUPERSEDED for row in states.values())

    def _collect(self) -> None:
        for item in list(self.running):
            assert item.run is not None
            ended = item.run.poll()
            if ended is None:
                continue
            self.running.remove(item)
            item.seconds += ended.seconds
            item.cpu_seconds += ended.cpu_seconds
            left = [] if self.stopping else self._left_undone(item)
            if left and item.runs < MAX_RUNS_OF_A_SOURCE:
                item.parts[0] = item.parts[0][0], tuple(left)  # what failed for good is not tried again
                self.waiting.append(item)
                continue
            if left:
                self._put_off(item, left)
            elif len(item.parts) > 1 and not self.stopping:
                item.parts.popleft()
                item.runs = 0
                self.waiting.append(item)
                continue
            self.done.append(item)

    def _left_undone(self, item: _Work) -> list[str]:
        if self.session.ledger.stop_requested(item.row.key) is not None:
            return []
        states = self.session.ledger.states(item.row.key)
        return [name for name in item.parts[0][1] if name in states and states[name].state in UNFINISHED]

    def _put_off(self, item: _Work, left: Sequence[str]) -> None:
        """Give what no run of this call got done a state that says so; a full disk may not even allow that."""
        self.session.ledger.requeue_abandoned(actor=run_tags.CLI)
        cause = f"{item.runs} runs ended before it was made; {self.settings.home / 'logs'} has the reason"
        if disk_is_full(self.settings.home):
            cause = "the disk is full: no room for a run; free space and process it again"
        with contextlib.suppress(WorkFailure):
            self.session.ledger.move_many(
                item.row.key, left, AssetState.WAITING, actor=run_tags.CLI, cause=cause, wake_after_s=PUT_OFF_S
            )

    def spent(self, item: _Work) -> Spent:
        """What this call used on a source so far."""
        used = self.session.ledger.usage(source=item.row.key, call_id=self.call_id)
        return Spent(
            seconds=item.seconds,
            cpu_seconds=item.cpu_seconds,
            encoder_calls=sum(asset.encoder_calls for asset in used.values()),
            by_asset=used,
        )


def process_files(
    settings: Settings,
    nursery: Nursery,
    found: Found,
    *,
    assets: tuple[str, ...] | None,
    call_id: str,
    as_json: bool,
) -> int:
    """Process files; the exit status. The nursery need not be ready yet."""
    started = time.monotonic()
    with open_session(settings) as session, contextlib.ExitStack() as opened:
        opened.callback(nursery.stop)  # its runs need the database
        house = opened.enter_context(contextlib.closing(open_house(settings, session.database_url)))
        house.sweep()
        session.ledger.drop_dead_leases()
        session.ledger.requeue_abandoned(actor=run_tags.CLI)
        call = _Call(
            settings,
            session,
            house,
            nursery,
            assets,
            deque(found.files),
            call_id,
            left_out=list(found.left_out),
        )
        opened.callback(shutil.rmtree, call_folder(settings, call.call_id), ignore_errors=True)
        with Progress(len(found.files)) as progress, session.keeping_database(), _stopped_by_signals(call):
            call.work(progress)
            call.give_back()
            session.ledger.requeue_abandoned(actor=run_tags.CLI)  # of runs that died and were not followed by another
        status = _tell(call, started, as_json=as_json)
        return EXIT_NOT_READY if not (call.done or found.folders) else status


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


def _tell(call: _Call, started: float, *, as_json: bool) -> int:
    entries = [
        source_entry(call.session.ledger, call.house.store, item.row, call.spent(item))
        for item in sorted(call.done, key=lambda item: item.row.location)
    ]
    for sentence in call.left_out:
        say(f"left out: {sentence}")
    for item in call.done:
        for sentence in _remarks(call, item):
            say(f"{item.row.key}: {sentence}")
    if call.files:
        say(f"stopped before {len(call.files)} more files were looked at")
    if as_json:
        print_json(report(entries, time.monotonic() - started))
    elif entries:
        show_table(
            ("source", "state", "cause"),
            [(entry["source"], shown_state(entry["state"]), entry["cause"] or "") for entry in entries],
        )
    say(f"{len(entries)} {'source' if len(entries) == 1 else 'sources'} in {time.monotonic() - started:.1f} s")
    published = [entry["source"] for entry in entries if entry["assets"].get("release", {}).get("recipe_hash")]
    if published:
        key = published[0] if len(published) == 1 else "SOURCE"
        say(f"page: sourcebound open {key}; files: sourcebound get {key} --to DIR")
    return exit_status(entry["state"] for entry in entries)


def _remarks(call: _Call, item: _Work) -> Iterator[str]:
    """What whoever asked should know of a source although it is ready."""
    states = call.session.ledger.states(item.row.key)
    for name, row in states.items():
        if row.state is AssetState.NOT_APPLICABLE and name in (call.assets or ()):
            yield f"there is no {name} of it: {row.cause}"
        elif row.state is AssetState.READY:
            for sentence in warnings_of(call.house.store, row):
                yield f"{name}: {sentence}"
