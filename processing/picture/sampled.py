"""The stills of a source that were sampled while it was decoded, read back in time order.

Belongs here: one list over the products of the samples tap. Does not belong here: taking them (samples) or choosing
among them (poster, storyboard, scenes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processing.work import Input

PREFIX = "samples/"


@dataclass(frozen=True, slots=True)
class Sampled:
    """One small still: when it is shown (ticks of the output timeline), its file, its scores (samples.Scores)."""

    ticks: int
    timescale: int
    path: Path
    scores: Mapping[str, Any]


def sampled(inputs: Mapping[str, Input]) -> list[Sampled]:
    """Every small still of the products `samples/*` among `inputs`, earliest first."""
    found = []
    for name in sorted(name for name in inputs if name.startswith(PREFIX)):
        product = inputs[name]
        timescale = int(product.facts["span"]["timescale"])
        found += [
            Sampled(int(sample["ticks"]), timescale, product.path(sample["file"]), sample["scores"])
            for sample in product.facts["samples"]
        ]
    return found


def end_of(inputs: Mapping[str, Input]) -> int:
    """Where the last sampled chunk ends, in ticks."""
    return max(int(item.facts["span"]["end"]) for name, item in inputs.items() if name.startswith(PREFIX))
