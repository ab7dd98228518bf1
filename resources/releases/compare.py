"""Whether one release does better than another on the same golden items: better, worse, or not to be told.

Belongs here: the paired bootstrap and its verdict. Does not belong here: the scores (scoring) or what follows from a
verdict.

Items are drawn with replacement, the same for both releases, and the difference of their shares of errors is worked out
each time (Efron and Tibshirani, 1993; paired as in Koehn, 2004). Where the middle 95 % of the differences lie on one
side of nothing, the verdict says so. The seed is fixed: the same tables give the same verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

ROUNDS = 5_000
SEED = 20_261
LEVEL = 0.95
SAME_BASIS = ("task", "golden", "normaliser")


class Verdict(StrEnum):
    """Of the second release against the first."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"


class NotComparable(ValueError):
    """Two tables that were not made on the same basis. The text says what differs."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of two releases, as shares of errors: the second less the first is in [low, high] of `difference`."""

    measure: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    items: int
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"verdict": self.verdict.value}

    @property
    def sentence(self) -> str:
        """The comparison for a person."""
        return (
            f"{self.measure}: {self.verdict.value}; {self.first:.3f} and {self.second:.3f}, "
            f"difference {self.difference:+.3f} ({self.low:+.3f} to {self.high:+.3f}, {self.items} items)"
        )


def compare(first: pd.DataFrame, second: pd.DataFrame, *, rounds: int = ROUNDS, seed: int = SEED) -> list[Comparison]:
    """Every measure that both tables (scoring.table) hold, by name. Raises NotComparable."""
    for column in SAME_BASIS:
        bases = sorted({*first[column].astype(str), *second[column].astype(str)})
        if len(bases) != 1:
            raise NotComparable(f"the tables have {column} {' and '.join(bases)}; score both releases on the same")
    measures = sorted(set(first["measure"]) & set(second["measure"]))
    return [_compared(measure, first, second, rounds, seed) for measure in measures]


def _compared(measure: str, first: pd.DataFrame, second: pd.DataFrame, rounds: int, seed: int) -> Comparison:
    import numpy as np

    columns = ["item", "errors", "total"]
    one, other = (frame.loc[frame["measure"] == measure, columns] for frame in (first, second))
    paired = one.merge(other, on="item", validate="one_to_one", suffixes=("_one", "_other")).sort_values("item")
    if len(paired) != len(one) or len(paired) != len(other):
        raise NotComparable(f"{measure} was not scored on the same items; score both releases on all of them")
    values = paired[["errors_one", "total_one", "errors_other", "total_other"]].to_numpy(dtype=float)
    drawn = np.random.default_rng(seed).integers(0, len(values), size=(rounds, len(values)))
    sums = values[drawn].sum(axis=1)
    differences = _share(sums[:, 2], sums[:, 3]) - _share(sums[:, 0], sums[:, 1])
    low, high = (float(each) for each in np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    whole = values.sum(axis=0)
    shares = [float(_share(whole[[at]], whole[[at + 1]])[0]) for at in (0, 2)]
    verdict = Verdict.BETTER if high < 0 else Verdict.WORSE if low > 0 else Verdict.UNDECIDED
    return Comparison(measure, shares[0], shares[1], shares[1] - shares[0], low, high, len(values), verdict)


def _share(errors: npt.NDArray[np.float64], totals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Errors by totals; 0 of nothing."""
    import numpy as np

    shares: npt.NDArray[np.float64] = np.divide(errors, totals, out=np.zeros_like(errors), where=totals > 0)
    return shares
