"""What of a source can be found: its artifacts as documents of pieces, each with its time.

Belongs here: reading artifacts into documents. Does not belong here: keeping and finding them (words), or when that is
done (taking_in).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from processing.manifest import Manifest
from processing.words.embeddings_plan import ASSET as EMBEDDINGS
from processing.words.embeddings_plan import SCREEN_TEXT, TRANSCRIPT
from processing.work import NOT_APPLICABLE, Input
from resources.house import House
from resources.ledger.keys import as_stored
from resources.ledger.rows import SourceRow
from resources.search.hits import MS
from resources.search.meanings import Vectors, vectors_of
from resources.search.words import Document, Piece

MOST_LETTERS = 2_000  # of one piece: it is shown as it is
FILE = "file"


def documents_of(house: House, source: SourceRow) -> list[Document]:
    """The documents of a source as it is now; what is missing, damaged or does not apply has none."""
    states = house.ledger.states(source.key)
    found = []
    for asset, read in READERS.items():
        row = states.get(asset)
        manifest = house.store.find(asset, row.recipe_hash) if row is not None and row.recipe_hash else None
        if manifest is None or NOT_APPLICABLE in manifest.facts:
            continue
        try:
            language, pieces = read(house.store.as_input(manifest, asset), source)
            kept = tuple(piece for piece in pieces if piece.text)
        except (KeyError, OSError, TypeError, ValueError):  # `verify` tells of what is damaged
            continue
        if kept:
            found.append(Document(FILE if asset == "media_info" else asset, _digest(manifest, source), language, kept))
    return found


def vectors_in(house: House, source: SourceRow) -> Vectors | None:
    """The vectors of a source as it is now, where a model for them is configured and they can be read."""
    row = house.ledger.states(source.key).get(EMBEDDINGS)
    manifest = house.store.find(EMBEDDINGS, row.recipe_hash) if row is not None and row.recipe_hash else None
    if manifest is None or NOT_APPLICABLE in manifest.facts:
        return None
    try:
        found = {name: house.store.find(name, manifest.made_of.get(name, "")) for name in (TRANSCRIPT, SCREEN_TEXT)}
        made_of = {name: house.store.as_input(each, name) for name, each in found.items() if each is not None}
        return vectors_of(manifest, house.store.as_input(manifest, EMBEDDINGS), made_of)
    except (KeyError, OSError, TypeError, ValueError):  # `verify` tells of what is damaged
        return None


def _digest(manifest: Manifest, source: SourceRow) -> str:
    """What a document is made of: for the file also what was said of it, which no recipe of media_info holds."""
    if manifest.asset != "media_info":
        return manifest.recipe_hash
    return as_stored("/".join([manifest.recipe_hash, source.title or "", *source.tags, source.path.name]))


Reading = tuple[str | None, Iterator[Piece]]


def _transcript(item: Input, _source: SourceRow) -> Reading:
    document = json.loads(item.path("transcript.json").read_bytes())
    rate = int(document["rate_hz"])

    def pieces() -> Iterator[Piece]:
        for track in document["tracks"]:
            for segment in track["segments"]:
                first = int(segment["first"])
                own = track["words"][first : first + int(segment["words"])]
                yield _piece(int(segment["start"]) * MS // rate, " ".join(str(word["text"]) for word in own))

    return item.facts.get("language"), pieces()


def _screen_text(item: Input, _source: SourceRow) -> Reading:
    document = json.loads(item.path("screen_text.json").read_bytes())
    scale = document["timescale"]
    return None, (
        _piece(int(line["start"]) * MS // int(scale) if scale else None, str(line["text"]))
        for line in document["lines"]
    )


def _summary(item: Input, _source: SourceRow) -> Reading:
    document = json.loads(item.path(str(item.facts["file"])).read_bytes())
    rate = int(document["rate_hz"])

    def pieces() -> Iterator[Piece]:
        for each in (*document["abstract"], *document["keywords"]):
            yield _piece(int(each["cites"][0]["start"]) * MS // rate, str(each["text"]))
        for chapter in document["chapters"]:
            yield _piece(int(chapter["start"]) * MS // rate, str(chapter["title"]))

    return document.get("language"), pieces()


def _file(item: Input, source: SourceRow) -> Reading:
    facts = item.facts
    streams: list[Mapping[str, Any]] = [each for each in (facts.get("video"), facts.get("image")) if each]
    streams += list(facts.get("audio") or ())
    told = [
        source.title or "",
        source.path.name,
        source.path.stem.replace("_", " ").replace("-", " ").replace(".", " "),
        str(facts["format"].get("title") or ""),
        " ".join(source.tags),
        str(facts["format"].get("long_name") or facts["format"].get("name") or ""),
        " ".join(str(stream.get("codec") or "") for stream in streams),
        " ".join(str(stream.get("title") or "") for stream in streams),
        " ".join(str(chapter.get("title") or "") for chapter in facts.get("chapters") or ()),
    ]
    return None, iter([_piece(None, " · ".join(text for text in dict.fromkeys(told) if text.strip()))])


READERS: Mapping[str, Callable[[Input, SourceRow], Reading]] = {
    "transcript": _transcript,
    "screen_text": _screen_text,
    "summary": _summary,
    "media_info": _file,
}


def _piece(start_ms: int | None, text: str) -> Piece:
    return Piece(start_ms, " ".join(as_stored(text).split())[:MOST_LETTERS])
