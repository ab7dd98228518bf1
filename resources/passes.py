"""A pass: one decode of a source, unit by unit, feeding every tap that somebody wants.

Belongs here: which products are missing, running their units on the pool, committing each product as it is done, the
index at the end. Does not belong here: what a unit does (processing/chunks, processing/sound).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processing.completeness import WHOLE, carried, each_once, held_share
from processing.failures import Interrupted
from processing.manifest import Manifest
from processing.recipe import Recipe
from processing.work import Input, PlannedProduct, Task, Work
from resources.attempts import CountedAttempt, RunFacts, require_kept
from resources.house import House
from resources.ledger.rows import SourceRow
from resources.lending import Borrowers
from resources.recipes import PlannedUnit

log = logging.getLogger(__name__)

OTHER_MAKER_POLL_S = 0.25  # every missing unit is being made by somebody else: look again


@dataclass(frozen=True, slots=True)
class PassOrder:
    """One pass over one source for one run; `recipe` is that of the index."""

    house: House
    work: Work
    source: SourceRow
    run: RunFacts
    units: tuple[PlannedUnit, ...]
    info: Mapping[str, Any]
    recipe: Recipe


@dataclass(slots=True)
class PassOutcome:
    """The index and what making the missing units took. `encoder_calls` counts encoders opened by this run."""

    manifest: Manifest
    units_made: int = 0
    cpu_s: float = 0.0
    encoder_calls: int = 0


@dataclass(slots=True)
class _Progress:
    """What is done so far, shared by the pool's threads."""

    borrowers: Borrowers
    lock: threading.Lock = field(default_factory=threading.Lock)
    products: dict[str, Manifest] = field(default_factory=dict)
    units_made: int = 0
    cpu_s: float = 0.0
    encoder_calls: int = 0
    media_s: float = 0.0


def run_pass(order: PassOrder) -> PassOutcome:
    """Make every missing unit, then publish the index. Raises the first failure after the running units have ended.

    A unit that another process is making is left to it. On an interrupt nothing new starts; what is published stays.
    """
    progress = _Progress(Borrowers(order.house.compute, order.house.workers if order.work.spreads else 1))
    missing = deque(unit for unit in order.units if not _collect(order, unit, progress))
    _report(order, progress)
    if missing:
        _run_units(order, missing, progress)
    manifest = _publish_index(order, progress)
    return PassOutcome(manifest, progress.units_made, progress.cpu_s, progress.encoder_calls)


def _collect(order: PassOrder, unit: PlannedUnit, progress: _Progress) -> bool:
    """Note the unit's products that exist; True when none is missing."""
    complete = True
    for name, recipe in unit.recipes.items():
        manifest = order.house.store.find(order.work.asset, recipe.hash)
        if manifest is None:
            complete = False
        else:
            progress.products[name] = manifest
    if complete:
        progress.media_s += unit.media_s
    return complete


def _run_units(order: PassOrder, missing: deque[PlannedUnit], progress: _Progress) -> None:
    workers = order.house.workers
    with (
        ThreadPoolExecutor(workers, thread_name_prefix=f"{order.work.asset}") as pool,
        progress.borrowers.served(lambda: not missing),
    ):
        running: set[Future[None]] = set()
        failure: BaseException | None = None
        left_to_others: deque[PlannedUnit] = deque()
        while True:
            while missing and len(running) < workers and failure is None:
                unit = missing.popleft()
                running.add(pool.submit(_make_unit, order, unit, progress, left_to_others))
            if not running:
                break
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                trouble = future.exception()
                if trouble is not None and failure is not None:
                    log.info("another unit of %s failed too: %s", order.work.asset, trouble)
                failure = failure or trouble
            stopped = order.house.ledger.stop_requested(order.source.key)
            if stopped is not None and failure is None:
                failure = Interrupted(f"{order.work.asset} stopped at a unit because the source was told to {stopped}")
            if not missing and not running and left_to_others and failure is None:
                order.house.pause(OTHER_MAKER_POLL_S)
                missing.extend(left_to_others)
                left_to_others.clear()
    if failure is not None:
        raise failure


def _make_unit(order: PassOrder, unit: PlannedUnit, progress: _Progress, left_to_others: deque[PlannedUnit]) -> None:
    """Make one unit's missing products and publish each, or leave it to the process that is making it."""
    with order.house.lease_or_none(f"{order.work.asset}/{order.source.content}/{unit.name}") as mine:
        if not mine:
            left_to_others.append(unit)
            return
        with progress.lock:
            complete = _collect(order, unit, progress)
            wanted = [product for product in unit.products if product.name not in progress.products]
        if not complete:
            _make_products(order, unit, wanted, progress)
    _report(order, progress)


