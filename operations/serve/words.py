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
from resources.corrections import correct, reviewable


class Place(BaseModel):
    """One text; `was` is what the machine wrote, where it was corrected, by `author`."""

    place: str
    text: str
    was: str | None
    author: str | None
    start_s: float
    end_s: float
    may_go: bool = Field(description="Whether the text may be emptied.")


class Reviewable(BaseModel):
    """The words of an asset. `version` is said back with a correction of them."""

    asset: str
    version: int
    review: str = Field(description="unreviewed, accepted or corrected")
    places: list[Place]


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


@routes.get("/{asset}", response_model=Reviewable)
def words(desk: At, key: str, asset: str) -> dict[str, Any]:
    """The texts of a transcript or a summary that can be corrected, as they are now."""
    return reviewable(desk.house, works_of(declared()), desk.source(key).key, asset).to_json()


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
