"""The door: files that were seen become arrivals and sources, whatever noticed them.

Belongs here: reading a file's bytes once (hash and first bytes), its rule and sidecar, and what is refused at the door.
Does not belong here: finding files (sensors/folder, operations/cli) or opening media (processing/probe).
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from processing.failures import BadInput
from processing.manifest import HASH_BLOCK_BYTES
from processing.probe.magic import sniff_file
from resources.house import House
from resources.ledger.keys import as_stored, as_stored_ns, source_key
from resources.ledger.moves import UnknownSource
from resources.ledger.rows import Arrival, AssetRow, DecisionKind, Registration, SourceRow
from resources.ledger.states import AssetState, is_legal
from resources.settings import Settings
from resources.sidecar import InvalidSidecar, Wishes, read_sidecar, sidecar_of
from resources.texts_beside import TextBeside, texts_beside

log = logging.getLogger(__name__)

DEFAULT_JOB = "video"  # where the first bytes do not tell, media_info has the last word
UNREADABLE = "unreadable"  # stands for the content of a file whose bytes could not be read, or did not hold still
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR})


NOT_ASKED = "it was not asked for"  # looked for by its text when it is asked for later


@dataclass(frozen=True, slots=True)
class Door:
    """What intake must know of the catalogue: every asset, what a source of a job requires, what a job makes at all.

    `required(job, assets)` gives the assets in catalogue order: those asked for and what they need, or all of the job;
    `made_by(job)` all that its runs make.
    """

    known_assets: frozenset[str]
    required: Callable[[str, Sequence[str] | None], Sequence[str]]
    made_by: Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Look:
    """What one reading of a file showed.

    `refusal` is the sentence why it is not taken, or None; `wishes` None stands for a sidecar that cannot be used, in
    which case `refusal` says why. `texts` are the subtitles beside it.
    """

    path: Path
    size_bytes: int
    mtime_ns: int
    content: str
    kind: str | None
    refusal: str | None
    wishes: Wishes | None
    texts: tuple[TextBeside, ...] = ()


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
    """Read one file: its hash, its first bytes, its rule and sidecar. None when it is no longer there.

    Never waits for the other end of a pipe. A file that is written to meanwhile is refused for now: as it is again when
    it stands still, it differs from what was noted of it, and so is taken in anew.
    """
    content, kind, refusal = UNREADABLE, None, None
    size_bytes = mtime_ns = 0
    try:
        found = path.stat()
        size_bytes, mtime_ns = found.st_size, as_stored_ns(found.st_mtime_ns)
        content, kind, refusal = _read(path)
    except OSError as error:
        if error.errno in _GONE:
            return None
        refusal = _unreadable(path, error)
    wishes: Wishes | None = None
    try:
        wishes = wishes_for(path, settings, door)
    except InvalidSidecar as error:
        refusal = refusal or str(error)
    texts = () if refusal else tuple(texts_beside(path))
    return Look(path, size_bytes, mtime_ns, content, kind, _one_line(refusal), wishes, texts)


def wishes_for(path: Path, settings: Settings, door: Door) -> Wishes:
    """What the matching folder rules say, a later one more than an earlier, under what the sidecar says.

    Raises `InvalidSidecar`.
    """
    base = Wishes()
    for rule in settings.rules:
        if rule.applies_to(path, settings.inbox):
            base = Wishes.of_rule(rule).over(base)
    try:
        return read_sidecar(sidecar_of(path), door.known_assets).over(base)
    except OSError as error:
        if error.errno in _GONE or error.errno == errno.ENAMETOOLONG:  # no sidecar fits beside a name of 255 bytes
            return base
        raise InvalidSidecar(_unreadable(sidecar_of(path), error)) from None


def _register(house: House, seen: Look, door: Door, *, actor: str) -> Registration:
    job = seen.kind or DEFAULT_JOB
    wishes = seen.wishes or _said_before(house, seen)
    required = tuple(door.required(job, wishes.assets))
    registration = house.ledger.register(
        Arrival(location=str(seen.path), size_bytes=seen.size_bytes, mtime_ns=seen.mtime_ns, actor=actor),
        content=seen.content,
        job=job,
        options={**wishes.shaping(), **_kept_texts(house, seen)},
        assets=required,
        priority=house.settings.priority if wishes.priority is None else wishes.priority,
        title=wishes.title,
        language=wishes.language,
        tags=wishes.tags,
    )
    key = registration.source_key
    log.info("%s is source %s, arrival %s", seen.path, key, registration.arrival_id)
    states = house.ledger.states(key) if seen.refusal or not registration.is_new else {}
    if seen.refusal:
        _refuse(house, key, states, seen.refusal, actor=actor)
    else:
        if any(row.state is AssetState.READY for row in states.values()):
            _keep_again(house, seen)
        if was_refused(states):
            house.ledger.control(key, "retry", actor=actor, reason="what stood in its way at the door is gone")
            unasked = [name for name in states if name not in required]
            house.ledger.move_many(key, unasked, AssetState.NOT_APPLICABLE, actor=actor, cause=NOT_ASKED)
        asked_now = [name for name in required if name in states and states[name].cause == NOT_ASKED]
        house.ledger.move_many(key, asked_now, AssetState.REGISTERED, actor=actor, cause="it is asked for now")
        _leave_out(house, key, job, required, door, actor=actor)
    return registration


def _keep_again(house: House, seen: Look) -> None:
    """Take the original of a finished source in again, if what was kept of it is gone or was written to."""
    try:
        house.originals.keep(seen.path, seen.content, mode=house.settings.originals)
    except BadInput as failure:  # it is written to: it arrives once more
        log.warning("the original of %s is not kept again: %s", seen.path, failure.cause)


def _kept_texts(house: House, seen: Look) -> dict[str, Any]:
    """What is recorded of the texts beside a file, each of which is kept as an original is.

    One that changed or went away since it was read is left out: the next look at the file finds it as it is then.
    """
    kept = []
    for text in seen.texts:
        try:
            house.originals.keep(text.path, text.sha256)
        except BadInput as failure:
            log.warning("%s is left out: %s", text.path, failure.cause)
            continue
        kept.append(text.to_json())
    return {"texts": kept} if kept else {}


def _refuse(house: House, key: str, states: Mapping[str, AssetRow], refusal: str, *, actor: str) -> None:
    """Quarantine what has not been made yet; what is ready stays, for its bytes were good when they were read."""
    refused = [
        name
        for name, row in states.items()
        if is_legal(row.state, AssetState.QUARANTINED)
        and row.state is not AssetState.RUNNING
        and (row.state, row.cause) != (AssetState.QUARANTINED, refusal)
    ]
    if refused:
        house.ledger.decide(DecisionKind.QUARANTINED, actor=actor, reason=refusal, source=key)
    house.ledger.move_many(key, refused, AssetState.QUARANTINED, actor=actor, cause=refusal)
    if any(row.state is AssetState.READY for row in states.values()):
        log.warning("%s stays as it was: %s", key, refusal)


def was_refused(states: Mapping[str, AssetRow]) -> bool:
    """Whether it never came past the door: quarantined as a whole, by no run."""
    return bool(states) and all(row.state is AssetState.QUARANTINED and row.run_id is None for row in states.values())


def _leave_out(house: House, key: str, job: str, required: Sequence[str], door: Door, *, actor: str) -> None:
    """Say at once of what was wished for and no run of the job makes that it does not apply."""
    of_job = frozenset(door.made_by(job))
    outside = [name for name in required if name not in of_job]
    cause = f"it is not made of {job} files"
    house.ledger.move_many(key, outside, AssetState.NOT_APPLICABLE, actor=actor, cause=cause)


def _said_before(house: House, seen: Look) -> Wishes:
    """What an earlier arrival of these bytes said: a sidecar that became unusable does not change a source."""
    try:
        return _wishes_of(house.ledger.source(source_key(as_stored(str(seen.path)), seen.content)))
    except UnknownSource:
        return Wishes()


def _wishes_of(source: SourceRow) -> Wishes:
    assets, ladder = source.options.get("assets"), source.options.get("ladder")
    return Wishes(
        title=source.title,
        language=source.language,
        tags=source.tags,
        priority=source.priority,
        assets=None if assets is None else tuple(assets),
        ladder=None if ladder is None else tuple(ladder),
        deinterlace=source.options.get("deinterlace"),
    )


def _read(path: Path) -> tuple[str, str | None, str | None]:
    """Content, kind and refusal of a file, all of the same open file. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            return UNREADABLE, None, f"{path.name} is not a regular file; put the file itself in its place"
        content = _sha256(file)
        file.seek(0)
        magic = sniff_file(file)
        after = os.fstat(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return UNREADABLE, magic.kind, f"{path.name} was written to while it was read; retry it when it stands still"
    return content, magic.kind, magic.refusal or None


def _one_line(sentence: str | None) -> str | None:
    """A name with line breaks in it makes no second line."""
    return " ".join(sentence.split()) if sentence else None


def _sha256(file: BinaryIO) -> str:
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
    digest = hashlib.sha256()
    while block := file.read(HASH_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _unreadable(path: Path, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path.name} may not be read by this user; grant read access, then retry the source"
    reason = os.strerror(error.errno or errno.EIO)
    return f"{path.name} cannot be read ({reason}); check the disk, then retry the source"
