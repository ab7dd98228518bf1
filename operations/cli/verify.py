"""`sourcebound verify`: every published byte hashed again, every contract run again.

Belongs here: which sources, the table, the status. Does not belong here: judging (resources/reverify).
"""

from __future__ import annotations

import contextlib

from media_assets.declared import declared
from operations.cli.inspect import NoSuchSource, find_source
from operations.cli.output import err, fail, out, print_json
from operations.session import open_session
from resources.house import open_house
from resources.reverify import verify_source
from resources.settings import Settings


def verify_sources(settings: Settings, text: str | None, *, as_json: bool) -> int:
    """Verify one source or all. Status 0 when everything holds, else 1."""
    works = {name: declaration.work for name, declaration in declared().items()}
    with (
        open_session(settings) as session,
        contextlib.closing(open_house(settings, session.database_url)) as house,
    ):
        try:
            rows = [find_source(session, text)] if text else session.ledger.sources()
        except NoSuchSource as error:
            fail(str(error))
            return 2
        entries = []
        for row in rows:
            found = list(verify_source(house, works, row))
            entries.append(
                {
                    "source": row.key,
                    "ok": not any(item.problems for item in found),
                    "artifacts": [item.to_json() for item in found],
                }
            )
            if not as_json:
                for item in found:
                    for problem in item.problems:
                        out().print(f"{row.key} {item.asset}: {problem}", soft_wrap=True, markup=False)
        broken = [entry for entry in entries if not entry["ok"]]
        if as_json:
            print_json({"ok": not broken, "sources": entries})
        else:
            err().print(f"{len(entries)} sources verified, {len(broken)} with problems")
        return 1 if broken else 0
