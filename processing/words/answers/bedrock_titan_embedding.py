"""`bedrock.titan_embedding.v1`: what Amazon Titan Text Embeddings answers through Bedrock, a call a text.

Belongs here: that format. Does not belong here: asking for it (resources/providers).

The model takes one text at a time, so that the answer to a question with several is `{"vectors": [...]}`, each item
a body as the model wrote it: `{"embedding": [...], "inputTextTokenCount": n}`. Source: the Bedrock user guide, "Amazon
Titan Embeddings Text".
"""

from __future__ import annotations

from processing.words.answers import strict
from processing.words.answers.vector import MOST_TEXTS, read_vector

FORMAT = "bedrock.titan_embedding.v1"


def read(content: bytes, _count: int) -> list[list[float]]:
    """The vectors in the order of the texts, as many as there are. Raises ContractBroken."""
    told = strict.document(content)
    items = strict.listed(told.get("vectors"), "vectors", MOST_TEXTS)
    return [read_vector(strict.mapping(each, "a body").get("embedding")) for each in items]
