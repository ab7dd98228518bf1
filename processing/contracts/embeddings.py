"""What must hold of vectors: one for each text, of one length, none of them nothing, and not all the same.

Belongs here: judging the file and its citations against the texts and the answers. Does not belong here: asking
(words/embeddings).

False or useless fails: too few vectors, a citation of nothing, vectors of zeros or all alike. Two different texts with
the very same vector warn: short ones may fall together, a server that lost its place answers so too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from processing.contracts.by_model import disagreeing
from processing.contracts.clauses import expect, failed, none_against, passed, warned
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.words.embeddings import (
    VECTORS_FILE,
    Text,
    facts_of,
    grouped,
    read_document,
    texts_of,
    vectors_in,
)
from processing.work import NOT_APPLICABLE, Task

LEAST_LENGTH = 1e-6  # of a vector: most models give 1
SAME_DIRECTION = 0.9999  # cosine of two vectors that cannot be told apart
COMPARED = 256  # vectors, spread over all: every pair of more takes minutes

Vectors = npt.NDArray[np.float32]


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made`. Where the files cannot be read the rest is not looked at."""
    made = task.made
    if made is None:
        raise ValueError("the contract of vectors needs what was made")
    texts = texts_of(task.inputs, task.parameters["rules"])
    if NOT_APPLICABLE in made.facts:
        return [expect("there is no text to place", not texts and not made.files, len(texts), 0)]
    try:
        document = read_document(made.folder)
        dimensions, count, cited = int(document["dimensions"]), int(document["count"]), document["texts"]
        numbers = np.frombuffer(made.path(VECTORS_FILE).read_bytes(), dtype="<f4")
        facts = facts_of(document)
    except (KeyError, OSError, TypeError, ValueError) as error:
        return [failed("files readable", f"{type(error).__name__}: {error}", "JSON and vectors")]
    verdicts = [
        passed("files readable", count),
        none_against("facts agree", disagreeing(made.facts, facts, task)),
        expect("every text has a vector", len(cited) == count == len(texts), f"{count} vectors", len(texts)),
        none_against("citations resolve", _citations(cited, texts)),
        expect("vectors are whole", numbers.size == count * dimensions, numbers.size, f"{count} times {dimensions}"),
    ]
    if numbers.size != count * dimensions or not numbers.size:
        return verdicts
    vectors = numbers.reshape(count, dimensions)
    return [*verdicts, *_judge(vectors, texts, task)]


def _judge(vectors: Vectors, texts: list[Text], task: Task) -> Iterable[Verdict]:
    """What the numbers themselves must be."""
    exact = vectors.astype(np.float64)
    lengths = np.sqrt((exact * exact).sum(axis=1))
    yield expect("numbers are finite", bool(np.isfinite(exact).all()), int((~np.isfinite(exact)).sum()), 0)
    nothing = int((~(lengths > LEAST_LENGTH)).sum())
    yield expect("no vector is nothing", not nothing, f"{nothing} of {len(vectors)}", "a direction each")
    yield _told_apart(exact / np.maximum(lengths, LEAST_LENGTH)[:, None], texts)
    clause = "is what was answered"
    try:
        answered = vectors_in(grouped(texts, int(task.parameters["rules"]["at_once"])), task)
    except (KeyError, WorkFailure) as error:
        yield failed(clause, str(error), "answers about every text")
    else:
        yield expect(clause, answered.shape == vectors.shape and bool((answered == vectors).all()), str(vectors.shape))


def _told_apart(directions: npt.NDArray[np.float64], texts: list[Text]) -> Verdict:
    """Different texts lie in different places."""
    clause = "different texts are told apart"
    chosen = list(dict.fromkeys(np.linspace(0, len(directions) - 1, COMPARED).astype(int).tolist()))
    chosen = [at for at in chosen if at < len(texts)]
    if len(chosen) < 2:
        return passed(clause)
    near = directions[chosen] @ directions[chosen].T >= SAME_DIRECTION
    different = np.array([[texts[one].text != texts[other].text for other in chosen] for one in chosen])
    pairs, alike = int(different.sum()) // 2, int((near & different).sum()) // 2
    if not alike:
        return passed(clause)
    say = failed if 2 * alike >= pairs else warned
    return say(clause, f"{alike} of {pairs} pairs lie in one place", "a place each")


def _citations(cited: Any, texts: list[Text]) -> Iterable[str]:
    """Each entry is the text of its place, by artifact, number, span and length."""
    if not isinstance(cited, list):
        yield "they are no list"
        return
    for number, (told, due) in enumerate(zip(cited, texts, strict=False)):
        if told != due.to_json():
            yield f"entry {number} is not the text it cites"
        elif due.start is not None and due.end is not None and not 0 <= due.start < due.end:
            yield f"entry {number} cites {due.start} to {due.end}"
