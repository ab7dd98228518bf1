"""A derivative in one module: what is made, how it is judged, and what people are told of it.

Belongs here: its form, and finding those of `processing/derivatives`. Does not belong here: what Dagster makes of them
(media_assets).
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from datetime import timedelta

from processing import derivatives
from processing.work import Work

NAME = "DERIVATIVE"  # what a module of `processing/derivatives` calls its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivative:
    """One derivative: `work` is how it is made, `kinds` the sources that have it ("video", "audio", "image").

    `latency` is how long after arrival a one-minute source should have it: a target that the UI shows.
    """

    work: Work
    description: str
    kinds: tuple[str, ...]
    owner: str = "own"
    latency: timedelta = timedelta(minutes=10)


def found() -> list[Derivative]:
    """Those of all modules, by the modules' names. Raises ValueError for a module without one."""
    listed = []
    for module in sorted(each.name for each in pkgutil.iter_modules(derivatives.__path__)):
        one = getattr(importlib.import_module(f"{derivatives.__name__}.{module}"), NAME, None)
        if not isinstance(one, Derivative):
            raise ValueError(f"processing/derivatives/{module}.py has no {NAME}; see docs/tutorial.md")
        listed.append(one)
    return listed
