"""What is damaged of a source: artifacts are taken out, so that its next run makes them again, originals kept anew.

Belongs here: finding what of one source is no longer as it was published or kept, and removing or replacing it. Does
not belong here: judging contents by contracts (resources/reverify) or making anything (resources/production).
"""

from __future__ import annotations

from collections.abc import Mapping

from processing.work import Work
from resources.house import House
from resources.ledger.rows import SourceRow
from resources.ledger.states import AssetState
from resources.verify import NOT_PUBLISHED, Examined, examine_whole, is_published


def mend_original(house: House, source: SourceRow) -> bool:
    """Keep the original of a finished source again where what is kept is gone or has other bytes; whether it did.

    Every byte is read. Raises the failures of `Originals.keep` where the file cannot serve any more.
    """
    made = any(row.recipe_hash for row in house.ledger.states(source.key).values())
    if not made or house.originals.is_intact(source.content):
        return False
    house.originals.renew(source.path, source.content, mode=house.settings.originals)
    return True


def remove_damaged(house: House, works: Mapping[str, Work], source: str, *, actor: str) -> dict[str, str]:
    """Remove what is damaged of a source's artifacts; the assets that have to be made again, each with the reason.

    Every byte is read. What is undamaged of a pass stays; only its index goes with a product that was damaged. What was
    published and is not found under its name any more is to be published again.
    """
    found: dict[str, str] = {}
    for asset, row in house.ledger.states(source).items():
        if row.state is not AssetState.READY or row.recipe_hash is None:
            continue
        damaged = [part for part in examine_whole(house.store, asset, row.recipe_hash) if part.problems]
        if damaged:
            for recipe_hash in {row.recipe_hash, *(part.digest for part in damaged)}:
                house.store.remove(asset, recipe_hash)
            found[asset] = f"what was stored of it is damaged: {_told(damaged[0])}"
        elif (
            asset in works
            and works[asset].publishes
            and not is_published(house.published, house.store, source, row.recipe_hash, asset)
        ):
            found[asset] = NOT_PUBLISHED
        else:
            continue
        house.ledger.move(source, asset, AssetState.STALE, actor=actor, cause=found[asset])
    return found


def _told(part: Examined) -> str:
    first = part.problems[0]
    return f"{part.product or first.where} {'is not as it was published' if part.product else first.what}"
