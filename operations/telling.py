"""What happens to files, one line each, for whoever watches the terminal of `make run`.

Belongs here: which news are worth a line. Does not belong here: finding them (resources/ledger) or printing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from processing.failures import WorkFailure
from resources.ledger.ledger import Ledger
from resources.ledger.states import AssetState
from resources.status import overall


@dataclass(slots=True)
class Teller:
    """Tells of sources that came in and of those that came to rest since the last look. Says nothing of before."""

    ledger: Ledger
    tell: Callable[[str], None]
    _after: int | None = None
    _told: dict[str, AssetState] = field(default_factory=dict)

    def look(self) -> None:
        """Tell what is new; nothing where the database does not answer just now."""
        with contextlib.suppress(WorkFailure):
            self._after, changed = self.ledger.news(self._after)
            for key in changed:
                self._tell_of(key)

    def _tell_of(self, key: str) -> None:
        state, cause = overall(self.ledger.states(key))
        if key not in self._told and not state.is_settled:
            self._told[key] = state
            self.tell(f"{self.ledger.source(key).path.name} came in as {key}")
        if state.is_settled and self._told.get(key) is not state:
            self._told[key] = state
            self.tell(f"{key} is {state}{f': {cause}' if cause else ''}")
        elif not state.is_settled:
            self._told[key] = state
