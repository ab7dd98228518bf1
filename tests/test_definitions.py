"""What Dagster is told follows from the declarations, is complete, and shows what a contract found."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import numpy as np
import pytest

from media_assets import metadata
from media_assets.build import CHECK, attempts_product, run_facts
from media_assets.declared import declared
from media_assets.definitions import build_defs, defs
from media_assets.policies import POOLS, STORAGE, Retry
from media_assets.spec import KINDS, Declaration, IncompleteDeclaration
from processing.failures import Throttled, WorkFailure
from processing.manifest import FileEntry, Outcome, Verdict
from processing.sound import loudness
from processing.work import Bounds, Work
from resources import run_tags
from resources.dagster_bindings.executor import side_by_side_executor
from resources.dagster_bindings.instance import PARTITIONS
from resources.ledger.states import AssetState
from tests import toy_graph

ALL = declared()
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def run_toy(
    instance: dg.DagsterInstance, source: str, workshop: object | None = None
) -> dg.JobExecutionResult | dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions(PARTITIONS, [source])
    overrides = {"house": workshop or toy_graph.ToyWorkshop()}
    toy = build_defs(declarations=toy_graph.declarations(), resource_overrides=overrides)
    job = toy.resolve_job_def("video")
    return job.execute_in_process(instance=instance, partition_key=source, raise_on_error=False)


def materialization(instance: dg.DagsterInstance, asset: str) -> dg.AssetMaterialization:
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization


@pytest.mark.parametrize("name", list(ALL))
def test_every_declaration_is_an_asset_with_all_that_was_declared(name: str) -> None:
    declaration = ALL[name]
    asset = defs.resolve_asset_graph().get(dg.AssetKey(name))
    spec = next(iter(defs.resolve_assets_def(dg.AssetKey(name)).specs))
    assert spec.group_name == declaration.group
    assert spec.code_version == declaration.work.code_version
    assert declaration.owner in spec.owners[0]
    assert asset.pools == {declaration.pool.name}
    assert asset.partitions_def == dg.DynamicPartitionsDefinition(name=PARTITIONS)
    assert {key.name for key in asset.check_keys} == {CHECK}
    assert spec.metadata["freshness_target_s"] == declaration.freshness.total_seconds()
    assert spec.metadata["latency_target_s"] == declaration.latency.total_seconds()
    assert spec.metadata["bound_memory_mb"] == declaration.work.bounds.memory_mb
    assert spec.metadata["retry"] == declaration.retry.name


def test_every_pool_is_a_named_one_with_a_limit() -> None:
    named = {pool.name: pool.limit for pool in POOLS}
    assert {declaration.pool.name for declaration in ALL.values()} <= named.keys()
    assert all(limit > 0 for limit in named.values())


def made_by(job_name: str) -> set[str]:
    job = defs.resolve_job_def(job_name)
    assert job.executor_def is side_by_side_executor
    return {key.to_user_string() for key in job.asset_layer.executable_asset_keys}


def test_there_is_a_job_a_kind_with_picture_and_sound_of_that_kind() -> None:
    for kind in KINDS:
        expected = {name for name, each in ALL.items() if kind in each.kinds and each.part == "media"}
        assert made_by(kind) == expected


def test_words_have_a_job_of_their_own_that_publishes_once_more() -> None:
    assert made_by("words") == {name for name, each in ALL.items() if each.part == "words"} | {"release", "dossier"}


def test_loading_the_definitions_imports_no_media_or_table_library() -> None:
    """Every command, daemon and code server would pay for it, and a fork of them would share it."""
    program = (
        "import sys, media_assets.definitions\n"
        "print([name for name in ('av', 'numpy', 'PIL', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout.strip() == "[]"


def a_declaration(**changes: Any) -> Declaration:
    return replace(toy_graph.declarations()[0], **changes)


@pytest.mark.parametrize(
    "missing",
    [{"owner": ""}, {"description": ""}, {"freshness": timedelta(0)}, {"latency": timedelta(0)}, {"kinds": ()}],
)
def test_loading_fails_without_what_the_platform_relies_on(missing: dict[str, Any]) -> None:
    with pytest.raises(IncompleteDeclaration, match=next(iter(missing))):
        build_defs(declarations=[a_declaration(**missing)])


@pytest.mark.parametrize("field", ["pool", "retry", "work"])
def test_a_declaration_cannot_be_written_without_pool_retry_and_work(field: str) -> None:
    fields = {name: getattr(toy_graph.declarations()[0], name) for name in Declaration.__dataclass_fields__}
    del fields[field]
    with pytest.raises(TypeError, match=field):
        Declaration(**fields)


@pytest.mark.parametrize("bound", ["wall_base_s", "memory_mb", "output_mb", "attempts"])
def test_a_bound_of_nothing_is_refused(bound: str) -> None:
    values = {"wall_base_s": 1.0, "wall_per_media_s": 1.0, "memory_mb": 1, "output_mb": 1, "attempts": 1}
    with pytest.raises(ValueError, match=bound):
        Bounds(**{**values, bound: 0})  # type: ignore[arg-type]


def test_tries_that_multiply_above_the_cap_are_refused_when_loading() -> None:
    eager = a_declaration(retry=Retry("eager", max_retries=9, delay_s=1.0))
    assert attempts_product(eager) == 30
    with pytest.raises(IncompleteDeclaration, match="30 times"):
        build_defs(declarations=[eager])


def test_a_pass_without_a_contract_for_its_units_is_refused_when_loading() -> None:
    work = a_declaration().work
    with pytest.raises(IncompleteDeclaration, match="contract of a unit"):
        a_declaration(work=replace(work, is_pass=True))
    assert a_declaration(work=replace(work, is_pass=True, unit_contract=work.contract)).work.is_pass


@pytest.mark.parametrize("field", ["operation", "contract", "unit_contract"])
def test_what_no_worker_could_find_is_refused_when_loading(field: str) -> None:
    with pytest.raises(IncompleteDeclaration, match="no operation"):
        a_declaration(work=replace(a_declaration().work, **{field: "processing.toy.make"}))  # type: ignore[arg-type]


def test_a_run_shows_what_was_made_and_what_the_contract_found(instance: dg.DagsterInstance) -> None:
    assert run_toy(instance, "film-1").success
    made = materialization(instance, "a3")
    manifest = toy_graph.manifest_of("a3", "film-1")
    assert made.partition == "film-1"
    assert (made.tags or {})["dagster/data_version"] == manifest.data_version
    assert (made.tags or {})["dagster/code_version"] == "1"
    assert made.metadata["recipe"].value == manifest.recipe_hash
    assert {"bytes", "seconds", "cpu_seconds", "encoder_calls", "facts", "streams", "uri"} <= made.metadata.keys()
    assert metadata.size_of(made.metadata) < metadata.MAX_BYTES


def evaluations(result: Any, asset: str) -> list[dg.AssetCheckEvaluation]:
    return [one for one in result.get_asset_check_evaluations() if one.asset_key == dg.AssetKey(asset)]


def test_each_asset_reports_one_check_with_its_clauses(instance: dg.DagsterInstance) -> None:
    result = run_toy(instance, "film-2")
    (check,) = evaluations(result, "a4")
    assert check.passed
    assert check.partition == "film-2"
    rows = check.metadata["verdicts"].value.records  # type: ignore[union-attr]
    assert [row.data["clause"] for row in rows] == ["decodes", "covers the duration"]


def test_a_warned_clause_warns_without_failing_the_run(instance: dg.DagsterInstance) -> None:
    result = run_toy(instance, "warned-1")
    assert result.success
    (check,) = evaluations(result, "a4")
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.description == "covers the duration: 9.9 s"


def test_what_does_not_apply_is_materialized_with_its_reason_and_skips_nobody(instance: dg.DagsterInstance) -> None:
    result = run_toy(instance, "still-1")
    assert result.success
    made = materialization(instance, "a9")
    assert made.metadata["not applicable"].value == "a still has no sound"
    assert (made.tags or {})["sourcebound/state"] == "not_applicable"
    assert evaluations(result, "a9")[0].passed


def test_a_run_that_is_run_again_acts_for_whoever_does_that() -> None:
    """Dagster hands a run's tags on to its successor, those of the sensor or the command that asked first too."""
    tags = {run_tags.ACTOR: "sensor/inbox", run_tags.CALL: "call-1", run_tags.ARRIVAL: "arrival-1"}
    first = dg.DagsterRun(job_name="video", run_id="1", tags=tags)
    again = dg.DagsterRun(job_name="video", run_id="2", tags=tags, parent_run_id="1", root_run_id="1")
    facts = [run_facts(SimpleNamespace(run=run)) for run in (first, again)]  # type: ignore[arg-type]
    assert [(one.actor, one.call_id) for one in facts] == [("sensor/inbox", "call-1"), ("dagster/video", None)]
    assert {one.correlation for one in facts} == {"arrival-1"}


