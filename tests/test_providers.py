"""What every provider promises, tried on each of them against another side that misbehaves.

Those behind a network talk to a real HTTP server on loopback (provider_server), with their SDKs; the embedded one to
real workers; Whisper to a process of its own in which a stand-in takes the place of the package.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import processing
from resources.compute.local import LocalCompute
from resources.compute.permits import Permits
from resources.providers.port import CallFailure, Cancelled, Failed, Faulty, Provider, Refused, Vacuous
from resources.providers.registry import KINDS, by_name
from tests.compute_trial import MISBEHAVING
from tests.provider_benches import (
    BENCHES,
    KEY,
    OVER_HTTP,
    AwsSpeech,
    AwsVectors,
    AwsWriting,
    Bench,
    EmbeddedBench,
    OpenAiSpeech,
    OpenAiWriting,
    WhisperBench,
)
from tests.provider_server import ProviderServer, provider_server

SOON_S = 1.0  # how much later than its deadline or its cancel a call may end, on a busy machine


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    with provider_server() as started:
        yield started


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalCompute, list[Any]]]:
    attempts: list[Any] = []
    folder = tmp_path_factory.mktemp("permits")
    compute = LocalCompute(Permits(2, folder=folder), workers=2, on_attempt=attempts.append, operations=[MISBEHAVING])
    compute.warm()
    yield compute, attempts
    compute.close()


@pytest.fixture(autouse=True)
def _set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in the environment; the stand-in and the operation of tests where the providers look for theirs."""
    monkeypatch.setenv("PROVIDER_KEY", KEY)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    standins = Path(__file__).parent / "standins"
    monkeypatch.syspath_prepend(standins)
    monkeypatch.setenv("PYTHONPATH", f"{standins}:{Path(__file__).parents[1]}")
    monkeypatch.setattr(processing, "__path__", [*processing.__path__, str(MISBEHAVING)])


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    kind = request.param
    if kind is EmbeddedBench:
        made: Bench = EmbeddedBench(tmp_path, *request.getfixturevalue("workers"))
    elif kind is WhisperBench:
        made = WhisperBench(tmp_path)
    else:
        made = kind(tmp_path, request.getfixturevalue("server"))
    yield made
    made.end()


