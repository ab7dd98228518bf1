"""The ledger's answers as the JSON objects people and scripts read.

Belongs here: one source's entry, the object over many, the exit status that follows. Does not belong here: printing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from processing.failures import ContractBroken
from processing.manifest import Manifest, Outcome
from resources.ledger.ledger import Ledger
from resources.ledger.rows import AssetRow, SourceRow, Used
from resources.ledger.states import AssetState, source_state
from resources.store.store import Store

EXIT_READY = 0
EXIT_FAILED = 1
EXIT_NOT_READY = 3


@dataclass(frozen=True, slots=True)
class Spent:
    """What one call spent on one source, orchestration included."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    encoder_calls: int = 0
    by_asset: Mapping[str, Used] = field(default_factory=dict)


def source_entry(ledger: Ledger, store: Store, source: SourceRow, spent: Spent | None = None) -> dict[str, Any]:
    """One source as `process --json` and `status --json` show it.

    With `spent`, times and encoder calls are what that call used; without, what the artifacts took when they were made,
    whoever made them.
    """
    states = ledger.states(source.key)
    manifests, damaged = _manifests(store, states)
    used = spent.by_asset if spent else ledger.made_with(_recipes(manifests))
    assets = {
        name: _asset_entry(store, row, manifests.get(name), used.get(name, Used()), damaged.get(name))
        for name, row in states.items()
    }
    state, cause = overall(states)
    return {
        "source": source.key,
        "path": source.location,
        "sha256": source.content if len(source.content) == 64 else None,
        "kind": _kind(manifests),
        "state": state.value,
        "cause": cause,
        "seconds": round(spent.seconds if spent else sum(item["seconds"] or 0 for item in assets.values()), 3),
        "cpu_seconds": round(
            spent.cpu_seconds if spent else sum(item["cpu_seconds"] or 0 for item in assets.values()), 3
        ),
        "encoder_calls": spent.encoder_calls if spent else sum(item.encoder_calls for item in used.values()),
        "assets": assets,
    }


def overall(states: Mapping[str, AssetRow]) -> tuple[AssetState, str | None]:
    """A source's state, and the cause given by the first asset that is in it."""
    state = source_state({name: row.state for name, row in states.items()}, list(states))
    if state is AssetState.READY:
        return state, None
    return state, next((row.cause for row in states.values() if row.state is state and row.cause), None)


def report(entries: Iterable[dict[str, Any]], wall_s: float) -> dict[str, Any]:
    """The object over many sources. `encoder_calls` is their sum."""
    listed = list(entries)
    return {
        "counts": dict(sorted(Counter(entry["state"] for entry in listed).items())),
        "wall_s": round(wall_s, 3),
        "encoder_calls": sum(entry["encoder_calls"] for entry in listed),
        "sources": listed,
    }


def exit_status(states: Iterable[str]) -> int:
    """0 when every source is ready, else 1 when something failed, else 3."""
    seen = set(states)
    if seen <= {AssetState.READY.value}:
        return EXIT_READY
    return EXIT_FAILED if AssetState.FAILED.value in seen else EXIT_NOT_READY


def _manifests(store: Store, states: Mapping[str, AssetRow]) -> tuple[dict[str, Manifest], dict[str, str]]:
    """The manifests of what is made, and for those that cannot be read the sentence why."""
    found: dict[str, Manifest] = {}
    damaged: dict[str, str] = {}
    for name, row in states.items():
        try:
            manifest = store.find(name, row.recipe_hash) if row.recipe_hash else None
        except ContractBroken as failure:
            damaged[name] = failure.sentence
            continue
        if manifest is not None:
            found[name] = manifest
    return found, damaged


def _asset_entry(
    store: Store, row: AssetRow, manifest: Manifest | None, used: Used, damage: str | None
) -> dict[str, Any]:
    files: list[dict[str, Any]] = []
    if manifest is not None:
        files = [entry.to_json() for entry in manifest.files] + product_files(store, manifest)
    return {
        "state": row.state.value,
        "cause": damage or row.cause,
        "recipe_hash": row.recipe_hash,
        "data_version": row.data_version,
        "uri": row.uri,
        "files": files,
        "determinism": manifest.determinism.value if manifest else None,
        "seconds": round(used.wall_s, 3),
        "cpu_seconds": round(used.cpu_s, 3),
        "encoder_calls": used.encoder_calls,
        "checks": {verdict.clause: verdict.outcome.value for verdict in manifest.verdicts} if manifest else {},
    }


def warnings_of(store: Store, row: AssetRow) -> list[str]:
    """What the contract of an artifact warned of, each as a sentence; nothing of one that cannot be read."""
    try:
        manifest = store.find(row.asset, row.recipe_hash) if row.recipe_hash else None
    except ContractBroken:
        return []
    warned = [verdict for verdict in manifest.verdicts if verdict.outcome is Outcome.WARNED] if manifest else []
    return [
        f"{verdict.clause}: {verdict.found}{f', where {verdict.expected} was expected' if verdict.expected else ''}"
        for verdict in warned
    ]


def product_files(store: Store, manifest: Manifest) -> list[dict[str, Any]]:
    """The files of a pass's products, each under its product's name."""
    files = []
    for name, recipe_hash in manifest.products.items():
        try:
            product = store.find(manifest.asset, recipe_hash)
        except ContractBroken:
            continue  # verify says what is damaged
        files += [{**entry.to_json(), "path": f"{name}/{entry.path}"} for entry in (product.files if product else ())]
    return files


def _recipes(manifests: Mapping[str, Manifest]) -> dict[str, list[str]]:
    return {name: [manifest.recipe_hash, *manifest.products.values()] for name, manifest in manifests.items()}


def _kind(manifests: Mapping[str, Manifest]) -> str | None:
    info = manifests.get("media_info")
    return info.facts.get("kind") if info else None
