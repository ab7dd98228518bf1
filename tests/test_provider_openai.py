"""Models behind OpenAI's interface: what is sent, what each end means, and what does not get past the bounds."""

from __future__ import annotations

import base64
import gzip
import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from processing.asking import AskTask
from resources.providers.exchange import retry_after_s
from resources.providers.openai_http import OpenAiHttp
from resources.providers.port import CallFailure, Failed, Faulty, Question
from tests.compute_trial import eventually
from tests.provider_benches import (
    KEY,
    SCHEMA,
    AwsWriting,
    OpenAiLabels,
    OpenAiReading,
    OpenAiSpeech,
    OpenAiVectors,
    OpenAiWriting,
)
from tests.provider_server import ProviderServer, provider_server


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    with provider_server() as started:
        yield started


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_KEY", KEY)


def asked_by(bench: Any, question: Question | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The headers and the fields of the request that a question becomes."""
    bench.provider.answer(question or bench.question(), threading.Event())
    last = bench.server.seen()["last"]
    return last["headers"], last["asked"]


def test_a_step_of_writing_is_a_chat_with_its_schema(tmp_path: Path, server: ProviderServer) -> None:
    headers, asked = asked_by(OpenAiWriting(tmp_path, server))
    assert headers["idempotency-key"] == "the-key-of-a-question"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert asked["messages"][0] == {"role": "system", "content": "Say what matters."}
    assert "ein Fluß" in asked["messages"][1]["content"]
    assert asked["response_format"]["json_schema"] == {"name": "writing", "schema": SCHEMA, "strict": True}
    assert asked["max_completion_tokens"] == 200


def test_what_was_asked_for_is_what_is_written(tmp_path: Path, server: ProviderServer) -> None:
    answer = OpenAiWriting(tmp_path, server).ask()
    said = json.loads(json.loads(answer.body)["choices"][0]["message"]["content"])
    assert set(said) == {"title", "points"}
    assert answer.request_id.startswith("req-")
    assert answer.model == "a-model"


def test_speech_is_a_form_with_the_sound(tmp_path: Path, server: ProviderServer) -> None:
    bench = OpenAiSpeech(tmp_path, server)
    question = replace(bench.question(), parameters={"language": "de-AT", "prompt": "Donau, Wien"})
    _, asked = asked_by(bench, question)
    assert asked["language"] == "de"
    assert asked["prompt"] == "Donau, Wien"
    assert asked["response_format"] == "verbose_json"
    answer = json.loads(bench.ask().body)
    assert answer["duration"] == 2  # read from the FLAC that came
    assert [set(word) for word in answer["words"]] == [{"word", "start", "end"}] * 5


def test_a_language_nobody_knows_is_not_made_up(tmp_path: Path, server: ProviderServer) -> None:
    bench = OpenAiSpeech(tmp_path, server)
    _, asked = asked_by(bench, replace(bench.question(), parameters={}))
    assert "language" not in asked


@pytest.mark.parametrize(("kind", "field"), [(OpenAiReading, "lines"), (OpenAiLabels, "labels")])
def test_a_picture_goes_along_whole(tmp_path: Path, server: ProviderServer, kind: Any, field: str) -> None:
    bench = kind(tmp_path, server)
    _, asked = asked_by(bench)
    text, picture = asked["messages"][0]["content"]
    head, _, data = picture["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == bench.question().payload["picture.png"].read_bytes()
    assert text["text"]
    said = json.loads(json.loads(bench.ask().body)["choices"][0]["message"]["content"])
    assert field in said


def test_a_picture_without_its_prompt_is_not_sent(tmp_path: Path, server: ProviderServer) -> None:
    """A prompt is part of what an answer was made of; one of the provider's own would be in no recipe."""
    bench = OpenAiReading(tmp_path, server)
    with pytest.raises(Faulty, match="without its prompt"):
        bench.ask(parameters={})
    assert bench.asked() == 0


def test_vectors_are_asked_for_as_numbers(tmp_path: Path, server: ProviderServer) -> None:
    bench = OpenAiVectors(tmp_path, server)
    _, asked = asked_by(bench)
    assert asked["input"] == ["ein Fluß", "a mill", "bread"]
    assert asked["dimensions"] == 32
    data = json.loads(bench.ask().body)["data"]
    assert [len(each["embedding"]) for each in data] == [32] * 3


def test_what_a_release_says_besides_reaches_the_request(tmp_path: Path, server: ProviderServer) -> None:
    bench = OpenAiWriting(tmp_path, server)
    told = {**bench.question().release, "options": {"temperature": 0, "seed": 7}, "limit_parameter": "max_tokens"}
    _, asked = asked_by(bench, replace(bench.question(), release=told))
    assert (asked["temperature"], asked["seed"], asked["max_tokens"]) == (0, 7, 200)
    assert "max_completion_tokens" not in asked


def test_a_server_of_ones_own_needs_no_key(
    tmp_path: Path, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the key of somebody else")
    bench = OpenAiWriting(tmp_path, server)
    headers, _ = asked_by(bench, replace(bench.question(), release={**bench.question().release, "key_env": ""}))
    assert "authorization" not in headers


def test_the_environment_adds_nothing_to_a_request(
    tmp_path: Path, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of one's account at one provider is nobody else's business."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-mine")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    headers, _ = asked_by(OpenAiWriting(tmp_path, server))
    assert not {name for name, value in headers.items() if "mine" in value}


def test_a_key_that_is_not_there_is_said_before_anything_is_asked(
    tmp_path: Path, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROVIDER_KEY")
    bench = OpenAiWriting(tmp_path, server)
    sentence = bench.provider.unavailable(bench.question().release)
    assert sentence is not None
    assert "PROVIDER_KEY" in sentence
    with pytest.raises(Faulty, match="PROVIDER_KEY"):
        bench.ask()
    assert bench.asked() == 0


def test_an_account_without_money_is_not_asked_again(tmp_path: Path, server: ProviderServer) -> None:
    """It says 429 as a limit does, and would be tried for ever."""
    bench = OpenAiWriting(tmp_path, server)
    server.control(behaviour="402")
    with pytest.raises(Faulty, match="nothing left to spend"):
        bench.ask()


def test_a_refusal_in_words_is_an_answer(tmp_path: Path, server: ProviderServer) -> None:
    """What it means the reader of the format decides: here it would be asked again and paid again."""
    bench = OpenAiWriting(tmp_path, server)
    bench.behave("refusal")
    assert b"can't help" in bench.ask().body


def test_what_is_charged_for_nothing_is_told(tmp_path: Path, server: ProviderServer) -> None:
    bench = OpenAiWriting(tmp_path, server)
    bench.behave("empty")
    with pytest.raises(CallFailure) as caught:
        bench.ask()
    assert caught.value.usage.tokens == server.seen()["tokens"]


def test_an_address_where_nobody_listens_is_a_failure_of_theirs(tmp_path: Path, server: ProviderServer) -> None:
    bench = OpenAiWriting(tmp_path, server)
    with pytest.raises(Failed, match=r"cannot be reached at 127\.0\.0\.1:9") as caught:
        bench.ask(release={**bench.question().release, "base_url": "http://127.0.0.1:9/v1"})
    assert "mend the address" in caught.value.cure


@contextmanager
def odd_server(answer: Any) -> Iterator[str]:
    """A server whose every answer is written by `answer(handler)`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/v1"
        running.shutdown()


def written(handler: Any, body: bytes, **headers: str) -> None:
    handler.send_response(200)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def test_a_compressed_answer_is_not_unpacked(tmp_path: Path, server: ProviderServer) -> None:
    """Ten megabytes of it are ten gigabytes of zeros."""
    bench = OpenAiWriting(tmp_path, server)
    bomb = gzip.compress(bytes(1 << 20))
    with (
        odd_server(lambda handler: written(handler, bomb, Content_Encoding="gzip")) as url,
        pytest.raises(Failed, match="compressed"),
    ):
        bench.ask(release={**bench.question().release, "base_url": url})


def test_an_error_that_never_ends_is_cut_off(tmp_path: Path, server: ProviderServer) -> None:
    """SDKs read the body of an error whole before they say that it is one."""
    bench = OpenAiWriting(tmp_path, server)

    def endless(handler: Any) -> None:
        handler.send_response(500)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        except OSError:
            handler.close_connection = True

    with odd_server(endless) as url, pytest.raises(Failed, match="more than 64 KiB"):
        bench.ask(release={**bench.question().release, "base_url": url})


def test_headers_that_come_by_the_byte_end_at_the_deadline(tmp_path: Path, server: ProviderServer) -> None:
    """Every byte is a read that was in time."""
    bench = OpenAiWriting(tmp_path, server)

    def dripping(handler: Any) -> None:
        handler.close_connection = True
        try:
            for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200:
                handler.wfile.write(bytes([byte]))
                time.sleep(0.1)
        except OSError:
            pass

    began = time.monotonic()
    with odd_server(dripping) as url, pytest.raises(Failed, match="within"):
        bench.ask(release={**bench.question().release, "base_url": url}, deadline_s=0.8)
    assert time.monotonic() - began < 2


def test_nothing_is_watched_when_nothing_is_under_way(tmp_path: Path, server: ProviderServer) -> None:
    """A thread that stays would look ten times a second for as long as the process lives."""
    OpenAiWriting(tmp_path, server).ask()
    assert eventually(lambda: not any(thread.name == "exchanges" for thread in threading.enumerate()), within_s=5)


def test_a_key_is_not_carried_to_another_address(tmp_path: Path, server: ProviderServer) -> None:
    bench = OpenAiWriting(tmp_path, server)

    def elsewhere(handler: Any) -> None:
        handler.send_response(307)
        handler.send_header("Location", f"{server.url}/chat/completions")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with odd_server(elsewhere) as url, pytest.raises(Faulty, match="elsewhere"):
        bench.ask(release={**bench.question().release, "base_url": url})
    assert bench.asked() == 0


def test_a_key_that_an_error_repeats_is_left_out(tmp_path: Path, server: ProviderServer) -> None:
    bench = OpenAiWriting(tmp_path, server)
    body = json.dumps({"error": {"message": f"bad request with {KEY}"}}).encode()

    def repeats(handler: Any) -> None:
        handler.send_response(400)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with odd_server(repeats) as url, pytest.raises(Faulty) as caught:
        bench.ask(release={**bench.question().release, "base_url": url})
    assert KEY not in caught.value.sentence


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "86400"}, 3600.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_when_to_come_back_is_read_and_bounded(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(headers) == expected


def test_when_to_come_back_may_be_a_date() -> None:
    found = retry_after_s({"retry-after": formatdate(time.time() + 20, usegmt=True)})
    assert found is not None
    assert 18 <= found <= 20


@pytest.mark.parametrize("text", ["ä" * 500, "a b c " * 200, "𓀀" * 100, "", '"\\\n' * 100])
def test_a_prompt_is_never_estimated_too_low(tmp_path: Path, server: ProviderServer, text: str) -> None:
    """No vocabulary needs more tokens than there are bytes."""
    material = tmp_path / "material.json"
    material.write_text(json.dumps([text], ensure_ascii=False), encoding="utf-8")
    bench = OpenAiWriting(tmp_path / "more", server)
    question = replace(bench.question(), payload={"material.json": material}, most_tokens=0)
    assert OpenAiHttp().tokens_at_most(question) >= len(text.encode()) + len(json.dumps(SCHEMA))


@pytest.mark.parametrize("kind", [OpenAiSpeech, OpenAiReading, OpenAiWriting, OpenAiLabels, AwsWriting])
def test_the_longest_answer_and_the_prompt_are_reckoned_with(tmp_path: Path, server: ProviderServer, kind: Any) -> None:
    bench = kind(tmp_path, server)
    question = bench.question()

    def most(**changes: Any) -> float:
        return float(bench.provider.tokens_at_most(replace(question, **changes)))

    assert most(most_tokens=question.most_tokens + 500) == most() + 500
    assert most(parameters={**question.parameters, "prompt": question.prompt + "x" * 100}) == most() + 100
    if kind is OpenAiSpeech:
        assert most(media_s=question.media_s + 10) == most() + 500


def test_a_question_without_its_payload_is_the_askers_fault(tmp_path: Path, server: ProviderServer) -> None:
    bench = OpenAiWriting(tmp_path, server)
    with pytest.raises(Faulty, match="without its material"):
        bench.ask(payload={})
    with pytest.raises(Faulty, match="cannot be read"):
        bench.ask(payload={"material.json": tmp_path / "absent"})
    (tmp_path / "latin").write_bytes("Fluß".encode("latin-1"))
    with pytest.raises(Faulty, match="UTF-8"):
        bench.ask(payload={"material.json": tmp_path / "latin"})
    for content in ("{}", "[]", "[1]", "no JSON"):
        (tmp_path / "texts.json").write_text(content, encoding="utf-8")
        with pytest.raises(Faulty, match="no list of texts"):
            OpenAiVectors(tmp_path / "v", server).ask(payload={"texts.json": tmp_path / "texts.json"})
    with pytest.raises(ValueError, match="deadline"):
        replace(bench.question(), task=AskTask.WRITING, deadline_s=0)
