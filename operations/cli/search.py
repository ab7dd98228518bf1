"""`sourcebound search`: where words are said, shown or known, or which sources look like one.

Belongs here: the table and the JSON. Does not belong here: finding (resources/search, resources/near_duplicates).
"""

from __future__ import annotations

import contextlib

from operations.cli.output import UsageProblem, print_json, say, show_table
from operations.cli.sources import find_source, open_existing
from resources.house import House, open_house
from resources.near_duplicates import NotPrinted, look_alikes
from resources.search.taking_in import catch_up
from resources.search.words import Hit, NothingAsked
from resources.settings import Settings

PICTURE = "picture"
SHOWN = 60  # letters of a text in a table


def show_hits(settings: Settings, said: str, *, like: str | None, limit: int, as_json: bool) -> int:
    """Print where words are found, or the sources that look like `like`; status 0 also where nothing is found.

    Raises `UsageProblem` for a question without words, and for a source that is not there or has no pictures.
    """
    if bool(said.strip()) == (like is not None):
        raise UsageProblem("name words to look for, or a source with --like")
    with (
        open_existing(settings) as session,
        contextlib.closing(open_house(settings, session.database_url)) as house,
    ):
        catch_up(house)
        try:
            found = _words(house, said, limit) if like is None else _like(house, find_source(session, like).key, limit)
        except (NothingAsked, NotPrinted) as error:
            raise UsageProblem(str(error)) from None
    if as_json:
        print_json({"hits": [hit.to_json() for hit in found]})
        return 0
    if found:
        show_table(("source", "kind", "at", "text"), [_line(hit) for hit in found])
    sources = len({hit.source for hit in found})
    say(f"found in {sources} {'source' if sources == 1 else 'sources'}" if found else "nothing was found")
    return 0


def _words(house: House, said: str, limit: int) -> list[Hit]:
    return house.search.find(said, limit=limit)


def _like(house: House, source: str, limit: int) -> list[Hit]:
    return [
        Hit(each.source, PICTURE, each.there_ms, f"{float(each.share_here):.0%} of {source} is in it")
        for each in look_alikes(house, source)[:limit]
    ]


def _line(hit: Hit) -> tuple[str, str, str, str]:
    return hit.source, hit.kind.replace("_", " "), _clock(hit.start_ms), shortened(hit.text)


def _clock(ms: int | None) -> str:
    if ms is None:
        return ""
    minutes, second = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"


def shortened(text: str) -> str:
    """A text for a cell of a table."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
