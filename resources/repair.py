"""Damaged artifacts taken out of the store, so that the next run of their source makes them again.

Belongs here: finding what of one source is no longer as it was published, and removing it. Does not belong here:
judging contents by contracts (resources/reverify) or making anything (resources/production).
"""

from __future__ import annotations

from collections.abc import Iterator

from processing.failures import ContractBroken
from processing.manifest import Manifest
from resources.house import House
from resources.ledger.states import AssetState
from resources.verify import verify_artifact


def remove_damaged(house: House, source: str, *, actor: str) -> dict[str, str]:
    """Remove what is damaged of a source's artifacts; the assets that have to be made again, each with the reason.

    Every byte is read. What is undamaged of a pass stays; only its index goes with a product that was damaged.
    """
    found: dict[str, str] = {}
    for asset, row in house.ledger.states(source).items():
        if row.state is not AssetState.READY or row.recipe_hash is None:
            continue
        damage = next(iter([*_damage(house, asset, row.recipe_hash)]), None)
        if damage is not None:
            house.store.remove(asset, row.recipe_hash)
            found[asset] = f"what was stored of it is damaged: {damage}"
            house.ledger.move(source, asset, AssetState.STALE, actor=actor, cause=found[asset])
    return found


def _damage(house: House, asset: str, recipe_hash: str) -> Iterator[str]:
    """What is wrong with an artifact and with the products it consists of; damaged products are removed."""
    manifest = _read(house, asset, recipe_hash)
    if isinstance(manifest, str):
        yield manifest
        return
    yield from (f"{problem.where} {problem.what}" for problem in verify_artifact(house.store, manifest))
    for name, product_hash in manifest.products.items():
        product = _read(house, asset, product_hash)
        problems = [product] if isinstance(product, str) else verify_artifact(house.store, product)
        if problems:
            house.store.remove(asset, product_hash)
            yield f"{name} is not as it was published"


def _read(house: House, asset: str, recipe_hash: str) -> Manifest | str:
    try:
        return house.store.find(asset, recipe_hash) or "its manifest is gone"
    except ContractBroken as failure:
        return failure.cause