def events(result: Any, asset: str, kind: dg.DagsterEventType) -> list[Any]:
    return [event for event in result.all_events if event.step_key == asset and event.event_type is kind]


def says_nothing_but(error: Any, sentence: str) -> bool:
    """Whether an event's error has no stack: Dagster's own frames, which the UI would show above the cause."""
    return (error.message, list(error.stack), error.cause, error.context) == (sentence, [], None, None)


@pytest.mark.logs_errors
def test_a_bad_file_fails_once_with_its_sentence(instance: dg.DagsterInstance) -> None:
    result = run_toy(instance, "bad-1")
    assert not result.success
    (failed,) = events(result, "a2", dg.DagsterEventType.STEP_FAILURE)
    assert failed.step_failure_data.user_failure_data.description == "the file is no media; upload the right one"
    assert says_nothing_but(failed.step_failure_data.error, "the file is no media; upload the right one")
    assert events(result, "a2", dg.DagsterEventType.STEP_UP_FOR_RETRY) == []
    assert events(result, "a3", dg.DagsterEventType.STEP_SUCCESS), "one bad asset does not stop the others"


@pytest.mark.logs_errors
def test_a_bug_is_not_tried_again(instance: dg.DagsterInstance) -> None:
    """Dagster's own retry policy repeats whatever is raised, MemoryError too."""
    result = run_toy(instance, "bug-1")
    assert len(events(result, "a2", dg.DagsterEventType.STEP_FAILURE)) == 1
    assert events(result, "a2", dg.DagsterEventType.STEP_UP_FOR_RETRY) == []


