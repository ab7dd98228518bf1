"""The record of calls: every try, what it used and what came of it; and answers that were found to say nothing.

Belongs here: those rows. Does not belong here: what is under way (governor) or what an answer says (its artifact).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Engine, text

from resources.ledger.keys import as_stored

CAUSE_CHARACTERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One try of one call. `key` is the idempotency key that all tries of it share; `trial` counts them from 1.

    `waited_s` is the time until it was admitted, `took_s` that until its end.
    """

    key: str
    trial: int
    recipe_hash: str
    task: str
    release: str
    dependency: str
    source: str
    asset: str
    run_id: str
    correlation: str
    outcome: str
    cause: str | None = None
    request_id: str | None = None
    tokens_in: float | None = None
    tokens_out: float | None = None
    waited_s: float = 0.0
    took_s: float = 0.0
    cost_usd: float = 0.0


_NOTE = text("""
INSERT INTO gateway.calls (key, try, recipe_hash, task, release, dependency, source, asset, run_id, correlation,
  outcome, cause, request_id, tokens_in, tokens_out, waited_s, took_s, cost_usd)
VALUES (:key, :trial, :recipe_hash, :task, :release, :dependency, :source, :asset, :run_id, :correlation,
  :outcome, :cause, :request_id, :tokens_in, :tokens_out, :waited_s, :took_s, :cost_usd)
""")
_TRIES = text("SELECT count(*) FROM gateway.calls WHERE key = :key")
_REJECT = text("""
INSERT INTO gateway.rejected (recipe_hash, reader, cause) VALUES (:recipe_hash, :reader, :cause)
ON CONFLICT (recipe_hash, reader) DO NOTHING
""")
_IS_REJECTED = text(
    "SELECT EXISTS (SELECT FROM gateway.rejected WHERE recipe_hash = :recipe_hash AND reader = :reader)"
)


class Calls:
    """Writes and reads them. Safe for threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def note(self, done: Try) -> None:
        """Put one try on record."""
        values = asdict(done)
        values["cause"] = as_stored(done.cause)[:CAUSE_CHARACTERS] if done.cause else None
        with self._engine.begin() as connection:
            connection.execute(_NOTE, values)

    def tries(self, key: str) -> int:
        """How often a call was tried, by whatever process."""
        with self._engine.connect() as connection:
            return int(connection.execute(_TRIES, {"key": key}).scalar_one())

    def reject(self, recipe_hash: str, reader: str, cause: str) -> None:
        """Let an answer not be used again by this reader: asking the same it gets another."""
        values = {"recipe_hash": recipe_hash, "reader": reader, "cause": as_stored(cause)[:CAUSE_CHARACTERS]}
        with self._engine.begin() as connection:
            connection.execute(_REJECT, values)

    def is_rejected(self, recipe_hash: str, reader: str) -> bool:
        """Whether this reader found an answer to say nothing."""
        with self._engine.connect() as connection:
            values = {"recipe_hash": recipe_hash, "reader": reader}
            return bool(connection.execute(_IS_REJECTED, values).scalar_one())
