"""Full text in PostgreSQL: documents and vectors of sources kept together, documents found by words.

Belongs here: the statements. Does not belong here: where documents come from (documents), or when (taking_in).

A document is cut into words by the rules of its language, or as they are written where there are no rules for it; a
question is asked in all of these ways at once. First the documents that hold it are found, the best of them chosen,
and only of those the pieces are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Connection, Engine, text

from resources.postgres.database import engine
from resources.search import meanings
from resources.search.hits import Hit
from resources.search.meanings import Vectors

# What PostgreSQL brings along, by the language's code (BCP 47, ISO 639-1). The rest is cut as written.
CONFIGS = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "et": "estonian", "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch",
    "no": "norwegian", "nb": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
    "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
AS_WRITTEN = "simple"
RANKED = 2_000  # documents that are compared; of a word that more hold, which of them come first says little
PIECES = 3  # hits of one document
LONGEST_QUERY = 500  # letters
_ADD = text("""
INSERT INTO search.documents (source, kind, recipe_hash, config, words)
VALUES (:source, :kind, :recipe_hash, CAST(:config AS regconfig), to_tsvector(CAST(:config AS regconfig), :whole))
RETURNING id
""")
_ADD_PIECES = text("""
INSERT INTO search.pieces (document, position, start_ms, text)
SELECT :document, n.position, n.start_ms, n.text
FROM unnest(CAST(:positions AS int[]), CAST(:starts AS bigint[]), CAST(:texts AS text[]))
  AS n (position, start_ms, text)
""")
_KNOWN = text("SELECT kind, recipe_hash FROM search.documents WHERE source = :source")
_DROP = text("DELETE FROM search.documents WHERE source = :source AND kind = ANY(CAST(:kinds AS text[]))")
_TAKEN = text("""
INSERT INTO search.sources (source, recipe_hash) VALUES (:source, :recipe_hash)
ON CONFLICT (source) DO UPDATE SET recipe_hash = excluded.recipe_hash
""")
_UNTAKEN = text("""
SELECT x.source, x.recipe_hash FROM ledger.asset_states x
WHERE x.asset = :asset AND x.recipe_hash IS NOT NULL AND x.state IN ('ready', 'waiting', 'stale')
  AND NOT EXISTS (SELECT FROM search.sources s WHERE s.source = x.source AND s.recipe_hash = x.recipe_hash)
LIMIT :limit
""")
_WITHOUT = re.compile(r'(?:^|\s)-(?:"[^"]*"|\S+)')  # what must not be there says nothing of where to look
_CUT = text("""
SELECT CAST(websearch_to_tsquery(CAST(:config AS regconfig), :asked) AS text) AS every,
       CAST(websearch_to_tsquery(CAST(:config AS regconfig), :about) AS text) AS about
