"""The life of an asset, as a table and as one function over it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.ledger.states import (
    DONE,
    LEGAL,
    MOVING,
    PRECEDENCE,
    AssetState,
    is_legal,
    legal_before,
    source_state,
)

NAMES = {
    "registered", "queued", "running", "waiting", "bounded", "quarantined", "failed", "ready", "stale", "superseded",
    "not_applicable", "cancelled", "forgotten",
}  # fmt: skip

states_of_assets = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(AssetState), max_size=6)


def test_the_set_of_states_is_closed():
    assert {state.value for state in AssetState} == NAMES
    assert set(LEGAL) == set(AssetState)
    assert {*PRECEDENCE, *DONE} == set(AssetState)


def test_what_is_forgotten_stays_forgotten():
    assert [to for to in AssetState if is_legal(AssetState.FORGOTTEN, to)] == [AssetState.FORGOTTEN]


def test_what_runs_is_stopped_before_it_is_forgotten():
    assert not is_legal(AssetState.RUNNING, AssetState.FORGOTTEN)
    assert is_legal(AssetState.CANCELLED, AssetState.FORGOTTEN)


@pytest.mark.parametrize("before", [AssetState.QUARANTINED, AssetState.FAILED, AssetState.CANCELLED])
def test_what_went_wrong_becomes_ready_only_by_being_tried_again(before):
    assert not is_legal(before, AssetState.READY)
    assert is_legal(before, AssetState.REGISTERED)


def test_an_output_that_exists_is_not_cancelled_or_quarantined():
    for to in (AssetState.CANCELLED, AssetState.QUARANTINED, AssetState.WAITING, AssetState.BOUNDED):
        assert not is_legal(AssetState.READY, to)


def test_a_superseded_asset_only_comes_back_when_its_bytes_do():
    assert {to for to in AssetState if is_legal(AssetState.SUPERSEDED, to)} == {
        AssetState.SUPERSEDED, AssetState.REGISTERED, AssetState.FORGOTTEN,
    }  # fmt: skip


def test_every_state_can_be_reached_and_all_but_the_last_can_be_left():
    reached, frontier = {AssetState.REGISTERED}, [AssetState.REGISTERED]
    while frontier:
        for state in LEGAL[frontier.pop()] - reached:
            reached.add(state)
            frontier.append(state)
    assert reached == set(AssetState)
    assert [state for state in AssetState if not LEGAL[state]] == [AssetState.FORGOTTEN]


@given(st.sampled_from(AssetState))
def test_the_states_before_a_state_are_those_that_may_become_it(to):
    assert legal_before(to) == [state for state in AssetState if state is to or to in LEGAL[state]]


def test_settled_is_what_does_not_move_by_itself():
    assert {state for state in AssetState if not state.is_settled} == MOVING


@given(states_of_assets)
def test_a_source_is_ready_exactly_when_all_that_it_requires_is_done(states):
    ready = source_state(states, states) is AssetState.READY
    assert ready == (bool(states) and set(states.values()) <= DONE)


@given(states_of_assets, st.sampled_from("abcdef"))
def test_assets_that_are_not_required_do_not_count(states, extra):
    required = [name for name in states if name != extra]
    without = {name: state for name, state in states.items() if name != extra}
    assert source_state(states, required) is source_state(without, required)


@given(states_of_assets)
def test_a_source_is_in_the_state_of_one_of_its_assets(states):
    allowed = {*states.values(), AssetState.READY} if states else {AssetState.REGISTERED}
    assert source_state(states, states) in allowed


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(AssetState), min_size=1))
def test_one_more_quarantined_asset_never_makes_a_source_look_better(states):
    before = source_state(states, states)
    after = source_state({**states, "z": AssetState.QUARANTINED}, [*states, "z"])
    worst = (AssetState.FORGOTTEN, AssetState.SUPERSEDED)
    assert after is (before if before in worst else AssetState.QUARANTINED)


def test_a_required_asset_nobody_has_heard_of_is_registered():
    assert source_state({"a": AssetState.READY}, ["a", "b"]) is AssetState.REGISTERED
    assert source_state({}, []) is AssetState.REGISTERED
