"""Money: what a call may cost is reserved before it is made, what it did cost is settled after.

Belongs here: budgets and reservations in them. Does not belong here: what a call costs (prices in resources/releases)
or what is limited otherwise (governor).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from processing.failures import OutOfBudget
from resources.gateway.clock import Clock

FOR_EVER = "-"

_RESERVE = text("""
SELECT ids, short_scope, left_usd FROM gateway.reserve(:scopes, :periods, :limits, :usd, :lease_s, :now)
""")
_SETTLE = text("SELECT gateway.settle(:ids, :scopes, :periods, :usd)")
_SPENT = text("SELECT scope, period, usd FROM gateway.spent WHERE period = ANY(:periods)")


@dataclass(frozen=True, slots=True)
class Budget:
    """An upper bound in US dollars: of a day (`period` YYYY-MM-DD, in UTC) or FOR_EVER. `scope` names it."""

    scope: str
    period: str
    usd: float


class BudgetSpent(Exception):
    """A budget has too little left in its period; the next one begins in `wait_s`."""

    def __init__(self, cause: str, wait_s: float) -> None:
        super().__init__(cause)
        self.cause = cause
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room for one call in all its budgets."""

    ids: tuple[int, ...] = ()
    budgets: tuple[Budget, ...] = ()


def today(clock: Clock) -> str:
    """The period that budgets of a day count in."""
    return (clock.now() or datetime.now(UTC)).strftime("%Y-%m-%d")


def _next_day_s(clock: Clock) -> float:
    now = clock.now() or datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - now).total_seconds()


class Purse:
    """Reserves and settles. Safe for threads and processes."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def reserve(self, budgets: Sequence[Budget], usd: float, *, for_s: float) -> Reservation:
        """Room for `usd` in every budget, or none. Raises, before anything was sent, `BudgetSpent` where the next
        period has room and `OutOfBudget` where none has.

        What is not settled within `for_s` counts as spent: whoever was killed may have been charged for it.
        """
        if not budgets or usd <= 0:
            return Reservation()
        ordered = sorted(budgets, key=lambda budget: budget.scope)  # one order for all: nobody waits in a circle
        values = {
            "scopes": [budget.scope for budget in ordered],
            "periods": [budget.period for budget in ordered],
            "limits": [budget.usd for budget in ordered],
            "usd": usd,
            "lease_s": for_s,
            "now": self._clock.now(),
        }
        with self._engine.begin() as connection:
            row = connection.execute(_RESERVE, values).one()
        if row.ids is None:
            short = next(budget for budget in ordered if budget.scope == row.short_scope)
            cause = (
                f"a call of up to {usd:.4f} USD does not fit the budget {short.scope},"
                f" which has {max(0.0, row.left_usd):.4f} USD left"
            )
            if short.period != FOR_EVER and usd <= short.usd:
                raise BudgetSpent(cause, _next_day_s(self._clock))
            raise OutOfBudget(cause, cure="raise the budget, then retry")
        return Reservation(tuple(row.ids), tuple(ordered))

    def settle(self, reservation: Reservation, usd: float) -> None:
        """Book what the call did cost in the budgets it had room in, 0 where it was not made."""
        if reservation.ids:
            values = {
                "ids": list(reservation.ids),
                "scopes": [budget.scope for budget in reservation.budgets],
                "periods": [budget.period for budget in reservation.budgets],
                "usd": usd,
            }
            with self._engine.begin() as connection:
                connection.execute(_SETTLE, values)

    def spent(self, periods: Sequence[str]) -> dict[tuple[str, str], float]:
        """What was spent, by scope and period."""
        with self._engine.connect() as connection:
            rows = connection.execute(_SPENT, {"periods": list(periods)})
            return {(row.scope, row.period): row.usd for row in rows}
