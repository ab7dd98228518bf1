"""Verification of what is published: bytes against hashes, contents against contracts, again and now.

Belongs here: one source's artifacts judged anew. Does not belong here: hashing (resources/verify) or printing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from processing.failures import BadInput, ContractBroken, OutOfBudget, Poison
from processing.manifest import Manifest, Outcome, Verdict
from processing.words.corrections_plan import UNCORRECTED
from processing.work import Input, SourceFile, Task, Work
from resources.gateway.gateway import ANSWER
from resources.house import House
from resources.ledger.rows import SourceRow
from resources.ledger.states import AssetState
from resources.passes import index_contract_task, unit_contract_task
from resources.recipes import digest_of
from resources.store.staging import Staging
from resources.verify import NOT_PUBLISHED, Examined, Problem, examine_whole, is_published


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found of one artifact; `problems` is empty where everything holds."""

    asset: str
    recipe_hash: str
    files: int
    clauses: int
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {
            "asset": self.asset,
            "recipe_hash": self.recipe_hash,
            "files": self.files,
            "clauses": self.clauses,
            "problems": list(self.problems),
        }


def verify_source(house: House, works: Mapping[str, Work], source: SourceRow) -> Iterator[Verified]:
    """Judge every published artifact of a source, products of passes included. Changes nothing.

    Raises a `WorkFailure` that says nothing of the artifact: a stop, a store that does not answer, a sick machine.
    """
    states = house.ledger.states(source.key)
    examined = {
        name: [*examine_whole(house.store, name, row.recipe_hash)] for name, row in states.items() if row.recipe_hash
    }
    original = cache(lambda: _original(house, source))  # hashed once, however many contracts read it
    damaged = {part.digest for parts in examined.values() for part in parts if part.problems}
    found = {name: parts[0].manifest for name, parts in examined.items() if parts[0].manifest is not None}
    for name, parts in examined.items():
        files = sum(len(part.manifest.files) for part in parts if part.manifest is not None)
        problems = [_told(part, problem) for part in parts for problem in part.problems]
        clauses = 0
        behind = sorted({of for of, digest in _behind(parts[0].manifest) if digest in damaged})
        if behind and not problems:
            problems = [f"it was not judged: it is made of {', '.join(behind)}, which is damaged"]
        if name in found and name in works and not problems:
            work = works[name].corrected if UNCORRECTED in found[name].made_of else None
            clauses, problems = _judge(house, work or works[name], source, original, found[name], found)
            if works[name].publishes and states[name].state is AssetState.READY:
                problems += _not_published(house, source, found[name])
        yield Verified(name, parts[0].digest, files, clauses, tuple(problems))


def _behind(manifest: Manifest | None) -> Iterable[tuple[str, str]]:
    """Names and recipe hashes of what an artifact was made of."""
    return manifest.made_of.items() if manifest is not None else ()


def _not_published(house: House, source: SourceRow, release: Manifest) -> list[str]:
    is_there = is_published(house.published, house.store, source.key, release.recipe_hash, release.asset)
    return [] if is_there else [NOT_PUBLISHED]


def _told(part: Examined, problem: Problem) -> str:
    return f"{part.product}: {problem.where} {problem.what}" if part.product else f"{problem.where} {problem.what}"


def _judge(
    house: House,
    work: Work,
    source: SourceRow,
    original: Callable[[], SourceFile],
    manifest: Manifest,
    found: Mapping[str, Manifest],
) -> tuple[int, list[str]]:
    """Run the contract of one artifact on what is stored."""
    info = dict(found["media_info"].facts) if "media_info" in found else {}
    try:
        with house.store.stage(f"verify-{work.asset}", house.identity.to_text()) as staging:
            products = {name: _made(house, [work.asset], name, made) for name, made in manifest.products.items()}
            task = (
                index_contract_task(work, products, info, staging.contract_folder())
                if work.is_pass
                else Task(
                    operation=work.contract,
                    parameters=manifest.recipe["parameters"],
                    scratch=staging.contract_folder(),
                    source=original() if work.reads_source else None,
                    inputs=_inputs(house, work, manifest),
                    made=house.store.as_input(manifest, work.asset),
                )
            )
            verdicts, _ = house.compute.check(
                task, work.bounds, media_s=work.media_s(info), label=f"verify {work.asset} of {source.key}"
            )
            if work.is_pass:
                verdicts = (*verdicts, *_judge_units(house, work, products, work.media_s(info), staging))
    except (BadInput, Poison, ContractBroken, OutOfBudget) as failure:
        return 0, [failure.sentence]
    broken = [
        f"{verdict.clause}: found {verdict.found}, expected {verdict.expected}"
        for verdict in verdicts
        if verdict.outcome is Outcome.FAILED
    ]
    return len(verdicts), broken


def _judge_units(
    house: House, work: Work, products: Mapping[str, Manifest], media_s: float, staging: Staging
) -> list[Verdict]:
    """Run the contract of every unit of a pass on its stored products; a unit is `media_s` long at most."""
    units: dict[str, tuple[dict[str, Any], dict[str, Input]]] = {}
    for name, product in products.items():
        told = dict(product.recipe["parameters"]["unit"])
        _, made = units.setdefault(digest_of(told), (told, {}))
        made[name] = house.store.as_input(product, name)
    verdicts: list[Verdict] = []
    for told, made in units.values():
        task = unit_contract_task(work, told, made, staging.contract_folder())
        found, _ = house.compute.check(task, work.bounds, media_s=media_s, label=f"verify products of {work.asset}")
        verdicts += found
    return verdicts


def _inputs(house: House, work: Work, manifest: Manifest) -> dict[str, Input]:
    """What the artifact was made of, whatever today's code and settings would make it of."""
    others = [*(tap.pass_asset for tap in work.taps), *([ANSWER] if work.asks else [])]
    of = {name: [name] for name in (*work.needs, *work.awaits)} | {UNCORRECTED: [work.asset]}
    return {
        name: house.store.as_input(_made(house, of.get(name, others), name, recipe_hash), name)
        for name, recipe_hash in manifest.made_of.items()
    }


def _original(house: House, source: SourceRow) -> SourceFile:
    """The original as it is kept. Raises `ContractBroken` where it is gone or has other bytes."""
    kept = house.originals.original(source.content)
    if not house.originals.is_intact(source.content):
        what = "has other bytes than when it arrived" if kept.exists() else "is not kept any more"
        raise ContractBroken(
            f"the original {what}", cure=f"put the file back at {source.location}, then retry the source"
        )
    return SourceFile(kept, source.content, source.size_bytes)


def _made(house: House, assets: Iterable[str], name: str, recipe_hash: str) -> Manifest:
    """An artifact of one of the assets. Raises `ContractBroken` where there is none."""
    for asset in assets:
        manifest = house.store.find(asset, recipe_hash)
        if manifest is not None:
            return manifest
    raise ContractBroken(f"it was made of {name}, which is gone", cure="retry the source")
