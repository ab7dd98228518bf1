"""The two questions of a search: where words are, and which sources look like one.

Belongs here: what is asked of whom, and hits as the same shape. Does not belong here: finding words (words), comparing
pictures (resources/near_duplicates).
"""

from __future__ import annotations

from resources.house import House
from resources.near_duplicates import look_alikes
from resources.search.taking_in import catch_up
from resources.search.words import Hit

PICTURE = "picture"


def said(house: House, words: str, *, limit: int) -> list[Hit]:
    """Where words are said, shown, summed up or known of a file, the best first. Raises `NothingAsked`."""
    catch_up(house)
    return house.search.find(words, limit=limit)


def looking_like(house: House, source: str, *, limit: int) -> list[Hit]:
    """Sources that look like one, the most alike first, and where. Raises `NotPrinted`."""
    return [
        Hit(each.source, PICTURE, each.there_ms, f"{float(each.share_here):.0%} of {source} is in it")
        for each in look_alikes(house, source)[:limit]
    ]
