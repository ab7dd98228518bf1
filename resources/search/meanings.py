"""Texts by what they mean: vectors of all sources in PostgreSQL (pgvector), and those nearest to a question's.

Belongs here: the statements, from an artifact to rows. Does not belong here: whose vectors they are (processing/words/
embeddings), asking a model about the question (asking).

Only vectors of one model are compared. An index (HNSW) is made for each model with up to `MOST_INDEXED` numbers a
vector; beyond, all of its vectors are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from processing.manifest import Manifest
from processing.work import Input
from resources.search.hits import MS, Hit

MOST_INDEXED = 2_000  # pgvector's own bound
_THERE = text("SELECT to_regclass('search.meanings') IS NOT NULL")
_CAN_BE = text("SELECT to_regtype('vector') IS NOT NULL")
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('search.meanings', 0))")
# Here and in no migration: whoever administers the server may bring pgvector later. What was taken in without it is
# taken in again with the first vectors that come after that.
_MAKE = text("""
CREATE TABLE search.meanings (
  source text NOT NULL,
  recipe_hash text NOT NULL,
  model text NOT NULL,
  kind text NOT NULL,
  start_ms bigint,
  text text NOT NULL,
  meaning vector NOT NULL
);
CREATE INDEX meanings_source ON search.meanings (source);
DELETE FROM search.sources;
""")
_KNOWN = text("SELECT EXISTS (SELECT FROM search.meanings WHERE source = :source AND recipe_hash = :recipe_hash)")
_DROP = text("DELETE FROM search.meanings WHERE source = :source")
_ADD = text("""
INSERT INTO search.meanings (source, recipe_hash, model, kind, start_ms, text, meaning)
SELECT :source, :recipe_hash, :model, n.kind, n.start_ms, n.text, CAST(n.meaning AS vector)
FROM unnest(CAST(:kinds AS text[]), CAST(:starts AS bigint[]), CAST(:texts AS text[]), CAST(:meanings AS text[]))
  AS n (kind, start_ms, text, meaning)
""")
_NEAR = """
SELECT source, kind, start_ms, text FROM search.meanings WHERE model = :model
ORDER BY CAST(meaning AS vector({length})) <=> CAST(:meaning AS vector({length})) LIMIT :limit
"""
Numbers = Sequence[float]


@dataclass(frozen=True, slots=True)
class Meant:
    """One text with its vector; `kind` is the asset it stands in, `start_ms` None where it has no time."""

    kind: str
    start_ms: int | None
    text: str
    meaning: Numbers


@dataclass(frozen=True, slots=True)
class Vectors:
    """All of a source: of which artifact (recipe hash), by which model (its digest)."""

    recipe_hash: str
    model: str
    texts: tuple[Meant, ...]


def vectors_of(manifest: Manifest, item: Input, made_of: Mapping[str, Input]) -> Vectors:
    """What an artifact of `embeddings` holds; `made_of` are the artifacts it was made of, by asset."""
    import numpy as np

    from processing.words import embeddings  # here: definitions are loaded without media libraries

    document = embeddings.read_document(item.folder)
    numbers = np.frombuffer(item.path(str(document["file"])).read_bytes(), "<f4").reshape(-1, document["dimensions"])
    texts = embeddings.texts_of(made_of, manifest.recipe["parameters"]["rules"])
    placed = tuple(
        Meant(each.of, _ms(each.start, each.timescale), each.text, vector.tolist())
        for each, vector in zip(texts, numbers, strict=True)
    )
    return Vectors(manifest.recipe_hash, str(item.facts["model"]["sha256"]), placed)


def _ms(ticks: int | None, timescale: int | None) -> int | None:
    return ticks * MS // timescale if ticks is not None and timescale else None


def take_in(connection: Connection, source: str, vectors: Vectors) -> None:
    """Let these be the vectors of a source; known ones stay. Does nothing where the server has no pgvector."""
    told, texts = {"source": source, "recipe_hash": vectors.recipe_hash}, vectors.texts
    if not connection.execute(_CAN_BE).scalar():
        return
    connection.execute(_ALONE)  # one at a time: an index of two makers would wait for each other's rows for ever
    if not _is_there(connection):
        connection.execute(_MAKE)
    if connection.execute(_KNOWN, told).scalar():
        return
    connection.execute(_DROP, {"source": source})
    if not texts:
        return
    columns = {
        "kinds": [each.kind for each in texts],
        "starts": [each.start_ms for each in texts],
        "texts": [each.text for each in texts],
        "meanings": [_written(each.meaning) for each in texts],
    }
    connection.execute(_ADD, {**told, "model": vectors.model, **columns})
    _require_index(connection, vectors.model, len(texts[0].meaning))


def remove(connection: Connection, source: str) -> None:
    """Forget the vectors of a source."""
    if _is_there(connection):
        connection.execute(_DROP, {"source": source})


def near(engine: Engine, model: str, meaning: Numbers, limit: int) -> list[Hit]:
    """The texts that mean most nearly the same, the nearest first."""
    with engine.connect() as connection:
        if not _is_there(connection):
            return []
        statement = text(_NEAR.format(length=len(meaning)))
        told = {"model": model, "meaning": _written(meaning), "limit": limit}
        rows = connection.execute(statement, told)
        return [Hit(row.source, row.kind, row.start_ms, row.text) for row in rows]


def _is_there(connection: Connection) -> bool:
    return bool(connection.execute(_THERE).scalar())


def _require_index(connection: Connection, model: str, length: int) -> None:
    if length > MOST_INDEXED or not model.isalnum():
        return
    connection.execute(
        text(
            f"CREATE INDEX IF NOT EXISTS meanings_{model[:16]} ON search.meanings "
            f"USING hnsw ((CAST(meaning AS vector({length}))) vector_cosine_ops) WHERE model = '{model}'"
        )
    )


def _written(meaning: Numbers) -> str:
    """A vector as pgvector reads it."""
    return f"[{','.join(f'{number:.7g}' for number in meaning)}]"
