"""The door: files that were seen become arrivals and sources, whatever noticed them.

Belongs here: reading a file's bytes once (hash and first bytes), its rule and sidecar, and what is refused at the door.
Does not belong here: finding files (sensors/folder, operations/cli) or opening media (processing/probe).
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from processing.manifest import HASH_BLOCK_BYTES
from processing.probe.magic import sniff_path
from resources.house import House
from resources.ledger.rows import Arrival, Registration
from resources.ledger.states import AssetState
from resources.settings import Settings
from resources.sidecar import InvalidSidecar, Wishes, read_sidecar, sidecar_of

log = logging.getLogger(__name__)

DEFAULT_JOB = "video"  # where the first bytes do not tell, media_info has the last word
UNREADABLE = "unreadable"  # stands for the content of a file that could not be read


@dataclass(frozen=True, slots=True)
class Door:
    """What intake must know of the catalogue: every asset, and what a source of a job requires.

    `required(job, assets)` gives the assets in catalogue order: those asked for and what they need, or all of the job.
    """

    known_assets: frozenset[str]
    required: Callable[[str, Sequence[str] | None], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Look:
    """What one reading of a file showed. `refusal` is the sentence why it is not taken, or None."""

    path: Path
    size_bytes: int
    mtime_ns: int
    content: str
    kind: str | None
    refusal: str | None
    wishes: Wishes


def register_files(house: House, paths: Iterable[Path], door: Door, *, actor: str) -> list[Registration]:
    """Record each file as an arrival of its source; what cannot be media is quarantined at once, with its cause.

    A file that vanished since it was seen is left out. The files are only read.
    """
    registrations = []
    for path in paths:
        seen = look(path, house.settings, door)
        if seen is not None:
            registrations.append(_register(house, seen, door, actor=actor))
    return registrations


def look(path: Path, settings: Settings, door: Door) -> Look | None:
    """Read one file: its hash, its first bytes, its rule and sidecar. None when it is no longer there."""
    refusal = None
    wishes = Wishes()
    content, kind = UNREADABLE, None
    size_bytes = mtime_ns = 0
    try:
        before = path.stat()
        size_bytes, mtime_ns = before.st_size, before.st_mtime_ns
        content = _sha256(path)
        magic = sniff_path(path)
        kind, refusal = magic.kind, magic.refusal or None
    except FileNotFoundError:
        return None
    except OSError as error:
        refusal = _unreadable(path, error)
    try:
        wishes = wishes_for(path, settings, door)
    except InvalidSidecar as error:
        refusal = refusal or str(error)
    return Look(
        path=path,
        size_bytes=size_bytes,
        mtime_ns=mtime_ns,
        content=content,
        kind=kind,
        refusal=refusal,
        wishes=wishes,
    )


def wishes_for(path: Path, settings: Settings, door: Door) -> Wishes:
    """What the matching folder rules say, a later one more than an earlier, under what the sidecar says. Raises `InvalidSidecar`."""
    base = Wishes()
    for rule in settings.rules:
        if path.match(rule.pattern):
            base = Wishes.of_rule(rule).over(base)
    try:
        return read_sidecar(sidecar_of(path), door.known_assets).over(base)
    except FileNotFoundError:
        return base
    except OSError as error:
        raise InvalidSidecar(_unreadable(sidecar_of(path), error)) from None


def _register(house: House, seen: Look, door: Door, *, actor: str) -> Registration:
    job = seen.kind or DEFAULT_JOB
    required = tuple(door.required(job, seen.wishes.assets))
    registration = house.ledger.register(
        Arrival(location=str(seen.path), size_bytes=seen.size_bytes, mtime_ns=seen.mtime_ns, actor=actor),
        content=seen.content,
        job=job,
        options=seen.wishes.shaping(),
        assets=required,
        priority=house.settings.priority if seen.wishes.priority is None else seen.wishes.priority,
        title=seen.wishes.title,
        language=seen.wishes.language,
        tags=seen.wishes.tags,
    )
    if registration.is_new and seen.refusal:
        house.ledger.move_many(
            registration.source_key, required, AssetState.QUARANTINED, actor=actor, cause=seen.refusal
        )
    log.info("%s is source %s, arrival %s", seen.path, registration.source_key, registration.arrival_id)
    return registration


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _unreadable(path: Path, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path.name} may not be read by this user; grant read access, then retry the source"
    return f"{path.name} cannot be read ({os.strerror(error.errno or errno.EIO)}); check the disk, then retry the source"