""")
_CONFIGS = text("SELECT DISTINCT CAST(config AS text) FROM search.documents")
_FIND = text("""
WITH asked AS MATERIALIZED (
  SELECT CAST(:every AS tsquery) AS every, CAST(:any_of AS tsquery) AS any_of
),
holding AS MATERIALIZED (
  SELECT d.id, d.source, d.kind, d.config, d.words FROM search.documents d, asked
  WHERE d.words @@ asked.every AND d.config = CAST(:config AS regconfig)
    AND (CAST(:kinds AS text[]) IS NULL OR d.kind = ANY(CAST(:kinds AS text[])))
  LIMIT :ranked
),
best AS MATERIALIZED (
  SELECT h.id, h.source, h.kind, h.config, ts_rank(h.words, asked.every, 1) AS rank FROM holding h, asked
  ORDER BY rank DESC, h.id DESC LIMIT :limit
)
SELECT b.id, b.source, b.kind, b.rank, p.start_ms, p.text
FROM best b CROSS JOIN asked CROSS JOIN LATERAL (
  SELECT n.start_ms, n.text, n.position, ts_rank(n.words, asked.any_of) AS rank
  FROM (SELECT p.*, to_tsvector(b.config, p.text) AS words FROM search.pieces p WHERE p.document = b.id) n
  WHERE n.words @@ asked.any_of ORDER BY n.words @@ asked.every DESC, rank DESC, n.position LIMIT :pieces
) p
ORDER BY b.rank DESC, b.id DESC, p.rank DESC, p.position
""")


@dataclass(frozen=True, slots=True)
class Piece:
    """One text and when it is said or shown, in milliseconds; None where it has no time."""

    start_ms: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """All texts of one kind of a source, of which artifact, and in which language where that is known (BCP 47)."""

    kind: str
    recipe_hash: str
    language: str | None
    pieces: tuple[Piece, ...]


class NothingAsked(ValueError):
    """A question without a word in it; the text is a sentence."""


class Words:
    """Documents of all sources in the database of an address, which is asked for at the first use. Safe for threads."""

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def _engine(self) -> Engine:
        return engine(self._url)

    def close(self) -> None:
        """Give the connections back."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    @property
    def connections(self) -> Engine:
        """To the database, for what else is searched there."""
        return self._engine

    def take_in(self, source: str, release: str, documents: Sequence[Document], vectors: Vectors | None = None) -> None:
        """Let these be the documents of a source, as of the recipe hash of its release; those that are known stay."""
        with self._engine.begin() as connection:
            known = {row.kind: row.recipe_hash for row in connection.execute(_KNOWN, {"source": source})}
            wanted = {document.kind: document.recipe_hash for document in documents}
            gone = [kind for kind, recipe_hash in known.items() if wanted.get(kind) != recipe_hash]
            connection.execute(_DROP, {"source": source, "kinds": gone})
            for document in documents:
                if known.get(document.kind) != document.recipe_hash:
                    _add(connection, source, document)
            if vectors is None:
                meanings.remove(connection, source)
            else:
                meanings.take_in(connection, source, vectors)
            connection.execute(_TAKEN, {"source": source, "recipe_hash": release})

    def remove(self, source: str) -> None:
        """Forget all documents of a source."""
        with self._engine.begin() as connection:
            connection.execute(text("DELETE FROM search.documents WHERE source = :source"), {"source": source})
            connection.execute(text("DELETE FROM search.sources WHERE source = :source"), {"source": source})
            meanings.remove(connection, source)

    def untaken(self, asset: str, limit: int) -> list[tuple[str, str]]:
        """Sources whose release was not taken in yet, with its recipe hash."""
        with self._engine.connect() as connection:
            rows = connection.execute(_UNTAKEN, {"asset": asset, "limit": limit})
            return [(row.source, row.recipe_hash) for row in rows]

    def find(self, said: str, *, limit: int, kinds: Collection[str] | None = None) -> list[Hit]:
        """Where words are found, the best documents first, at most `limit` of them.

        Words stand for all of them; "quoted words" for that phrase, `or` for either, a minus for without. Raises
        NothingAsked where nothing is left to look for.
        """
        with self._engine.connect() as connection:
            told = {"kinds": list(kinds) if kinds else None, "ranked": RANKED, "limit": limit, "pieces": PIECES}
            rows = [row for way in _ways(connection, said) for row in connection.execute(_FIND, {**told, **way})]
        rows.sort(key=lambda row: (-row.rank, -row.id))  # of one document they stay in their order
        best = set(list(dict.fromkeys(row.id for row in rows))[:limit])
        return [Hit(row.source, row.kind, row.start_ms, row.text) for row in rows if row.id in best]


def _ways(connection: Connection, said: str) -> list[dict[str, str]]:
    """The question in each way in which documents are cut: what all must hold, and any word of what it is about.

    Raises NothingAsked.
    """
    asked = " ".join(said.replace("\0", " ").split())[:LONGEST_QUERY]
    if not asked:
        raise NothingAsked("nothing was asked for; name a word")
    about = _WITHOUT.sub(" ", asked)
    found = []
    for config in sorted({AS_WRITTEN, *connection.execute(_CONFIGS).scalars()}):
        told = {"config": config, "asked": asked, "about": about}
        row = connection.execute(_CUT, told).one()
        if row.every and row.about:
            found.append({"config": config, "every": row.every, "any_of": row.about.replace(" & ", " | ")})
    if not found:
        raise NothingAsked(f"{asked[:40]!r} holds no word that could be found; name one")
    return found


def _add(connection: Connection, source: str, document: Document) -> None:
    whole = "\n".join(piece.text for piece in document.pieces)
    told = {"source": source, "kind": document.kind, "recipe_hash": document.recipe_hash}
    number = connection.execute(_ADD, {**told, "config": config_of(document.language), "whole": whole}).scalar_one()
    columns = {
        "positions": list(range(len(document.pieces))),
        "starts": [piece.start_ms for piece in document.pieces],
        "texts": [piece.text for piece in document.pieces],
    }
    connection.execute(_ADD_PIECES, {"document": number, **columns})


def config_of(language: str | None) -> str:
    """The rules by which texts of a language are cut."""
    return CONFIGS.get((language or "").partition("-")[0].lower(), AS_WRITTEN)
