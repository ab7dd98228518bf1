"""Words of a source that people may correct: what there is to correct, and a correction with all that follows.

Belongs here: reading the places as they are now, checking a correction before it is recorded. Does not belong here:
what a correction does to a document (processing/words/corrections), the record (ledger/corrections), or making the
corrected artifact (production).

A correction is of the artifact that the machine made; a person's word stays when that is made anew, until it is taken
back. What came of the words is stale from then on and made anew by the next run.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from processing.sound.flac import RATE_HZ
from processing.words.corrected import read_document
from processing.words.corrections import FORMS, Correction, NotCorrect
from processing.words.corrections_plan import ACCEPTED, CORRECTED, UNCORRECTED, UNREVIEWED
from processing.work import NOT_APPLICABLE, Work
from resources.house import House
from resources.ledger.corrections import CORRECTABLE, InTheWay, counted
from resources.lineage import descendants

log = logging.getLogger(__name__)

LONGEST_NAME = 80
MOST_LETTERS = 1_000_000  # of all that is corrected of an asset: the words of a day; they are part of its recipe


@dataclass(frozen=True, slots=True)
class Place:
    """One text as it is now, which `may_go` (be emptied). `was` is the machine's, where `author` corrected it."""

    place: str
    text: str
    was: str | None
    author: str | None
    start_s: float
    end_s: float
    may_go: bool


@dataclass(frozen=True, slots=True)
class Reviewable:
    """The words of an asset; `version` is said back with a correction of them, `review` is unreviewed, accepted or
    corrected.
    """

    asset: str
    version: int
    review: str
    places: tuple[Place, ...]


def reviewable(house: House, works: Mapping[str, Work], source: str, asset: str) -> Reviewable:
    """The words of a source's asset as they are now. Raises `InTheWay`, `NotCorrect`, `UnknownSource`."""
    found = _found(house, works, source, asset)
    texts = {each["place"]: each for each in found.texts}
    places = []
    for each in FORMS[asset].places(_document(house, found, asset)):
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
    return Reviewable(asset, found.version, found.review, tuple(places))


def correct(
    house: House,
    works: Mapping[str, Work],
    source: str,
    asset: str,
    *,
    author: str,
    version: int,
    texts: Mapping[str, str],
    withdrawn: bool = False,
) -> str:
    """Record a correction, and let it and what came of the words be made; what happened, as one sentence.

    `texts` are new texts by place; the machine's own text takes a correction back, no text at all accepts the words as
    they are, and `withdrawn` takes back all that anybody said of them. Nothing is recorded that could not be made.
    Raises `InTheWay`, `NotCorrect`, `UnknownSource`.
    """
    name = _named(author)
    if texts and withdrawn:
        raise NotCorrect("a correction has new texts, or takes all back; say one of them")
    found = _found(house, works, source, asset)
    new = {} if withdrawn else _checked(house, found, asset, texts, name)
    came_of_it = descendants(works, asset, awaiting=True)
    house.ledger.correct(
        source,
        asset,
        author=name,
        version=version,
        uncorrected=found.uncorrected,
        texts=new,
        accepted=not texts and not withdrawn,
        came_of_it=came_of_it,
    )
    told = "all that was said of it is taken back" if withdrawn else counted(new) or "accepted as it is"
    return _sentence(house, source, f"its {asset}: {told}", came_of_it)


def _sentence(house: House, source: str, what: str, came_of_it: Sequence[str]) -> str:
    """What happened and what follows."""
    there = house.ledger.states(source)
    made = [name for name in came_of_it if name in there and there[name].recipe_hash]
    anew = [name for name in made if not _is_held(house, source, name)]
    if not anew:
        return what
    when = " once the source goes on" if house.ledger.stop_requested(source) else ""
    return f"{what}; {', '.join(anew)} {'is' if len(anew) == 1 else 'are'} made anew{when}"


def _is_held(house: House, source: str, asset: str) -> bool:
    """Whether people's words hold of an asset, which then stays as it is."""
    known = house.ledger.corrections(source, asset)
    return known is not None and known.holds


@dataclass(frozen=True, slots=True)
class _Found:
    """Words that can be corrected: of which artifact of the machine's, and what people said of them so far."""

    uncorrected: str
    version: int
    review: str
    texts: tuple[Mapping[str, str], ...]


def _found(house: House, works: Mapping[str, Work], source: str, asset: str) -> _Found:
    house.ledger.source(source)
    if asset not in works or works[asset].corrected is None:
        known = ", ".join(name for name, work in works.items() if work.corrected is not None)
        raise NotCorrect(f"{asset[:40]} cannot be corrected; {known} can")
    row = house.ledger.states(source).get(asset)
    said = house.ledger.corrections(source, asset)
    if row is None or row.state not in CORRECTABLE:
        raise InTheWay(f"its {asset} is {row.state if row else 'not there'} now; correct it when it is there")
    if said is not None and said.holds:
        return _Found(said.uncorrected, said.version, CORRECTED if said.texts else ACCEPTED, said.texts)
    made = house.store.find(asset, row.recipe_hash) if row.recipe_hash else None
    if made is None or NOT_APPLICABLE in made.facts:
        raise InTheWay(f"it has no {asset} that could be corrected: {row.cause or 'it is gone'}")
    digest = made.made_of.get(UNCORRECTED, made.recipe_hash)
    return _Found(digest, said.version if said else 0, UNREVIEWED, ())


def _document(house: House, found: _Found, asset: str) -> dict[str, Any]:
    """What the machine wrote. Raises `InTheWay` where it is gone or damaged."""
    uncorrected = house.store.find(asset, found.uncorrected)
    try:
        if uncorrected is not None:
            return read_document(house.store.as_input(uncorrected, UNCORRECTED), asset)
    except (KeyError, OSError, ValueError) as error:
        log.warning("%s %s cannot be read: %r", asset, found.uncorrected[:12], error)
    raise InTheWay(
        f"what the machine wrote as its {asset} is gone or damaged; take all corrections back, then retry it"
    )


def _checked(house: House, found: _Found, asset: str, texts: Mapping[str, str], author: str) -> dict[str, str | None]:
    """The texts as they are to be recorded, None for the machine's own. Raises `InTheWay`, `NotCorrect`."""
    form, document = FORMS[asset], _document(house, found, asset)
    machine = {place.id: place.text for place in form.places(document)}
    wanted = {place: form.written(document, place, text) for place, text in texts.items()}
    held = {each["place"]: each["text"] for each in found.texts} | wanted
    letters = sum(map(len, held.values()))
    if letters > MOST_LETTERS:
        raise NotCorrect(f"{letters} letters of corrections are too many for one source; {MOST_LETTERS} are allowed")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    made = form.correct(document, [Correction(place, text, author, at) for place, text in held.items()])
    says = [place.text for place in form.places(made)]
    if says != [text for place in machine if (text := held.get(place, machine[place]))]:
        raise NotCorrect("the texts cannot be put into words; write them without signs that are no letters")
    return {place: None if text == machine.get(place) else text for place, text in wanted.items()}


def _named(author: str) -> str:
    """The name of a person as it is kept. Raises `NotCorrect`."""
    name = " ".join("".join(each for each in unicodedata.normalize("NFC", author) if each.isprintable()).split())
    if not name or len(name) > LONGEST_NAME:
        raise NotCorrect(f"a correction names its author, in {LONGEST_NAME} letters at most")
    return name