def test_a_store_that_blinks_is_tried_again(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(toy_graph.JOURNAL, str(tmp_path / "journal"))
    result = run_toy(instance, "blink-1")
    assert result.success
    (retry,) = events(result, "a2", dg.DagsterEventType.STEP_UP_FOR_RETRY)
    assert says_nothing_but(retry.event_specific_data.error, "the store blinked")


class Refusing(toy_graph.ToyWorkshop):
    """Fails `a2` as it is told to."""

    def __init__(self, failure: WorkFailure) -> None:
        self.failure = failure

    def _behave(self, source_key: str, calls: int) -> None:
        raise self.failure


@pytest.mark.logs_errors
def test_a_store_that_stays_away_fails_with_its_own_cause(instance: dg.DagsterInstance) -> None:
    """Left to Dagster, the last try ends with "Exceeded max_retries of 2" and no cause."""
    result = run_toy(instance, "film-4", Refusing(Throttled("the store is away", retry_after_s=0.01)))
    assert len(events(result, "a2", dg.DagsterEventType.STEP_UP_FOR_RETRY)) == STORAGE.max_retries
    (failed,) = events(result, "a2", dg.DagsterEventType.STEP_FAILURE)
    assert says_nothing_but(failed.step_failure_data.error, "the store is away")


@pytest.mark.logs_errors
def test_a_wait_longer_than_a_run_may_last_ends_the_run(instance: dg.DagsterInstance) -> None:
    """A run that waits in a step keeps its run slot; the ledger says when to go on."""
    result = run_toy(instance, "film-3", Refusing(Throttled("the provider is busy", retry_after_s=120)))
    assert not result.success
    assert events(result, "a2", dg.DagsterEventType.STEP_UP_FOR_RETRY) == []


def a_picture(tmp_path: Path, size: tuple[int, int]) -> tuple[FileEntry, Path]:
    from PIL import Image

    path = tmp_path / "poster.jpg"
    Image.effect_noise(size, 80).convert("RGB").save(path, "JPEG", quality=95)
    return FileEntry("poster.jpg", path.stat().st_size, "0" * 64), path


def test_a_poster_of_any_size_is_shown_within_the_bound(tmp_path: Path) -> None:
    entry, path = a_picture(tmp_path, (1920, 1080))
    manifest = replace(toy_graph.manifest_of("poster", "film"), files=(entry,))
    shown = metadata.artifact_metadata(
        manifest, None, reused=False, seconds=1, cpu_seconds=1, encoder_calls=0, open_file=lambda _: path
    )
    inline = str(shown["picture"].value)
    assert inline.startswith("![picture](data:image/webp;base64,")
    assert len(inline) < 1_000  # what the UI shows without a click
    text = str(shown["picture, larger"].value)
    assert text.startswith("![picture](data:image/jpeg;base64,")
    assert len(text) <= metadata.MAX_PICTURE_BYTES
    assert metadata.size_of(shown) <= metadata.MAX_BYTES
    import base64

    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(text.rpartition(",")[2].rstrip(")"))))
    assert picture.width >= 120


