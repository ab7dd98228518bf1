"""From a declared work and what is known of a source to recipes.

Belongs here: pure assembly of recipes for derivatives and for the products of a pass. Does not belong here: looking
anything up (resources/planned gathers the facts first) or running anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from processing.recipe import Recipe, canonical, media_tools
from processing.work import PlannedProduct, Tap, Work


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """One task of a pass: the unit's name, what the task is told, its products with their recipes, its media length."""

    name: str
    parameters: Mapping[str, Any]
    products: tuple[PlannedProduct, ...]
    recipes: Mapping[str, Recipe]
    media_s: float


def digest_of(value: Any) -> str:
    """sha256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()


def taps_wanted(
    pass_work: Work,
    works: Iterable[Work],
    wanted: Sequence[str],
    info: Mapping[str, Any],
    options: Mapping[str, Any],
) -> tuple[Tap, ...]:
    """The taps of `pass_work` that the wanted assets declare and that apply to this source, each once, by name."""
    taps: dict[str, Tap] = {}
    for work in works:
        if work.asset in wanted and work.applies(info, options) is None:
            for tap in work.taps:
                if tap.pass_asset == pass_work.asset:
                    taps.setdefault(tap.name, tap)
    return tuple(taps[name] for name in sorted(taps))


def plan_units(
    pass_work: Work,
    taps: Iterable[Tap],
    info: Mapping[str, Any],
    options: Mapping[str, Any],
    content_sha256: str,
) -> tuple[PlannedUnit, ...]:
    """The units of a pass in order, each with the recipes of its products.

    A product's recipe holds the tap's and the pass's code versions, what the unit is told, the source's content, and
    the recipes of the products it reads; so it does not change when another tap or rung is added.
    """
    by_unit: dict[str, dict[str, PlannedProduct]] = {}
    for tap in taps:
        for product in tap.plan(info, options):
            by_unit.setdefault(product.unit, {})[product.name] = product
    units = []
    for unit in sorted(by_unit):
        told = dict(pass_work.unit_parameters(info, options, unit))
        products = tuple(by_unit[unit][name] for name in _readers_last(by_unit[unit]))
        recipes: dict[str, Recipe] = {}
        for product in products:
            recipes[product.name] = _product_recipe(pass_work, product, told, content_sha256, recipes)
        units.append(PlannedUnit(unit, told, products, recipes, max(product.media_s for product in products)))
    return tuple(units)


def _readers_last(products: Mapping[str, PlannedProduct]) -> list[str]:
    """Names in order, those that read others after all that read none. Raises ValueError where one reads what is not
    planned, or what reads itself: one level is all there is.
    """
    for product in products.values():
        for name in product.reads:
            if name not in products or products[name].reads:
                raise ValueError(f"{product.name} reads {name}, which is not made from the source in its unit")
    return sorted(products, key=lambda name: (bool(products[name].reads), name))


def _product_recipe(
    pass_work: Work, product: PlannedProduct, told: Mapping[str, Any], content: str, made: Mapping[str, Recipe]
) -> Recipe:
    return Recipe(
        asset=pass_work.asset,
        code_version=f"{pass_work.code_version}+{product.code_version}",
        parameters={"product": product.name, "unit": told, **product.parameters},
        inputs={"source": content, **{name: made[name].hash for name in product.reads}},
        tools=media_tools(),
    )


def index_recipe(pass_work: Work, units: Iterable[PlannedUnit], content_sha256: str) -> Recipe:
    """The recipe of a pass's own artifact, the index of its products."""
    hashes = {name: recipe.hash for unit in units for name, recipe in unit.recipes.items()}
    return Recipe(
        asset=pass_work.asset,
        code_version=pass_work.code_version,
        parameters={"products": digest_of(hashes), "count": len(hashes)},
        inputs={"source": content_sha256},
        tools=media_tools(),
    )


def derivative_recipe(
    work: Work,
    info: Mapping[str, Any],
    options: Mapping[str, Any],
    data_versions: Mapping[str, str],
    product_versions: Mapping[str, Mapping[str, str]],
    content_sha256: str,
    source_facts: Mapping[str, Any] | None,
    linked: Mapping[str, str] | None = None,
) -> Recipe:
    """The recipe of one derivative.

    `data_versions` maps each needed asset to its data version; `product_versions` each tap to its products' data
    versions, which enter as one digest a tap. `source_facts` (key, title, arrival) enter only where the artifact
    names its source. `linked` are the recipe hashes, by name, that an artifact writes down because it links to them.
    """
    inputs = dict(data_versions)
    if linked:
        inputs["links"] = digest_of(dict(linked))
    for tap, versions in product_versions.items():
        if versions:
            inputs[f"{tap}/*"] = digest_of(dict(versions))
    if work.reads_source or not inputs:
        inputs["source"] = content_sha256
    parameters = dict(work.parameters(info, options))
    if work.names_source and source_facts is not None:
        parameters["source"] = dict(source_facts)
    models = [options["models"][task.value] for task in work.asks if task.value in options.get("models", {})]
    return Recipe(
        asset=work.asset,
        code_version=work.code_version,
        parameters=parameters,
        inputs=inputs,
        tools=media_tools(),
        models={str(model["id"]): str(model["sha256"]) for model in models},
    )


def corrected_recipe(
    work: Work,
    texts: Sequence[Mapping[str, str]],
    accepted: Mapping[str, str] | None,
    data_versions: Mapping[str, str],
) -> Recipe:
    """The recipe of words that people corrected.

    `work` is their `Work.corrected`, `data_versions` are those of what it reads, `texts` the corrections in order of
    their places, `accepted` who accepted the words as they are.
    """
    return Recipe(
        asset=work.asset,
        code_version=work.code_version,
        parameters={"corrections": [dict(each) for each in texts], "accepted": accepted and dict(accepted)},
        inputs=data_versions,
        tools=media_tools(),
    )
