"""`sourcebound similar`: which other sources look like one.

Belongs here: the table and the JSON. Does not belong here: comparing (resources/near_duplicates).
"""

from __future__ import annotations

import contextlib

from operations.cli.output import UsageProblem, clock, print_json, say, show_table
from operations.cli.sources import find_source, open_existing
from resources.house import open_house
from resources.near_duplicates import LookAlike, NotPrinted, look_alikes
from resources.settings import Settings


def show_similar(settings: Settings, text: str, *, within: int, as_json: bool) -> int:
    """Print the sources that look alike; status 0 also where there is none. Raises `UsageProblem`."""
    with (
        open_existing(settings) as session,
        contextlib.closing(open_house(settings, session.database_url)) as house,
    ):
        row = find_source(session, text)
        try:
            found = look_alikes(house, row.key, within=within)
        except NotPrinted as error:
            raise UsageProblem(str(error)) from None
    if as_json:
        print_json({"source": row.key, "within_bits": within, "similar": [each.to_json() for each in found]})
        return 0
    if found:
        show_table(("source", "of this one", "of it", "nearest"), [_line(each) for each in found])
    say(f"{len(found)} {'source looks' if len(found) == 1 else 'sources look'} like {row.key}")
    return 0


def _line(found: LookAlike) -> tuple[str, str, str, str]:
    at = (
        ""
        if found.here_ms is None or found.there_ms is None
        else f" at {clock(found.here_ms)}, {clock(found.there_ms)}"
    )
    return found.source, f"{float(found.share_here):.0%}", f"{float(found.share_there):.0%}", f"{found.bits} bits{at}"
