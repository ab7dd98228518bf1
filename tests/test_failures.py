"""The closed taxonomy: every kind crosses a process border as what it is, with a sentence for a person."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing import failures
from processing.failures import FailureKind, Throttled, Transient, WorkFailure, from_json

KINDS = [cls for cls in vars(failures).values() if isinstance(cls, type) and issubclass(cls, WorkFailure)]
FAILURES = [cls for cls in KINDS if cls is not WorkFailure]


def test_every_kind_has_exactly_one_type() -> None:
    assert sorted(cls.kind for cls in FAILURES) == sorted(FailureKind)


@pytest.mark.parametrize("cls", FAILURES)
@given(cause=st.text(), cure=st.text(), detail=st.text())
def test_a_failure_survives_json(cls: type[WorkFailure], cause: str, cure: str, detail: str) -> None:
    failure = cls(cause, cure=cure, detail=detail)
    restored = from_json(json.loads(json.dumps(failure.to_json())))
    assert type(restored) is cls
    assert (restored.cause, restored.cure, restored.detail) == (failure.cause, failure.cure, failure.detail)
    assert restored.sentence == failure.sentence


@given(cause=st.text(), cure=st.text())
def test_a_sentence_is_one_line(cause: str, cure: str) -> None:
    assert len(Transient(cause, cure=cure).sentence.splitlines()) <= 1


def test_a_sentence_says_cause_and_cure() -> None:
    assert Transient("the disk\nis full", cure="free space").sentence == "the disk is full; free space"
    assert Transient("the disk is full").sentence == "the disk is full"


@pytest.mark.parametrize("retry_after_s", [None, 1.5])
def test_the_hint_when_to_come_back_crosses_the_border(retry_after_s: float | None) -> None:
    restored = from_json(Throttled("too many requests", retry_after_s=retry_after_s).to_json())
    assert isinstance(restored, Throttled)
    assert restored.retry_after_s == retry_after_s


def test_a_kind_outside_the_taxonomy_is_refused() -> None:
    with pytest.raises(KeyError):
        from_json({"kind": "bad luck", "cause": "it rained"})
