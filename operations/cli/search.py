"""`sourcebound search`: where words are said, shown or known, or which sources look like one.

Belongs here: the table and the JSON. Does not belong here: finding (resources/search, resources/near_duplicates).
"""

from __future__ import annotations

import contextlib

from operations.cli.output import UsageProblem, clock, print_json, say, show_table
from operations.cli.sources import find_source, open_existing
from resources.house import open_house
from resources.near_duplicates import NotPrinted
from resources.search.asking import looking_like, said
from resources.search.hits import Hit
from resources.search.words import NothingAsked
from resources.settings import Settings

SHOWN = 60  # letters of a text in a table


def show_hits(settings: Settings, words: str, *, like: str | None, limit: int, as_json: bool) -> int:
    """Print where words are found, or the sources that look like `like`; status 0 also where nothing is found.

    Raises `UsageProblem` for a question without words, and for a source that is not there or has no pictures.
    """
    if bool(words.strip()) == (like is not None):
        raise UsageProblem("name words to look for, or a source with --like")
    with (
        open_existing(settings) as session,
        contextlib.closing(open_house(settings, session.database_url)) as house,
    ):
        try:
            if like is None:
                found = said(house, words, limit=limit)
            else:
                found = looking_like(house, find_source(session, like).key, limit=limit)
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


def _line(hit: Hit) -> tuple[str, str, str, str]:
    return hit.source, hit.kind.replace("_", " "), clock(hit.start_ms), _short(hit.text)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
