"""When words of sources come into the search: with their release, and what was missed before anybody searches.

Belongs here: that. Does not belong here: what comes in (documents) or how it is found (words).
"""

from __future__ import annotations

import logging

from sqlalchemy.exc import SQLAlchemyError

from processing.failures import WorkFailure
from resources.house import House
from resources.ledger.moves import UnknownSource
from resources.search.documents import documents_of, vectors_in

log = logging.getLogger(__name__)

RELEASE = "release"
A_LOT = 500  # sources in one go


def take_in(house: House, source: str, release: str) -> None:
    """Let what is known of a source be found, as of the recipe hash of its release.

    A failure is no failure of the release: who searches takes in what is missing.
    """
    try:
        _take_in(house, source, release)
    except (SQLAlchemyError, WorkFailure) as error:
        log.warning("the words of %s cannot be searched yet: %s", source, type(error).__name__)


def catch_up(house: House) -> int:
    """Take in every release that was not; how many."""
    taken = 0
    failed: set[str] = set()
    while untaken := [each for each in house.search.untaken(RELEASE, A_LOT + len(failed)) if each[0] not in failed]:
        for source, release in untaken:
            try:
                _take_in(house, source, release)
                taken += 1
            except UnknownSource:
                house.search.remove(source)
            except (SQLAlchemyError, WorkFailure) as error:  # the others can be found; this one next time
                log.warning("the words of %s cannot be searched yet: %s", source, type(error).__name__)
                failed.add(source)
    return taken


def _take_in(house: House, source: str, release: str) -> None:
    """Raises `UnknownSource`."""
    row = house.ledger.source(source)
    house.search.take_in(source, release, documents_of(house, row), vectors_in(house, row))
