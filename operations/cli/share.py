"""`sourcebound share`: a link to the page of a source for who has no account, from a store in a bucket.

Belongs here: finding the page, printing the link. Does not belong here: making it (resources/sharing).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from operations.cli.open_page import page_of
from operations.cli.output import UsageProblem, print_json, say, show
from operations.cli.sources import find_source, open_existing
from resources.house import open_store
from resources.settings import Settings
from resources.sharing import signed_page
from resources.store.backend import CannotSign

HOUR_S = 3600


def share_page(settings: Settings, text: str, *, hours: int, as_json: bool) -> int:
    """Print a link that is good for so many hours. Raises `UsageProblem`."""
    with open_existing(settings) as session:
        row = find_source(session, text)
        store = open_store(settings)
        made = page_of(session, store, row)
        if made is None:
            return 1
        try:
            link = signed_page(store, made, for_s=hours * HOUR_S)
        except CannotSign as error:
            raise UsageProblem(f"{error}; `sourcebound get {row.key} dossier --to DIR` gives it as a folder") from None
    until = datetime.now(UTC) + timedelta(hours=hours)
    if as_json:
        print_json({"source": row.key, "link": link, "until": until.isoformat(timespec="seconds")})
        return 0
    show(link)
    say(f"whoever has this link sees the page until {until:%Y-%m-%d %H:%M} UTC")
    return 0