def rows_of(shown: metadata.Metadata, table: str) -> dict[str, str]:
    return {row.data["fact"]: row.data["value"] for row in shown[table].value.records}


def test_facts_are_said_for_a_person_and_what_is_unknown_is_not_said() -> None:
    facts = {
        "duration": {"ticks": 31029, "timescale": 15360},
        "rate": {"num": 30000, "den": 1001},
        "origin": {"num": 0, "den": 1},
        "alpha": False,
        "title": None,
        "colour": {"matrix": "bt709", "range": None},
        "rungs": [720, 360],
        "streams": [{"codec": "aac", "start": {"num": 1, "den": 2}, "language": None}],
    }
    tables = dict(metadata.facts_tables(facts))
    assert rows_of({"facts": tables["facts"]}, "facts") == {  # type: ignore[dict-item]
        "duration": "2.020 s (31029/15360)",
        "rate": "29.97 (30000/1001)",
        "origin": "0",
        "alpha": "no",
        "colour": "matrix bt709",
        "rungs": "720, 360",
    }
    streams = tables["streams"]
    assert streams is not None
    assert [row.data for row in streams.value.records] == [{"codec": "aac", "start": "0.5 (1/2)"}]


def test_loudness_that_could_not_be_measured_says_why_in_the_ui() -> None:
    """A track of one silent sample at 1 Hz lacks all six figures: the row was empty, and so was its reason."""
    facts = {"rate_hz": 1, "samples": 1, "sample_peak": 0.0, "true_peak": 0.0, "channels": ["FC"]}
    report = {"tracks": [{"track": 0, **loudness.measure(np.zeros(0), facts)}]}
    table = dict(metadata.facts_tables(report))["tracks"]
    assert table is not None
    (row,) = table.value.records
    assert "sampled at 1 Hz" in str(row.data["reasons"])
    assert not {"integrated_lufs", "true_peak_dbtp"} & {name for name, value in row.data.items() if value}


def test_the_picture_and_the_facts_come_before_the_bookkeeping(tmp_path: Path) -> None:
    entry, path = a_picture(tmp_path, (320, 180))
    manifest = replace(toy_graph.manifest_of("poster", "film"), files=(entry,))
    shown = metadata.artifact_metadata(
        manifest, "file:///x", reused=True, seconds=1, cpu_seconds=1, encoder_calls=0, open_file=lambda _: path
    )
    assert list(shown)[:4] == ["picture", "picture, larger", "facts", "streams"]
    assert shown["made"].value == "found in the store"


def test_facts_of_any_length_stay_within_the_bound() -> None:
    facts = {f"list{index}": [{"text": "x" * 500, "n": n} for n in range(100)] for index in range(20)}
    manifest = replace(toy_graph.manifest_of("a1", "film"), facts=facts)
    shown = metadata.artifact_metadata(
        manifest, None, reused=True, seconds=1, cpu_seconds=1, encoder_calls=0, open_file=lambda _: None
    )
    assert metadata.size_of(shown) <= metadata.MAX_BYTES
    verdicts = [Verdict(f"clause {n}", Outcome.PASSED, "y" * 500) for n in range(200)]
    assert metadata.size_of(metadata.verdict_metadata(verdicts)) <= metadata.MAX_BYTES


def test_clauses_that_did_not_pass_come_first() -> None:
    verdicts = [Verdict("fine", Outcome.PASSED), Verdict("odd", Outcome.WARNED)]
    table = metadata.verdict_metadata(verdicts)["verdicts"].value
    assert [row.data["clause"] for row in table.records] == ["odd", "fine"]


def test_an_asset_depends_on_its_needs_and_on_the_passes_it_taps() -> None:
    for name, declaration in ALL.items():
        work: Work = declaration.work
        wanted = {*work.needs, *work.awaits, *(tap.pass_asset for tap in work.taps)} - {name}
        parents = defs.resolve_asset_graph().get(dg.AssetKey(name)).parent_keys
        assert {key.to_user_string() for key in parents} == wanted


def test_the_page_about_the_command_line_names_every_asset_and_every_state() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| `")}
    assert {f"`{name}`" for name in declared()} <= rows
    assert {f"`{state}`" for state in AssetState} <= rows
