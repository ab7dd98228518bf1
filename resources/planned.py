"""What one derivative of one source would be made of now: whether it applies, its inputs, its recipe.

Belongs here: gathering what a recipe needs from ledger and store, and telling whether what is there is still that.
Does not belong here: putting recipes together (recipes), or making what is missing (production, passes).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from processing.failures import ContractBroken, Throttled, WorkFailure
from processing.manifest import Manifest
from processing.recipe import Recipe
from processing.release import PLAYABLE
from processing.words.corrections_plan import UNCORRECTED
from processing.work import NOT_APPLICABLE, Tap, Work
from resources.endings import FAILURE_AFTER, TRANSIENT_WAIT_S, needed_cause, still_awaited
from resources.house import House
from resources.ledger.corrections import Corrections
from resources.ledger.rows import AssetRow, SourceRow
from resources.ledger.states import DONE, USABLE, AssetState
from resources.lineage import ancestors
from resources.recipes import PlannedUnit, corrected_recipe, derivative_recipe, index_recipe, plan_units, taps_wanted
from resources.record import record_of

MEDIA_INFO = "media_info"  # what the file is; every other work is planned from its facts
NOTHING_TO_TRY = DONE | {AssetState.QUARANTINED}


@dataclass(frozen=True, slots=True)
class Planned:
    """What a derivative is made of. `info` are the facts of media_info, `units` those of a pass.

    `made_of` are the manifests of what it reads, by name: their files are fetched by who makes it, not by who plans.
    `work` is how it is made, which is another one where a person corrected it.
    """

    work: Work
    recipe: Recipe
    info: Mapping[str, Any]
    made_of: Mapping[str, Manifest] = field(default_factory=dict)
    units: tuple[PlannedUnit, ...] = ()


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans the assets of one source; `states` are its assets' as they were read, `works` the whole catalogue.

    `without` are releases of models that cannot be had now: the next one of their task stands in.
    """

    house: House
    works: Mapping[str, Work]
    source: SourceRow
    states: Mapping[str, AssetRow]
    without: Collection[str] = ()

    def plan(self, work: Work, wanted: Sequence[str] = ()) -> Planned | str:
        """What `work` would be made of, or why it does not apply to the source.

        `wanted` are the assets of the run, which say what is taken from a pass. Raises what the failure of a need
        means, and `ContractBroken` where a need or a product is missing.
        """
        corrected = self._corrections(work)
        if corrected is not None:
            return self._corrected(work, corrected)
        needed = self._needed(work)
        info = needed[MEDIA_INFO].facts if MEDIA_INFO in needed else {}
        options = self._options(work)
        reason = work.applies(info, options) or self._lacks(work, needed) or _no_model(work, options)
        if reason is not None:
            return reason
        if work.is_pass:
            taps = taps_wanted(work, self.works.values(), self._tapping(work, wanted), info, options)
            units = plan_units(work, taps, info, options, self.source.content)
            return Planned(work, index_recipe(work, units, self.source.content), info, needed, units)
        return self._derivative(work, needed, info, options)

    def _corrections(self, work: Work) -> Corrections | None:
        """What people corrected of a work's words, as far as it holds."""
        found = self.house.ledger.corrections(self.source.key, work.asset) if work.corrected is not None else None
        return found if found is not None and found.holds else None

    def _corrected(self, work: Work, corrections: Corrections) -> Planned:
        """The artifact of the machine with what people made of it. Raises `ContractBroken` where that one is gone."""
        assert work.corrected is not None
        uncorrected = self.house.store.find(work.asset, corrections.uncorrected)
        if uncorrected is None:
            raise ContractBroken(
                f"what was corrected of {work.asset} is gone from the store",
                cure="restore the store, or take the correction back in the library",
            )
        needed = self._needed(work.corrected)
        made_of = {UNCORRECTED: uncorrected, **needed}
        versions = {name: manifest.data_version for name, manifest in made_of.items()}
        recipe = corrected_recipe(work.corrected, corrections.texts, corrections.accepted, versions)
        return Planned(work.corrected, recipe, needed[MEDIA_INFO].facts, made_of)

    def is_made(self, asset: str) -> bool:
        """Whether the asset is recorded as what would be planned now, and is in the store, undamaged as far as seen."""
        row, work = self.states[asset], self.works[asset]
        try:
            planned = self.plan(work)
            if isinstance(planned, str):
                return row.state is AssetState.NOT_APPLICABLE
            made = self.house.store.find(asset, planned.recipe.hash) if row.state in DONE else None
            if made is None or row.recipe_hash != made.recipe_hash:
                return False
            return not work.publishes or self.house.published.shows(self.source.key, made)
        except WorkFailure:  # a run says what it is, of this source alone
            return False

    def _lacks(self, work: Work, needed: Mapping[str, Manifest]) -> str | None:
        """Why a need that a work cannot do without is not there, if one is not."""
        for name in work.requires:
            if name not in needed:
                row = self.states.get(name)
                return f"there is no {name}: {row.cause}" if row is not None and row.cause else f"there is no {name}"
        return None

    def _needed(self, work: Work) -> dict[str, Manifest]:
        """The artifacts a work reads, by asset; one that does not apply to the source is absent.

        What applies is worked out, not read from the states: another process may just be looking at that asset anew.
        What a work only awaits is absent while it is not settled, and where it ended badly.
        """
        needed: dict[str, Manifest] = {}
        for name in sorted((*work.needs, *work.awaits), key=lambda need: need != MEDIA_INFO):
            row = self.states.get(name)
            info = needed[MEDIA_INFO].facts if MEDIA_INFO in needed else {}
            if name in work.awaits and row is not None and row.state not in USABLE:
                continue
            other = self.works[name]
            if row is None or (info and self._does_not_apply(other, info)):
                continue
            manifest = self.house.store.find(name, row.recipe_hash) if row.recipe_hash else None
            if manifest is None and row.state is AssetState.NOT_APPLICABLE and other.requires:
                continue  # for want of what it requires
            if manifest is None and row.state is AssetState.WAITING:
                raise Throttled(needed_cause(name, row.cause or "it waits"), retry_after_s=_until(row))
            if manifest is None and row.state in FAILURE_AFTER:
                raise FAILURE_AFTER[row.state](needed_cause(name, row.cause or f"it is {row.state}"))
            if manifest is None:
                raise ContractBroken(
                    f"{work.asset} needs {name}, which has no published artifact",
                    cure=f"make {name} first, or retry the source",
                )
            if NOT_APPLICABLE not in manifest.facts:
                needed[name] = manifest
        return needed

    def _does_not_apply(self, other: Work, info: Mapping[str, Any]) -> bool:
        if self._corrections(other) is not None:
            return False
        return other.applies(info, self._options(other)) is not None

    def _options(self, work: Work) -> dict[str, Any]:
        """What shapes the source's outputs: of what asks, its models; of what is made before all is settled, that."""
        options = self.house.options(self.source)
        if work.asks:
            options |= self.house.words.options(self.source, work.asks, self.without)
        elif work.is_pass:
            options |= self.house.words.configured()
        if still_awaited(work, self.states):
            options["moment"] = PLAYABLE
        if work.records:
            behind = ancestors(self.works, work.asset, awaiting=True)
            options["record"] = record_of(self.house, self.states, [name for name in self.works if name in behind])
        return options

    def _derivative(
        self, work: Work, needed: Mapping[str, Manifest], info: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Planned:
        made_of = dict(needed)
        product_versions: dict[str, dict[str, str]] = {}
        for tap in work.taps:
            products = self._products(work, tap, info, options)
            product_versions[f"{tap.pass_asset}/{tap.name}"] = {
                name: manifest.data_version for name, manifest in products.items()
            }
            made_of |= products
        recipe = derivative_recipe(
            work,
            info,
            options,
            {name: needed[name].data_version for name in (*work.needs, *work.awaits) if name in needed},
            product_versions,
            self.source.content,
            self.source.facts() if work.names_source else None,
            {name: manifest.recipe_hash for name, manifest in made_of.items()} if work.links else None,
        )
        return Planned(work, recipe, info, made_of)

    def _products(
        self, work: Work, tap: Tap, info: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, Manifest]:
        """The products of one tap of a work, by name. Raises `ContractBroken` when one is missing."""
        pass_work = self.works[tap.pass_asset]
        taps = [other for other in work.taps if other.pass_asset == tap.pass_asset]  # it may read theirs
        wanted = {product.name for product in tap.plan(info, options)}
        products: dict[str, Manifest] = {}
        for unit in plan_units(pass_work, taps, info, options, self.source.content):
            for name, recipe in unit.recipes.items():
                if name not in wanted:
                    continue
                manifest = self.house.store.find(pass_work.asset, recipe.hash)
                if manifest is None:
                    raise ContractBroken(
                        f"{pass_work.asset} has not made {name}",
                        cure=f"make {pass_work.asset} again; it adds what is missing",
                    )
                products[name] = manifest
        return products

    def _tapping(self, work: Work, wanted: Sequence[str]) -> Sequence[str]:
        """The assets whose taps count: those of the run that tap the pass, else all that the source requires."""
        tapping = [
            name
            for name in wanted
            if name != work.asset and any(tap.pass_asset == work.asset for tap in self.works[name].taps)
        ]
        return [work.asset, *(tapping or self.states)]


def _until(row: AssetRow) -> float:
    """Seconds until what is needed may be tried again, and a moment more: no step waits as long, it ends its run."""
    due_s = 0.0 if row.wake_at is None else (row.wake_at - datetime.now(UTC)).total_seconds()
    return max(due_s, TRANSIENT_WAIT_S) + 1.0


def _no_model(work: Work, options: Mapping[str, Any]) -> str | None:
    """Why nobody may be asked what a work has to ask, if so."""
    return next((options["no_model"][task.value] for task in work.asks if task.value in options["no_model"]), None)


def nothing_to_make(house: House, works: Mapping[str, Work], source_key: str, assets: Sequence[str]) -> bool:
    """Whether a run for `assets` of a source would find everything made, applicable as it was and published.

    What is quarantined stays so: the same bytes have the same fault, and who thinks otherwise says `retry`.
    """
    states = house.ledger.states(source_key)
    if any(name not in states or states[name].state not in NOTHING_TO_TRY for name in assets):
        return False
    planner = Planner(house, works, house.ledger.source(source_key), states)
    return all(states[name].state is AssetState.QUARANTINED or planner.is_made(name) for name in assets)