def _make_products(order: PassOrder, unit: PlannedUnit, wanted: Sequence[PlannedProduct], progress: _Progress) -> None:
    house, work = order.house, order.work
    ordered = {product.name for product in wanted}
    read = {
        name: house.store.as_input(progress.products[name], name)
        for product in wanted
        for name in product.reads
        if name not in ordered
    }
    with house.store.stage(f"{work.asset}-{unit.name}", house.identity.to_text()) as staging:
        task = Task(
            operation=work.operation,
            parameters=unit.parameters,
            scratch=staging.folder,
            source=house.original(order.source),
            products=tuple(product.ordered() for product in wanted),
            inputs=read,
            correlation=order.run.correlation,
        )
        attempt = CountedAttempt(
            house.ledger,
            house.compute,
            order.run,
            source=order.source.key,
            asset=work.asset,
            recipe_hash=unit.recipes[wanted[0].name].hash,
            unit=unit.name,
        )
        with progress.borrowers.at_work(unit.name, task):
            done = attempt.run(task, work.bounds, media_s=unit.media_s, needs_permit=work.encodes)
        house.original(order.source)  # one that is only referred to may have been written to while it was read
        made = {
            product.name: Input(
                product.name,
                task.product_folder(product.name),
                staging.files(task.product_folder(product.name)),
                done.result.product_facts[product.name],
                data_version="",
            )
            for product in wanted
        }
        verdicts, usage = attempt.check(
            unit_contract_task(work, unit.parameters, made, staging.contract_folder(), order.run.correlation),
            work.bounds,
            media_s=unit.media_s,
        )
        require_kept(f"{work.asset} {unit.name}", verdicts)
        published = {}
        for product in wanted:
            published[product.name] = house.store.publish(
                asset=work.asset,
                recipe=unit.recipes[product.name].to_json(),
                folder=task.product_folder(product.name),
                facts=done.result.product_facts[product.name],
                verdicts=verdicts,
                determinism=work.determinism,
                made_by=house.made_by(order.run, attempt.id),
                completeness=done.result.completeness,
                gaps=done.result.gaps,
            ).manifest
    with progress.lock:
        progress.products |= published
        progress.units_made += 1
        progress.cpu_s += done.usage.cpu_s + usage.cpu_s
        progress.encoder_calls += done.result.encoder_calls
        progress.media_s += unit.media_s


def unit_contract_task(
    work: Work, told: Mapping[str, Any], made: Mapping[str, Input], scratch: Path, correlation: str = ""
) -> Task:
    """The task that judges the products of one unit: what the unit was told, the products and their facts."""
    return Task(
        operation=work.unit_contract,
        parameters={"unit": dict(told), "products": {name: dict(item.facts) for name, item in made.items()}},
        scratch=scratch,
        inputs=made,
        correlation=correlation,
    )


def index_contract_task(
    work: Work,
    products: Mapping[str, Manifest],
    info: Mapping[str, Any],
    scratch: Path,
    correlation: str = "",
) -> Task:
    """The task that judges all units together: every product's facts, the source's, and what a unit was told."""
    return Task(
        operation=work.contract,
        parameters={
            "products": {name: dict(product.facts) for name, product in products.items()},
            "info": dict(info),
            "told": next((dict(product.recipe["parameters"]["unit"]) for product in products.values()), {}),
        },
        scratch=scratch,
        correlation=correlation,
    )


def _report(order: PassOrder, progress: _Progress) -> None:
    total_s = sum(unit.media_s for unit in order.units)
    order.house.ledger.progress(order.source.key, order.work.asset, done_s=progress.media_s, total_s=total_s)


def _publish_index(order: PassOrder, progress: _Progress) -> Manifest:
    house, work = order.house, order.work
    facts = {"data_versions": {name: made.data_version for name, made in sorted(progress.products.items())}}
    with house.store.stage(work.asset, house.identity.to_text()) as staging:
        attempt = CountedAttempt(
            house.ledger,
            house.compute,
            order.run,
            source=order.source.key,
            asset=work.asset,
            recipe_hash=order.recipe.hash,
            unit=None,
        )
        verdicts, usage = attempt.check(
            index_contract_task(work, progress.products, order.info, staging.contract_folder(), order.run.correlation),
            work.bounds,
            media_s=0.0,
        )
        progress.cpu_s += usage.cpu_s
        require_kept(work.asset, verdicts)
        gaps = [gap for name in sorted(progress.products) for gap in progress.products[name].gaps]
        return house.store.publish(
            asset=work.asset,
            recipe=order.recipe.to_json(),
            folder=staging.empty_folder(),
            facts=facts,
            verdicts=verdicts,
            determinism=work.determinism,
            made_by=house.made_by(order.run, attempt.id),
            products={name: made.recipe_hash for name, made in sorted(progress.products.items())},
            completeness=carried(
                WHOLE,
                {"media_info": held_share(order.info)},
                [made.completeness for made in progress.products.values()],
            ),
            gaps=each_once(gaps),
        ).manifest
