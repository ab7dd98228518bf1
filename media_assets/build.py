"""From a declaration to an asset and its check: everything Dagster is told is derived here, nothing is said twice.

Belongs here: the asset's attributes and its body. Does not belong here: what is declared (intake, stills, picture,
packaging, sound, out), what is shown of an artifact (metadata), how one is made (resources/production) or how a
failure ends the step (endings).

No `RetryPolicy` is attached: it repeats whatever is raised, a broken contract and MemoryError too. The declared
policy is carried out in endings, for the two failures that may pass by themselves.
"""

# No postponed annotations here: Dagster looks at the class that annotates an asset's context.
import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg
from dagster import AssetExecutionContext

from media_assets.endings import end_step, is_canceling
from media_assets.metadata import artifact_metadata, verdict_metadata
from media_assets.partitions import sources
from media_assets.policies import MAX_ATTEMPTS_PRODUCT
from media_assets.spec import Declaration, IncompleteDeclaration
from processing.failures import Interrupted, WorkFailure
from processing.manifest import Manifest, Outcome
from processing.work import Work
from resources import household, run_tags
from resources.attempts import RunFacts
from resources.compute.local import tries_at_most
from resources.gateway.limits import TRIES
from resources.ledger.states import AssetState

if TYPE_CHECKING:
    from resources.production import Produced

HOUSE_KEY = "house"
CHECK = "contract"


class Workshop(Protocol):
    """What an asset needs of the house, and all that a test has to stand in for."""

    def produce(self, work: Work, works: Mapping[str, Work], source_key: str, run: RunFacts) -> "Produced":
        """Make or find one derivative. Raises a `WorkFailure` after the ledger has it."""
        ...

    def file_of(self, manifest: Manifest, path: str) -> Path | None:
        """The local path of one file of an artifact, or None where it is not at hand."""
        ...

    def page_of(self, source_key: str) -> str:
        """The address of a source's page in the library."""
        ...


class HouseResource:
    """The house of this process, opened by the first step that needs it and shared by all."""

    def produce(self, work: Work, works: Mapping[str, Work], source_key: str, run: RunFacts) -> "Produced":
        """See `resources.production.produce`."""
        from resources.production import produce

        begun = household.begun(work.asset, run.run_id)
        return begun if begun is not None else produce(household.the_house(), work, works, source_key, run)

    def file_of(self, manifest: Manifest, path: str) -> Path | None:
        """The file in the local store, or in the cache a step of this run has filled."""
        return household.the_house().store.as_input(manifest, manifest.asset).path(path)

    def page_of(self, source_key: str) -> str:
        """Where the library is, whether it is up or not."""
        return f"http://localhost:{household.the_house().settings.library_at}/s/{source_key}/"


def attempts_product(declaration: Declaration) -> int:
    """How often a task or a call may be tried at most: the tries of compute, or the gateway's, times the step's."""
    work = declaration.work
    tries = max(tries_at_most(work.bounds), TRIES if work.asks else 1)
    return tries * (1 + declaration.retry.max_retries)


def require_declared(declaration: Declaration) -> None:
    """Refuse a declaration whose tries multiply above the cap. Raises `IncompleteDeclaration`."""
    product = attempts_product(declaration)
    if product > MAX_ATTEMPTS_PRODUCT:
        raise IncompleteDeclaration(
            f"{declaration.name!r} could be tried {product} times over all layers, above {MAX_ATTEMPTS_PRODUCT}"
        )


def build_asset(declaration: Declaration, works: Mapping[str, Work]) -> dg.AssetsDefinition:
    """The asset of one declaration, partitioned by source, with its contract as the one check."""
    require_declared(declaration)
    work = declaration.work

    @dg.asset(
        key=declaration.name,
        description=declaration.description,
        group_name=declaration.group,
        owners=[_owner(declaration.owner)],
        kinds=set(declaration.kinds),
        pool=declaration.pool.name,
        code_version=work.code_version,
        deps=[dg.AssetKey(name) for name in work.comes_after],
        partitions_def=sources,
        metadata=_declared_metadata(declaration),
        tags={"sourcebound/determinism": work.determinism.value},
        op_tags=_bounds_tags(work),
        check_specs=[_check_spec(declaration.name)],
        required_resource_keys={HOUSE_KEY},
    )
    def made(context: AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]  # so by Dagster
        workshop: Workshop = getattr(context.resources, HOUSE_KEY)
        try:
            _require_wanted(context)
            produced = workshop.produce(work, works, context.partition_key, run_facts(context))
        except WorkFailure as failure:
            end_step(context, declaration.retry, failure)
        return _result(workshop, produced, context.partition_key)

    return made


