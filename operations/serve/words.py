"""Words of a source by HTTP: what a person may correct, and correcting it.

Belongs here: routes and shapes. Does not belong here: what a correction is or does (resources/corrections).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from media_assets.declared import declared
from media_assets.spec import works_of
from operations.serve.desk import At
from resources.corrections import Reviewable, correct, reviewable


class Correction(BaseModel):
    """New texts by place, by whom. Without texts the words are accepted as they are, or all is `withdrawn`."""

    author: Annotated[str, Field(min_length=1, max_length=200)]
    version: int = 0
    texts: dict[str, str] = Field(default_factory=dict)
    withdrawn: bool = Field(default=False, description="Take back all that anybody said of the words.")


class Corrected(BaseModel):
    """What happened, in a sentence."""

    source: str
    sentence: str


routes = APIRouter(prefix="/api/sources/{key}/words", tags=["words"])


@routes.get("/{asset}")
def words(desk: At, key: str, asset: str) -> Reviewable:
    """The texts of a transcript or a summary that can be corrected, as they are now."""
    return reviewable(desk.house, works_of(declared()), desk.source(key).key, asset)


@routes.post("/{asset}", response_model=Corrected, status_code=201)
def review(desk: At, key: str, asset: str, said: Correction) -> dict[str, Any]:
    """Correct or accept a transcript or a summary; what came of it is made anew."""
    works = works_of(declared())
    source = desk.source(key).key
    sentence = correct(
        desk.house,
        works,
        source,
        asset,
        author=said.author,
        version=said.version,
        texts=said.texts,
        withdrawn=said.withdrawn,
    )
    return {"source": source, "sentence": sentence}
