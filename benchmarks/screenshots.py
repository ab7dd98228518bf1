"""Pictures of the pages for docs/pictures: wide and narrow, light and dark.

    python -m benchmarks.screenshots FILM SOUND STILL WORD

makes the three files in a house of its own, and looks at their pages, the library, a search for the word and what
is told of the film, in Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.database import database, server
from tests.pages_trial import made_house, opened, serving
from tests.players.harness import browser

TO = Path(__file__).resolve().parents[1] / "docs" / "pictures"
WIDTHS = {"wide": (1280, 900), "narrow": (390, 844)}
SCHEMES = ("light", "dark")
QUALITY = 78


def pages(film: str, sound: str, still: str, word: str) -> Iterator[tuple[str, str, str]]:
    """Name, path, and what must be true before the picture is taken."""
    ready = "document.readyState === 'complete'"
    yield "page", f"/s/{film}/#t=4", "document.getElementById('player').readyState >= 2"
    yield "sound", f"/s/{sound}/#t=4", "document.getElementById('player').readyState >= 2"
    yield "still", f"/s/{still}/", ready
    yield "library", "/", "document.querySelectorAll('#wall li').length >= 3"
    yield "search", f"/?q={word}", "document.querySelectorAll('#hits li').length >= 1"
    yield "about", f"/s/{film}/about", ready


def take(chromium: Any, address: str, listed: list[tuple[str, str, str]]) -> None:
    """Every page in every width and scheme."""
    for name, path, condition in listed:
        for size, (width, height) in WIDTHS.items():
            for scheme in SCHEMES:
                viewport = {"width": width, "height": height}
                with opened(chromium, f"{address}{path}", viewport=viewport, color_scheme=scheme) as found:
                    found.until(condition)
                    found.page.wait_for_timeout(800)
                    to = TO / f"{name}-{size}-{scheme}.jpg"
                    found.page.screenshot(path=to, type="jpeg", quality=QUALITY)
                    print(f"{to.name}: {to.stat().st_size >> 10} KiB, {found.complaints or 'no complaint'}")


def main() -> int:
    """Make, look, write."""
    *files, word = sys.argv[1:]
    TO.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        server() as postgres,
        database(postgres.address()) as ledger_url,
        made_house(Path(folder), ledger_url, *(Path(file) for file in files)) as (house, keys),
        serving(house.settings, house) as address,
        browser() as chromium,
    ):
        take(chromium, address, list(pages(keys[0], keys[1], keys[2], word)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
