"""What comes of what: the walks over a catalogue's works.

Belongs here: walking. Does not belong here: what a work is (processing/work), or what follows for a source.
"""

from __future__ import annotations

from collections.abc import Mapping

from processing.work import Work


def descendants(works: Mapping[str, Work], asset: str, *, awaiting: bool) -> list[str]:
    """Every asset that is made of `asset`, directly or through others, in catalogue order.

    With `awaiting` also what only awaits it, which can be made without.
    """
    reached = {asset}
    found = []
    for name, work in works.items():
        if name not in reached and reached.intersection(work.comes_after if awaiting else work.depends_on):
            reached.add(name)
            found.append(name)
    return found


def ancestors(works: Mapping[str, Work], asset: str) -> set[str]:
    """Every asset that is made before `asset` where both are wanted, directly or through others."""
    reached: set[str] = set()
    frontier = list(works[asset].comes_after)
    while frontier:
        name = frontier.pop()
        if name not in reached:
            reached.add(name)
            frontier.extend(works[name].comes_after)
    return reached
