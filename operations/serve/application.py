"""The library as one application: guard, pages, API, words, uploads.

Belongs here: putting them together, and that every failure is one sentence. Does not belong here: any route.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from operations.serve import api, pages, uploads, words
from operations.serve.desk import Desk
from operations.serve.guard import Guard
from operations.serve.uploads import Refused, Uploads
from processing.failures import WorkFailure
from processing.pages.rendering import rendered
from processing.words.corrections import NotCorrect
from resources.house import House
from resources.ledger.corrections import InTheWay
from resources.ledger.moves import UnknownSource
from resources.near_duplicates import NotPrinted
from resources.search.words import NothingAsked
from resources.settings import Settings

UNFINISHED = "uploads"  # below the home's `run`
FAILURES = (HTTPException, Refused, RequestValidationError, UnknownSource, WorkFailure, SQLAlchemyError)
REFUSALS: Mapping[type[Exception], int] = {InTheWay: 409, NotCorrect: 422, NothingAsked: 422, NotPrinted: 422}


def application(settings: Settings, house: House) -> FastAPI:
    """The library over an open house. Raises `Unguarded`."""
    app = FastAPI(
        title="sourcebound",
        summary="Sources, what was made of them, and search over all of it.",
        version="1",
        docs_url=None,  # those pages load programs from elsewhere
        redoc_url=None,
    )
    app.state.desk = Desk(house, f"http://localhost:{settings.port}")
    app.state.uploads = Uploads(settings.home / "run" / UNFINISHED, settings.inbox)
    app.middleware("http")(Guard(settings))
    for each in (api, words, uploads, pages):
        app.include_router(each.routes)
    for failure in (*REFUSALS, *FAILURES):
        app.add_exception_handler(failure, _told)
    return app


def _told(request: Request, error: Exception) -> Response:
    """One sentence: as a page to who reads pages, else as JSON."""
    status, sentence = _status_of(error)
    sentence = sentence.encode("utf-8", "replace").decode()  # it may quote what somebody sent
    if "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api"):
        told = sentence[:1].upper() + sentence[1:]
        return HTMLResponse(rendered("trouble.html.j2", status=status, sentence=told), status)
    return JSONResponse({"error": sentence}, status)


def _status_of(error: Exception) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail)
    if isinstance(error, Refused):
        return error.status, error.sentence
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return 422, f"{'.'.join(str(part) for part in first['loc'][1:]) or 'the request'}: {first['msg']}"
    if type(error) in REFUSALS:
        return REFUSALS[type(error)], str(error)
    if isinstance(error, UnknownSource):
        return 404, f"no source is called {str(error.args[0])[:80]}; it was removed, or never was"
    if isinstance(error, WorkFailure):
        return 503, error.sentence
    return 503, "the database does not answer; it is started again where sourcebound is up, so ask again in a moment"