def _check_spec(asset: str) -> dg.AssetCheckSpec:
    """The contract as a check of each source by itself: without partitions the last source would speak for all.

    Checks with partitions are a preview in Dagster 1.13; this is the one place that relies on them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            CHECK, asset=asset, description="What its output must be like.", partitions_def=sources
        )


def run_facts(context: AssetExecutionContext) -> RunFacts:
    """Who asks, from the run's tags; of its predecessor's, a run again in the UI keeps neither actor nor call."""
    run = context.run
    not_its_own = (run_tags.ACTOR, run_tags.CALL) if run.parent_run_id is not None else ()
    tags = {name: value for name, value in run.tags.items() if name not in not_its_own}
    wanted = [key.to_user_string() for key in run.asset_selection or ()]
    return RunFacts.of_tags(run.run_id, tags, wanted, by_hand=f"dagster/{run.job_name}")


def _require_wanted(context: AssetExecutionContext) -> None:
    """Raise `Interrupted` where the run was cancelled and could not be told by a signal (a command's run)."""
    if household.stop_requested() or (run_tags.CALL in context.run.tags and is_canceling(context)):
        raise Interrupted(f"{context.asset_key.to_user_string()} was not started because the run was told to stop")


def _result(workshop: Workshop, produced: "Produced", source_key: str) -> dg.MaterializeResult[Any]:
    """One materialization and one check; a derivative that does not apply has both, and no artifact."""
    manifest = produced.manifest
    if manifest is None or produced.state is AssetState.NOT_APPLICABLE:
        reason = produced.cause or "does not apply to this source"
        return dg.MaterializeResult(
            metadata={"not applicable": reason},
            data_version=dg.DataVersion(manifest.data_version) if manifest is not None else None,
            tags={"sourcebound/state": produced.state.value},
            check_results=[
                dg.AssetCheckResult(
                    check_name=CHECK,
                    passed=True,
                    description=reason,
                    metadata=verdict_metadata(manifest.verdicts if manifest is not None else ()),
                )
            ],
        )
    warned = [verdict for verdict in manifest.verdicts if verdict.outcome is Outcome.WARNED]
    return dg.MaterializeResult(
        metadata=artifact_metadata(
            manifest,
            produced.uri,
            reused=produced.reused,
            seconds=produced.seconds,
            cpu_seconds=produced.cpu_seconds,
            encoder_calls=produced.encoder_calls,
            location=produced.location,
            page=workshop.page_of(source_key),
            open_file=lambda path: workshop.file_of(manifest, path),
        ),
        data_version=dg.DataVersion(manifest.data_version),
        tags={"sourcebound/state": produced.state.value},
        check_results=[
            dg.AssetCheckResult(
                check_name=CHECK,
                passed=not warned,  # what failed was never published: a verdict here has passed or warned
                severity=dg.AssetCheckSeverity.WARN,
                description=f"{warned[0].clause}: {warned[0].found}" if warned else None,
                metadata=verdict_metadata(manifest.verdicts),
            )
        ],
    )


def _owner(owner: str) -> str:
    """An e-mail address as it is, anything else as the name of a team."""
    return owner if "@" in owner or owner.startswith("team:") else f"team:{owner}"


def _declared_metadata(declaration: Declaration) -> dict[str, Any]:
    bounds = dataclasses.asdict(declaration.work.bounds)
    return {
        "freshness_target_s": declaration.freshness.total_seconds(),
        "latency_target_s": declaration.latency.total_seconds(),
        "retry": declaration.retry.name,
        "attempts_at_most": attempts_product(declaration),
        "determinism": declaration.work.determinism.value,
        **{f"bound_{name}": value for name, value in bounds.items()},
    }


def _bounds_tags(work: Work) -> dict[str, str]:
    return {f"sourcebound/{name}": f"{value:g}" for name, value in dataclasses.asdict(work.bounds).items()}
