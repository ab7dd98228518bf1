"""A folder on loopback, a page with hls.js, dash.js and shaka in it, and headless Chromium to watch it.

Belongs here: getting the players (npm, by name, into a folder that git ignores), serving, driving. Does not belong
here: what is expected of a player (tests/test_players).
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".make" / "players"
SCRIPTS = {
    "hls.js": "hls.js/dist/hls.min.js",
    "dash.js": "dashjs/dist/dash.all.min.js",
    "shaka.js": "shaka-player/dist/shaka-player.compiled.js",
}
AXE = "axe-core/axe.min.js"
INSTALL_TIMEOUT_S = 90
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


def skip_or_fail(reason: str) -> None:
    """Skip the test; fail it where `SOURCEBOUND_REQUIRE_SERVICES=1` says that the judges have to be there."""
    if os.environ.get("SOURCEBOUND_REQUIRE_SERVICES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def installed_players() -> Path:
    """The folder of the players' packages, installed when they are not there or are of other versions."""
    wanted = (HERE / "package.json").read_text(encoding="utf-8")
    stamp = CACHE / "package.json"
    scripts = [CACHE / "node_modules" / path for path in (*SCRIPTS.values(), AXE)]
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and all(path.is_file() for path in scripts):
        return CACHE / "node_modules"
    npm = shutil.which("npm")
    if npm is None:
        skip_or_fail("npm is not installed, so the players cannot be fetched")
    shutil.rmtree(CACHE, ignore_errors=True)
    CACHE.mkdir(parents=True)
    stamp.write_text(wanted, encoding="utf-8")
    command = [str(npm), "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]
    try:
        subprocess.run(command, cwd=CACHE, check=True, capture_output=True, timeout=INSTALL_TIMEOUT_S)
    except (subprocess.SubprocessError, OSError) as error:
        stamp.unlink()
        skip_or_fail(f"the players could not be installed: {type(error).__name__}")
    return CACHE / "node_modules"


TYPES = {
    ".vtt": "text/vtt",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".mpd": "application/dash+xml",
    ".m4s": "video/iso.segment",
}


class _Handler(SimpleHTTPRequestHandler):
    """Serves the page, the players below /players/ and the media folder below /media/; keeps a list of misses."""

    def __init__(self, *args: Any, media: Path, players: Path, misses: list[str], **kwargs: Any) -> None:
        self._media, self._players, self._misses = media, players, misses
        super().__init__(*args, **kwargs)

    def translate_path(self, path: str) -> str:
        path = path.partition("?")[0]
        if path.startswith("/media/"):
            return str(self._media / path.removeprefix("/media/"))
        if path.startswith("/players/"):
            return str(self._players / SCRIPTS[path.removeprefix("/players/")])
        return str(HERE / "page.html")

    def guess_type(self, path: str | os.PathLike[str]) -> str:
        return TYPES.get(Path(path).suffix) or super().guess_type(path)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self._misses.append(f"{code} {self.path}")
        super().send_error(code, message, explain)

    def log_message(self, *args: Any) -> None:
        return


class _Server(ThreadingHTTPServer):
    """A server that does not report players which hang up in the middle of a segment."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


@contextmanager
def served(media: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a loopback server over `media`, and the list that collects requests it could not answer."""
    misses: list[str] = []
    handler = functools.partial(_Handler, media=media, players=installed_players(), misses=misses)
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", misses
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        skip_or_fail("Chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield running
        finally:
            running.close()
