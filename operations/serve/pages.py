"""The library for people: the wall, the page of a source, its history, and the files behind them.

Belongs here: routes that give HTML and files. Does not belong here: what pages look like (processing/pages), the API.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from operations.serve.desk import At, Desk
from processing.pages.dossier_plan import PAGE
from processing.pages.rendering import STATIC, rendered
from resources.explain import explain
from resources.ledger.rows import SourceRow

KINDS = ("video", "audio", "image")
SHOWN_STATES = ("ready", "running", "queued", "waiting", "failed", "quarantined", "bounded", "stale", "cancelled")
EVENTS = 200
TYPES = {
    ".m3u8": "application/vnd.apple.mpegurl",
    ".mpd": "application/dash+xml",
    ".m4s": "video/iso.segment",
    ".vtt": "text/vtt",
    ".m4a": "audio/mp4",
    ".js": "text/javascript",
}

routes = APIRouter(include_in_schema=False)


@routes.get("/", response_class=HTMLResponse)
def wall(
    desk: At, state: str = "", kind: str = "", before: str = "", q: Annotated[str, Query(max_length=500)] = ""
) -> HTMLResponse:
    """All sources; what it shows is asked for by its script, which also asks again."""
    values = {"ui": desk.ui, "states": SHOWN_STATES, "kinds": KINDS, "state": state, "kind": kind, "q": q}
    return HTMLResponse(rendered("library.html.j2", before=before, **values))


@routes.get("/s/{key}")
def without_slash(desk: At, key: str) -> Response:
    """A page's files lie beside it: without the slash they would be looked for elsewhere."""
    return RedirectResponse(f"/s/{desk.source(key).key}/", 308)


@routes.get("/s/{key}/", response_class=HTMLResponse)
def page(desk: At, key: str) -> Response:
    """The page of a source; before there is one, what is known of it."""
    row = desk.source(key)
    made = desk.page(desk.house.ledger.states(key))
    path = desk.file(made, PAGE) if made is not None else None
    return FileResponse(path, media_type="text/html") if path is not None else _about(desk, row)


@routes.get("/s/{key}/about", response_class=HTMLResponse)
def about(desk: At, key: str) -> Response:
    """Three answers, what can be done, and what happened to a source."""
    return _about(desk, desk.source(key))


def _about(desk: Desk, row: SourceRow) -> HTMLResponse:
    states = desk.house.ledger.states(row.key)
    values: dict[str, Any] = {
        "ui": desk.ui,
        "brief": desk.brief(row, states, desk.house.ledger.progress_of([row.key]).get(row.key, {})),
        "location": row.location,
        "explanation": explain(desk.house, row.key, ui=desk.ui).to_json(),
        "assets": [
            {"name": each.asset, "state": each.state.value, "cause": each.cause or ""} for each in states.values()
        ],
        "events": [event.to_json() for event in desk.house.ledger.events_of(row.key, limit=EVENTS)],
    }
    return HTMLResponse(rendered("source.html.j2", **values))


@routes.get("/s/{key}/picture")
def picture(desk: At, key: str) -> Response:
    """A small picture that stands for a source."""
    path = desk.small_picture(desk.house.ledger.states(desk.source(key).key))
    if path is None:
        raise HTTPException(404, "It has no picture.")
    return FileResponse(path, headers={"Cache-Control": "private, max-age=60"})


@routes.get("/s/{key}/{name:path}")
def file(desk: At, key: str, name: str) -> Response:
    """A file of a source's page, or one that it plays or shows. Parts of it can be asked for."""
    made = desk.page(desk.house.ledger.states(desk.source(key).key))
    path = desk.file(made, name) if made is not None else None
    if path is None:
        raise HTTPException(404, "There is no such file of this source.")
    return _file(path)


@routes.get("/static/{name}")
def static(name: str) -> Response:
    """What all pages have in common."""
    path = STATIC / name
    if path.parent != STATIC or not path.is_file():
        raise HTTPException(404, "There is no such file.")
    return _file(path, cache="private, max-age=3600")


def _file(path: Path, cache: str = "private, max-age=60") -> FileResponse:
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return FileResponse(path, media_type=kind, headers={"Cache-Control": cache})
