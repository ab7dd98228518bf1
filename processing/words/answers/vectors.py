"""Vectors of texts, whoever made them, and which reader understands which provider's format.

Belongs here: the choice of a reader, what any vector must be. Does not belong here: any one format, or whether vectors
mean something (contracts/embeddings).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from processing.words.answers import bedrock_titan_embedding, openai_embeddings, strict
from processing.work import Input

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

READERS: Mapping[str, Callable[[bytes, int], list[list[float]]]] = {
    openai_embeddings.FORMAT: openai_embeddings.read,
    bedrock_titan_embedding.FORMAT: bedrock_titan_embedding.read,
}


def read_vectors(answer: Input, count: int) -> npt.NDArray[np.float32]:
    """The vectors of `count` texts, shape (count, dimensions), in the order of the texts. Raises ContractBroken."""
    import numpy as np

    found = strict.read_with(READERS, answer, count)
    with strict.blaming(answer):
        if len(found) != count:
            raise strict.broken(f"it has {len(found)} vectors, of {count} texts")
        lengths = {len(vector) for vector in found}
        if len(lengths) != 1:
            raise strict.broken(f"its vectors have between {min(lengths)} and {max(lengths)} dimensions")
    return np.asarray(found, dtype="<f4")
