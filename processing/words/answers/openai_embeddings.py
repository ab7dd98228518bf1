"""`openai.embeddings.v1`: what /v1/embeddings answers with encoding_format=float.

Belongs here: that format. Does not belong here: asking for it (resources/providers). Source: the OpenAI API reference,
"The embedding object"; the order is that of `index`, which servers of the same interface may leave out.
"""

from __future__ import annotations

from processing.words.answers import strict
from processing.words.answers.vector import MOST_TEXTS, read_vector

FORMAT = "openai.embeddings.v1"


def read(content: bytes, count: int) -> list[list[float]]:
    """The vectors in the order of the texts. Raises ContractBroken."""
    told = strict.document(content)
    items = [strict.mapping(each, "an item") for each in strict.listed(told.get("data"), "data", MOST_TEXTS)]
    places = [strict.integer(item.get("index", at), "an index", 0, max(0, count - 1)) for at, item in enumerate(items)]
    if sorted(places) != list(range(count)):
        raise strict.broken(f"it has {len(items)} vectors, of {count} texts, or one of them twice")
    vectors = [read_vector(item.get("embedding")) for item in items]
    return [vectors[at] for at in sorted(range(count), key=places.__getitem__)]
