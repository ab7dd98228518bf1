"""Words of a source that people may correct: what there is to correct, and a correction with all that follows.

Belongs here: reading the places as they are now, checking a correction before it is recorded. Does not belong here:
what a correction does to a document (processing/words/corrections), the record (ledger/corrections), or making the
corrected artifact (production).

A correction is of the artifact that the machine made; a person's word stays when that is made anew, until it is taken
back. What came of the words is stale from then on and made anew by the next run.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from processing.manifest import Manifest
from processing.sound.flac import RATE_HZ
from processing.words.corrected import read_document
from processing.words.corrections import FORMS, Correction, NotCorrect, clean
from processing.words.corrections_plan import UNCORRECTED
from processing.work import NOT_APPLICABLE, Work
from resources.house import House
from resources.ledger.corrections import Corrections, InTheWay
from resources.ledger.states import USABLE
from resources.lineage import descendants

LONGEST_NAME = 80
MOST_LETTERS = 1_000_000  # of all that is corrected of an asset: the words of a day; they are part of its recipe


@dataclass(frozen=True, slots=True)
class Place:
    """One text as it is now. `was` is the machine's, where it was corrected, by `author`."""

    place: str
    text: str
    was: str | None
    author: str | None
    start_s: float
    end_s: float
    may_go: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "place": self.place,
            "text": self.text,
            "was": self.was,
            "author": self.author,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "may_go": self.may_go,
        }


@dataclass(frozen=True, slots=True)
class Reviewable:
    """The words of an asset, `version` to be said back with a correction of them, `review` their state."""

    asset: str
    version: int
    review: str
    places: tuple[Place, ...]

    def to_json(self) -> dict[str, Any]:
        places = [place.to_json() for place in self.places]
        return {"asset": self.asset, "version": self.version, "review": self.review, "places": places}


def reviewable(house: House, works: Mapping[str, Work], source: str, asset: str) -> Reviewable:
    """The words of a source's asset as they are now. Raises `InTheWay`, `NotCorrect`, `UnknownSource`."""
    made, uncorrected, known = _found(house, works, source, asset)
    document = read_document(house.store.as_input(uncorrected, UNCORRECTED), asset)
    texts = {each["place"]: each for each in (known.texts if known else ())}
    places = []
    for each in FORMS[asset].places(document):
        said = texts.get(each.id)
        places.append(
            Place(
                each.id,
                said["text"] if said else each.text,
                each.text if said else None,
                said["author"] if said else None,
                each.start / RATE_HZ,
                each.end / RATE_HZ,
                each.may_go,
            )
        )
    return Reviewable(asset, known.version if known else 0, str(made.facts["review"]), tuple(places))


def correct(
    house: House,
    works: Mapping[str, Work],
    source: str,
    asset: str,
    *,
    author: str,
    version: int,
    texts: Mapping[str, str],
) -> str:
    """Record a correction, and let it and what came of the words be made; what happened, as one sentence.

    `texts` are new texts by place; the machine's own text takes a correction back, no text at all accepts the words as
    they are. Nothing is recorded that could not be made. Raises `InTheWay`, `NotCorrect`, `UnknownSource`.
    """
    name = _named(author)
    _, uncorrected, known = _found(house, works, source, asset)
    document = read_document(house.store.as_input(uncorrected, UNCORRECTED), asset)
    machine = {place.id: place.text for place in FORMS[asset].places(document)}
    wanted = {place: clean(text) for place, text in texts.items()}
    new = {place: None if text == machine.get(place) else text for place, text in wanted.items()}
    held = {each["place"]: each["text"] for each in (known.texts if known else ())} | wanted
    letters = sum(map(len, held.values()))
    if letters > MOST_LETTERS:
        raise NotCorrect(f"{letters} letters of corrections are too many for one source; {MOST_LETTERS} are allowed")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    FORMS[asset].correct(document, [Correction(place, text, name, at) for place, text in held.items()])
    came_of_it = descendants(works, asset, awaiting=True)
    house.ledger.correct(
        source,
        asset,
        author=name,
        version=version,
        uncorrected=uncorrected.recipe_hash,
        texts=new,
        accepted=not texts,
        came_of_it=came_of_it,
    )
    there = house.ledger.states(source)
    anew = [each for each in came_of_it if each in there and there[each].recipe_hash]
    what = f"{len(texts)} places of its {asset} are corrected" if texts else f"its {asset} is accepted"
    return f"{what}; {', '.join(anew)} {'is' if len(anew) == 1 else 'are'} made anew" if anew else what


def _found(
    house: House, works: Mapping[str, Work], source: str, asset: str
) -> tuple[Manifest, Manifest, Corrections | None]:
    """The words as they are, as the machine wrote them, and what was corrected of those."""
    house.ledger.source(source)
    if asset not in works or works[asset].corrected is None:
        known = ", ".join(name for name, work in works.items() if work.corrected is not None)
        raise NotCorrect(f"{asset[:40]} cannot be corrected; {known} can")
    row = house.ledger.states(source).get(asset)
    if row is None or row.state not in USABLE or row.recipe_hash is None:
        raise InTheWay(f"its {asset} is {row.state if row else 'not there'} now; correct it when it is there")
    made = house.store.find(asset, row.recipe_hash)
    if made is None or NOT_APPLICABLE in made.facts:
        raise InTheWay(f"it has no {asset} that could be corrected: {row.cause or 'it is gone'}")
    digest = made.made_of.get(UNCORRECTED, made.recipe_hash)
    uncorrected = house.store.find(asset, digest)
    if uncorrected is None:
        raise InTheWay(f"what the machine wrote as its {asset} is gone; retry the source, then correct it")
    known_of_it = house.ledger.corrections(source, asset)
    if known_of_it is not None and known_of_it.uncorrected != digest:
        if known_of_it.holds:
            raise InTheWay(f"a correction of its {asset} is being made; look at it again in a moment")
        known_of_it = Corrections(known_of_it.version, digest, (), None)
    return made, uncorrected, known_of_it


def _named(author: str) -> str:
    """The name of a person as it is kept. Raises `NotCorrect`."""
    name = " ".join("".join(each for each in unicodedata.normalize("NFC", author) if each.isprintable()).split())
    if not name or len(name) > LONGEST_NAME:
        raise NotCorrect(f"a correction names its author, in {LONGEST_NAME} letters at most")
    return name
