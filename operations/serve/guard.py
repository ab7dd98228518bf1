"""Who may ask the library, and what its answers forbid browsers.

Belongs here: hosts, origins, the token, headers. Does not belong here: any route.

Where it listens on this machine alone nobody is asked who he is, and two things are looked at instead: that the name by
which it was reached is this machine's (a page of a stranger's whose name was pointed here is refused), and that what
changes something comes from a page of its own.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from operations.serve.exposure import is_local, require_guarded
from resources.settings import Settings

COOKIE = "sourcebound_token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
Next = Callable[[Request], Awaitable[Response]]


class Guard:
    """Looks at every request before anybody else does, and at every answer after."""

    def __init__(self, settings: Settings) -> None:
        require_guarded(settings)
        self._is_local = is_local(settings.library_host)
        self._token = settings.library_token

    async def __call__(self, request: Request, call_next: Next) -> Response:
        refused = self._refusal(request)
        answer = refused if refused is not None else await call_next(request)
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        answer.headers.setdefault("Content-Security-Policy", POLICY)
        return answer

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        name = urlsplit(f"//{host}").hostname or ""
        if self._is_local and not is_local(name):
            return _refused(421, f"this library is not called {name[:60]}; open it by localhost")
        if request.method not in SAFE and not _is_own(request, host):
            return _refused(403, "only pages of this library may change something; open it and ask there")
        return self._without_token(request)

    def _without_token(self, request: Request) -> Response | None:
        if self._token is None:
            return None
        given = request.query_params.get("token", "")
        if given and request.method == "GET" and hmac.compare_digest(given.encode(), self._token.encode()):
            answer: Response = RedirectResponse(request.url.path, 303)
            answer.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", max_age=30 * 86_400)
            return answer
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        shown = bearer if scheme.lower() == "bearer" else request.cookies.get(COOKIE, "")
        if hmac.compare_digest(shown.encode(), self._token.encode()):
            return None
        return _refused(401, "the library's token is wanted: open it with ?token=..., or send it as a bearer's")


def _is_own(request: Request, host: str) -> bool:
    """Whether a request that changes something comes from a page of the library, or from no browser at all."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == host


def _refused(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)
