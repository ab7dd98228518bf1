"""Sources with everything a page tells of, made by a whole house, laid out as `get SOURCE dossier` lays them out.

Belongs here: making them once a session, opening a page in Chromium, axe. Does not belong here: assertions.
"""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image, ImageDraw, ImageFont

from operations.serve.application import application
from resources.house import House, open_house
from resources.settings import Settings, load_settings
from resources.store.links import linked_files
from tests.corpus import corpus_file
from tests.house import make, take_in
from tests.media import make_video, with_sound
from tests.players.harness import installed_players

SCRIPT_NAME = "<img src=x onerror=alert(1)> & 'co'.png"
SIGN = "Gate 27 closes"
FRAMES, RATE = 300, 25
DEADLINE_S = 20


def film(folder: Path) -> Path:
    """Twelve seconds of numbered pictures, with eleven seconds of speech."""
    silent = make_video(folder / "silent.mp4", frames=FRAMES, width=640, height=360, rate=RATE, key_every=50)
    return with_sound(silent, corpus_file("speech/jfk.flac"), folder / "film with speech.mp4")


def sign(folder: Path) -> Path:
    """A still with a line of text, whose name is a script."""
    picture = Image.new("RGB", (640, 360), (200, 60, 60))
    ImageDraw.Draw(picture).text((60, 140), SIGN, "white", font=ImageFont.load_default(size=64))
    path = folder / SCRIPT_NAME
    picture.save(path)
    return path


@contextmanager
def made_house(folder: Path, ledger_url: str, *paths: Path) -> Iterator[tuple[House, list[str]]]:
    """An open house with these sources made, and their keys."""
    settings = load_settings(home=str(folder / "home"), inbox=str(folder / "inbox"))
    with closing(open_house(settings, ledger_url)) as house:
        registrations = take_in(house, *paths)
        for registration in registrations:
            make(house, registration)
        yield house, [registration.source_key for registration in registrations]


def laid_out(house: House, key: str, to: Path) -> Path:
    """The page of a source with what it plays beside it."""
    row = house.ledger.states(key)["dossier"]
    assert row.recipe_hash is not None, row
    page = house.store.find("dossier", row.recipe_hash)
    assert page is not None
    shutil.copytree(house.store.as_input(page, "dossier").folder, to, dirs_exist_ok=True)
    for name, made, entry in linked_files(house.store, page):
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(house.store.as_input(made, made.asset).path(entry.path), target)
    return to


@dataclass
class Opened:
    """A page in Chromium, and what it complained of."""

    page: Any
    complaints: list[str] = field(default_factory=list)

    def player(self, expression: str) -> Any:
        """A value of the player's."""
        return self.page.evaluate(f"document.getElementById('player').{expression}")

    def until(self, condition: str, within_s: float = 15) -> None:
        """Wait until an expression is true. Asked from outside: the page's policy lets nobody evaluate texts in it."""
        ends = time.monotonic() + within_s
        while not self.page.evaluate(condition):
            assert time.monotonic() < ends, f"never true: {condition}"
            self.page.wait_for_timeout(50)

    def violations(self) -> list[str]:
        """What axe finds against the page."""
        axe = installed_players() / "axe-core" / "axe.min.js"
        self.page.evaluate(axe.read_text(encoding="utf-8"))  # a script element would be against the page's policy
        found = self.page.evaluate("async () => (await axe.run()).violations")
        return [f"{each['id']}: {node['html'][:120]}" for each in found for node in each["nodes"]]


@contextmanager
def opened(chromium: Any, address: str, **options: Any) -> Iterator[Opened]:
    """The page at an address, loaded."""
    page = chromium.new_page(**options)
    found = Opened(page)
    page.on("console", lambda message: found.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: _note_stranger(found, address, request.url))
    page.on("dialog", lambda dialog: (found.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
    try:
        page.goto(address)
        yield found
    finally:
        page.close()


def _note_stranger(found: Opened, address: str, url: str) -> None:
    origin = "/".join(address.split("/")[:3])
    if not url.startswith((origin, "blob:", "data:")):
        found.complaints.append(f"asks {url}")


@contextmanager
def serving(settings: Settings, house: House) -> Iterator[str]:
    """The address of a library on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = uvicorn.Config(application(settings, house), host="127.0.0.1", port=port, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ends = time.monotonic() + DEADLINE_S
    while not server.started:
        assert time.monotonic() < ends, "the library did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)
