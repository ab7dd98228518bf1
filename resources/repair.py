"""Damaged artifacts taken out of the store, so that the next run of their source makes them again.

Belongs here: finding what of one source is no longer as it was published, and removing it. Does not belong here:
judging contents by contracts (resources/reverify) or making anything (resources/production).
"""

from __future__ import annotations

from resources.house import House
from resources.ledger.states import AssetState
from resources.verify import Examined, examine_whole


def remove_damaged(house: House, source: str, *, actor: str) -> dict[str, str]:
    """Remove what is damaged of a source's artifacts; the assets that have to be made again, each with the reason.

    Every byte is read. What is undamaged of a pass stays; only its index goes with a product that was damaged.
    """
    found: dict[str, str] = {}
    for asset, row in house.ledger.states(source).items():
        if row.state is not AssetState.READY or row.recipe_hash is None:
            continue
        damaged = [part for part in examine_whole(house.store, asset, row.recipe_hash) if part.problems]
        if not damaged:
            continue
        for recipe_hash in {row.recipe_hash, *(part.digest for part in damaged)}:
            house.store.remove(asset, recipe_hash)
        found[asset] = f"what was stored of it is damaged: {_told(damaged[0])}"
        house.ledger.move(source, asset, AssetState.STALE, actor=actor, cause=found[asset])
    return found


def _told(part: Examined) -> str:
    first = part.problems[0]
    return f"{part.product or first.where} {'is not as it was published' if part.product else first.what}"
