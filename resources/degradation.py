"""What is done when the model of a task cannot be had: wait, then the next that proved itself, then what was there.

Belongs here: the order and when each step is due. Does not belong here: asking (gateway) or making (production).

The order is the same for every task and declared here once: the model that settings name first; after
`degrade_after_s` of waiting the next one, if it passed the golden set of the task; then the output of before, which is
called stale; then nothing, and the wait goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from processing.manifest import Manifest, Outcome, Verdict
from processing.work import Work
from resources.gateway.gateway import Unavailable
from resources.house import House
from resources.ledger.rows import AssetRow, SourceRow

CLAUSE = "asked of the model that was chosen"


@dataclass(slots=True)
class Degradation:
    """How far one derivative of one source has come down: `without` are the releases given up, and why."""

    house: House
    work: Work
    source: SourceRow
    row: AssetRow | None
    without: dict[str, str] = field(default_factory=dict)

    def is_due(self) -> bool:
        """Whether it has waited for its model as long as settings allow."""
        waited_s = self.house.ledger.waited_s(self.source.key, self.work.asset)
        return waited_s is not None and waited_s >= self.house.settings.degrade_after_s

    def step_down(self, failure: Unavailable) -> bool:
        """Give the model up that cannot be had; False where none that proved itself stands in for it."""
        tried = {**self.without, failure.release: failure.cause}
        desk = self.house.words
        stand_ins = desk.chosen(self.source, self.work.asks, tried)
        if len(stand_ins) < len(desk.chosen(self.source, self.work.asks, self.without)):
            return False
        if not all(self.house.ledger.has_passed(release.sha256) for release in stand_ins.values()):
            return False
        self.without = tried
        return True

    def previous(self) -> Manifest | None:
        """The output of before to go on with."""
        if self.row is None or self.row.recipe_hash is None:
            return None
        return self.house.store.find(self.work.asset, self.row.recipe_hash)

    def verdicts(self) -> list[Verdict]:
        """What the manifest says of it."""
        return [
            Verdict(CLAUSE, Outcome.WARNED, found=f"another, for {cause}", expected=release)
            for release, cause in self.without.items()
        ]
