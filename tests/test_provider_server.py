"""The provider of tests: its limits are those it states, its counts are true, and it does not outlive its parent."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.compute_trial import all_dead, eventually, identity_of
from tests.media import make_audio
from tests.provider_server import ProviderServer, provider_server

ROOT = Path(__file__).parents[1]
MESSAGES = [{"role": "user", "content": "x" * 400}]  # some 110 tokens


@pytest.fixture(scope="module")
def started() -> Iterator[ProviderServer]:
    with provider_server() as server:
        yield server


@pytest.fixture
def server(started: ProviderServer) -> ProviderServer:
    started.reset()
    return started


def chat(
    server: ProviderServer, number: int = 0, *, behaviour: str = "", **asked: Any
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of a call."""
    body = json.dumps({"model": "a-model", "messages": MESSAGES, **asked}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": f"question-{number}"}
    headers |= {"X-Behaviour": behaviour} if behaviour else {}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", "/v1/chat/completions", body, headers)
        response = connection.getresponse()
        said = response.read()
        return response.status, dict(response.getheaders()), json.loads(said) if said else None
    finally:
        connection.close()


def used(answer: Any) -> int:
    return int(answer["usage"]["total_tokens"])


def test_requests_beyond_a_burst_are_refused_and_told_when_to_come_back(server: ProviderServer) -> None:
    server.control(requests_a_minute=120, request_burst=5)
    statuses = [chat(server, number) for number in range(8)]
    assert [status for status, _, _ in statuses] == [200] * 5 + [429] * 3
    wait_s = float(statuses[-1][1]["Retry-After"])
    assert 0 < wait_s <= 0.5
    time.sleep(wait_s + 0.02)
    assert chat(server, 9)[0] == 200


def test_a_refusal_says_nothing_of_when_to_come_back_where_it_is_told_so(server: ProviderServer) -> None:
    server.control(requests_a_minute=60, request_burst=1, hints=False)
    chat(server)
    status, headers, _ = chat(server)
    assert status == 429
    assert "Retry-After" not in headers


def test_tokens_are_charged_by_what_an_answer_truly_has(server: ProviderServer) -> None:
    """Reserving too little is seen here and nowhere else: the true use is known to the server alone."""
    server.control(tokens_a_minute=1, token_burst=2000)
    charged = 0
    for number in range(100):
        status, _, answer = chat(server, number, max_completion_tokens=300)
        if status == 429:
            break
        charged += used(answer)
    assert status == 429
    assert 2000 - 300 - 200 < charged <= 2001
    assert server.seen()["tokens"] == charged


def test_how_long_answers_are_is_drawn_by_the_seed_and_never_above_what_was_allowed(server: ProviderServer) -> None:
    first = [used(chat(server, number, max_completion_tokens=50)[2]) for number in range(40)]
    again = [used(chat(server, number, max_completion_tokens=50)[2]) for number in range(40)]
    server.control(seed=2)
    other = [used(chat(server, number, max_completion_tokens=50)[2]) for number in range(40)]
    assert first == again != other
    assert len(set(first)) > 10
    outputs = [chat(server, number, max_tokens=50)[2]["usage"]["completion_tokens"] for number in range(40)]
    assert all(1 <= output <= 50 for output in outputs)


def test_a_limit_can_shrink_and_grow_while_it_is_used(server: ProviderServer) -> None:
    server.control(requests_a_minute=600, request_burst=10)
    assert [chat(server)[0] for _ in range(4)] == [200] * 4
    server.control(requests_a_minute=6, request_burst=1)
    assert Counter(chat(server)[0] for _ in range(4)) == {200: 1, 429: 3}
    server.control(requests_a_minute=60_000, request_burst=1000)
    time.sleep(0.05)
    assert [chat(server)[0] for _ in range(20)] == [200] * 20
    server.control(requests_a_minute=None)
    assert [chat(server)[0] for _ in range(50)] == [200] * 50


def test_calls_beyond_the_capacity_are_refused_while_it_is_used_up(server: ProviderServer) -> None:
    server.control(capacity=3, latency_s=0.5)
    with ThreadPoolExecutor(6) as pool:
        statuses = Counter(pool.map(lambda number: chat(server, number)[0], range(6)))
    assert statuses == {200: 3, 429: 3}
    assert server.seen()["most_at_once"] == 3
    assert chat(server)[0] == 200


def test_a_script_is_followed_in_its_order_and_then_ends(server: ProviderServer) -> None:
    server.control(script=["429:1", "", "500"], behaviour="503")
    assert [chat(server)[0] for _ in range(5)] == [429, 200, 500, 503, 503]


def test_one_call_can_ask_for_its_own_behaviour(server: ProviderServer) -> None:
    assert chat(server, behaviour="500")[0] == 500
    assert chat(server)[0] == 200
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        chat(server, behaviour="reset")
    with pytest.raises(http.client.IncompleteRead):
        chat(server, behaviour="half")


def test_rates_are_kept_by_the_seed(server: ProviderServer) -> None:
    server.control(rates={"500": 0.2, "429": 0.1}, seed=5)
    first = [chat(server, number)[0] for number in range(200)]
    assert [chat(server, number)[0] for number in range(200)] == first
    counted = Counter(first)
    assert 20 <= counted[500] <= 60
    assert 8 <= counted[429] <= 35


def test_it_is_as_slow_as_it_is_told(server: ProviderServer) -> None:
    began = time.monotonic()
    chat(server, behaviour="slow:0.3")
    assert 0.3 <= time.monotonic() - began < 1.3
    server.control(latency_s=[0.1, 0.2])
    began = time.monotonic()
    chat(server)
    assert 0.1 <= time.monotonic() - began < 1.2


def test_what_was_seen_adds_up(server: ProviderServer) -> None:
    server.control(requests_a_minute=1, request_burst=6, script=["", "500"])
    for number in range(10):
        chat(server, number)
    seen = server.seen()
    assert (seen["calls"], seen["answered"], seen["failed"], seen["refused"]) == (10, 5, 1, 4)
    assert seen["idempotency_keys"] == 10
    for what in ("calls", "tokens", "refused"):
        assert sum(second.get(what, 0) for second in seen["by_second"].values()) == seen[what]
    server.reset()
    assert server.seen()["calls"] == 0


def test_keys_and_models_are_looked_at(server: ProviderServer) -> None:
    server.control(models=["a-model"])
    assert chat(server)[0] == 200
    assert chat(server, model="another")[0] == 404
    server.control(key="right")
    assert chat(server)[0] == 401


def test_words_and_texts_can_be_given_to_it(server: ProviderServer, tmp_path: Path) -> None:
    """Otherwise they are drawn: what a pipeline makes of them could not be compared with anything."""
    import hashlib

    sound = make_audio(tmp_path / "a.flac", duration_s=4, rate_hz=16_000, codec="flac", container="flac").read_bytes()
    words = [{"word": "hello", "start": 0.5, "end": 0.9}]
    server.control(transcripts={hashlib.sha256(sound).hexdigest(): {"text": "hello", "words": words}})
    server.control(contents={"summary": {"title": "A river"}})
    assert transcribed(server, sound)["words"] == words
    format_ = {"type": "json_schema", "json_schema": {"name": "summary", "schema": {}}}
    answer = chat(server, response_format=format_)[2]
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"title": "A river"}


