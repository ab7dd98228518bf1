"""Perceptual hashes in the database, and which of them lie near each other.

Belongs here: adding the prints of an artifact, the question. Does not belong here: where prints come from or what a
match means (resources/near_duplicates).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

_UNPRINTED = text("""
SELECT DISTINCT x.recipe_hash FROM ledger.asset_states x
WHERE x.asset = :asset AND x.state = 'ready' AND x.recipe_hash IS NOT NULL
  AND NOT EXISTS (SELECT FROM ledger.printed p WHERE p.artifact = x.recipe_hash)
LIMIT :limit
""")
_MARK = text("INSERT INTO ledger.printed (artifact) VALUES (:artifact) ON CONFLICT DO NOTHING")
_ADD = text("""
INSERT INTO ledger.prints (artifact, position, start_ms, end_ms, print)
SELECT :artifact, n.position, n.start_ms, n.end_ms, n.print
FROM unnest(CAST(:positions AS int[]), CAST(:starts AS bigint[]), CAST(:ends AS bigint[]), CAST(:prints AS bigint[]))
  AS n (position, start_ms, end_ms, print)
ON CONFLICT DO NOTHING
""")
# Each of the two questions in one text of its own would say the same twice; nothing of a caller's enters either.
_MINE = "mine AS MATERIALIZED (SELECT position, start_ms, print FROM ledger.prints WHERE artifact = :artifact)"
_COUNTED = """
SELECT a.artifact, count(DISTINCT a.here) AS here, count(DISTINCT a.there) AS there, min(a.bits) AS bits,
       (SELECT count(*) FROM ledger.prints p WHERE p.artifact = a.artifact) AS prints,
       (array_agg(a.here_ms ORDER BY a.bits, a.here))[1] AS here_ms,
       (array_agg(a.there_ms ORDER BY a.bits, a.here))[1] AS there_ms
FROM alike a GROUP BY a.artifact ORDER BY count(DISTINCT a.here) DESC, min(a.bits), a.artifact LIMIT :limit
"""
# Without an index all prints are read for each of the artifact's own.
_NEAR_OF_ALL = text(f"""
WITH {_MINE}, alike AS (
  SELECT other.artifact, mine.position AS here, mine.start_ms AS here_ms, other.position AS there,
         other.start_ms AS there_ms, bit_count(CAST(mine.print # other.print AS bit(64))) AS bits
  FROM mine JOIN ledger.prints other ON bit_count(CAST(mine.print # other.print AS bit(64))) <= :within
  WHERE other.artifact <> :artifact
)
{_COUNTED}""")  # noqa: S608
# With it the nearest of each are taken. It looks at part of the prints only, and now and then misses one.
_NEAR_BY_INDEX = text(f"""
WITH {_MINE}, alike AS (
  SELECT n.artifact, mine.position AS here, mine.start_ms AS here_ms, n.position AS there, n.start_ms AS there_ms,
         CAST(n.bits AS integer) AS bits
  FROM mine CROSS JOIN LATERAL (
    SELECT other.artifact, other.position, other.start_ms,
           CAST(other.print AS bit(64)) <~> CAST(mine.print AS bit(64)) AS bits
    FROM ledger.prints other ORDER BY CAST(other.print AS bit(64)) <~> CAST(mine.print AS bit(64)) LIMIT :nearest
  ) n WHERE n.bits <= :within AND n.artifact <> :artifact
)
{_COUNTED}""")  # noqa: S608
_HAS_INDEX = text("SELECT to_regclass('ledger.prints_near') IS NOT NULL")
_LOOK_AT = text("SELECT set_config('hnsw.ef_search', :nearest, true)")
NEAREST = 200  # prints, of each of an artifact's own
_COUNT = text("SELECT count(*) FROM ledger.prints WHERE artifact = :artifact")
_SOURCES = text("""
SELECT recipe_hash, array_agg(source ORDER BY first_seq) FROM ledger.asset_states
WHERE asset = :asset AND recipe_hash = ANY(CAST(:artifacts AS text[])) AND state = 'ready' GROUP BY recipe_hash
""")


@dataclass(frozen=True, slots=True)
class Print:
    """One hash: its place in its artifact, what it stands for in milliseconds (None for a still), 64 bits, signed."""

    position: int
    start_ms: int | None
    end_ms: int | None
    bits: int


@dataclass(frozen=True, slots=True)
class Near:
    """Another artifact with prints near some of this one's.

    `here` of this one's and `there` of its `prints` have a match; the nearest two, at `here_ms` and `there_ms`, are
    `bits` apart.
    """

    artifact: str
    here: int
    there: int
    prints: int
    bits: int
    here_ms: int | None
    there_ms: int | None


def unprinted(connection: Connection, asset: str, limit: int) -> list[str]:
    """Recipe hashes of ready artifacts whose prints are not in yet."""
    return list(connection.execute(_UNPRINTED, {"asset": asset, "limit": limit}).scalars())


def add(connection: Connection, artifact: str, prints: Iterable[Print]) -> None:
    """Put an artifact's prints in, once, in one transaction of the caller's."""
    known = list(prints)
    connection.execute(
        _ADD,
        {
            "artifact": artifact,
            "positions": [each.position for each in known],
            "starts": [each.start_ms for each in known],
            "ends": [each.end_ms for each in known],
            "prints": [each.bits for each in known],
        },
    )
    connection.execute(_MARK, {"artifact": artifact})


def near(connection: Connection, artifact: str, within: int, limit: int) -> list[Near]:
    """Artifacts with prints at most `within` bits from this one's, those with most matches first."""
    told = {"artifact": artifact, "within": within, "limit": limit}
    if connection.execute(_HAS_INDEX).scalar_one():
        connection.execute(_LOOK_AT, {"nearest": str(NEAREST)})
        found = connection.execute(_NEAR_BY_INDEX, {**told, "nearest": NEAREST}).mappings()
    else:
        found = connection.execute(_NEAR_OF_ALL, told).mappings()
    return [
        Near(
            row["artifact"],
            int(row["here"]),
            int(row["there"]),
            int(row["prints"]),
            int(row["bits"]),
            row["here_ms"],
            row["there_ms"],
        )
        for row in found
    ]


def count(connection: Connection, artifact: str) -> int:
    """How many prints of an artifact are in."""
    return int(connection.execute(_COUNT, {"artifact": artifact}).scalar_one())


def sources_of(connection: Connection, asset: str, artifacts: Sequence[str]) -> dict[str, list[str]]:
    """The sources whose `asset` is one of these artifacts, by recipe hash, earliest first."""
    rows = connection.execute(_SOURCES, {"asset": asset, "artifacts": list(artifacts)})
    return {str(digest): list(keys) for digest, keys in rows}
