"""What is on record of a source's assets, as one value: states, checks, what was made of what, what it took.

Belongs here: gathering it from ledger and manifests. Does not belong here: showing it (processing/pages, operations).

What it took are the attempts at the very recipes that the assets have now, whoever asked for them first; so the same
artifacts have the same record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from processing.manifest import Manifest, Outcome
from processing.words.corrections_plan import UNCORRECTED
from resources.house import House
from resources.ledger.rows import AssetRow

ORIGINAL = "source"  # the asset, and the input of what reads the file itself
MS = 1000


def record_of(house: House, states: Mapping[str, AssetRow], names: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each of the assets `names` that the source has, in that order. Values are those of JSON."""
    rows = [states[name] for name in names if name in states]
    made = {row.asset: house.store.find(row.asset, row.recipe_hash) for row in rows if row.recipe_hash}
    found = {name: manifest for name, manifest in made.items() if manifest is not None}
    hashes = {name: [each.recipe_hash, *each.products.values()] for name, each in found.items()}
    used = house.ledger.made_with(hashes)
    asset_of = {recipe_hash: name for name, own in hashes.items() for recipe_hash in own}
    return [
        {
            "asset": row.asset,
            "state": row.state.value,
            "cause": row.cause,
            **_of_artifact(house, found.get(row.asset), asset_of),
            "wall_ms": round(used[row.asset].wall_s * MS) if row.asset in used else None,
            "cpu_ms": round(used[row.asset].cpu_s * MS) if row.asset in used else None,
            "attempts": used[row.asset].attempts if row.asset in used else 0,
        }
        for row in rows
    ]


def _of_artifact(house: House, manifest: Manifest | None, asset_of: Mapping[str, str]) -> dict[str, Any]:
    if manifest is None:
        empty: dict[str, Any] = {"recipe_hash": None, "determinism": None, "passed": 0}
        return {**empty, "verdicts": [], "made_of": [], "models": [], "bytes": 0}
    corrected = manifest.made_of.get(UNCORRECTED)
    first = (house.store.find(manifest.asset, corrected) if corrected else None) or manifest
    made_of = [asset_of[each] for each in {**first.made_of, **manifest.made_of}.values() if each in asset_of]
    if not made_of and manifest.asset != ORIGINAL and ORIGINAL in manifest.recipe.get("inputs", {}):
        made_of = [ORIGINAL]
    return {
        "recipe_hash": manifest.recipe_hash,
        "determinism": manifest.determinism.value,
        "passed": sum(verdict.outcome is Outcome.PASSED for verdict in manifest.verdicts),
        "verdicts": [verdict.to_json() for verdict in manifest.verdicts if verdict.outcome is not Outcome.PASSED],
        "made_of": list(dict.fromkeys(name for name in made_of if name != manifest.asset)),
        "models": sorted(first.recipe.get("models", {})),
        "bytes": sum(entry.bytes for entry in manifest.files),
    }
