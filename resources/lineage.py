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


def ancestors(works: Mapping[str, Work], asset: str, *, awaiting: bool) -> set[str]:
    """Every asset that `asset` is made of, directly or through others; with `awaiting` also what it only awaits.

    Raises KeyError for an unknown asset.
    """
    reached: set[str] = set()
    frontier = [asset]
    while frontier:
        work = works[frontier.pop()]
        new = set(work.comes_after if awaiting else work.depends_on) - reached
        reached |= new
        frontier.extend(new)
    return reached
