"""The real assets, materialized by Dagster on an ephemeral instance: checks say what the contracts found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from media_assets.declared import declared
from media_assets.definitions import build_defs
from media_assets.partitions import sources
from media_assets.plain import WORDS, assets_of_part
from resources import household
from resources.house import House
from tests.corpus import corpus_file
from tests.house import take_in

CHECK = "contract"


@pytest.fixture
def lived_in(house: House) -> Iterator[House]:
    """The house that the assets find."""
    household.adopt(house)
    yield house
    household.adopt(None)


def materialize(house: House, path: Path, *jobs: str) -> tuple[str, list[dg.ExecuteInProcessResult]]:
    """One source taken in and these jobs run for it, one after the other."""
    (registration,) = take_in(house, path)
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(sources.name or "", [registration.source_key])
    defs = build_defs()
    results = [
        defs.resolve_job_def(job).execute_in_process(
            partition_key=registration.source_key, instance=instance, raise_on_error=False
        )
        for job in jobs
    ]
    return registration.source_key, results


@pytest.mark.parametrize(
    ("path", "job"),
    [("video/testsrc.mp4", "video"), ("audio/mono.mp3", "audio"), ("image/Landscape_6.jpg", "image")],
)
def test_every_asset_of_a_kind_is_materialized_with_its_one_check(lived_in: House, path: str, job: str) -> None:
    key, results = materialize(lived_in, corpus_file(path), job, WORDS)
    states = lived_in.ledger.states(key)
    for part, result in zip((job, WORDS), results, strict=True):
        assert result.success
        of_part = {name: states[name] for name in assets_of_part(declared().values(), part) if name in states}
        evaluations = {found.asset_key.to_user_string(): found for found in result.get_asset_check_evaluations()}
        assert {found.check_name for found in evaluations.values()} == {CHECK}
        assert set(of_part) <= set(evaluations)
        for name, row in of_part.items():
            (made,) = result.asset_materializations_for_node(name)
            assert made.tags is not None
            if row.recipe_hash is None:
                assert made.tags["sourcebound/state"] == "not_applicable"
                continue
            if name in ("release", "dossier") and part == job:
                continue  # they were made again with the words since
            assert made.tags["dagster/data_version"] == row.data_version, name
            manifest = lived_in.store.find(name, row.recipe_hash)
            assert manifest is not None
            assert evaluations[name].metadata["clauses"].value == len(manifest.verdicts)


def test_a_file_that_is_no_picture_fails_its_run_with_one_sentence(lived_in: House) -> None:
    key, (result,) = materialize(lived_in, corpus_file("damaged/sample_ac4.mp4"), "video")
    assert not result.success
    failures = [event for event in result.all_events if event.is_step_failure]
    assert [event.step_key for event in failures] == ["media_info"]
    states = lived_in.ledger.states(key)
    assert {row.state.value for name, row in states.items() if name != "source"} == {"quarantined"}
    said = failures[0].step_failure_data.user_failure_data
    assert said is not None
    assert said.description == states["media_info"].cause


def test_a_partition_that_is_no_source_ends_with_one_sentence(lived_in: House) -> None:
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(sources.name or "", ["nobody-0123456789"])
    result = (
        build_defs()
        .resolve_job_def("audio")
        .execute_in_process(partition_key="nobody-0123456789", instance=instance, raise_on_error=False)
    )
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    said = failure.step_failure_data.user_failure_data
    assert said is not None
    assert said.description is not None
    assert said.description.startswith("nobody-0123456789 is no source")
