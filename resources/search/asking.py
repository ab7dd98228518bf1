"""The two questions of a search: where words are, and which sources look like one.

Belongs here: what is asked of whom, and hits as the same shape. Does not belong here: finding words (words), comparing
pictures (resources/near_duplicates).
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from processing.asking import Ask, AskTask
from processing.failures import ContractBroken, WorkFailure
from processing.words.answers.vectors import read_vectors
from processing.words.embeddings import TEXTS
from resources.gateway.gateway import Order
from resources.gateway.limits import CallClass
from resources.house import House
from resources.near_duplicates import look_alikes
from resources.releases.release import Release
from resources.search.hits import Hit
from resources.search.meanings import near
from resources.search.taking_in import catch_up

log = logging.getLogger(__name__)

READER = "search 1"  # who makes something of the answers, in which version
PICTURE = "picture"
NEAREST = 10  # texts, however far they lie: distances of different models have no bound in common


def said(house: House, words: str, *, limit: int) -> list[Hit]:
    """Where words are said, shown, summed up or known of a file, the best first.

    At most `limit` documents that have the words, each with up to three hits; where a model for vectors is configured,
    the texts nearest in meaning fill that up to `limit` hits. Raises `NothingAsked`.
    """
    catch_up(house)
    found = house.search.find(words, limit=limit)
    places = {(hit.source, hit.kind, hit.start_ms) for hit in found}
    alike = [hit for hit in _meant(house, words) if (hit.source, hit.kind, hit.start_ms) not in places]
    return [*found, *alike][: max(limit, len(found))]


def _meant(house: House, words: str) -> list[Hit]:
    """What means most nearly the same; nothing where no model can be asked, for then there are the words."""
    if not house.settings.vectors:
        return []
    try:
        release = next(iter(house.words.registry.used(AskTask.VECTORS)), None)
        if release is None:
            return []
        return near(house.search.connections, release.sha256, _vector(house, release, words), NEAREST)
    except (WorkFailure, SQLAlchemyError, OSError) as failure:
        log.warning("what means the same as what was asked for cannot be found: %s", failure)
        return []


def _vector(house: House, release: Release, words: str) -> Sequence[float]:
    """The question's vector, asked of the model that made those of the texts; the same question is asked once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / TEXTS
        path.write_text(json.dumps({"texts": [words]}, ensure_ascii=False), encoding="utf-8")
        order = Order(
            ask=Ask(name="vectors/question", task=AskTask.VECTORS, payload={TEXTS: TEXTS}),
            files={TEXTS: path},
            release=release,
            source="",
            asset="search",
            reader=READER,
            run_id="",
            correlation="search",
            call_class=CallClass.INTERACTIVE,
        )
        answer = house.words.gateway.obtain(order)
    try:
        vector: list[float] = read_vectors(house.store.as_input(answer, "vectors/question"), 1)[0].tolist()
    except ContractBroken as failure:
        house.words.gateway.reject([answer], READER, failure.cause)
        raise
    return vector


def looking_like(house: House, source: str, *, limit: int) -> list[Hit]:
    """Sources that look like one, the most alike first, and where. Raises `NotPrinted`."""
    return [
        Hit(each.source, PICTURE, each.there_ms, f"{float(each.share_here):.0%} of {source} is in it")
        for each in look_alikes(house, source)[:limit]
    ]
