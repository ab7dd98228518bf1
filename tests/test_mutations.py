"""Files made bad from a seed: what becomes of them is bounded, named and seen by nobody else; and they are really bad.

`make mutations` puts thousands of the corpus through the same; here some dozens of small ones.
"""

from __future__ import annotations

from random import Random

import pytest

from processing.failures import FailureKind
from processing.probe.magic import sniff
from tests.mutated.formats import FORMATS, Sources, mutated, small_sources
from tests.mutated.ordeal import RETRIED, Ordeal, Verdict
from tests.mutated.plain import PLAIN

SEED = 4
FILES = 3 * len(FORMATS)
WALL_S = 15.0
ADDRESSES = ("http://127.0.0.1:9/canary.mp4",)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return small_sources(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def verdict(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    with Ordeal(tmp_path_factory.mktemp("ordeal"), wall_s=WALL_S) as ordeal:
        return ordeal.endure(mutated(sources, SEED, number, ordeal.watch.addresses) for number in range(FILES))


class TestEndured:
    def test_the_processes_around_a_worker_live_on(self, verdict: Verdict) -> None:
        assert verdict.files == FILES
        assert verdict.parent_failures == []

    def test_no_task_outlasts_its_time(self, verdict: Verdict) -> None:
        assert verdict.attempts.total() >= FILES
        assert verdict.beyond_wall == []

    def test_nothing_outside_is_touched(self, verdict: Verdict) -> None:
        assert verdict.escapes == []

    def test_every_end_has_a_name_with_cause_and_cure(self, verdict: Verdict) -> None:
        assert verdict.outside_taxonomy == []

    def test_no_file_is_to_be_tried_again(self, verdict: Verdict) -> None:
        assert verdict.of(*RETRIED) == []
        assert verdict.attempts[FailureKind.SICK_WORKER] == 0

    def test_no_code_of_ours_breaks(self, verdict: Verdict) -> None:
        assert verdict.of(FailureKind.CONTRACT) == []

    def test_some_are_refused_and_some_are_decoded(self, verdict: Verdict) -> None:
        """All refused at the door would say nothing of what lies behind it."""
        outcomes = verdict.outcomes
        assert outcomes["media_info bad_input"] >= 5
        assert min(outcomes[f"{step} succeeded"] for step in ("chunks", "soundtrack", "thumbnails")) >= 3


class TestMutated:
    def test_the_same_seed_gives_the_same_bytes_and_another_others(self, sources: Sources) -> None:
        first, again, other = (
            [mutated(sources, seed, number, ADDRESSES).data for number in range(len(FORMATS))] for seed in (1, 1, 2)
        )
        assert first == again
        assert all(one != two for one, two in zip(first, other, strict=True))

    def test_every_format_is_among_them_and_none_is_as_it_was(self, sources: Sources) -> None:
        found = [mutated(sources, 1, number) for number in range(2 * len(FORMATS))]
        assert {each.format for each in found} == set(FORMATS)
        assert all(each.data != sources[each.format][0][1] for each in found)

    def test_some_name_an_address(self, sources: Sources) -> None:
        found = [mutated(sources, 1, number, ADDRESSES) for number in range(10 * len(FORMATS))]
        assert any(ADDRESSES[0].encode() in each.data for each in found)

    @pytest.mark.parametrize("name", FORMATS)
    def test_every_mutation_changes_a_good_file(self, sources: Sources, name: str) -> None:
        _, good = sources[name][0]
        assert sniff(good).kind is not None
        for mutator in (*FORMATS[name].mutators, *PLAIN):
            changed = [mutator(good, Random(seed)) for seed in range(12)]
            assert sum(data != good for data in changed) >= 3, mutator.__name__
            assert mutator(good, Random(3)) == changed[3], mutator.__name__

    @pytest.mark.parametrize("name", FORMATS)
    def test_no_mutation_stumbles_over_what_another_left(self, sources: Sources, name: str) -> None:
        _, good = sources[name][0]
        for seed in range(6):
            dice, data = Random(seed), good
            for mutator in dice.sample((*FORMATS[name].mutators, *PLAIN), len(FORMATS[name].mutators) + len(PLAIN)):
                data = mutator(data, dice) if len(data) >= 16 else good
