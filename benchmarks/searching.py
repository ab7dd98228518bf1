"""Search over many transcripts, and by likeness over as many pictures: how long an answer takes.

The bound is 200 ms for 95 of 100 questions over 100,000 transcripts of about 200 words in 20 pieces, and over as many
films of five shots each. Words are drawn as they are in languages: the n-th commonest every n-th time (Zipf). Questions
hold one to three words, common and rare. Run: `python -m benchmarks.searching [TRANSCRIPTS]`.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing

import numpy as np
import psycopg2

from benchmarks.machine import wait_for_quiet
from benchmarks.results import Figure, record
from resources.ledger.ledger import Ledger
from resources.postgres.database import connect_arguments, ensure_database
from resources.search.words import Words
from tests.database import server

BOUND_MS = 200.0
TRANSCRIPTS = 100_000
VOCABULARY, WORDS, PIECES = 30_000, 200, 20
SHOTS = 5
QUESTIONS = 200
BLOCK = 2_000
INTO_DOCUMENTS = """
INSERT INTO search.documents (source, kind, recipe_hash, config, words)
SELECT s.source, 'transcript', s.source, 'english', to_tsvector('english', string_agg(s.text, ' '))
FROM loading s GROUP BY s.source
"""
INTO_PIECES = """
INSERT INTO search.pieces (document, position, start_ms, text)
SELECT d.id, l.position, l.position * 3000, l.text FROM loading l JOIN search.documents d ON d.source = l.source
"""
INTO_PRINTS = "COPY ledger.prints (artifact, position, start_ms, end_ms, print) FROM STDIN"


def words_of(dice: np.random.Generator) -> list[str]:
    """A vocabulary of pronounceable words, the commonest first."""
    consonants, vowels = list("bdfgklmnprstvz"), list("aeiou")
    found: dict[str, None] = {}
    while len(found) < VOCABULARY:
        count = int(dice.integers(2, 5))
        found["".join(str(dice.choice(consonants)) + str(dice.choice(vowels)) for _ in range(count))] = None
    return list(found)


def fill_transcripts(url: str, count: int, dice: np.random.Generator, vocabulary: Sequence[str]) -> None:
    """Transcripts by the database's own bulk loading."""
    shares = 1 / np.arange(1, VOCABULARY + 1)
    shares /= shares.sum()
    with closing(psycopg2.connect(**connect_arguments(url))) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE loading (source text, position int, text text)")
        for first in range(0, count, BLOCK):
            drawn = dice.choice(VOCABULARY, size=(min(BLOCK, count - first), PIECES, WORDS // PIECES), p=shares)
            lines = (
                f"source-{first + number:07d}\t{place}\t{' '.join(vocabulary[word] for word in piece)}\n"
                for number, pieces in enumerate(drawn)
                for place, piece in enumerate(pieces)
            )
            cursor.execute("TRUNCATE loading")
            cursor.copy_from(io.StringIO("".join(lines)), "loading")
            cursor.execute(INTO_DOCUMENTS)
            cursor.execute(INTO_PIECES)
    _changed(url, "VACUUM ANALYZE search.documents", "VACUUM ANALYZE search.pieces")


def fill_prints(url: str, count: int, dice: np.random.Generator) -> None:
    """Hashes of as many films, each of its own; the index is made of all at once, as after a restored backup."""
    _changed(url, "DROP INDEX ledger.prints_near")
    with closing(psycopg2.connect(**connect_arguments(url))) as connection, connection, connection.cursor() as cursor:
        for first in range(0, count, BLOCK * 5):
            bits = dice.integers(-(2**63), 2**63 - 1, size=(min(BLOCK * 5, count - first), SHOTS), dtype=np.int64)
            lines = (
                f"print-{first + number:07d}\t{shot}\t{shot * 1000}\t{shot * 1000 + 1000}\t{value}\n"
                for number, row in enumerate(bits)
                for shot, value in enumerate(row)
            )
            cursor.copy_expert(
                "COPY ledger.prints (artifact, position, start_ms, end_ms, print) FROM STDIN",
                io.StringIO("".join(lines)),
            )
    _changed(
        url,
        "SET maintenance_work_mem = '1GB'",
        "CREATE INDEX prints_near ON ledger.prints USING hnsw ((CAST(print AS bit(64))) bit_hamming_ops)",
        "VACUUM ANALYZE ledger.prints",
    )


def _changed(url: str, *statements: str) -> None:
    connection = psycopg2.connect(**connect_arguments(url))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def p95_ms(ask: Callable[[int], object]) -> float:
    """What 95 of 100 questions take at most, in milliseconds."""
    took = []
    for number in range(QUESTIONS):
        began = time.perf_counter()
        ask(number)
        took.append(1000 * (time.perf_counter() - began))
    return float(np.percentile(took, 95))


def main() -> None:
    """Measure and print; fail above the bound."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else TRANSCRIPTS
    dice = np.random.default_rng(3)
    vocabulary = words_of(dice)
    with server() as postgres:
        url = ensure_database(postgres.start(), "searching")
        with closing(Ledger.open(url)) as ledger, closing(Words(url)) as words:
            began = time.monotonic()
            fill_transcripts(url, count, dice, vocabulary)
            fill_prints(url, count, dice)
            print(f"{count} transcripts and films filled in {time.monotonic() - began:.0f} s")
            ranks = [int(10 ** dice.uniform(0, 4)) for _ in range(3 * QUESTIONS)]
            asked = [" ".join(vocabulary[rank] for rank in ranks[3 * n : 3 * n + 1 + n % 3]) for n in range(QUESTIONS)]
            wait_for_quiet()
            by_words = p95_ms(lambda number: words.find(asked[number], limit=20))
            found = [len(words.find(question, limit=20)) for question in asked[:50]]
            by_likeness = p95_ms(
                lambda number: ledger.near_prints(f"print-{number * count // QUESTIONS:07d}", within=10, limit=100)
            )
    print(f"by words: p95 {by_words:.0f} ms, {sum(map(bool, found))} of {len(found)} questions find something")
    print(f"by likeness: p95 {by_likeness:.0f} ms")
    if count == TRANSCRIPTS:
        figures = {
            "search_p95_over_100000_transcripts": Figure(round(by_words, 1), BOUND_MS, "lower", "ms"),
            "likeness_p95_over_100000_films": Figure(round(by_likeness, 1), BOUND_MS, "lower", "ms"),
        }
        record(figures)
        if not all(figure.holds for figure in figures.values()):
            raise SystemExit(f"above the bound of {BOUND_MS:g} ms")


if __name__ == "__main__":
    main()