def test_drawn_words_lie_within_the_sound(server: ProviderServer, tmp_path: Path) -> None:
    sound = make_audio(tmp_path / "a.flac", duration_s=4, rate_hz=16_000, codec="flac", container="flac").read_bytes()
    heard = transcribed(server, sound)
    assert heard["duration"] == 4
    assert len(heard["words"]) == 10
    assert all(0 <= word["start"] < word["end"] <= 4 for word in heard["words"])
    assert transcribed(server, sound, "truncated")["words"] == heard["words"][:3]
    assert transcribed(server, sound, "wrong_language")["text"] != heard["text"]
    assert transcribed(server, sound, "empty")["words"] == []


def transcribed(server: ProviderServer, sound: bytes, behaviour: str = "") -> Any:
    boundary = "a-boundary"
    fields = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in [("model", "m")]
    )
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.flac"\r\n\r\n'.encode()
    body = fields.encode() + file + sound + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "X-Behaviour": behaviour}
    request = urllib.request.Request(f"{server.url}/audio/transcriptions", body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def test_it_stands_several_hundred_calls_a_second(server: ProviderServer) -> None:
    """One that is slower than what it measures would be taken for its limit."""
    body = json.dumps({"model": "a-model", "messages": MESSAGES}).encode()

    def calls(number: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        for _ in range(100):
            connection.request("POST", "/v1/chat/completions", body)
            assert connection.getresponse().read()
        connection.close()
        return number

    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(calls, range(4)))
    rate = 400 / (time.monotonic() - began)
    print(f"{rate:.0f} calls a second")
    assert rate > 200  # 1260 with the callers on the same two cores, busy with other work


def test_it_refuses_settings_it_does_not_have(server: ProviderServer) -> None:
    with pytest.raises(ValueError, match="capacty"):
        server.control(capacty=3)
    request = urllib.request.Request(f"{server.address}/control", b'{"capacty": 3}', method="POST")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=10)


def test_a_caller_that_leaves_is_noticed(server: ProviderServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/v1/chat/completions", json.dumps({"messages": []}), {"X-Behaviour": "slow:20"})
    assert eventually(lambda: server.seen()["at_once"] == 1)
    connection.close()
    assert eventually(lambda: server.seen()["cut"] == 1)
    assert server.seen()["at_once"] == 0


def test_it_ends_when_its_parent_dies() -> None:
    """A server that a killed test run leaves behind would hold its port and its memory for ever."""
    code = (
        "import os, signal, sys\n"
        "from tests.provider_server import provider_server\n"
        "with provider_server() as server:\n"
        "    print(server.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    child = identity_of(int(process.stdout.readline()))
    assert not all_dead(child)
    process.kill()
    process.communicate()
    assert eventually(lambda: all_dead(child), within_s=5)


def test_at_the_end_of_a_test_it_is_gone() -> None:
    threads = threading.active_count()
    with provider_server() as server:
        child = identity_of(server.pid)
    assert all_dead(child)
    assert threading.active_count() == threads
    assert os.getpid()
