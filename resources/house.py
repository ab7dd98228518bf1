"""Everything a piece of work stands on, opened together: settings, store, originals, ledger, compute, identity.

Belongs here: opening and closing in the right order, and the few helpers that need two of them at once. Does not
belong here: making anything (resources/production).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from processing.failures import Interrupted, WorkFailure
from processing.work import SourceFile
from resources.attempts import RunFacts
from resources.build_identity import build_identity
from resources.compute.local import LocalCompute
from resources.compute.permits import Permits
from resources.compute.port import ComputePort
from resources.identity import Identity, is_alive
from resources.ledger.ledger import Ledger
from resources.ledger.rows import Lease, SourceRow
from resources.search.words import Words
from resources.settings import Settings
from resources.store.originals import Originals
from resources.store.published import Published, PublishedBucket, PublishedFolder
from resources.store.store import Store
from resources.words_desk import WordsDesk

log = logging.getLogger(__name__)

LEASE_TTL_S = 3600.0  # only judges holders on other machines; a local holder is judged by being alive
PAUSE_STEP_S = 0.05
LEASE_POLL_S = 0.2  # between two looks at a lease that another holds

# Who in this process holds a lease: pid and key to a mark of the holder. The ledger knows processes only, and where the
# database goes away a lease may stay in the name of one that does not hold it, which would wait for itself for ever.
_leased: dict[tuple[int, str], object] = {}


@dataclass(slots=True)
class House:
    """What `open_house` returns. `workers` is how many tasks of one source may run at once."""

    settings: Settings
    store: Store
    originals: Originals
    published: Published
    ledger: Ledger
    compute: ComputePort
    identity: Identity
    workers: int
    words: WordsDesk
    search: Words
    _stopping: bool = field(default=False)

    def options(self, source: SourceRow) -> dict[str, Any]:
        """What shapes this source's outputs: the settings' encoder, and what its rule or sidecar said at arrival."""
        chosen = dict(source.options)
        if chosen.get("ladder") is None:  # nobody said anything about this source
            chosen["ladder"] = list(self.settings.ladder) if self.settings.ladder else None
        chosen.setdefault("deinterlace", self.settings.deinterlace)
        if self.settings.withhold_partial:
            chosen["withhold_partial"] = list(self.settings.withhold_partial)
        chosen["encoder"] = {"preset": self.settings.preset, "lookahead": self.settings.lookahead}
        return chosen

    def original(self, source: SourceRow) -> SourceFile:
        """The kept original, taken in now if this is the first read. Raises the failures of `Originals.keep`."""
        path = self.originals.keep(source.path, source.content, mode=self.settings.originals)
        return SourceFile(path, source.content, source.size_bytes)

    def texts(self, source: SourceRow) -> tuple[SourceFile, ...]:
        """The text files that lay beside the source when it arrived, as they are kept."""
        return tuple(
            SourceFile(self.originals.original(text["sha256"]), text["sha256"], int(text["bytes"]))
            for text in source.options.get("texts") or ()
        )

    def made_by(self, run: RunFacts, attempt_id: int) -> dict[str, Any]:
        """Who made an artifact: everything about the making that does not determine the output."""
        return {
            "run_id": run.run_id,
            "call_id": run.call_id,
            "attempt": attempt_id,
            "actor": run.actor,
            "correlation": run.correlation,
            "placement": "local",
            "build": build_identity(),
        }

    @contextmanager
    def lease(self, key: str, *, poll_s: float, going: Callable[[], None]) -> Iterator[None]:
        """Hold the lease on `key`, waiting while another lives. `going` is asked between looks and may raise."""
        while (lease := self._try_lease(key)) is None:
            self.pause(poll_s)
            going()
        try:
            yield
        finally:
            self._give_back(lease)

    @contextmanager
    def lease_or_none(self, key: str) -> Iterator[bool]:
        """Hold the lease on `key` if it is free; False where another holder lives."""
        lease = self._try_lease(key)
        try:
            yield lease is not None
        finally:
            if lease is not None:
                self._give_back(lease)

    def _try_lease(self, key: str) -> Lease | None:
        entry, mine, lease = (os.getpid(), key), object(), None
        if _leased.setdefault(entry, mine) is not mine:
            return None
        try:
            lease = self.ledger.try_lease(key, self.identity, ttl_s=LEASE_TTL_S, own_is_free=True)
        finally:
            if lease is None:
                del _leased[entry]
        return lease

    def _give_back(self, lease: Lease) -> None:
        """What was made is made: a database that is gone now must not undo it, nor hide why the work failed."""
        try:
            self.ledger.release(lease)
        except WorkFailure as failure:
            log.warning("the lease on %s was not given back: %s", lease.key, failure.sentence)
        finally:
            del _leased[os.getpid(), lease.key]

    def pause(self, seconds: float) -> None:
        """Sleep, waking early with `Interrupted` when the house is asked to stop."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._stopping:
                raise Interrupted.by_a_stop()
            time.sleep(PAUSE_STEP_S)

    def sweep(self) -> int:
        """Remove what processes that are gone left unfinished in store and originals; how many folders."""
        return self.store.sweep_staging(_may_live) + self.originals.sweep(_may_live)

    def request_stop(self) -> None:
        """No new task starts; running ones may finish."""
        self._stopping = True
        self.compute.request_stop()

    def close(self) -> None:
        """End the workers and give the connections back."""
        self.words.close()
        self.search.close()
        self.compute.close()
        self.ledger.close()


def _may_live(owner: str) -> bool:
    """Whether the owner of a staging folder may still be at work: another machine's is believed to."""
    try:
        identity = Identity.from_text(owner)
    except ValueError:
        return True  # a folder somebody else put there names nobody; it is not ours to remove
    return is_alive(identity) is not False


def open_house(
    settings: Settings, database_url: str, *, workers: int | None = None, call_id: str | None = None
) -> House:
    """Open everything. The database must be up (resources/postgres starts the embedded one).

    `workers` bounds this process's concurrent tasks inside the machine-wide permits; default: all of them. With
    `call_id` it bounds those of all processes that work for that call together.
    """
    ledger = Ledger.open(database_url)
    store = Store.open(settings.store_location, cache=settings.home / "cache")
    permits = Permits(settings.permits)
    count = min(workers or permits.count, permits.count)
    share = Permits(count, folder=call_folder(settings, call_id)) if workers and call_id else None
    compute = LocalCompute(permits, workers=count, share=share)
    identity = Identity.current()
    house = House(
        settings=settings,
        store=store,
        originals=Originals(settings.home / "originals"),
        published=open_published(settings, store),
        ledger=ledger,
        compute=compute,
        identity=identity,
        workers=count,
        words=WordsDesk(
            settings=settings,
            database_url=database_url,
            store=store,
            compute=compute,
            owner=identity.to_text(),
            lease=lambda key, going: house.lease(key, poll_s=LEASE_POLL_S, going=going),
        ),
        search=Words(database_url),
    )
    return house


def call_folder(settings: Settings, call_id: str) -> Path:
    """Where the permits lie that the runs of one call share."""
    return settings.home / "run" / "calls" / call_id


def open_store(settings: Settings) -> Store:
    """The artifacts of these settings."""
    return Store.open(settings.store_location, cache=settings.home / "cache")


def open_published(settings: Settings, store: Store) -> Published:
    """Where people link to: a folder in the home, or beside the artifacts in a bucket."""
    address = urlsplit(settings.store_location)
    if address.scheme == "s3":
        return PublishedBucket(address.netloc, address.path, store)
    return PublishedFolder(settings.home / "published", store)
