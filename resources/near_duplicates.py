"""Sources that look alike: whose shots or stills have hashes near those of another's.

Belongs here: bringing hashes from artifacts into the database, and what a match says of two sources. Does not belong
here: hashing (processing/picture/fingerprint) or the statements (ledger/prints).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from processing import webvtt
from processing.failures import ContractBroken
from processing.picture.fingerprint import BITS, read_prints
from resources.house import House
from resources.ledger.prints import Print
from resources.ledger.states import AssetState

ASSET = "fingerprint"
WITHIN_BITS = 10  # of 64: the same still at another size and quality was within 6, unrelated ones are 20 to 44 apart
MOST = 100  # other artifacts in one answer
A_LOT = 500  # artifacts read in one go
_SIGNED = 1 << (BITS - 1)


@dataclass(frozen=True, slots=True)
class LookAlike:
    """Another source, and how much of each of the two is in the other: shares of their shots (1 for one still).

    `bits` is how far apart the nearest two pictures are, which lie at `here_ms` and `there_ms` (None in a still).
    """

    source: str
    share_here: Fraction
    share_there: Fraction
    bits: int
    here_ms: int | None
    there_ms: int | None

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "share_here": round(float(self.share_here), 4),
            "share_there": round(float(self.share_there), 4),
            "bits": self.bits,
            "here_ms": self.here_ms,
            "there_ms": self.there_ms,
        }


class NotPrinted(LookupError):
    """The source has no fingerprint to compare; the text is a sentence."""


def look_alikes(house: House, source: str, *, within: int = WITHIN_BITS) -> list[LookAlike]:
    """Sources that look like `source`, the most alike first: same files, then by how much of this one they hold.

    Plain pictures (black, one colour) are not compared. Raises `NotPrinted`.
    """
    row = house.ledger.states(source).get(ASSET)
    if row is not None and row.state is AssetState.NOT_APPLICABLE:
        raise NotPrinted(f"{source} has no pictures that could be compared: {row.cause}")
    if row is None and house.ledger.source(source).job == "audio":
        raise NotPrinted(f"{source} is a sound, and has no pictures that could be compared")
    if row is None or row.recipe_hash is None:
        raise NotPrinted(f"{source} has no fingerprint yet; make it with `sourcebound process FILE --only {ASSET}`")
    take_in_prints(house)
    mine = house.ledger.print_count(row.recipe_hash)
    near = house.ledger.near_prints(row.recipe_hash, within=within, limit=MOST)
    sources = house.ledger.sources_of_artifacts(ASSET, [row.recipe_hash, *(each.artifact for each in near)])
    found = [
        LookAlike(other, Fraction(1), Fraction(1), 0, None, None)
        for other in sources.get(row.recipe_hash, ())
        if other != source
    ]
    for each in near:
        here, there = Fraction(each.here, mine), Fraction(each.there, each.prints)
        found += [
            LookAlike(other, here, there, each.bits, each.here_ms, each.there_ms)
            for other in sources.get(each.artifact, ())
            if other != source
        ]
    return found


def take_in_prints(house: House) -> int:
    """Bring the prints of every finished fingerprint into the database that are not there yet; how many artifacts."""
    taken = 0
    while digests := house.ledger.unprinted(ASSET, limit=A_LOT):
        for digest in digests:
            house.ledger.add_prints(digest, _prints_of(house, digest))
            taken += 1
    return taken


def _prints_of(house: House, digest: str) -> list[Print]:
    """What a fingerprint says; nothing of one that is damaged or gone, which `verify` tells of."""
    try:
        manifest = house.store.find(ASSET, digest)
        document = None if manifest is None else read_prints(house.store.as_input(manifest, ASSET).folder)
    except (ContractBroken, OSError, ValueError):
        document = None
    if document is None:
        return []
    timescale = document["timescale"]
    return [
        Print(
            position,
            None if each["start"] is None else webvtt.ms_of(each["start"], timescale),
            None if each["end"] is None else webvtt.ms_of(each["end"], timescale),
            _signed(int(each["hash"], 16)),
        )
        for position, each in enumerate(document["prints"])
        if not each["plain"]
    ]


def _signed(bits: int) -> int:
    """64 bits as PostgreSQL's bigint has them."""
    return bits - 2 * _SIGNED if bits >= _SIGNED else bits
