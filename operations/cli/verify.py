"""`sourcebound verify`: every published byte hashed again, every contract run again.

Belongs here: which sources, the table, the status. Does not belong here: judging (resources/reverify).
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from media_assets.declared import works
from operations.cli.output import print_json, say, shortened, show
from operations.cli.sources import find_source, open_existing
from resources.house import open_house
from resources.reverify import verify_source
from resources.settings import Settings

SHOWN = 5  # names of sources in one line
TELL_S = 5.0  # how often it says how far it is


def verify_sources(settings: Settings, text: str | None, *, as_json: bool) -> int:
    """Verify one source or all. Status 0 when everything holds, else 1. Raises `UsageProblem` where none is meant."""
    makeable = works()
    with (
        open_existing(settings) as session,
        contextlib.closing(open_house(settings, session.database_url)) as house,
    ):
        rows = [find_source(session, text)] if text is not None else session.ledger.sources()
        entries: list[dict[str, Any]] = []
        told = time.monotonic()
        for row in rows:
            if time.monotonic() - told > TELL_S:
                told = time.monotonic()
                say(f"{len(entries)} of {len(rows)} sources verified")
            found = list(verify_source(house, makeable, row))
            is_ok = not any(item.problems for item in found)
            entries.append({"source": row.key, "ok": is_ok, "artifacts": [item.to_json() for item in found]})
            if not as_json:
                for item in found:
                    for problem in item.problems:
                        show(f"{row.key} {item.asset}: {problem}")
    broken = sum(not entry["ok"] for entry in entries)
    if as_json:
        print_json({"ok": not broken, "sources": entries})
    say(f"{len(entries)} {'source' if len(entries) == 1 else 'sources'} verified, {broken} with problems")
    if broken:
        keys = [str(entry["source"]) for entry in entries if not entry["ok"]]
        say(
            f"`sourcebound retry KEY` takes out what is damaged, of {shortened(keys, SHOWN)}; "
            "the next run of the source makes it again"
        )
    return 1 if broken else 0
