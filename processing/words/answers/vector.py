"""One vector as it is told in JSON: a list of numbers, bounded.

Belongs here: reading it. Does not belong here: the envelopes (openai_embeddings, bedrock_titan_embedding).
"""

from __future__ import annotations

from typing import Any

from processing.words.answers import strict

MOST_TEXTS = 2048  # in one answer, what the interface of OpenAI takes in one request
MOST_DIMENSIONS = 8192  # twice the most of any model there is
FARTHEST = 1e6  # no model's coordinate is near it; 32 bits hold it


def read_vector(value: Any) -> list[float]:
    """The coordinates of one vector. Raises ContractBroken where it has none."""
    told = strict.listed(value, "a vector", MOST_DIMENSIONS)
    if not told:
        raise strict.broken("a vector is empty")
    return [strict.number(each, "a coordinate", -FARTHEST, FARTHEST) for each in told]
