"""What to do about a folder's files, decided from values alone: no clock, no disk, no database.

Belongs here: which file is whole, which is a companion, which waits and why, and the cursor that remembers it from
look to look. Does not belong here: listing, registering, asking for runs (folder).

The cursor stays below 1 KB whatever arrives: it holds fingerprints of the files that are next, at most `TRACKED`. All
others wait their turn; the longest untouched come first, so that a file that keeps growing holds up nobody.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from resources.file_names import SIDECAR_SUFFIX, SYSTEM_NAMES, TOO_LONG, is_sidecar, is_subtitle, is_temporary
from resources.ledger.keys import is_too_long

TRACKED = 100  # fingerprints of 8 characters: 800 of the cursor's 1,024 bytes
FINGERPRINT_CHARACTERS = 8  # 48 bits: one in 10^12 for a change to go unnoticed
YOUNG_S = 2.0  # touched so lately that somebody is still writing, whatever two looks have shown
SHOWN_WAITING = 20  # of those that wait; the rest is counted
DOWNLOAD_MARKS = (".part", ".aria2")  # NAME.part beside NAME: NAME is a place holder until it is gone


class Seen(NamedTuple):
    """One file of a listing: location, size in bytes, mtime in ns since 1970, whether it is a symbolic link."""

    location: str
    size_bytes: int
    mtime_ns: int
    is_link: bool = False


class Known(Protocol):
    """What the ledger holds of a file that was taken in."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def mtime_ns(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that is not taken yet, and the sentence why."""

    location: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What one look leads to.

    `register` are the files to take in now, in order; `waiting` some of those that are not taken yet and
    `waiting_count` how many; `cursor` goes into the next look. A file that was to be registered and was not, for
    whatever reason, is planned again.
    """

    register: tuple[Seen, ...]
    waiting: tuple[Waiting, ...]
    waiting_count: int
    cursor: str


def plan(
    listing: Iterable[Seen],
    known: Mapping[str, Known],
    cursor: str | None,
    now: float,
    budget: int,
    settle_looks: int = 2,
) -> Plan:
    """Decide what to do about a folder. Pure.

    `known` maps locations to what the ledger has of them, `now` is in seconds since 1970, `budget` how many files may
    be taken in. A file counts when size and mtime were the same at `settle_looks` looks in a row, its companions' too.
    """
    new = {
        seen.location: seen
        for seen in listing
        if (before := known.get(seen.location)) is None or _changed(seen, before)
    }
    waiting: list[Waiting] = []
    candidates: list[Seen] = []
    media = _Media(new, known)
    for seen in new.values():
        reason = media.reason_to_wait(seen)
        if reason is None:
            candidates.append(seen)
        elif reason:
            waiting.append(Waiting(seen.location, reason))
    candidates.sort(key=lambda seen: (seen.mtime_ns, seen.location))
    looks = _read(cursor)
    prints = {seen.location: fingerprint(seen, media.companions(seen)) for seen in candidates}
    following = sorted(candidates, key=lambda seen: prints[seen.location] not in looks)[:TRACKED]
    remembered: dict[str, int] = {}
    register: list[Seen] = []
    for seen in following:
        mark = prints[seen.location]
        count = looks.get(mark, 0) + 1
        remembered[mark] = min(count, settle_looks)
        if count >= settle_looks and not _young(seen, now) and len(register) < budget:
            register.append(seen)
    taken = {seen.location for seen in register}
    waiting += [Waiting(seen.location, "it is looked at again") for seen in candidates if seen.location not in taken]
    return Plan(tuple(register), tuple(waiting[:SHOWN_WAITING]), len(waiting), _write(remembered))


def fingerprint(seen: Seen, companions: Collection[Seen] = ()) -> str:
    """Eight characters that change with the size or mtime of a file or of a companion of it."""
    digest = hashlib.sha256()
    for one in (seen, *companions):
        digest.update(os.fsencode(one.location) + b"\0%d\0%d\0" % (one.size_bytes, one.mtime_ns))
    return base64.b64encode(digest.digest())[:FINGERPRINT_CHARACTERS].decode()


def owners_of(location: str) -> list[str]:
    """The stems (locations without suffix) or the whole location a companion's name points to, nearest first.

    `a/NAME.sourcebound.json` belongs to `a/NAME`; `a/film.en.srt` to any `a/film.en.*` or `a/film.*`.
    """
    folder, _, name = location.rpartition("/")
    if is_sidecar(name):
        return [location[: -len(SIDECAR_SUFFIX)]]
    stem, _, _ = name.rpartition(".")
    shorter, _, _ = stem.rpartition(".")
    return [f"{folder}/{part}" if folder else part for part in (stem, shorter) if part]


class _Media:
    """The files of a look by what belongs to what."""

    def __init__(self, new: Mapping[str, Seen], known: Collection[str]) -> None:
        self._new = new
        self._known = known
        self._companions: dict[str, list[Seen]] = {}
        subtitles = [seen for seen in new.values() if is_subtitle(seen.location)]
        stems = self._stems() if subtitles else {}
        for seen in new.values():
            if is_sidecar(seen.location):
                self._companions.setdefault(owners_of(seen.location)[0], []).append(seen)
        self._owned: set[str] = set()
        for seen in subtitles:
            owner = next((stems[stem] for stem in owners_of(seen.location) if stem in stems), None)
            if owner is not None:
                self._owned.add(seen.location)
                self._companions.setdefault(owner, []).append(seen)

    def companions(self, seen: Seen) -> list[Seen]:
        return sorted(self._companions.get(seen.location, ()))

    def reason_to_wait(self, seen: Seen) -> str | None:
        """None for a candidate, "" for what is no business of anyone, else why it waits."""
        name = seen.location.rpartition("/")[2]
        if is_too_long(seen.location):
            return TOO_LONG
        if seen.is_link:
            return "it is a link; put the file itself here"
        if is_temporary(name):
            return (
                "" if name.startswith(".") or name.lower() in SYSTEM_NAMES else "its name says that it is being written"
            )
        if is_sidecar(name):
            owner = owners_of(seen.location)[0]
            return "" if owner in self._new or owner in self._known else "the file it describes is not here"
        if is_subtitle(name):
            return "" if seen.location in self._owned else "the file it belongs to is not here"
        if any(seen.location + mark in self._new for mark in DOWNLOAD_MARKS):
            return "it is being downloaded"
        return None

    def _stems(self) -> dict[str, str]:
        """Locations of media by their stem, new ones before known ones."""
        stems: dict[str, str] = {}
        for location in (*self._new, *self._known):
            if not (is_subtitle(location) or is_sidecar(location)):
                stems.setdefault(location.rpartition(".")[0], location)
        return stems


def _changed(seen: Seen, before: Known) -> bool:
    return seen.size_bytes != before.size_bytes or seen.mtime_ns != before.mtime_ns


def _young(seen: Seen, now: float) -> bool:
    return 0 <= now - seen.mtime_ns / 1e9 < YOUNG_S


def _read(cursor: str | None) -> dict[str, int]:
    """Fingerprint to number of looks. A cursor nobody can read is no cursor: files wait two looks more."""
    try:
        groups = json.loads(cursor or "{}")
        return {
            marks[at : at + FINGERPRINT_CHARACTERS]: int(count)
            for count, marks in groups.items()
            for at in range(0, len(marks), FINGERPRINT_CHARACTERS)
        }
    except (ValueError, AttributeError, TypeError):
        return {}


def _write(looks: Mapping[str, int]) -> str:
    groups: dict[int, list[str]] = {}
    for mark, count in looks.items():
        groups.setdefault(count, []).append(mark)
    return json.dumps({str(count): "".join(marks) for count, marks in sorted(groups.items())}, separators=(",", ":"))