def of(*kinds: type[Bench]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bench", kinds, indirect=True, ids=lambda kind: kind.__name__)


def that_can(behaviour: str) -> pytest.MarkDecorator:
    """Every bench whose other side can behave so."""
    return of(*(kind for kind in BENCHES if behaviour in kind.can))


def failure_of(bench: Bench, **told: Any) -> CallFailure:
    with pytest.raises(CallFailure) as caught:
        bench.ask(**told)
    return caught.value


@of(*BENCHES)
def test_a_question_is_answered_with_bytes_and_their_format(bench: Bench) -> None:
    assert bench.provider.unavailable(bench.question().release) is None
    answer = bench.ask()
    assert answer.format == bench.format
    assert json.loads(answer.body)
    assert bench.asked() == (3 if bench.format == "bedrock.titan_embedding.v1" else 1)  # a call a text


@of(*OVER_HTTP)
def test_the_bytes_are_those_that_were_sent(bench: Bench) -> None:
    """A parser that is mended later reads the old answers again: nothing may have been rewritten on the way."""
    answer = bench.ask()
    sent = bench.sent()
    assert sent
    if bench.format == "aws.transcribe.v1":
        assert json.loads(answer.body)["results"]["transcripts"][0]["transcript"]
    elif len(sent) == 1:
        assert answer.body == sent[0].encode()
    else:
        at = 0
        for body in sent:  # several calls: each as it came, in their order
            at = answer.body.index(body.encode(), at) + len(body)


@of(*OVER_HTTP)
def test_what_is_charged_is_told_and_was_reckoned_with(bench: Bench) -> None:
    """A reservation below the true use overdraws the limit of tokens without anybody knowing."""
    if bench.provider.tokens_at_most(bench.question()) == 0:
        assert bench.ask().usage.tokens is None
        return
    charged = set()
    for number in range(10):
        key = f"question-{number}"
        most = bench.provider.tokens_at_most(bench.question())
        answer = bench.ask(idempotency_key=key)
        assert answer.usage.tokens is not None
        assert answer.usage.tokens <= most
        charged.add(answer.usage.tokens)
    assert bench.server.seen()["tokens"] >= max(charged)  # type: ignore[attr-defined]


@that_can("refused")
def test_a_refusal_is_no_failure(bench: Bench) -> None:
    bench.behave("refused")
    failure = failure_of(bench)
    assert isinstance(failure, Refused)
    assert failure.retry_after_s is None
    assert bench.asked() == 1


@pytest.mark.parametrize("behaviour", ["refused_hint", "unavailable_hint"])
@that_can("refused_hint")
def test_a_refusal_hands_on_when_to_come_back(bench: Bench, behaviour: str) -> None:
    bench.behave(behaviour)
    failure = failure_of(bench)
    assert isinstance(failure, Refused)
    assert failure.retry_after_s == 7
    assert bench.asked() == 1


@pytest.mark.parametrize(
    ("bench", "behaviour"),
    [
        pytest.param(kind, behaviour, id=f"{kind.__name__}-{behaviour}")
        for kind in BENCHES
        for behaviour in ("failed", "sick", "reset", "half", "huge")
        if behaviour in kind.can
    ],
    indirect=["bench"],
)
def test_a_failure_of_theirs_is_one_try(bench: Bench, behaviour: str) -> None:
    """Retries of an SDK under retries of ours multiply: two layers of three are nine calls."""
    bench.behave(behaviour)
    assert isinstance(failure_of(bench), Failed)
    assert bench.asked() == 1
    bench.behave("")
    assert bench.ask().body


@pytest.mark.parametrize(
    ("bench", "behaviour"),
    [
        pytest.param(kind, behaviour, id=f"{kind.__name__}-{behaviour}")
        for kind in BENCHES
        for behaviour in ("slow", "drip")
        if behaviour in kind.can
    ],
    indirect=["bench"],
)
def test_a_call_ends_at_its_deadline(bench: Bench, behaviour: str) -> None:
    """A byte now and then keeps every read timeout content, and a call alive for hours."""
    bench.behave(behaviour)
    began = time.monotonic()
    failure = failure_of(bench, deadline_s=bench.deadline_s)
    assert isinstance(failure, Failed)
    assert bench.deadline_s - 0.05 <= time.monotonic() - began <= bench.deadline_s + SOON_S
    assert failure.cause


@that_can("slow")
def test_a_call_that_is_cancelled_ends_soon(bench: Bench) -> None:
    bench.behave("slow")
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    began = time.monotonic()
    assert isinstance(failure_of(bench, cancelled=cancelled), Cancelled)
    assert time.monotonic() - began <= 0.5 + SOON_S
    bench.behave("")
    assert bench.ask(idempotency_key="another question").body  # and leaves nothing behind that harms the next


@of(*BENCHES)
def test_a_call_that_was_cancelled_before_is_not_made(bench: Bench) -> None:
    cancelled = threading.Event()
    cancelled.set()
    assert isinstance(failure_of(bench, cancelled=cancelled), Cancelled)
    assert bench.asked() == 0


@that_can("key")
def test_a_wrong_key_is_our_fault_and_stays_secret(bench: Bench) -> None:
    bench.behave("key")
    failure = failure_of(bench)
    assert isinstance(failure, Faulty)
    assert failure.cure
    assert KEY not in failure.sentence
    assert bench.asked() == 1


@that_can("model")
def test_a_model_that_is_not_there_is_our_fault(bench: Bench) -> None:
    bench.behave("model")
    failure = failure_of(bench)
    assert isinstance(failure, Faulty)
    assert bench.asked() <= 1
    assert "; " in failure.sentence  # with what mends it


@pytest.mark.parametrize(
    ("bench", "behaviour"),
    [
        pytest.param(kind, behaviour, id=f"{kind.__name__}-{behaviour}")
        for kind in BENCHES
        for behaviour in ("empty", "empty_body", "not_json")
        if behaviour in kind.can
    ],
    indirect=["bench"],
)
def test_an_answer_with_nothing_in_it_is_none(bench: Bench, behaviour: str) -> None:
    """Status 200 says that a request was served, not that anything was said."""
    bench.behave(behaviour)
    failure = failure_of(bench)
    assert isinstance(failure, Vacuous)
    assert bench.asked() == 1
    if failure.answer is not None:  # silence that was heard as such
        assert failure.answer.format == bench.format
        assert failure.answer.usage == failure.usage


@of(OpenAiSpeech, AwsSpeech, WhisperBench)
def test_silence_comes_with_the_answer_that_says_so(bench: Bench) -> None:
    """Where nothing was said an empty transcript is the truth, which whoever asked may know and we do not."""
    bench.behave("empty")
    failure = failure_of(bench)
    assert isinstance(failure, Vacuous)
    assert failure.answer is not None
    assert json.loads(failure.answer.body)


@of(OpenAiSpeech, OpenAiWriting, AwsWriting, AwsVectors)
def test_answers_of_many_threads_are_not_mixed_up(bench: Bench) -> None:
    questions = [replace(bench.question(), idempotency_key=f"question-{number}") for number in range(12)]
    alone = [bench.provider.answer(question, threading.Event()).body for question in questions]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda each: bench.provider.answer(each, threading.Event()).body, questions))
    assert together == alone


def test_a_provider_is_found_by_its_kind(workers: tuple[LocalCompute, list[Any]], tmp_path: Path) -> None:
    found = [by_name(kind, compute=workers[0], scratch=tmp_path) for kind in KINDS]
    assert all(isinstance(each, Provider) for each in found)
    assert len({type(each) for each in found}) == len(KINDS)
    with pytest.raises(ValueError, match="there are aws"):
        by_name("abacus", compute=workers[0], scratch=tmp_path)


def test_the_list_of_providers_imports_no_sdk() -> None:
    """Every run reads the list; few of them need an SDK."""
    import subprocess

    code = "import sys, resources.providers.registry; print(*sorted({'openai', 'boto3', 'httpx2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
