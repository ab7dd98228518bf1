"""The library by HTTP, for programs: list, submit, look, steer, search, explain.

Belongs here: routes and the shapes of what they take and give. Does not belong here: pages, uploads, files, or the work
itself (resources).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from media_assets.declared import declared
from media_assets.plain import door_of
from operations.serve.desk import At
from resources.explain import explain
from resources.intake import register_files
from resources.ledger.states import AssetState
from resources.search.asking import looking_like, said
from resources.status import overall, source_entry

ACTOR = "library"
Steering = Literal["cancel", "retry", "pause", "hurry"]


class Brief(BaseModel):
    """One source in short."""

    source: str
    title: str
    kind: str
    state: str
    cause: str | None
    progress: float | None = Field(description="The share of what is being made that is done, from 0 to 1.")
    bytes: int
    has_page: bool
    has_picture: bool


class Listing(BaseModel):
    """Sources, the latest first. `next` is the `before` of the page that follows, null on the last."""

    sources: list[Brief]
    next: str | None


class Submission(BaseModel):
    """A file to take in: a path on the library's machine, or a file: URI."""

    uri: str = Field(examples=["file:///media/film.mp4"])


class Submitted(BaseModel):
    """What came of it. A source that was known already is the same one again."""

    source: str
    is_new: bool
    state: str
    cause: str | None


class Steered(BaseModel):
    """What became of a source, in a sentence."""

    source: str
    sentence: str


class Hit(BaseModel):
    """Where something was found; `time_s` is null where it has no time."""

    source: str
    kind: str
    time_s: float | None
    text: str


class Hits(BaseModel):
    """All of them, the best first."""

    hits: list[Hit]


routes = APIRouter(prefix="/api", tags=["library"])


@routes.get("/sources", response_model=Listing)
def sources(
    desk: At,
    state: AssetState | None = None,
    kind: Literal["video", "audio", "image"] | None = None,
    before: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 48,
) -> dict[str, Any]:
    """Sources, the latest first: of a kind, with an output in a state."""
    rows = desk.house.ledger.latest(state=state, job=kind, before=before, limit=limit + 1)
    shown = rows[:limit]
    return {"sources": desk.briefs(shown), "next": shown[-1].key if len(rows) > limit else None}


@routes.post("/sources", response_model=Submitted, status_code=201)
def submit(desk: At, wanted: Submission) -> dict[str, Any]:
    """Take a file in, as if it had come into the inbox. Bytes that are elsewhere are uploaded (tus, /uploads)."""
    path = _path_of(wanted.uri)
    found = register_files(desk.house, [path], door_of(declared()), actor=ACTOR)
    if not found:
        raise HTTPException(422, f"there is no file {path}, or it cannot be read")
    state, cause = overall(desk.house.ledger.states(found[0].source_key))
    return {"source": found[0].source_key, "is_new": found[0].is_new, "state": state.value, "cause": cause}


@routes.get("/sources/{key}")
def source(desk: At, key: str) -> dict[str, Any]:
    """One source with all its outputs: states, files, checks, what they took. As `sourcebound status --json`."""
    return source_entry(desk.house.ledger, desk.house.store, desk.source(key))


@routes.get("/sources/{key}/history")
def history(desk: At, key: str, limit: Annotated[int, Query(ge=1, le=2000)] = 200) -> dict[str, Any]:
    """What happened to it, the latest first."""
    return {
        "source": desk.source(key).key,
        "events": [event.to_json() for event in desk.house.ledger.events_of(key, limit=limit)],
    }


@routes.get("/sources/{key}/explanation")
def explanation(desk: At, key: str) -> dict[str, Any]:
    """Is it broken, what changed, where to look next."""
    return explain(desk.house, desk.source(key).key, ui=desk.ui).to_json()


@routes.post("/sources/{key}/{action}", response_model=Steered)
def steer(desk: At, key: str, action: Steering) -> dict[str, Any]:
    """Cancel, retry, pause or hurry a source; each is a recorded decision."""
    sentence = desk.house.ledger.control(desk.source(key).key, action, actor=ACTOR, reason="asked for in the library")
    return {"source": key, "sentence": sentence}


@routes.get("/search", response_model=Hits)
def search(
    desk: At,
    q: Annotated[str, Query(description="Words; quoted phrases, or, a minus for without.")] = "",
    like: Annotated[str | None, Query(description="A source: what looks like it is found instead.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> dict[str, Any]:
    """Where words are said, shown, summed up or known of a file; or which sources look like one."""
    if like is None:
        found = said(desk.house, q, limit=limit)
    else:
        found = looking_like(desk.house, desk.source(like).key, limit=limit)
    return {"hits": [hit.to_json() for hit in found]}


def _path_of(uri: str) -> Path:
    """The file that is meant. Raises HTTPException."""
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        raise HTTPException(422, f"{parts.scheme or parts.netloc}: is not read from here; upload the file instead")
    path = Path(unquote(parts.path) if parts.scheme else uri)
    if not path.is_absolute():
        raise HTTPException(422, "name the file by its whole path")
    return path
