"""The source a person means.

Belongs here: from what was typed to one source, or a sentence why not. Does not belong here: what is done with it.
"""

from __future__ import annotations

from operations.cli.files import located
from operations.cli.output import UsageProblem
from operations.session import Session
from resources.ledger.rows import SourceRow

SHOWN_MATCHES = 5


def find_source(session: Session, text: str) -> SourceRow:
    """The source whose key is or begins with `text`, or the current one of that file. Raises `UsageProblem`."""
    matches = session.ledger.find_sources(text, location=str(located(text))) if text.strip() else []
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise UsageProblem(f"no source is called {text or 'nothing'}; `sourcebound status` lists them")
    keys = ", ".join(row.key for row in matches[:SHOWN_MATCHES])
    more = ", ..." if len(matches) > SHOWN_MATCHES else ""
    raise UsageProblem(f"{text} fits {len(matches)} sources ({keys}{more}); say more of it")
