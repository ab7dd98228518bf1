"""The source a person means.

Belongs here: from what was typed to one source, or a sentence why not. Does not belong here: what is done with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from operations.cli.files import located
from operations.cli.output import UsageProblem, shortened
from operations.session import Session, has_state, open_session
from resources.ledger.rows import SourceRow
from resources.settings import Settings

SHOWN_MATCHES = 5


@contextlib.contextmanager
def open_existing(settings: Settings) -> Iterator[Session]:
    """The session of a home in which something was done. Raises `UsageProblem` where there is none: nothing is made."""
    if not has_state(settings):
        raise UsageProblem(f"nothing was done in {settings.home} yet; SOURCEBOUND_HOME names another home")
    with open_session(settings) as session:
        yield session


def find_source(session: Session, text: str) -> SourceRow:
    """The source whose key is or begins with `text`, or the current one of that file. Raises `UsageProblem`."""
    matches = session.ledger.find_sources(text, location=str(located(text))) if text.strip() else []
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise UsageProblem(f"no source is called {text or 'nothing'}; `sourcebound status` lists them")
    keys = shortened([row.key for row in matches], SHOWN_MATCHES)
    raise UsageProblem(f"{text} fits {len(matches)} sources ({keys}); say more of it")
